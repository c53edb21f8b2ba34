"""The needs of a drill: how a failure is injected, what is seen, and how users fare."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from controller.core.drills import Check, Counted


class Injection(Protocol):
    """One failure, bounded by itself. `begin` raises before anything was done; `end` may be called at any time, and
    again; whatever becomes of this process, what it did is undone."""

    @property
    def targets(self) -> Sequence[str]:
        """Return what it would be done to, in words."""

    def begin(self) -> str:
        """Inject it, and return what was done, in a sentence.

        Raises:
            UsageError: it cannot be done here, and why.
            TransientError: this machine does not let it be done now.
        """

    def end(self) -> None:
        """Undo it, wherever it stands."""

    def broken_off(self) -> str:
        """Return why it cannot go on; empty where it can."""

    def told(self) -> Sequence[str]:
        """Return what processes and logs show of it since the last time, in sentences."""

    def checks(self) -> Sequence[Check]:
        """Return what it found of what is promised, once it is over."""

    def is_over(self) -> bool:
        """Return whether what it did has been answered, as by a process that runs again."""


@dataclass(frozen=True, slots=True)
class Seen:
    """One look. ``faults``: parts that do not answer, by name. ``alerts``: by name, `pending` or `firing`; of the
    model and of none. ``standing``: what of the model must not change, and ``happenings`` since the drill began.
    ``unseen``: why nothing could be looked at this time, where it could not; that is no sight of anything."""

    faults: Mapping[str, str] = field(default_factory=dict)
    alerts: Mapping[str, str] = field(default_factory=dict)
    standing: Mapping[str, str] = field(default_factory=dict)
    happenings: Sequence[str] = ()
    unseen: str = ""


class Lookout(Protocol):
    def look(self) -> Seen:
        """Return what `serin doctor`, Prometheus and the journal show now. What cannot be asked is a fault."""


@dataclass(frozen=True, slots=True)
class Mark:
    """A place in the course of the drill's own requests."""

    sent: int
    answered: int
    failures: Mapping[str, int]


class Users(Protocol):
    """The drill's own requests, which are under way."""

    def mark(self) -> Mark: ...

    def between(self, first: Mark, last: Mark) -> Counted:
        """Return what came between two places."""
