"""The fence of the leader, for a leadership that is decided outside the store."""

from typing import Protocol


class Fences(Protocol):
    """The highest fence of a store. Writes with a lower fence are refused.

    Every method raises TransientError if the store does not answer.
    """

    def highest(self) -> int: ...

    def raise_to(self, fence: int) -> bool:
        """Raise the highest fence to this one. Return False if it is that high already: another controller leads."""
