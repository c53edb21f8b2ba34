"""The needs of a drill: to inject a failure, to see what it causes, and to send requests as users do."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from controller.core.drills import Check, Counted


class Injection(Protocol):
    """One failure, which ends by itself. If `begin` raises, nothing was done. `end` may be called at any time, and more
    than once. The failure is undone even if this process dies."""

    @property
    def targets(self) -> Sequence[str]:
        """Return the replicas or other targets of the failure, in words."""

    def begin(self) -> str:
        """Inject the failure, and return what was done, in a sentence.

        Raises:
            UsageError: the failure cannot be injected here; says why.
            TransientError: this machine does not allow it now.
        """

    def end(self) -> None:
        """Undo the failure, however far it got."""

    def broken_off(self) -> str:
        """Return why the injection cannot go on; empty if it can."""

    def told(self) -> Sequence[str]:
        """Return what processes and logs show of the failure since the last call, in sentences."""

    def checks(self) -> Sequence[Check]:
        """Return the injection's own checks, once the failure is over."""

    def is_over(self) -> bool:
        """Return whether the installation has recovered, for example because the killed process runs again."""


@dataclass(frozen=True, slots=True)
class Seen:
    """The facts of one look during a drill. ``faults``: by name, why a part does not answer. ``alerts``: by name,
    `pending` or `firing`; those of the model, and those of no model. ``standing``: facts about the model that must not
    change. ``happenings``: what has happened since the drill began. ``unseen``: why nothing could be seen; empty if
    it could."""

    faults: Mapping[str, str] = field(default_factory=dict)
    alerts: Mapping[str, str] = field(default_factory=dict)
    standing: Mapping[str, str] = field(default_factory=dict)
    happenings: Sequence[str] = ()
    unseen: str = ""


class Lookout(Protocol):
    def look(self) -> Seen:
        """Return what `serin doctor`, Prometheus and the journal show now. A part that does not answer is a fault."""


@dataclass(frozen=True, slots=True)
class Mark:
    """The counts of the drill's own requests at one moment."""

    sent: int
    answered: int
    failures: Mapping[str, int]


class Users(Protocol):
    """The drill's own requests, while they are being sent."""

    def mark(self) -> Mark: ...

    def between(self, first: Mark, last: Mark) -> Counted:
        """Return the counts between two marks."""
