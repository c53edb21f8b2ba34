"""`serin plan`: the forecasts of the gates, put on the way that a release goes."""
