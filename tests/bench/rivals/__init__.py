"""What others serve the same model with, each written as its own documentation advises; see ``prepare.sh``.

The modules here run in the rivals' environment and import nothing of ours.
"""
