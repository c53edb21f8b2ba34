"""The routing of a cluster keeps the contract of ``Traffic``, and what field reports ask of an HTTPRoute."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import pytest

from controller.adapters.kubernetes.capacity import Capacity
from controller.adapters.kubernetes.client import KubernetesClient
from controller.adapters.kubernetes.connection import Connection
from controller.adapters.kubernetes.copies import ReplicaCopies
from controller.adapters.kubernetes.looks import Looks
from controller.adapters.kubernetes.objects.autoscaler import autoscaler
from controller.adapters.kubernetes.objects.route import DIGEST, GENERATION, Feature
from controller.adapters.kubernetes.objects.site import MIRROR_FILE, Autoscaling, Site
from controller.adapters.kubernetes.probe import GatewayProbe
from controller.adapters.kubernetes.resources import (
    AUTOSCALERS,
    CONFIG_MAPS,
    DEPLOYMENTS,
    GATEWAY_CLASSES,
    HTTP_ROUTES,
    Object,
)
from controller.adapters.kubernetes.runtime import KubernetesDeployments
from controller.adapters.kubernetes.sticky import HashPolicies
from controller.adapters.kubernetes.traffic import GatewaySite, KubernetesTraffic
from controller.core.abilities import Mirroring
from controller.core.release import Version
from controller.core.serving import ServingPolicy
from controller.core.traffic import Mirror, TrafficTable, WriteStage
from controller.errors import ConflictError, PermanentError, Source, TransientError
from controller.ports.runtime import DeploymentSpec
from serving.observe.mirror import copying_of
from tests.contracts.traffic import V6_ONLY, Hands, TrafficContract
from tests.fakes.clock import FakeClock
from tests.fakes.kubernetes import FakeCluster, writes
from tests.fakes.kubernetes.errors import ApiError
from tests.kubernetes.gateway import Gateway, serving
from tests.kubernetes.kubelet import Kubelet

EVERYTHING = frozenset(Feature)
CHANGED = ApiError(409, "Conflict", "the object has been modified; please apply your changes to the latest version")
ALL_TO_6 = {"6": 100.0}
SPLIT = V6_ONLY.next(weights_pct={"6": 90.0, "7": 10.0}, mirror=Mirror("7", 100.0))


def name_of(model: str, version: str) -> str:
    return f"{model}-v{version}"


def spec(version: str, model: str = "intent", replicas: int = 1) -> DeploymentSpec:
    artifact = Version(version, "m-" + "a" * 32, version.zfill(64))
    return DeploymentSpec(model, artifact, serving=ServingPolicy(replicas=replicas))


@dataclass
class World:
    """A cluster in which versions 6 and 7 of ``intent`` and 1 of ``topic`` run, behind a gateway that follows."""

    client: KubernetesClient
    others: KubernetesClient
    looks: Looks
    runtime: KubernetesDeployments
    kubelet: Kubelet
    gateway: Gateway
    clock: FakeClock
    traffic_of: Callable[..., KubernetesTraffic]

    @property
    def route(self) -> Object:
        found = self.client.get(HTTP_ROUTES, "intent")
        assert found is not None
        return found

    @property
    def backends(self) -> dict[str, int]:
        return {one["name"]: one["weight"] for one in self.route["spec"]["rules"][0]["backendRefs"]}

    def runs(self, wanted: DeploymentSpec) -> None:
        self.runtime.ensure(wanted)
        self.kubelet.step()
        self.kubelet.step()
        self.gateway.versions[name_of(wanted.model, wanted.version)] = wanted.version


SITE = GatewaySite("shop", features=EVERYTHING)


@pytest.fixture
def world(client: KubernetesClient, connected: Callable[..., Connection]) -> Iterator[World]:
    looks = Looks(client, FakeClock(), kept_s=0.0)
    site = Site("registry.invalid/serin:1", "default", "http://mlflow:5000")
    runtime = KubernetesDeployments(client, looks, site, name_of, lambda _: ())
    setup = KubernetesClient(connected(), manager="serin-setup", source=Source.TRAFFIC)
    others = KubernetesClient(connected(), manager="kubectl-edit", source=Source.TRAFFIC)
    clock = FakeClock()
    with serving(Gateway(client)) as gateway:

        def traffic_of(site: GatewaySite, sticky_header: str | None = None) -> KubernetesTraffic:
            return KubernetesTraffic(
                client,
                setup,
                site,
                Capacity(client, looks),
                ReplicaCopies(client, name_of, lambda model: model),
                GatewayProbe(gateway.url),
                name_of,
                lambda model: model,
                clock,
                sticky=HashPolicies(client, sticky_header, "serin", lambda model: model, clock, kept_s=0.0)
                if sticky_header is not None
                else None,
                kept_s=0.0,
                patience_s=0.0,
            )

        world = World(client, others, looks, runtime, Kubelet(client), gateway, clock, traffic_of)
        for one in (spec("6"), spec("7"), spec("1", "topic")):
            world.runs(one)
        yield world


@pytest.fixture
def traffic(world: World) -> KubernetesTraffic:
    return world.traffic_of(SITE)


class Edits(Hands):
    def __init__(self, world: World) -> None:
        self._world = world

    def edit(self, model: str, weights_pct: Mapping[str, float]) -> None:
        """With ``kubectl edit``: both rules, as one would who knows them."""
        backends = [
            {"group": "", "kind": "Service", "name": name_of(model, version), "port": 8000, "weight": round(pct * 100)}
            for version, pct in weights_pct.items()
        ]
        operations = [{"op": "replace", "path": f"/spec/rules/{n}/backendRefs", "value": backends} for n in (0, 1)]
        self._world.others.patch(HTTP_ROUTES, model, operations)

    def delete(self, model: str) -> None:
        self._world.others.delete(HTTP_ROUTES, model)

    def stop(self) -> None:
        self._world.gateway.stopped = True

    def go_on(self) -> None:
        self._world.gateway.stopped = False
        self._world.gateway.step()


class Followed:
    """The traffic of a cluster whose gateway takes a step after each write."""

    def __init__(self, traffic: KubernetesTraffic, world: World) -> None:
        self._traffic, self._world = traffic, world

    def __getattr__(self, name: str) -> Any:
        return getattr(self._traffic, name)

    def write(self, table: TrafficTable, **more: Any) -> None:
        self._traffic.write(table, **more)
        self._world.gateway.step()

    def retreat(self, *given: Any) -> TrafficTable:
        back = self._traffic.retreat(*given)
        self._world.gateway.step()
        return back


class TestContract(TrafficContract):
    @pytest.fixture
    def traffic(self, world: World) -> Any:
        return Followed(world.traffic_of(SITE), world)

    @pytest.fixture
    def hands(self, world: World) -> Hands:
        return Edits(world)


@pytest.fixture
def hands(world: World) -> Edits:
    return Edits(world)


def test_9_capacity_before_traffic(world: World, traffic: KubernetesTraffic) -> None:
    """A weight is written only once the replicas for it are ready; it says how many are, and asks for the others."""
    for version in ("6", "7"):
        world.kubelet.scaled(name_of("intent", version), 4 if version == "6" else 1)
    world.kubelet.step()
    world.kubelet.step()
    traffic.write(V6_ONLY)
    half = V6_ONLY.next(weights_pct={"6": 50.0, "7": 50.0})
    with pytest.raises(TransientError, match=r"version 7 has 1/2 replicas ready for 50 %: no weight is written"):
        traffic.write(half)
    assert traffic.read("intent") == V6_ONLY
    world.kubelet.step()
    with pytest.raises(TransientError, match=r"version 7 has 1/2 replicas"):
        traffic.write(half)  # made, and not ready yet
    world.kubelet.step()
    traffic.write(half)
    assert world.backends == {"intent-v6": 5000, "intent-v7": 5000}


def test_8_the_way_back_is_as_big_as_the_traffic(world: World, traffic: KubernetesTraffic) -> None:
    """An autoscaler may not shrink the known good version below what served everybody, and a rollback waits for no
    replica of it."""
    site = Site("", "default")
    scaling = Autoscaling(replicas_max=3)
    for version in ("6", "7"):
        name = name_of("intent", version)
        world.client.create(AUTOSCALERS, autoscaler(name, spec(version), site, scaling, replicas_min=1))
    world.kubelet.scaled("intent-v6", 4)
    world.kubelet.step()
    world.kubelet.step()
    traffic.write(V6_ONLY)
    everything = V6_ONLY.next(weights_pct={"7": 100.0})
    with pytest.raises(TransientError, match="1/4 replicas ready"):
        traffic.write(everything)
    bounds = world.client.get(AUTOSCALERS, "intent-v6")
    assert bounds is not None
    assert (bounds["spec"]["minReplicas"], bounds["spec"]["maxReplicas"]) == (4, 4)
    world.kubelet.autoscale()
    world.kubelet.step()
    world.kubelet.step()
    traffic.write(everything)
    for pod in world.kubelet.pods("intent-v6"):
        world.kubelet.becomes(pod, {"conditions": []})
    traffic.write(everything.next(weights_pct=ALL_TO_6))
    assert world.backends == {"intent-v6": 10000}


def test_8_a_version_that_is_no_longer_known_good_keeps_no_capacity(
    world: World, traffic: KubernetesTraffic, cluster: FakeCluster
) -> None:
    """Its autoscaler may shrink it to what its release began with, once users are answered by others; not before, and
    not that of the known good version."""
    for version in ("6", "7"):
        scaler = autoscaler(
            name_of("intent", version), spec(version), Site("", "default"), Autoscaling(), replicas_min=1
        )
        world.client.create(AUTOSCALERS, scaler)
        world.kubelet.scaled(name_of("intent", version), 4)
    world.kubelet.step()
    world.kubelet.step()

    def floors() -> dict[str, int]:
        found = {one["metadata"]["name"]: one for one in world.client.list(AUTOSCALERS).items}
        return {version: found[name_of("intent", version)]["spec"]["minReplicas"] for version in ("6", "7")}

    def served() -> None:
        world.gateway.step()
        for _ in range(20):
            if (progress := traffic.progress("intent")) is not None and progress.is_served:
                return
        pytest.fail(f"not served: {traffic.progress('intent')}")

    first = V6_ONLY.next(known_good="6")
    traffic.write(V6_ONLY)
    traffic.write(first)
    half = first.next(weights_pct={"6": 50.0, "7": 50.0})
    traffic.write(half)
    served()
    assert floors() == {"6": 4, "7": 2}
    back = half.next(weights_pct=ALL_TO_6)
    traffic.write(back)
    assert floors() == {"6": 4, "7": 2}
    refusal = ApiError(500, "InternalError", "not now")
    cluster.faults.answer(refusal, times=100, concerns=lambda one: one.verb == "patch")
    served()
    assert floors() == {"6": 4, "7": 2}
    cluster.faults.clear()
    served()
    assert floors() == {"6": 4, "7": 1}
    traffic.write(back.next(known_good=None))
    served()
    assert floors() == {"6": 4, "7": 1}


def test_10_serin_never_writes_replicas_of_what_an_autoscaler_scales(world: World, traffic: KubernetesTraffic) -> None:
    """Somebody else's, too, as KEDA's: its bound is asked for in words. Field ownership shows who wrote sizes."""
    foreign = autoscaler("intent-v7", spec("7"), Site("", "default"), Autoscaling(), replicas_min=1)
    foreign["metadata"] |= {"name": "keda-hpa-intent", "labels": {}}
    world.client.create(AUTOSCALERS, foreign)
    world.kubelet.scaled("intent-v6", 2)
    traffic.write(V6_ONLY)
    with pytest.raises(TransientError, match=r"autoscaler keda-hpa-intent is not Serin's: set its minReplicas to 2"):
        traffic.write(V6_ONLY.next(weights_pct={"7": 100.0}))
    found = world.client.get(DEPLOYMENTS, "intent-v7")
    assert found is not None
    assert found["spec"]["replicas"] == 1
    assert not [entry for entry in found["metadata"]["managedFields"] if entry.get("subresource") == "scale"]


def git_applies(world: World, rules: bool = False) -> Object:
    """Git's manifest of the route: where it hangs and under which name, and never its rules."""
    parents = [{"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "shop"}]
    body: Object = {"spec": {"parentRefs": parents, "hostnames": ["models.example.com"]}}
    git = KubernetesClient(world.client._connection, manager="argocd", source=Source.TRAFFIC)
    return git.apply(HTTP_ROUTES, "intent", body)


def test_12_git_applies_a_hundred_times_during_a_canary(world: World, traffic: KubernetesTraffic) -> None:
    """No weight changes and nobody is told of a conflict: Serin owns the rules of the route and nothing else of it."""
    git_applies(world)
    traffic.write(V6_ONLY)
    for pct in range(1, 11):
        table = V6_ONLY.next(weights_pct={"6": 100.0 - pct, "7": float(pct)})
        traffic.write(replace(table, generation=pct + 1))
        for _ in range(10):
            git_applies(world)
        assert traffic.drift("intent") is None
        assert world.backends == {"intent-v6": 10000 - 100 * pct, "intent-v7": 100 * pct}
    assert world.route["spec"]["hostnames"] == ["models.example.com"]
    owners = {
        entry["manager"]
        for entry in world.route["metadata"]["managedFields"]
        if "f:rules" in entry["fieldsV1"].get("f:spec", {})
    }
    assert owners == {"serin"}


def test_13_written_as_it_is_read_back(world: World, traffic: KubernetesTraffic) -> None:
    """The server adds nothing to the rules, and a second write of the same changes no revision."""
    traffic.write(V6_ONLY)
    traffic.write(SPLIT)
    first = world.route
    traffic.write(SPLIT)
    assert world.route == first
    assert traffic.drift("intent") is None  # what stands there has the digest of what was written


def test_14_never_a_zero(world: World, traffic: KubernetesTraffic) -> None:
    """A version without a share is absent, and 100 % is one backendRef."""
    traffic.write(V6_ONLY)
    assert world.backends == {"intent-v6": 10000}
    traffic.write(V6_ONLY.next(weights_pct={"6": 99.99, "7": 0.01}))
    assert world.backends == {"intent-v6": 9999, "intent-v7": 1}
    with pytest.raises(PermanentError, match="finer than"):
        traffic.write(replace(V6_ONLY, weights_pct={"6": 99.999, "7": 0.001}, generation=3))


def test_15_somebody_elses_edit_is_seen_and_named(world: World, traffic: KubernetesTraffic, hands: Edits) -> None:
    """By the field manager, and by a digest of what stands there now."""
    traffic.write(V6_ONLY)
    hands.edit("intent", {"6": 20.0, "7": 80.0})
    drift = traffic.drift("intent")
    assert drift is not None
    assert drift.by == "kubectl-edit"
    assert drift.digest in drift.what
    assert "by kubectl-edit" in drift.what
    with pytest.raises(ConflictError):
        traffic.write(V6_ONLY.next())
    assert world.backends == {"intent-v6": 2000, "intent-v7": 8000}
    traffic.write(V6_ONLY.next(), over=drift)
    assert world.backends == {"intent-v6": 10000}


def test_15_an_edit_to_what_serin_does_not_know_can_be_restored(world: World, traffic: KubernetesTraffic) -> None:
    """Backends of nobody's: the table is read as it was written last, and the edit is told."""
    traffic.write(V6_ONLY)
    backend = [{"name": "somebody-elses", "port": 80}]
    world.others.patch(
        HTTP_ROUTES, "intent", [{"op": "replace", "path": "/spec/rules/0/backendRefs", "value": backend}]
    )
    assert traffic.read("intent") == V6_ONLY
    drift = traffic.drift("intent")
    traffic.write(V6_ONLY.next(), over=drift)
    assert world.backends == {"intent-v6": 10000}


def test_15_a_deleted_route_is_drift_to_a_controller_that_starts_anew(
    world: World, traffic: KubernetesTraffic, hands: Edits
) -> None:
    """What served everybody says so itself."""
    traffic.write(V6_ONLY)
    traffic.write(SPLIT)
    hands.delete("intent")
    anew = world.traffic_of(SITE)
    drift = anew.drift("intent")
    assert drift is not None
    assert drift.digest == ""
    assert anew.drift("topic") is None


def test_16_a_conflict_is_retried_on_a_fresh_read(
    world: World, traffic: KubernetesTraffic, cluster: FakeCluster
) -> None:
    """Others move the revision while a rollback is being written: three refusals, and one harmless write in between."""
    traffic.write(V6_ONLY)
    traffic.write(SPLIT)
    cluster.faults.answer(CHANGED, times=3, concerns=writes)
    cluster.faults.meanwhile(lambda: git_applies(world) and None, concerns=writes)
    traffic.write(SPLIT.next(weights_pct=ALL_TO_6, mirror=None))
    assert world.backends == {"intent-v6": 10000}


def test_16_conflicts_without_end_are_told(world: World, traffic: KubernetesTraffic, cluster: FakeCluster) -> None:
    traffic.write(V6_ONLY)
    cluster.faults.answer(CHANGED, times=99, concerns=writes)
    with pytest.raises(ConflictError, match="was changed 5 times while it was read"):
        traffic.write(SPLIT)


def test_16_somebody_who_writes_in_between_is_not_overwritten(
    world: World, traffic: KubernetesTraffic, cluster: FakeCluster, hands: Edits
) -> None:
    """His edit comes after our read and before our write: the revision is no longer the one that was compared."""
    traffic.write(V6_ONLY)
    cluster.faults.meanwhile(lambda: hands.edit("intent", {"7": 100.0}), concerns=writes)
    with pytest.raises(ConflictError, match="kubectl-edit"):
        traffic.write(SPLIT)
    assert world.backends == {"intent-v7": 10000}


def told(traffic: KubernetesTraffic, rounds: int = 8) -> list[tuple[WriteStage, str]]:
    """What each round finds, until it is served."""
    found = []
    for _ in range(rounds):
        progress = traffic.progress("intent")
        assert progress is not None
        found.append((progress.stage, progress.detail))
    return found


def test_17_confirmed_means_served(world: World, traffic: KubernetesTraffic) -> None:
    """Accepted at the very generation, then a row of answers through the gateway; asked once, not at each round."""
    world.gateway.stopped = True
    traffic.write(V6_ONLY)
    assert told(traffic, 2)[-1] == (WriteStage.WRITTEN, "gateway shop has not accepted the route yet (Accepted)")
    world.gateway.stopped = False
    world.gateway.step()
    stages = [stage for stage, _ in told(traffic)]
    assert stages == [WriteStage.ACCEPTED] * 3 + [WriteStage.SERVED] * 5
    assert world.gateway.answered == {"6": 20}


def test_17_a_stale_acceptance_is_none(world: World, traffic: KubernetesTraffic) -> None:
    """The gateway's word is about the generation before (eg 8861)."""
    traffic.write(V6_ONLY)
    world.gateway.step()
    world.gateway.stopped = True
    traffic.write(SPLIT)
    assert told(traffic, 1) == [(WriteStage.WRITTEN, "gateway shop has not accepted the route yet (Accepted)")]


def test_17_a_data_plane_that_says_accepted_and_serves_the_old_is_not_believed(
    world: World, traffic: KubernetesTraffic
) -> None:
    traffic.write(V6_ONLY)
    world.gateway.step()
    told(traffic)
    world.gateway.lags = True
    traffic.write(SPLIT)
    world.gateway.step()
    found = told(traffic, 12)
    assert {stage for stage, _ in found} == {WriteStage.ACCEPTED}
    assert "0 of 20 answers in a row through the gateway" in found[-1][1]
    world.gateway.lags = False
    assert told(traffic, 5)[-1] == (WriteStage.SERVED, "")


@pytest.mark.parametrize(
    ("after", "problem"),
    [
        (V6_ONLY.next(weights_pct={"7": 100.0}), "RouteNotServed: version 6 answers, but has no share"),
        (V6_ONLY.next(weights_pct={"6": 10.0, "7": 90.0}), r"RouteNotServed: version 6 gave 20 of 20 answers, but its"),
    ],
)
def test_17_where_the_gateway_cannot_tell_generations_answers_are_held_against_weights(
    world: World, after: TrafficTable, problem: str
) -> None:
    """By an exact test: a mismatch holds."""
    traffic = world.traffic_of(replace(SITE, features=EVERYTHING - {Feature.ANSWER_HEADERS}))
    traffic.write(V6_ONLY)
    world.gateway.step()
    assert told(traffic)[-1][0] is WriteStage.SERVED
    world.gateway.lags = True
    traffic.write(after)
    world.gateway.step()
    assert any(detail.startswith(problem) for _, detail in told(traffic, 4))
    world.gateway.lags = False
    assert told(traffic, 9)[-1] == (WriteStage.SERVED, "")


def test_17_what_a_gateway_refuses_is_told_at_once(world: World, traffic: KubernetesTraffic) -> None:
    world.gateway.refuses = "no listener for this name"
    traffic.write(V6_ONLY)
    world.gateway.step()
    problem = "gateway shop rejects the route: NotAllowed: no listener for this name"
    assert told(traffic, 1) == [(WriteStage.REJECTED, problem)]


def test_18_no_persistence_of_sessions_is_asked_for(world: World, traffic: KubernetesTraffic) -> None:
    traffic.write(V6_ONLY)
    assert "sessionPersistence" not in json.dumps(world.route["spec"])
    assert not traffic.abilities("intent").sticky_by_header


def test_19_copies_go_to_a_port_of_their_own(world: World, traffic: KubernetesTraffic) -> None:
    """Which the replica counts as shadow traffic, whatever a header says."""
    traffic.write(V6_ONLY)
    traffic.write(V6_ONLY.next(mirror=Mirror("7", 12.5)))
    rule = world.route["spec"]["rules"][0]
    (mirror,) = [one["requestMirror"] for one in rule["filters"] if one["type"] == "RequestMirror"]
    assert mirror["backendRef"] == {"group": "", "kind": "Service", "name": "intent-v7", "port": 8001}
    assert mirror["fraction"] == {"numerator": 125, "denominator": 1000}
    assert all(backend["port"] == 8000 for backend in rule["backendRefs"])


def mirror_file(world: World) -> str:
    found = world.client.get(CONFIG_MAPS, "intent")
    return "" if found is None else str(found["data"][MIRROR_FILE])


@pytest.mark.parametrize(
    ("features", "chosen", "mirroring", "step_pct"),
    [
        (EVERYTHING, None, Mirroring.GATEWAY_ONE_WAY, 0.01),
        (EVERYTHING - {Feature.PERCENT_MIRROR}, None, Mirroring.GATEWAY_ONE_WAY, 100.0),
        (EVERYTHING - {Feature.MIRROR}, None, Mirroring.REPLICA, 0.01),
        (EVERYTHING, Mirroring.REPLICA, Mirroring.REPLICA, 0.01),
        (EVERYTHING, Mirroring.NONE, Mirroring.NONE, 0.01),
    ],
)
def test_20_degrades_by_what_the_class_says_it_supports(
    world: World, features: frozenset[str], chosen: Mirroring | None, mirroring: Mirroring, step_pct: float
) -> None:
    world.client.create(
        GATEWAY_CLASSES,
        {
            "apiVersion": GATEWAY_CLASSES.api_version,
            "kind": "GatewayClass",
            "metadata": {"name": "some"},
            "spec": {"controllerName": "test.invalid/gateway"},
        },
    )
    found = world.client.get(GATEWAY_CLASSES, "some")
    assert found is not None
    listed = [{"name": name} for name in sorted(features)]
    world.client.replace(
        GATEWAY_CLASSES, "some", {**found, "status": {"supportedFeatures": listed}}, subresource="status"
    )
    traffic = world.traffic_of(GatewaySite("shop", class_name="some", mirroring=chosen))
    able = traffic.abilities("intent")
    assert (able.mirroring, able.mirror_step_pct) == (mirroring, step_pct)
    traffic.write(V6_ONLY)
    traffic.write(V6_ONLY.next(mirror=Mirror("7", 100.0)))
    copied = "RequestMirror" in json.dumps(world.route["spec"]["rules"])
    assert copied == (mirroring is Mirroring.GATEWAY_ONE_WAY)
    assert bool(mirror_file(world)) == (mirroring is Mirroring.REPLICA)


def test_20_replicas_copy_both_ways_by_the_models_file(world: World) -> None:
    """As `serving` reads it; it is emptied when the mirror ends."""
    traffic = world.traffic_of(replace(SITE, mirroring=Mirroring.REPLICA))
    traffic.write(V6_ONLY)
    traffic.write(V6_ONLY.next(weights_pct={"6": 90.0, "7": 10.0}, mirror=Mirror("7", 50.0)))
    to = {version: copying_of(mirror_file(world).encode(), version) for version in ("6", "7")}
    assert {version: (one.host, one.port, one.ratio) for version, one in to.items() if one} == {
        "6": ("intent-v7", 8001, 0.5),
        "7": ("intent-v6", 8001, 0.5),
    }
    table = traffic.read("intent")
    assert table is not None
    assert table.mirror == Mirror("7", 50.0)
    traffic.write(table.next(weights_pct=ALL_TO_6, mirror=None))
    assert mirror_file(world) == ""


def test_20_a_rollback_does_not_wait_for_copies_to_end(world: World, cluster: FakeCluster) -> None:
    """The file cannot be written; traffic moves."""
    traffic = world.traffic_of(replace(SITE, mirroring=Mirroring.REPLICA))
    traffic.write(V6_ONLY)
    traffic.write(SPLIT)
    away = ApiError(503, "ServiceUnavailable", "the server is overloaded")
    cluster.faults.answer(away, concerns=lambda access: access.resource.startswith("configmaps"))
    traffic.write(SPLIT.next(weights_pct=ALL_TO_6, mirror=None))
    assert world.backends == {"intent-v6": 10000}


def test_20_what_is_not_supported_is_refused_before_traffic(world: World) -> None:
    traffic = world.traffic_of(replace(SITE, features=EVERYTHING - {Feature.REWRITE}))
    with pytest.raises(PermanentError, match="does not declare that it can rewrite paths"):
        traffic.write(V6_ONLY)
    assert world.client.get(HTTP_ROUTES, "intent") is None


def test_damaged_annotations_are_named(world: World, traffic: KubernetesTraffic) -> None:
    traffic.write(V6_ONLY)
    world.others.merge(HTTP_ROUTES, "intent", {"metadata": {"annotations": {GENERATION: "many"}}})
    with pytest.raises(PermanentError, match="are damaged"):
        traffic.read("intent")
    world.others.merge(HTTP_ROUTES, "intent", {"metadata": {"annotations": {GENERATION: None, DIGEST: None}}})
    assert traffic.read("intent") is None
    assert traffic.drift("intent") is not None


def test_a_route_without_gateway_is_told(world: World, traffic: KubernetesTraffic) -> None:
    """Git made the route and named none."""
    git = KubernetesClient(world.client._connection, manager="argocd", source=Source.TRAFFIC)
    git.apply(HTTP_ROUTES, "intent", {"spec": {"hostnames": ["models.example.com"]}})
    traffic.write(V6_ONLY)
    assert told(traffic, 1)[0][1] == "the route names no gateway (parentRefs): nothing serves it"
