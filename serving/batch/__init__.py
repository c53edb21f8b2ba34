"""Scoring files of texts with a packaged version: the tokenizer, the graph and the rules of the server, no server."""
