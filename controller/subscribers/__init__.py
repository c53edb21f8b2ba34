"""The followers of the journal: each from its own position, at its own pace, and no decision waits for any."""
