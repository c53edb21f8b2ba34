"""Freezes in memory."""

from collections.abc import Sequence

from controller.core.commands import Freeze
from controller.errors import ConflictError, Source
from controller.ports.people import WAITING_MAX


class FakeFreezes:
    def __init__(self) -> None:
        self._made: list[Freeze] = []
        self.lifted: dict[Freeze, tuple[str, str, float]] = {}  # why, by whom, when
        self.ended: dict[Freeze, float] = {}  # when

    def freeze(self, freeze: Freeze) -> None:
        if freeze in self._made:
            return
        if sum(held.model == freeze.model for held in self.in_force()) >= WAITING_MAX:
            raise ConflictError(Source.FREEZES, f"{WAITING_MAX} freezes hold {freeze.model} already")
        self._made.append(freeze)

    def lift(self, model: str, *, reason: str, by: str, at_s: float) -> bool:
        found = [freeze for freeze in self.in_force() if freeze.model == model]
        self.lifted.update(dict.fromkeys(found, (reason, by, at_s)))
        return bool(found)

    def end(self, freeze: Freeze, *, at_s: float) -> bool:
        holds = freeze in self.in_force()
        if holds:
            self.ended[freeze] = at_s
        return holds

    def in_force(self) -> Sequence[Freeze]:
        return tuple(freeze for freeze in self._made if freeze not in self.lifted and freeze not in self.ended)
