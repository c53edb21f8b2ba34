"""The daily chores: delete samples that no release can need any more, and discarded commands, and thin out old
looks."""

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
UNMATCHED_KEPT_DAYS = 1.0  # a sample arrives seconds after its answer: a label without one by then never gets one
_FIRST_AFTER_S = 600.0  # a controller that starts has more urgent work
_ROOM_EVERY_S = 600.0
_AGAIN_AFTER_S = 3_600.0  # after a failure


class Prunable(Protocol):
    def prune(self, before_s: float) -> int:
        """Delete the rows from before ``before_s`` (unix time), and return their number."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A store, and the number of days for which it keeps its rows."""

    store: Prunable
    days: float


class Bounded(Protocol):
    def prune_to(self, bytes_max: float) -> int:
        """Delete the oldest rows until the rest takes at most ``bytes_max``, and return the number of deleted rows."""


@dataclass(frozen=True, slots=True)
class Room:
    """A store, and the most bytes that it may take."""

    store: Bounded
    bytes_max: float


def check_kept(kept_days: float, policies: Iterable[ReleasePolicy]) -> None:
    """Check that samples are kept for at least as long as any release may last, because late labels need them.

    Raises:
        UsageError: they are not; names the model that needs more.
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
    """Prune the stores once a day, and keep the rooms every ten minutes, in a thread of its own, while the block
    lasts."""
    stopping = threading.Event()
    thread = threading.Thread(target=_run, args=(stores, clock, rooms, stopping), name="retention", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        thread.join()


def prune_once(stores: Sequence[Kept], clock: Clock) -> float:
    """Prune all stores, and return the seconds until the next time. A store that fails does not stop the others."""
    rows, again_s = 0, DAY_S
    for kept in stores:
        try:
            rows += kept.store.prune(clock.now_s() - kept.days * DAY_S)
        except ConflictError as error:  # only the leader may delete some rows; this controller may lead in an hour
            log.info("deleting what is old is left to the controller that leads: %s", error)
            again_s = _AGAIN_AFTER_S
        except SerinError as error:
            log.warning("something old could not be deleted; it is tried again in an hour: %s", error)
            again_s = _AGAIN_AFTER_S
    log.info("pruned %d rows of old samples, labels without a sample, discarded commands and old looks", rows)
    return again_s


def keep_to(rooms: Sequence[Room]) -> None:
    """Delete the oldest rows of each store that takes more room than it may. A failure is logged, and the next turn
    tries again."""
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
        except Exception:  # a defect in one chore must not end the thread
            log.exception("chores failed, and are tried again in an hour")
            due_s = _AGAIN_AFTER_S
