"""The tries of a process that dies, and what its record so far says of it. Pure: times are given."""

from dataclasses import dataclass

from controller.adapters.local.records import Record
from controller.core.condition import Condition
from controller.ports.runtime import Endpoint
from serving.contract import HEALTH_ROUTE

_DOUBLINGS_MAX = 16
MISSES_MAX = 3
"""One late answer of a busy replica is no outage."""


@dataclass(frozen=True, slots=True)
class Patience:
    """The time that things may take, and how often a process that dies is started again.

    After a death, ``ensure`` starts it again after ``backoff_s``, doubled each time up to ``backoff_max_s``. After more
    than ``restarts_max`` deaths within ``restart_window_s`` it has failed, until it answers again: it may be what users
    wait for, so it is tried for as long as it is wanted.
    """

    start_within_s: float = 60.0
    end_within_s: float = 25.0  # a replica drains for up to 20 s
    restarts_max: int = 3
    restart_window_s: float = 600.0
    backoff_s: float = 1.0
    backoff_max_s: float = 60.0
    hung_after_s: float = 15.0  # without any answer of its HTTP process; one whose engine hangs says so

    def counted_starts(self, record: Record, now_s: float) -> tuple[float, ...]:
        """Return when it was started, as far as that counts for the limit."""
        return tuple(start_s for start_s in record.recent_starts_s if start_s >= now_s - self.restart_window_s)

    def has_failed(self, record: Record, now_s: float) -> bool:
        """Return whether it died too often; until it answers again."""
        if record.failure:
            return not record.ours and len(self.counted_starts(record, now_s)) > self.restarts_max
        return bool(record.failed_before)

    def is_due(self, record: Record, now_s: float) -> bool:
        """Return whether it is dead, wanted, and to be started again by now."""
        dead = bool(record.failure) and record.ending_s is None
        return dead and now_s >= (record.failed_s or 0.0) + self._pause_s(record, now_s)

    def count(self, record: Record, now_s: float) -> str:
        """Return which start it was, and when the next one is."""
        number, most = len(record.recent_starts_s), self.restarts_max + 1
        of = f"of {most}" if number <= most else f"in {self.restart_window_s / 60:g} minutes"
        return f"start {number} {of}, the next {self._pause_s(record, now_s):g} s after its end"

    def _pause_s(self, record: Record, now_s: float) -> float:
        doublings = max(len(self.counted_starts(record, now_s)) - 1, 0)
        return min(self.backoff_s * 2.0 ** min(doublings, _DOUBLINGS_MAX), self.backoff_max_s)


def endpoint_of(record: Record, patience: Patience, *, misses: int, now_s: float) -> Endpoint:
    """Return what the record says of the replica. ``misses``: health checks since the last one that it passed."""
    condition, detail = _condition(record, patience, misses, now_s)
    url, shadow_url = (None, None) if record.ending_s is not None or record.failure else (record.url, record.shadow_url)
    return Endpoint(condition, url, shadow_url, detail, record.restarts)


def _condition(record: Record, patience: Patience, misses: int, now_s: float) -> tuple[Condition, str]:
    """The one place where a record becomes a condition, and why it is not ready."""
    if record.ending_s is not None:
        return Condition.DISTURBED, "it is being ended"
    failed = patience.has_failed(record, now_s)
    by_itself = Condition.FAILED if failed else Condition.FAILING
    if record.failure:
        detail = f"{patience.count(record, now_s)}: {record.failure}"
        return Condition.DISTURBED if record.ours else by_itself, detail
    if record.answered and misses < MISSES_MAX:
        return Condition.READY, ""
    detail = f"it does not answer {HEALTH_ROUTE}" if record.answered else "it is starting"
    if failed:
        return Condition.FAILED, f"{detail} once more; the last time {record.failed_before}"
    return by_itself if record.answered or record.recovering else Condition.STARTING, detail
