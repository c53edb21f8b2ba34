"""The fence of whoever leads, where leadership is decided elsewhere than in the store."""

from typing import Protocol


class Fences(Protocol):
    """The highest fence of a store: what is written with a lower one is refused from then on.

    Every method raises TransientError where the store does not answer.
    """

    def highest(self) -> int: ...

    def raise_to(self, fence: int) -> bool:
        """Raise the highest fence to this one; False where it stands there, or higher, already: another leads."""
