"""What the forecast of a gate is made of: traffic, candidates, and the growth of evidence. Forecasts decide nothing."""
