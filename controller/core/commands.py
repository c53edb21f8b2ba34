"""The commands of people, pipelines and webhooks. A command waits in the inbox until the loop takes it up."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Ask(StrEnum):
    START = "start"  # a release of ``version``
    REPLACE = "replace"  # the same, in place of a stable version that cannot run, so that nothing is compared
    REHEARSE = "rehearse"  # the same, no further than shadow: no user gets its answers
    ABORT = "abort"  # the active release, whatever its phase: always wins
    ROLLBACK = "rollback"  # to the known good version, from whatever is active or was promoted last
    RESUME = "resume"  # a held release goes on, with a new deadline; a paused one from where it is
    PAUSE = "pause"  # the release exposes no more users than it does; its deadline stands
    PROMOTE = "promote"  # the release goes to its next step now; everybody is for the gates alone


BEGINNING = frozenset({Ask.START, Ask.REPLACE, Ask.REHEARSE})
WAYS_BACK = frozenset({Ask.ABORT, Ask.ROLLBACK})


@dataclass(frozen=True, slots=True)
class Command:
    """``id`` makes it idempotent: the same id takes effect once, however often it is sent."""

    id: str
    ask: Ask
    model: str
    version: str | None
    reason: str
    by: str
    at_s: float


ANY_MODEL = "*"


@dataclass(frozen=True, slots=True)
class Freeze:
    """No model change of ``model`` (``ANY_MODEL``: of any) until it is lifted. A rollback is always allowed.

    ``silent``: nor is anybody notified about the model meanwhile. ``ends_at_s``: unix time at which the controller ends
    it; None: only a person does.
    """

    model: str
    reason: str
    by: str
    at_s: float
    silent: bool = False
    ends_at_s: float | None = None

    def is_over(self, now_s: float) -> bool:
        """Return whether its time is over: it holds all the same until its end is recorded."""
        return self.ends_at_s is not None and self.ends_at_s <= now_s


FREEZE_MAX_S: Final = 366 * 86_400.0
"""A freeze that ends by itself does so within a year; what is to hold longer is lifted by a person."""
