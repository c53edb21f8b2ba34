"""Metrics, from Prometheus."""
