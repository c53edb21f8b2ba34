"""The site of an installation: everything that status pages show and that is not in the store."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from controller.core.abilities import TrafficAbilities
from controller.core.parts import Part
from controller.core.policy import ReleasePolicy
from controller.core.traffic import TrafficTable
from controller.ports.runtime import DeploymentStatus
from controller.ports.suites import SuiteProgress


class Site(Protocol):
    """The state of an installation for people to read; nothing is decided by it. Any thread may use it."""

    def traffic(self) -> Mapping[str, TrafficTable]:
        """Return the traffic table of each model, as written."""

    def deployments(self) -> Mapping[str, Mapping[str, DeploymentStatus]]:
        """Return the deployments by model and version, as last known."""

    def abilities(self) -> TrafficAbilities | None:
        """Return what the data plane in use can do; None if that is not known."""

    def policies(self) -> Mapping[str, ReleasePolicy]:
        """Return the current policies, by model."""

    def asking(self, model: str) -> Sequence[SuiteProgress]:
        """Return the progress of the suites that versions of the model are being asked; empty if there is none."""

    def troubles(self) -> Sequence[str]:
        """Return what is wrong with the installation itself: one sentence for each trouble, with the way out."""

    def parts(self) -> Sequence[Part]:
        """Ask each part of the installation whether it answers, and return them."""

    def register_again(self, model: str) -> tuple[str, str]:
        """Register the serving version again under a new number, and return the old and the new number.

        Raises:
            UsageError: by the registry's alias no version serves.
            TransientError: the registry does not answer.
        """
