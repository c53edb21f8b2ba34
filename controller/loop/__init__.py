"""The loop that drives releases: observe, decide, record, execute."""
