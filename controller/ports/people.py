"""The words of people: commands that wait, and freezes."""

from collections.abc import Sequence
from typing import Protocol

from controller.core.commands import Command, Freeze

WAITING_MAX = 100
"""Commands of one kind that wait for one model, and freezes that hold one, at most: each look reads them all."""


class Inbox(Protocol):
    """Commands that wait to be taken up, in the order they came."""

    def put(self, command: Command) -> bool:
        """Keep the command; False where one with this id was put in before.

        Raises:
            ConflictError: as many that ask the same of its model wait already as may (``WAITING_MAX``).
        """

    def waiting(self) -> Sequence[Command]: ...

    def discard(self, command_id: str, outcome: str) -> None:
        """Take a command out that no release answers, and keep why."""

    def outcome(self, command_id: str) -> str | None:
        """Return why no release answers the command; None where it waits, or a release has taken it up."""

    def prune(self, before_s: float) -> int:
        """Forget the discarded commands that came before; the number of them."""


class Freezes(Protocol):
    def freeze(self, freeze: Freeze) -> None:
        """Raises ConflictError where ``WAITING_MAX`` freezes hold this model already."""

    def lift(self, model: str, *, reason: str, by: str, at_s: float) -> bool:
        """False where there was nothing to lift."""

    def end(self, freeze: Freeze, *, at_s: float) -> bool:
        """Record that the freeze's own time is over; the others of its model stay. False where it holds no more."""

    def in_force(self) -> Sequence[Freeze]:
        """Return those that nobody lifted and whose end is not recorded, the oldest first."""
