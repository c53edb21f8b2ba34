"""The gateway: Envoy, its files and its administration."""
