"""Drive releases: observe, decide, record, execute."""
