"""The commands of people, pipelines and webhooks. A command waits in the inbox until the controller takes it up."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Ask(StrEnum):
    START = "start"  # a release of ``version``
    REPLACE = "replace"  # a release of ``version`` in place of a stable version that cannot run: nothing is compared
    REHEARSE = "rehearse"  # a release of ``version`` that ends in shadow at the latest: no user gets its answers
    ABORT = "abort"  # ends the active release, whatever its phase; always wins
    ROLLBACK = "rollback"  # to the known good version, from the active release or the version promoted last
    RESUME = "resume"  # a held release goes on with a new deadline; a paused one goes on from where it is
    PAUSE = "pause"  # the release gets no more users for now; its deadline stays
    PROMOTE = "promote"  # the release goes to its next step now; only the gates can give it all users


BEGINNING = frozenset({Ask.START, Ask.REPLACE, Ask.REHEARSE})
WAYS_BACK = frozenset({Ask.ABORT, Ask.ROLLBACK})


@dataclass(frozen=True, slots=True)
class Command:
    """One command. A command with the same ``id`` takes effect once, however often it is sent. ``at_s``: unix time."""

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
    """An order to leave ``model`` (``ANY_MODEL``: every model) as it is. A rollback is always allowed.

    ``silent``: no notices about the model are sent meanwhile. ``ends_at_s``: the unix time at which the controller ends
    the freeze; None: only a person ends it.
    """

    model: str
    reason: str
    by: str
    at_s: float
    silent: bool = False
    ends_at_s: float | None = None

    def is_over(self, now_s: float) -> bool:
        """Return whether its own end has passed. The freeze stays in force until its end is recorded."""
        return self.ends_at_s is not None and self.ends_at_s <= now_s


FREEZE_MAX_S: Final = 366 * 86_400.0
"""The longest time after which a freeze may end by itself: a year. Only a person ends a longer one."""
