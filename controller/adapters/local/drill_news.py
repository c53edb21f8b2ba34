"""News of a drill: facts that are found while it lasts, each reported once."""

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass
class News:
    """The part of an injection that looks for its effects. ``look`` adds what it finds to ``_told``."""

    _told: list[str] = field(default_factory=list, init=False)

    def look(self) -> None:
        raise NotImplementedError

    def broken_off(self) -> str:
        return ""

    def told(self) -> Sequence[str]:
        """Return what was found out since the last time."""
        self.look()
        told, self._told = self._told, []
        return told
