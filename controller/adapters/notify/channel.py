"""The part that all channels share: their name, and which notices they get."""

from dataclasses import dataclass

from controller.config.notify import Target
from controller.core.notices import Severity


@dataclass(frozen=True)
class Told:
    """The part of a channel that comes from its target's settings."""

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
