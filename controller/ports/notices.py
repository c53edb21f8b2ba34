"""The queue of notices by target, and the channels that deliver them."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from controller.core.notices import Message, Notice, Severity
from controller.errors import SerinError

WAITING_MAX: Final = 1_000
"""The most notices that wait for one target, so that a target that is down for days does not fill the disk."""


class UndeliveredError(SerinError):
    """A target did not take a message. ``again_s``: the seconds after which the target wants to be tried again; None:
    it does not say."""

    def __init__(self, message: str, *, again_s: float | None = None) -> None:
        super().__init__(message)
        self.again_s = again_s


class Channel(Protocol):
    """One target of notices, and the way to it."""

    @property
    def name(self) -> str: ...

    @property
    def severities(self) -> frozenset[Severity]:
        """Return the severities that the target gets."""

    @property
    def models(self) -> frozenset[str]:
        """Return the models whose notices the target gets; empty: all models."""

    @property
    def group_max(self) -> int:
        """Return the most notices of one model, version and severity that one message may hold."""

    def send(self, message: Message) -> None:
        """Deliver the message within a bounded time. To deliver the same id again must do no harm.

        Raises:
            UndeliveredError: the message is not known to have arrived.
        """


@dataclass(frozen=True, slots=True)
class Standing:
    """The undelivered notices of one target. ``given_up``: the number given up since the last delivery."""

    target: str
    waiting: int = 0
    oldest_s: float | None = None  # unix time of the notice that has waited longest
    given_up: int = 0
    trouble: str = ""  # why the last attempt failed


class NoticeQueue(Protocol):
    """The notices on their way: one for each target, however often it is put in. Every method raises TransientError if
    the store does not answer."""

    def put(self, notice: Notice, targets: Sequence[str], *, due_at_s: float, silent: bool = False) -> None:
        """Keep the notice for the targets, to be delivered from ``due_at_s`` (unix time) on; ``silent``: it is kept but
        never delivered. If ``WAITING_MAX`` notices wait for a target already, this one is given up at once."""

    def next(self, target: str, *, now_s: float, group_max: int) -> Message | None:
        """Return the message to deliver to the target now: the most urgent first, then the oldest. None if there is
        none.

        A message keeps its id and its notices until it is settled, and no other message holds those notices."""

    def delivered(self, target: str, message_id: str, *, at_s: float) -> None:
        """Settle the message: it arrived. Other messages for the target may be tried at once."""

    def failed(self, target: str, message_id: str, trouble: str, *, due_at_s: float | None, at_s: float) -> None:
        """Record the failed attempt, and keep the message until ``due_at_s`` (unix time); None: give it up."""

    def withdraw(self, named: Collection[str], *, at_s: float) -> int:
        """Settle the notices that wait for targets other than the named ones: they are never delivered, and not
        reported as undelivered. Return their number."""

    def standing(self) -> Sequence[Standing]:
        """Return the undelivered notices of each target that has some, sorted by target."""

    def kept_silent(self, model: str, *, since_s: float) -> int:
        """Return the number of notices about the model (`ANY_MODEL`: any model) that were silenced since ``since_s``,
        each counted once."""

    def prune(self, before_s: float) -> int:
        """Delete the notices that were settled before ``before_s`` (unix time) or have waited since before that time.
        Return their number."""
