"""Forecasts of a release before it starts, from its policy and its traffic. They decide nothing."""
