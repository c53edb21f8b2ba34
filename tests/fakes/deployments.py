"""Deployments in memory. Pass the contract of tests/contracts/deployments.py."""

from collections.abc import Mapping

from controller.core.condition import Condition
from controller.errors import SerinError
from controller.ports.runtime import DeploymentSpec, DeploymentStatus, Endpoint


class MemoryDeployments:
    """Implements ``Deployments``. A version is ready at the look after the one that started it.

    ``broken``: version -> how it fails instead. ``outage``: raised by every call while it is set.
    ``started``: every start, in order.
    """

    def __init__(self, *, broken: Mapping[str, str] | None = None) -> None:
        self.broken = dict(broken or {})
        self.restarts: dict[str, int] = {}  # by version
        self.outage: SerinError | None = None
        self.started: list[DeploymentSpec] = []
        self._statuses: dict[tuple[str, str], DeploymentStatus] = {}

    def ensure(self, spec: DeploymentSpec) -> DeploymentStatus:
        self._check_reachable()
        key = (spec.model, spec.version)
        if key in self._statuses:
            return self._looked_at(key)
        self.started.append(spec)
        self._statuses[key] = _one(spec.version, Condition.STARTING, "it is starting")
        return self._statuses[key]

    def status(self, model: str) -> Mapping[str, DeploymentStatus]:
        self._check_reachable()
        return {key[1]: self._looked_at(key) for key in sorted(one for one in tuple(self._statuses) if one[0] == model)}

    def remove(self, model: str, version: str) -> None:
        self._check_reachable()
        self._statuses.pop((model, version), None)

    def kill(self, model: str, version: str, detail: str = "killed by the test") -> None:
        """The version dies and stays dead."""
        self._statuses[(model, version)] = _one(version, Condition.FAILED, detail)

    def restart(self) -> None:
        """Everything is ended by us and forgotten, as `serin down` does: what is asked for starts anew."""
        self._statuses.clear()

    def refuse(self, model: str, version: str, detail: str) -> None:
        """The machine lacks something that the version needs to start."""
        self._statuses[(model, version)] = _one(version, Condition.DISTURBED, detail)

    def _looked_at(self, key: tuple[str, str]) -> DeploymentStatus:
        model, version = key
        status = self._statuses[key]
        if status.condition in (Condition.FAILED, Condition.DISTURBED):
            return status
        if version in self.broken:
            status = _one(version, Condition.FAILED, self.broken[version])
        else:
            url, shadow_url = f"http://{model}-v{version}.test", f"http://{model}-v{version}-shadow.test"
            restarts = self.restarts.get(version, 0)
            status = DeploymentStatus(version, (Endpoint(Condition.READY, url, shadow_url, restarts=restarts),))
        self._statuses[key] = status
        return status

    def _check_reachable(self) -> None:
        if self.outage is not None:
            raise self.outage


def _one(version: str, condition: Condition, detail: str) -> DeploymentStatus:
    return DeploymentStatus(version, (Endpoint(condition, detail=detail),))
