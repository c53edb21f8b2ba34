"""The gates that watch a release, look by look."""
