"""The reports on releases: why each was decided as it was, for people and machines, from the journal alone."""
