"""The chores of once a day beside the releases: samples that no release can need any more are deleted, and discarded
commands; old looks are thinned out."""

import logging
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from controller.core.policy import ReleasePolicy
from controller.errors import ConflictError, SerinError, TransientError, UsageError
from controller.ports.clock import Clock

log = logging.getLogger(__name__)

DAY_S = 86_400.0
UNMATCHED_KEPT_DAYS = 1.0  # a sample comes seconds after its answer: a label that met none by then never will
_FIRST_AFTER_S = 600.0  # a controller that starts has better things to do
_ROOM_EVERY_S = 600.0
_AGAIN_AFTER_S = 3_600.0  # where the store did not answer


class Prunable(Protocol):
    def prune(self, before_s: float) -> int:
        """Delete what came before, and return how many rows that were."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A store, and for how many days it keeps what it holds."""

    store: Prunable
    days: float


class Bounded(Protocol):
    def prune_to(self, bytes_max: float) -> int:
        """Delete the oldest where all take more room than that, and return how many rows that were."""


@dataclass(frozen=True, slots=True)
class Room:
    """A store, and the room that it may take."""

    store: Bounded
    bytes_max: float


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
def daily_pruning(stores: Sequence[Kept], clock: Clock, rooms: Sequence[Room] = ()) -> Iterator[None]:
    """Prune them once a day, and keep to the rooms all along, in a thread of its own, while the block lasts."""
    stopping = threading.Event()
    thread = threading.Thread(target=_run, args=(stores, clock, rooms, stopping), name="retention", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        thread.join()


def prune_once(stores: Sequence[Kept], clock: Clock) -> float:
    """Prune, and return after how many seconds to do it again. What cannot be pruned now keeps nothing else from it."""
    rows, again_s = 0, DAY_S
    for kept in stores:
        try:
            rows += kept.store.prune(clock.now_s() - kept.days * DAY_S)
        except ConflictError as error:  # some of it only who leads may do; this one may lead by then
            log.info("deleting what is old is left to the controller that leads: %s", error)
            again_s = _AGAIN_AFTER_S
        except SerinError as error:
            log.warning("something old could not be deleted; it is tried again in an hour: %s", error)
            again_s = _AGAIN_AFTER_S
    log.info("pruned %d rows of old samples, labels without a sample, discarded commands and old looks", rows)
    return again_s


def keep_to(rooms: Sequence[Room]) -> None:
    """Delete the oldest of what takes more room than it may; tried again at the next turn."""
    for room in rooms:
        try:
            rows = room.store.prune_to(room.bytes_max)
        except TransientError as error:
            log.warning("samples may take more than samples_mb_max: %s", error)
            continue
        if rows:
            log.warning(
                "deleted the %d oldest rows of samples, because samples took more than samples_mb_max, %g "
                "MB. Labels that arrive later will find no sample: raise the limit, or lower capture_ratio",
                rows,
                room.bytes_max / 1e6,
            )


def _run(stores: Sequence[Kept], clock: Clock, rooms: Sequence[Room], stopping: threading.Event) -> None:
    due_s = _FIRST_AFTER_S
    while not stopping.wait(_ROOM_EVERY_S):
        due_s -= _ROOM_EVERY_S
        try:
            keep_to(rooms)
            due_s = prune_once(stores, clock) if due_s <= 0 else due_s
        except Exception:  # a defect in one chore ends none of those of tomorrow
            log.exception("chores failed, and are tried again in an hour")
            due_s = _AGAIN_AFTER_S
