"""Serin on Kubernetes: the objects that it writes there, and how it reads their state. The package `kubernetes` is
imported only when a cluster is connected to."""
