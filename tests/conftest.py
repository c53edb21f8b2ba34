"""What holds for every test: Hypothesis plays the same examples at each run, however slow a machine is; no test leaves
this process with less than it found; of tests that run at a time one at most has a whole installation."""

import resource
import signal
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling

pytest_plugins = ("tests.deploy.counted",)
INSTALLATIONS = "tests/e2e/"

settings.register_profile(
    "serin", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much]
)
settings.load_profile("serin")

# What a shell starts in the background ignores Ctrl-C, and under nohup the end of its terminal; so would all that the
# tests start and interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)

_NAMES = ("RLIMIT_DATA", "RLIMIT_AS", "RLIMIT_NPROC", "RLIMIT_NOFILE", "RLIMIT_FSIZE")


def _limits() -> list[tuple[int, int]]:
    return [resource.getrlimit(getattr(resource, name)) for name in _NAMES]


@pytest.fixture(autouse=True)
def limits_as_before() -> Iterator[None]:
    """A check of a package within this process once left it, and all that later tests started, with 2 GB of memory."""
    before = _limits()
    yield
    assert _limits() == before, "the test left this process with other resource limits"


class _InstallationsAreOnePiece(LoadFileScheduling):
    """Work is given out by file; all that starts installations to one process, for each has a service's load."""

    def _split_scope(self, nodeid: str) -> str:
        return INSTALLATIONS if nodeid.startswith(INSTALLATIONS) else super()._split_scope(nodeid)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest piece of work begins first: begun last, the others would wait for it."""
    items.sort(key=lambda item: not item.nodeid.startswith(INSTALLATIONS))


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadFileScheduling:
    """Of ``-n``. The order is that of the files: what is long would else come last where it has few tests."""
    config.option.loadscopereorder = False
    return _InstallationsAreOnePiece(config, log)
