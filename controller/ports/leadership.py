"""The leadership among the controllers of one database: one is at work. The others stand by."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to write, until another takes it. ``fence`` grows with each holder: what is written with an older one
    is refused."""

    holder: str
    fence: int
    lease_s: float


@dataclass(frozen=True, slots=True)
class Held:
    """Another has the lease, or had it when it was last seen."""

    by: str


class Leadership(Protocol):
    """One lease over everything that a database holds.

    No wall clock decides when it ends, so that none that is set can end it. A holder counts up a beat with every
    renewal; whoever waits takes the lease once it has seen one beat for ``lease_s`` by a clock of its own that only
    goes on. What makes this safe is the fence, not the time: who slept through its lease is refused when it writes.
    """

    def acquire(self, holder: str, *, lease_s: float) -> Lease | Held:
        """Take the lease if it is free, if its holder gave no beat for as long as it promised to, or if ``holder`` has
        it already: one that starts again under its own name waits for nobody, so a name is one controller's at a time.
        The caller asks again, a few times in each ``lease_s``, while another holds it.

        Raises:
            TransientError: the store does not answer.
        """

    def renew(self, lease: Lease) -> None:
        """Give a beat.

        Raises:
            ConflictError: another has taken it.
            TransientError: the store does not answer; whether it is still ours is not known.
        """

    def release(self, lease: Lease) -> None:
        """Give it back, so that the next one waits for nothing; nothing where another has it.

        Raises:
            TransientError: the store does not answer.
        """
