"""Offline judgement: suites, plans, backtests."""
