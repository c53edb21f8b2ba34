"""How a package is made of a trained checkpoint, held against the library that it comes from, and checked."""
