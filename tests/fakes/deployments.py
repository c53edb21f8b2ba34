"""Deployments in memory. Pass the contract of tests/contracts/deployments.py."""

from collections import defaultdict
from collections.abc import Mapping

from controller.core.condition import Condition
from controller.errors import SerinError
from controller.ports.runtime import DeploymentSpec, DeploymentStatus, Endpoint
from serving.contract import replica_name


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
        self._lost: set[tuple[str, str]] = set()
        self._replicas: dict[tuple[str, str], int] = {}
        self._statuses: defaultdict[str, dict[str, DeploymentStatus]] = defaultdict(dict)  # by model and version

    def ensure(self, spec: DeploymentSpec) -> DeploymentStatus:
        self._check_reachable()
        of_model = self._statuses[spec.model]
        if spec.version in of_model:
            return self._looked_at(spec.model, spec.version)
        self.started.append(spec)
        self._replicas[(spec.model, spec.version)] = spec.serving.replicas
        of_model[spec.version] = _one(spec.version, Condition.STARTING, "it is starting")
        return of_model[spec.version]

    def status(self, model: str) -> Mapping[str, DeploymentStatus]:
        self._check_reachable()
        return {version: self._looked_at(model, version) for version in sorted(self._statuses[model])}

    def remove(self, model: str, version: str) -> None:
        self._check_reachable()
        self._statuses[model].pop(version, None)
        self._lost.discard((model, version))

    def kill(self, model: str, version: str, detail: str = "killed by the test") -> None:
        """The version dies and stays dead."""
        self._statuses[model][version] = _one(version, Condition.FAILED, detail)

    def lose(self, model: str, version: str, detail: str = "killed by the test") -> None:
        """The last replica of the version dies by itself and stays dead."""
        others = self._looked_at(model, version).endpoints[:-1]
        lost = (*others, Endpoint(Condition.FAILING, detail=detail))
        self._statuses[model][version] = DeploymentStatus(version, lost)
        self._lost.add((model, version))

    def restart(self) -> None:
        """Everything is ended by us and forgotten, as `serin down` does: what is asked for starts anew."""
        self._statuses.clear()
        self._lost.clear()

    def refuse(self, model: str, version: str, detail: str) -> None:
        """The machine lacks something that the version needs to start."""
        self._statuses[model][version] = _one(version, Condition.DISTURBED, detail)

    def _looked_at(self, model: str, version: str) -> DeploymentStatus:
        status = self._statuses[model][version]
        if (model, version) in self._lost or status.condition in (Condition.FAILED, Condition.DISTURBED):
            return status
        if version in self.broken:
            status = _one(version, Condition.FAILED, self.broken[version])
        else:
            names = [replica_name(model, version, number + 1) for number in range(self._replicas[(model, version)])]
            restarts = self.restarts.get(version, 0)
            ready = [
                Endpoint(Condition.READY, f"http://{name}.test", f"http://{name}-shadow.test", restarts=restarts)
                for name in names
            ]
            status = DeploymentStatus(version, tuple(ready))
        self._statuses[model][version] = status
        return status

    def _check_reachable(self) -> None:
        if self.outage is not None:
            raise self.outage


def _one(version: str, condition: Condition, detail: str) -> DeploymentStatus:
    return DeploymentStatus(version, (Endpoint(condition, detail=detail),))
