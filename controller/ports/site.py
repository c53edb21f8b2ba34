"""The site of an installation: what stands beside its store."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from controller.core.abilities import TrafficAbilities
from controller.core.parts import Part
from controller.core.policy import ReleasePolicy
from controller.core.traffic import TrafficTable
from controller.ports.runtime import DeploymentStatus
from controller.ports.suites import SuiteProgress


class Site(Protocol):
    """Read for people who ask how things are; nothing is decided by it. Any thread may use it."""

    def traffic(self) -> Mapping[str, TrafficTable]:
        """Return every model's table, as it is written."""

    def deployments(self) -> Mapping[str, Mapping[str, DeploymentStatus]]:
        """Return what runs, by model and version, as it was last known."""

    def abilities(self) -> TrafficAbilities | None:
        """Return what the data plane in force can do; None where nobody says."""

    def policies(self) -> Mapping[str, ReleasePolicy]:
        """Return the policies by model, as they stand."""

    def asking(self, model: str) -> Sequence[SuiteProgress]:
        """Return how far versions of the model have been asked the suites, where one is being asked."""

    def troubles(self) -> Sequence[str]:
        """Return what is wrong with the installation itself, a sentence each, with the way out."""

    def parts(self) -> Sequence[Part]:
        """Ask each part of the installation whether it answers, and return them."""

    def register_again(self, model: str) -> tuple[str, str]:
        """Register the version that serves under another number: its number, and the new one.

        Raises:
            UsageError: none serves, by the registry's alias.
            TransientError: the registry does not answer.
        """
