"""Notices: what people are told without asking, and how urgent it is."""

from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """The urgency of a notice, the most urgent first."""

    PAGE = "page"  # somebody is woken
    TICKET = "ticket"  # somebody looks at it in the day
    INFO = "info"  # nobody has to do anything


class Kind(StrEnum):
    """The kinds of notices. A lasting condition, such as a source that cannot be read, is the subject of an alert
    instead."""

    RELEASE_BEGAN = "release.began"
    RELEASE_WENT_ON = "release.went_on"  # to shadow traffic, or to the next canary step
    RELEASE_ROLLING_BACK = "release.rolling_back"
    RELEASE_ROLLED_BACK = "release.rolled_back"
    RELEASE_REJECTED = "release.rejected"
    RELEASE_HELD = "release.held"
    RELEASE_ENDED = "release.ended"  # aborted, or superseded
    RELEASE_PROMOTED = "release.promoted"
    RELEASE_SETTLED = "release.settled"  # probation is over
    CANDIDATE_REFUSED = "candidate.refused"
    TRAFFIC_RESTORED = "traffic.restored"  # after an edit past Serin
    COMMAND_DISCARDED = "command.discarded"
    RETRAIN_ASKED = "retrain.asked"
    FREEZE_BEGAN = "freeze.began"
    FREEZE_LIFTED = "freeze.lifted"
    TEST = "test"


ALWAYS_TOLD = frozenset({Kind.FREEZE_BEGAN, Kind.FREEZE_LIFTED, Kind.TEST})
"""The kinds that no freeze silences: people must know that notices stop, and that they resume."""


@dataclass(frozen=True, slots=True)
class Notice:
    """One thing that happened. ``id`` is the same whenever it is sent again. ``title`` and ``reason`` are sentences,
    with names from outside exactly as they were written."""

    id: str
    kind: Kind
    severity: Severity
    model: str  # `commands.ANY_MODEL`: of every one
    version: str  # empty: of none
    at_s: float
    title: str
    reason: str
    release_id: str = ""
    gates: tuple[str, ...] = ()  # that failed
    by: str = ""
    owner: str = ""  # as the model's policy names them
    contact: str = ""


@dataclass(frozen=True, slots=True)
class Message:
    """Notices that are sent together, of one model, version and severity. ``id`` stays the same at each attempt, even
    after a restart."""

    id: str
    notices: tuple[Notice, ...]
    attempts: int = 0  # so far

    @property
    def severity(self) -> Severity:
        return self.notices[0].severity
