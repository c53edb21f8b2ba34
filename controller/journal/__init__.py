"""What the journal keeps: how events are written, read, walked through and chained."""
