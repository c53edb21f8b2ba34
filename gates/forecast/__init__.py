"""The parts of a gate's forecast: traffic, candidates, and the growth of evidence. Forecasts decide nothing."""
