"""Warnings that ask for labels: the versions disagree, answer otherwise, or see what was not seen before."""
