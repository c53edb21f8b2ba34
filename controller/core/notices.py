"""Notices: what people are told without asking, and how much it is worth to them."""

from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """The worth of a notice to people, the most urgent first."""

    PAGE = "page"  # somebody is woken
    TICKET = "ticket"  # somebody looks at it in the day
    INFO = "info"  # nobody has to do anything


class Kind(StrEnum):
    """The things that are told. What lasts, such as a source that cannot be read, is an alert's instead."""

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
"""The kinds that no freeze keeps silent: one has to know that nothing is told, and that it is again."""


@dataclass(frozen=True, slots=True)
class Notice:
    """One thing that happened. ``id`` is the same whenever it is told again. ``title`` and ``reason`` are sentences;
    names of others stand in them as they were written."""

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
    """Notices that are told in one go, of one model, version and severity. ``id`` stays the same at each attempt, also
    of a process that was started again."""

    id: str
    notices: tuple[Notice, ...]
    attempts: int = 0  # so far

    @property
    def severity(self) -> Severity:
        return self.notices[0].severity
