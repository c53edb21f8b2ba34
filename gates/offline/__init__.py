"""What is judged or computed at rest: suites, plans, backtests."""
