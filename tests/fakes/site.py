"""What stands beside a store, in memory."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from controller.core.abilities import TrafficAbilities
from controller.core.parts import Part
from controller.core.policy import ReleasePolicy
from controller.core.traffic import TrafficTable
from controller.errors import UsageError
from controller.ports.runtime import DeploymentStatus
from controller.ports.suites import SuiteProgress


@dataclass
class FakeSite:
    """``champions``: the versions that serve, by model, and the number that the next one gets."""

    tables: dict[str, TrafficTable] = field(default_factory=dict)
    running: dict[str, dict[str, DeploymentStatus]] = field(default_factory=dict)
    known: dict[str, ReleasePolicy] = field(default_factory=dict)
    asked: dict[str, tuple[SuiteProgress, ...]] = field(default_factory=dict)
    wrong: tuple[str, ...] = ()
    champions: dict[str, tuple[str, str]] = field(default_factory=dict)
    able: TrafficAbilities | None = None
    answering: tuple[Part, ...] = ()

    def traffic(self) -> Mapping[str, TrafficTable]:
        return self.tables

    def deployments(self) -> Mapping[str, Mapping[str, DeploymentStatus]]:
        return self.running

    def abilities(self) -> TrafficAbilities | None:
        return self.able

    def policies(self) -> Mapping[str, ReleasePolicy]:
        return self.known

    def asking(self, model: str) -> Sequence[SuiteProgress]:
        return self.asked.get(model, ())

    def troubles(self) -> Sequence[str]:
        return self.wrong

    def parts(self) -> Sequence[Part]:
        return self.answering

    def register_again(self, model: str) -> tuple[str, str]:
        if model not in self.champions:
            raise UsageError(f"no version of {model} serves yet: start a release of one")
        return self.champions[model]
