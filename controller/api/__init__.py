"""The controller's HTTP interface: samples and labels come in, people and pipelines ask and look."""
