"""The grounds on which a release was decided, for people and for machines, from the journal alone."""
