"""A registered version as files: format, export, packaging and its check."""
