"""Serin on Kubernetes: what it writes there, and how it reads what came of it. The package `kubernetes` is imported
when a cluster is connected to."""
