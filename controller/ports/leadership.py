"""The leadership among the controllers of one database: one of them works, and the others stand by."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to write, until another controller takes it. ``fence`` grows with each holder; writes with an older
    fence are refused. ``lease_s``: seconds without a beat after which another controller may take the lease."""

    holder: str
    fence: int
    lease_s: float


@dataclass(frozen=True, slots=True)
class Held:
    """Another controller, ``by``, has the lease, or had it when last seen."""

    by: str


class Leadership(Protocol):
    """One lease over everything in a database.

    The lease does not depend on wall clocks, which people can set. Its holder increments a counter, the beat, with each
    renewal. A controller that waits takes the lease once the beat has not changed for ``lease_s`` by its own monotonic
    clock. The fence makes this safe, not the time: a controller that slept through its lease is refused when it writes.
    """

    def acquire(self, holder: str, *, lease_s: float) -> Lease | Held:
        """Take and return the lease if it is free, if its holder gave no beat for its ``lease_s``, or if ``holder`` has
        it already; otherwise return who holds it. A controller that restarts under its own name does not wait, so only
        one controller at a time may use a name. While another one holds the lease, the caller asks again a few times in
        each ``lease_s``.

        Raises:
            TransientError: the store does not answer.
        """

    def renew(self, lease: Lease) -> None:
        """Give a beat.

        Raises:
            ConflictError: another controller has taken the lease.
            TransientError: the store does not answer; whether the lease is still held is not known.
        """

    def release(self, lease: Lease) -> None:
        """Give the lease back, so that the next controller need not wait. Does nothing if another one has it.

        Raises:
            TransientError: the store does not answer.
        """
