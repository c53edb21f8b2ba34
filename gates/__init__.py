"""The gates: pure functions from evidence to verdicts. No I/O, no clock, no randomness; numpy and scipy only."""
