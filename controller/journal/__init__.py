"""The journal: how events are written, read, walked through and chained."""
