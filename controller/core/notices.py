"""Notices: what Serin tells people unasked, and how urgent each notice is."""

from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """The urgency of a notice, the most urgent first."""

    PAGE = "page"  # somebody is woken
    TICKET = "ticket"  # somebody looks at it during the day
    INFO = "info"  # nobody has to do anything


class Kind(StrEnum):
    """The kind of a notice. A condition that lasts, such as a source that cannot be read, raises an alert instead."""

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
    TRAFFIC_RESTORED = "traffic.restored"  # after an edit that was made without Serin
    COMMAND_DISCARDED = "command.discarded"
    RETRAIN_ASKED = "retrain.asked"
    FREEZE_BEGAN = "freeze.began"
    FREEZE_LIFTED = "freeze.lifted"
    TEST = "test"


ALWAYS_TOLD = frozenset({Kind.FREEZE_BEGAN, Kind.FREEZE_LIFTED, Kind.TEST})
"""The kinds that no freeze silences: people must know that notices stop, and that they resume."""


@dataclass(frozen=True, slots=True)
class Notice:
    """One notice about one event. ``id`` stays the same when the notice is sent again. ``title`` and ``reason`` are
    sentences; names from outside (of models, people, gates) stand in them exactly as they were written."""

    id: str
    kind: Kind
    severity: Severity
    model: str  # `commands.ANY_MODEL`: every model
    version: str  # empty: no version
    at_s: float  # unix time
    title: str
    reason: str
    release_id: str = ""
    gates: tuple[str, ...] = ()  # the gates that failed
    by: str = ""
    owner: str = ""  # `owner` and `contact` as in the model's policy
    contact: str = ""


@dataclass(frozen=True, slots=True)
class Message:
    """Notices of one model, version and severity that are sent together. ``id`` is the same at each attempt, even after
    a restart."""

    id: str
    notices: tuple[Notice, ...]
    attempts: int = 0  # to deliver this message, so far

    @property
    def severity(self) -> Severity:
        return self.notices[0].severity
