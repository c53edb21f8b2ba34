"""The release path in memory, whose versions and traffic are a cluster's: Serin's own adapters, and an API server, pods
and a gateway beyond them.

    world = ClusterWorld(tmp_path, cluster).given(candidate=GOOD).when_settled()

Users are answered by what the gateway has taken up and by the pods that are well, whatever the API server says. Time is
virtual, as in `tests.controller.world`.
"""

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import yaml

from controller.adapters.kubernetes.capacity import Capacity
from controller.adapters.kubernetes.client import KubernetesClient
from controller.adapters.kubernetes.connection import Answer, Connection, connect
from controller.adapters.kubernetes.copies import ReplicaCopies
from controller.adapters.kubernetes.looks import Looks
from controller.adapters.kubernetes.names import model_name, resource_name
from controller.adapters.kubernetes.objects.labels import identity_of
from controller.adapters.kubernetes.objects.route import Feature
from controller.adapters.kubernetes.objects.site import SHADOW_PORT, Site
from controller.adapters.kubernetes.probe import GatewayProbe
from controller.adapters.kubernetes.resources import Object
from controller.adapters.kubernetes.runtime import KubernetesDeployments
from controller.adapters.kubernetes.sticky import HashPolicies
from controller.adapters.kubernetes.traffic import SETUP_MANAGER, GatewaySite, KubernetesTraffic
from controller.core.policy import ReleasePolicy
from controller.core.release import Phase, Version
from controller.core.traffic import Mirror, TrafficTable
from controller.errors import Source
from controller.loop.fleet import Fleet
from controller.ports.registry import CANDIDATE, CHAMPION
from controller.ports.runtime import DeploymentSpec
from serving.contract import PREDICT_ROUTE
from tests.controller.service import GOOD, MODEL, Behaviour, Service
from tests.controller.test_reconcile_crash import QUICK
from tests.controller.world import TICK_S, KilledError, World
from tests.fakes.kubernetes import ADMIN, FakeCluster
from tests.fakes.kubernetes.kinds import PODS
from tests.fakes.kubernetes.within import Within
from tests.fakes.replicas import FakeReplica
from tests.kubernetes.gateway import Gateway, serving
from tests.kubernetes.kubelet import Kubelet

_HUNDREDTHS = 100
NAMESPACE = "default"


@dataclass(frozen=True, slots=True)
class Well:
    """Whether a version answers."""

    ready: bool


class ClusterWorld(World):
    """``within``: an admin who reaches the same objects past all faults, as the cluster's own parts do here. Each
    request to the API server is a point at which a test may interfere: ``before api.PATCH httproutes/intent-…``."""

    def __init__(
        self,
        directory: Path,
        cluster: FakeCluster,
        *,
        policy: ReleasePolicy = QUICK,
        token: str = ADMIN,
        seed: int = 1,
        sticky_header: str | None = None,
    ) -> None:
        self.cluster = cluster
        self._sticky_header = sticky_header
        self._closing = ExitStack()
        self._within = Within(cluster.store, NAMESPACE)
        self.within = self.by("cluster")
        self.kubelet = Kubelet(self.within)
        self.gateway = Gateway(self.within)
        self._closing.enter_context(serving(self.gateway, steps=False))
        self._outside = self._connection(directory / "outside", token)
        super().__init__(directory, policy=policy, seed=seed, service=self._service)
        self.replicas.running = _ByPod(self.replicas.running, self._pods)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.close()

    # --- given -------------------------------------------------------------------------------------------------------
    def given(self, *, stable: Behaviour | None = GOOD, candidate: Behaviour | None = None) -> Self:
        """As in `World`; what serves was brought there by a release of before."""
        if stable is not None:
            self.register("v6", stable)
            self.registry.aliases_of[MODEL] = {CHAMPION: "6"}
            found = self.registry.version(MODEL, "6")
            fingerprint = self.replicas.running["http://intent-v6-shadow.test"].fingerprint
            spec = DeploymentSpec(MODEL, Version("6", found.source_id, fingerprint))
            self.deployments.ensure(spec)
            self.kubelet.scaled(resource_name(MODEL, "6"), self.policy.serving.replicas)  # by its autoscaler
            for _ in range(2):
                self.goes_on()
                self.clock.pass_s(TICK_S)
            self.traffic.write(TrafficTable(MODEL, {"6": 100.0}, known_good=None, generation=1))
            self.goes_on()
            for _ in range(2):
                self.tick()
        if candidate is not None:
            self.register("v7", candidate)
            self.registry.aliases_of[MODEL][CANDIDATE] = "7"
        return self

    # --- when --------------------------------------------------------------------------------------------------------
    def when(self, reached: Callable[[], bool], *, within_s: float = 1_800.0) -> Self:
        return super().when(reached, within_s=within_s)

    def when_phase(self, phase: Phase, *, step: int = 0, within_s: float = 1_800.0) -> Self:
        return super().when_phase(phase, step=step, within_s=within_s)

    def tick(self) -> None:
        super().tick()
        self.goes_on()

    def goes_on(self) -> None:
        """The cluster's own parts do what they have to."""
        self.kubelet.step()
        for pod in self._pods():
            if (identity := identity_of(pod)) is not None:
                self.gateway.versions[resource_name(identity.model, identity.artifact.number)] = (
                    identity.artifact.number
                )
        self.gateway.step()

    def pods(self, version: str) -> list[Object]:
        """The pods of the version, those that are ending left out."""
        found = ((pod, identity_of(pod)) for pod in self._pods())
        return [pod for pod, identity in found if identity is not None and identity.artifact.number == version]

    def by(self, manager: str) -> KubernetesClient:
        """Another one who writes to the cluster, past all faults."""
        return KubernetesClient(self._within, manager=manager, source=Source.TRAFFIC)  # type: ignore[arg-type]

    @property
    def served(self) -> Mapping[str, float]:
        """The shares of users, in percent by version, that the gateway deals."""
        table = _Served(self).read(MODEL)
        return table.weights_pct if table is not None else {}

    # --- users -------------------------------------------------------------------------------------------------------
    def _service(self, clock: Any, _traffic: object, _deployments: object, *, seed: int) -> Service:
        return Service(clock, _Served(self), _Served(self), seed=seed)  # type: ignore[arg-type]

    def _pods(self) -> list[Object]:
        return [pod for pod in self.cluster.store.all(PODS) if not pod["metadata"].get("deletionTimestamp")]

    # --- the controller ----------------------------------------------------------------------------------------------
    def _start_controller(self) -> Fleet:
        """With adapters of its own: what a controller knew ends with it."""
        asked = _Watched(self._outside, self)
        client = KubernetesClient(asked, manager="serin", source=Source.TRAFFIC)  # type: ignore[arg-type]
        setup = KubernetesClient(asked, manager=SETUP_MANAGER, source=Source.TRAFFIC)  # type: ignore[arg-type]
        own = KubernetesClient(asked, manager="serin", source=Source.DEPLOYMENTS)  # type: ignore[arg-type]
        looks = Looks(own, self.clock)
        header = self._sticky_header
        sticky = HashPolicies(client, header, "serin", model_name, self.clock) if header is not None else None
        traffic = KubernetesTraffic(
            client,
            setup,
            GatewaySite("shop", features=frozenset(Feature)),
            Capacity(own, looks),
            ReplicaCopies(client, resource_name, model_name),
            GatewayProbe(self.gateway.url),
            resource_name,
            model_name,
            self.clock,
            sticky=sticky,
        )

        def routed(model: str) -> set[str]:
            table = traffic.read(model)
            mirrored = {table.mirror.version} if table is not None and table.mirror is not None else set()
            return {*table.weights_pct, *mirrored} if table is not None else set()

        site = Site("registry.invalid/serin:1", NAMESPACE, "http://mlflow:5000")
        self.traffic = traffic  # type: ignore[assignment]
        self.deployments = KubernetesDeployments(own, looks, site, resource_name, routed)  # type: ignore[assignment]
        return super()._start_controller()

    def _connection(self, file: Path, token: str) -> Connection:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(yaml.safe_dump(self.cluster.kubeconfig(token)))
        connection = connect(file, timeout_s=60.0)
        self._closing.callback(connection.close)
        return connection


class _Watched:
    """A connection of which every request is a point where a test may look, or end the controller."""

    def __init__(self, connection: Connection, world: World) -> None:
        self._connection = connection
        self._world = world

    @property
    def namespace(self) -> str:
        return self._connection.namespace

    def ask(self, method: str, path: str, **more: Any) -> Answer:
        point = f"api.{method} {path.partition(f'/namespaces/{NAMESPACE}/')[2] or path}"
        self._world.interrupt(f"before {point}")
        answer = self._connection.ask(method, path, **more)
        self._world.interrupt(f"after {point}")
        return answer


class _Served:
    """Who is answered by whom: by the rules that the gateway has taken up, and by the pods that are well."""

    def __init__(self, world: ClusterWorld) -> None:
        self._world = world

    def read(self, model: str) -> TrafficTable | None:
        rule = self._world.gateway.served.get(f"/models/{model}{PREDICT_ROUTE}")
        if rule is None:
            return None
        versions = self._world.gateway.versions
        weights_pct = {versions[one["name"]]: one["weight"] / _HUNDREDTHS for one in rule["backendRefs"]}
        copies = [one["requestMirror"] for one in rule.get("filters", ()) if one["type"] == "RequestMirror"]
        mirrors = [Mirror(versions[one["backendRef"]["name"]], float(one.get("percent", 100))) for one in copies]
        return TrafficTable(model, weights_pct, mirror=next(iter(mirrors), None), generation=1)

    def status(self, _model: str) -> Mapping[str, Well]:
        return {version: Well(self._is_well(version)) for version in self._world.gateway.versions.values()}

    def _is_well(self, version: str) -> bool:
        return any(
            one["type"] == "Ready" and one["status"] == "True"
            for pod in self._world.pods(version)
            for one in pod["status"].get("conditions") or ()
        )


class _ByPod(dict[str, FakeReplica]):
    """Replicas by the addresses of their pods."""

    def __init__(self, registered: Mapping[str, FakeReplica], pods: Callable[[], list[Object]]) -> None:
        super().__init__(registered)
        self._pods = pods

    def __contains__(self, url: object) -> bool:
        return super().__contains__(url) or self._version_at(str(url)) is not None

    def __missing__(self, url: str) -> FakeReplica:
        return self[f"http://{MODEL}-v{self._version_at(url)}-shadow.test"]

    def _version_at(self, url: str) -> str | None:
        for pod in self._pods():
            if url == f"http://{pod['status'].get('podIP')}:{SHADOW_PORT}":
                identity = identity_of(pod)
                return identity.artifact.number if identity is not None else None
        return None


__all__ = ["NAMESPACE", "ClusterWorld", "KilledError"]
