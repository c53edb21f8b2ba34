"""The gates: pure functions from evidence to verdicts. No I/O, no clock, no randomness; numpy, scipy, standard library."""
