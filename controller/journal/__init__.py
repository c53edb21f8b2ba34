"""The journal: how events are written, read, listed and chained."""
