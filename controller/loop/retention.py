"""What is done once a day beside the releases: samples that no release can need any more are deleted, and discarded
commands; old looks are thinned out."""

import logging
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from controller.core.policy import ReleasePolicy
from controller.errors import TransientError, UsageError
from controller.ports.clock import Clock

log = logging.getLogger(__name__)

DAY_S = 86_400.0
UNMATCHED_KEPT_DAYS = 1.0  # a sample comes seconds after its answer: a label that met none by then never will
_FIRST_AFTER_S = 600.0  # a controller that starts has better things to do
_AGAIN_AFTER_S = 3_600.0  # where the store did not answer


class Prunable(Protocol):
    def prune(self, before_s: float) -> int:
        """Delete what came before, and return how many rows that were."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A store, and for how many days it keeps what it holds."""

    store: Prunable
    days: float


def check_kept(kept_days: float, policies: Iterable[ReleasePolicy]) -> None:
    """Samples must outlive the longest release, whose late labels look for them.

    Raises:
        UsageError: naming the policy that needs more.
    """
    for policy in policies:
        needed_days = (policy.deadline_s + policy.probation_s) / DAY_S
        if kept_days < needed_days:
            raise UsageError(
                f"samples_kept_days is {kept_days:g}, but a release of {policy.model} may last {needed_days:.1f} days: "
                "raise it in settings.json"
            )


@contextmanager
def daily_pruning(stores: Sequence[Kept], clock: Clock) -> Iterator[None]:
    """Prune them once a day, in a thread of its own, while the block lasts."""
    stopping = threading.Event()
    thread = threading.Thread(target=_run, args=(stores, clock, stopping), name="upkeep", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        thread.join()


def prune_once(stores: Sequence[Kept], clock: Clock) -> float:
    """Prune, and return after how many seconds to do it again."""
    try:
        rows = sum(kept.store.prune(clock.now_s() - kept.days * DAY_S) for kept in stores)
    except TransientError as error:
        log.warning("samples could not be pruned and will be in an hour: %s", error)
        return _AGAIN_AFTER_S
    log.info("pruned %d rows of old samples, labels that met none, discarded commands and old looks", rows)
    return DAY_S


def _run(stores: Sequence[Kept], clock: Clock, stopping: threading.Event) -> None:
    wait_s = _FIRST_AFTER_S
    while not stopping.wait(wait_s):
        wait_s = prune_once(stores, clock)
