"""The orders of people: commands that wait, and freezes."""

from collections.abc import Sequence
from typing import Protocol

from controller.core.commands import Command, Freeze

WAITING_MAX = 100
"""The most waiting commands of one kind, and the most freezes, for one model: each round reads them all."""


class Inbox(Protocol):
    """The commands that wait to be taken up, in the order in which they came."""

    def put(self, command: Command) -> bool:
        """Keep the command. Return False if a command with this id was put in before.

        Raises:
            ConflictError: ``WAITING_MAX`` commands that ask the same of the model wait already.
        """

    def waiting(self) -> Sequence[Command]: ...

    def discard(self, command_id: str, outcome: str) -> None:
        """Take out a command that leads to nothing, and keep the reason."""

    def outcome(self, command_id: str) -> str | None:
        """Return why the command led to nothing; None if it waits, or a release has taken it up."""

    def prune(self, before_s: float) -> int:
        """Delete the discarded commands that came before ``before_s`` (unix time), and return their number."""


class Freezes(Protocol):
    def freeze(self, freeze: Freeze) -> None:
        """Keep the freeze. Raises ConflictError if ``WAITING_MAX`` freezes hold this model already."""

    def lift(self, model: str, *, reason: str, by: str, at_s: float) -> bool:
        """Lift all freezes of exactly this model (``ANY_MODEL`` counts as one). Return False if there was none."""

    def end(self, freeze: Freeze, *, at_s: float) -> bool:
        """Record that the freeze ended by itself; other freezes of the model stay. Return False if the freeze is no
        longer in force."""

    def in_force(self) -> Sequence[Freeze]:
        """Return the freezes in force, oldest first: nobody lifted them, and no end of theirs is recorded."""
