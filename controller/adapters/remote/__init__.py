"""An installation on another machine, asked by its HTTP interface."""
