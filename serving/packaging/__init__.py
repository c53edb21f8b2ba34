"""The making of a package from a trained checkpoint, held against the library that it comes from, and checked."""
