"""Warnings: what the candidate uses against fixed limits, and the fingerprint of its tokenizer.

A limit that is exceeded is shown and recorded; it neither blocks nor rolls back. Only a tokenizer other than the pinned
one fails the release.
"""
