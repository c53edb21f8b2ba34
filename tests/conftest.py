"""What holds for every test: Hypothesis plays the same examples at each run, however slow the machine is."""

from hypothesis import HealthCheck, settings

settings.register_profile(
    "serin", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much]
)
settings.load_profile("serin")
