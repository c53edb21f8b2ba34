"""An installation elsewhere, asked by its interface."""
