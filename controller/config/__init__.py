"""The configuration of an installation: settings and policy files."""
