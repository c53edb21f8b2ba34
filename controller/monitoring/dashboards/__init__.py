"""Dashboards of Grafana as values: `panel` has what they are made of, one module each what stands on them."""
