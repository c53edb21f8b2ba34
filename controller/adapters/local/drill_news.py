"""News of a drill: facts found out by looking while it lasts, each told once."""

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass
class News:
    """The part of an injection that looks what became of it. ``look`` adds what it finds to ``_told``."""

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
