"""Attacks on whole installations. A package, so that its fixture's installations end with its last test."""
