"""Freezes in memory."""

from collections.abc import Sequence

from controller.core.command import Freeze


class FakeFreezes:
    def __init__(self) -> None:
        self._made: list[Freeze] = []
        self.lifted: dict[Freeze, tuple[str, str, float]] = {}  # why, by whom, when

    def freeze(self, freeze: Freeze) -> None:
        if freeze not in self._made:
            self._made.append(freeze)

    def lift(self, model: str, *, reason: str, by: str, at_s: float) -> bool:
        found = [freeze for freeze in self.in_force() if freeze.model == model]
        self.lifted.update(dict.fromkeys(found, (reason, by, at_s)))
        return bool(found)

    def in_force(self) -> Sequence[Freeze]:
        return tuple(freeze for freeze in self._made if freeze not in self.lifted)
