"""The demonstration: real models go through the release path on live traffic, on this machine alone."""
