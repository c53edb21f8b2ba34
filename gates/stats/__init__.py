"""E-processes, intervals and exact tests: the formulas that the gates use."""
