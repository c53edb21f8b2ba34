"""Labelled cases of a user's own: their file format, and how a running model answers them; steady traffic."""
