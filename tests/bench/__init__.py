"""Benchmarks: `make bench-NAME` runs one. Each prints its figures beside their bars and fails when one falls short."""
