"""Warnings that ask for labels: the versions disagree, answer differently, or get requests unlike those before."""
