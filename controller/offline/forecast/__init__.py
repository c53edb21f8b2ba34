"""The forecasts of `serin plan`: those of the gates, applied to the course of a release."""
