"""The release path: what is decided (core), what it needs (ports), how that is got (adapters), who asks (cli, api)."""
