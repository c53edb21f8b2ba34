"""The queue of what people are told, by target, and the channels that tell it."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from controller.core.notices import Message, Notice, Severity
from controller.errors import SerinError

WAITING_MAX: Final = 1_000
"""Notices that wait for one target, at most: one that is away for days fills nothing."""


class UndeliveredError(SerinError):
    """A target did not take a message. ``again_s``: when it wants to be asked again, in seconds; None: it does not
    say."""

    def __init__(self, message: str, *, again_s: float | None = None) -> None:
        super().__init__(message)
        self.again_s = again_s


class Channel(Protocol):
    """One target of notices, and how it is told."""

    @property
    def name(self) -> str: ...

    @property
    def severities(self) -> frozenset[Severity]:
        """Return what it is told of."""

    @property
    def models(self) -> frozenset[str]:
        """Return whose notices it gets; none named: everybody's."""

    @property
    def group_max(self) -> int:
        """Return how many notices of one model, version and severity one message may hold."""

    def send(self, message: Message) -> None:
        """Tell it, within a bounded time. To be told again with the same id must do no harm.

        Raises:
            UndeliveredError: it is not known to have arrived.
        """


@dataclass(frozen=True, slots=True)
class Standing:
    """The notices of one target that were not delivered. ``given_up``: since one was delivered last."""

    target: str
    waiting: int = 0
    oldest_s: float | None = None  # unix time of the one that waits for longest
    given_up: int = 0
    trouble: str = ""  # why, as the last attempt found


class NoticeQueue(Protocol):
    """Notices on their way, each once a target however often it is put in. What a method raises beside what it says is
    TransientError: the store does not answer."""

    def put(self, notice: Notice, targets: Sequence[str], *, due_at_s: float, silent: bool = False) -> None:
        """Keep the notice for the targets, to be told from ``due_at_s`` on; ``silent``: not at all. Beyond
        ``WAITING_MAX`` of a target it is given up at once."""

    def next(self, target: str, *, now_s: float, group_max: int) -> Message | None:
        """Return what is to be told to the target now, the most urgent first and then the oldest; None: nothing is.

        A message that was made once is given with the same id and notices until it is settled, and no other holds
        them."""

    def delivered(self, target: str, message_id: str, *, at_s: float) -> None:
        """Settle the message: it arrived. What waits for the target may be tried at once."""

    def failed(self, target: str, message_id: str, trouble: str, *, due_at_s: float | None, at_s: float) -> None:
        """Keep it for ``due_at_s``; None: it is given up."""

    def withdraw(self, named: Collection[str], *, at_s: float) -> int:
        """Settle what did not reach targets other than the named ones: it is told no more, nor is it said that it was
        not. Return the number of notices that waited."""

    def standing(self) -> Sequence[Standing]:
        """Return what was not delivered, of the targets that have any such, by name."""

    def kept_silent(self, model: str, *, since_s: float) -> int:
        """Return how many notices of the model (`ANY_MODEL`: of any) nobody was told since, each counted once."""

    def prune(self, before_s: float) -> int:
        """Forget what was settled before, and what waits since before then; the number of notices."""
