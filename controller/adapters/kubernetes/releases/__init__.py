"""Releases as objects: either a wish that a person or Git wrote, or a view of what the journal says of a release."""
