"""The format of a registered version: its files, their rules, and how both are read without loading a model."""
