"""Judgement away from live traffic: evidence files, replays, backtests, forecasts, the CI gate."""
