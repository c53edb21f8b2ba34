"""Releases as objects: a wish that a person or Git wrote, and a view of what the journal says of it."""
