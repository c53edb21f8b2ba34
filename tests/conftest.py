"""What holds for every test: Hypothesis plays the same examples at each run, however slow the machine is, and no test
leaves this process with less than it found."""

import resource
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile(
    "serin", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much]
)
settings.load_profile("serin")

_NAMES = ("RLIMIT_DATA", "RLIMIT_AS", "RLIMIT_NPROC", "RLIMIT_NOFILE", "RLIMIT_FSIZE")


def _limits() -> list[tuple[int, int]]:
    return [resource.getrlimit(getattr(resource, name)) for name in _NAMES]


@pytest.fixture(autouse=True)
def limits_as_before() -> Iterator[None]:
    """A check of a package within this process once left it, and all that later tests started, with 2 GB of memory."""
    before = _limits()
    yield
    assert _limits() == before, "the test left this process with other resource limits"
