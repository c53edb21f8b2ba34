"""The part that every channel has: its name, and what it is told of."""

from dataclasses import dataclass

from controller.config.notify import Target
from controller.core.notices import Severity


@dataclass(frozen=True)
class Told:
    """The part of a channel that its target's setting says."""

    target: Target
    region: str

    @property
    def name(self) -> str:
        return self.target.name

    @property
    def severities(self) -> frozenset[Severity]:
        return frozenset(map(Severity, self.target.severities))

    @property
    def models(self) -> frozenset[str]:
        return frozenset(self.target.models)
