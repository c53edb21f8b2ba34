"""Serin on Kubernetes: what it writes there, and how it reads what came of it."""
