"""Judgement at rest: suites, plans, backtests."""
