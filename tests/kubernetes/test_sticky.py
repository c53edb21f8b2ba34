"""18. Users keep their version where the gateway is told to see to it, and is seen to: by answers alone."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from controller.adapters.kubernetes.client import KubernetesClient
from controller.adapters.kubernetes.connection import Connection
from controller.adapters.kubernetes.kept import KeptUsers
from controller.adapters.kubernetes.kubeconfig import account_of
from controller.adapters.kubernetes.objects.route import Feature
from controller.adapters.kubernetes.probe import Told
from controller.adapters.kubernetes.resources import TRAFFIC_POLICIES, Object
from controller.adapters.kubernetes.rights import STICKY_RIGHTS, rules
from controller.adapters.kubernetes.rollback import roll_back_route
from controller.adapters.kubernetes.sticky import HashPolicies
from controller.adapters.kubernetes.traffic import KubernetesTraffic
from controller.core.commands import Ask
from controller.core.release import Phase
from controller.core.traffic import Override, TrafficTable, WriteStage
from controller.errors import Source, TransientError
from serving.contract import MODEL_VERSION_HEADER
from tests.contracts.traffic import V6_ONLY
from tests.controller.service import GOOD
from tests.fakes.clock import FakeClock
from tests.fakes.kubernetes import ApiError, FakeCluster
from tests.kubernetes.test_rollback import RIGHTS as ON_CALL
from tests.kubernetes.test_traffic import SITE, World, git_applies, name_of, world
from tests.kubernetes.world import ClusterWorld

__all__ = ["world"]  # a fixture
HEADER = "x-user"
SPLIT = V6_ONLY.next(weights_pct={"6": 75.0, "7": 25.0}, known_good="6")
BACK = SPLIT.next(weights_pct={"6": 100.0})


@pytest.fixture
def traffic(world: World) -> KubernetesTraffic:
    return world.traffic_of(SITE, HEADER)


def served(world: World, traffic: KubernetesTraffic, rounds: int = 60) -> str:
    """What is said at last: nothing once the table is served. The gateway follows at each round, not at each answer."""
    for _ in range(rounds):
        world.gateway.stopped = False
        world.gateway.step()
        world.gateway.stopped = True
        progress = traffic.progress("intent")
        assert progress is not None
        if progress.is_served:
            return ""
    assert progress.stage is WriteStage.ACCEPTED
    return progress.detail


def users_of(world: World, version: str, count: int = 300) -> set[str]:
    """The users whom the version answers."""
    names = [f"user-{number}" for number in range(count)]
    path = "/models/intent/health"
    return {one for one in names if world.gateway.answer(path, {HEADER: one})[1][MODEL_VERSION_HEADER] == version}


def policy_of(world: World) -> Object:
    found = world.client.get(TRAFFIC_POLICIES, "intent")
    assert found is not None
    return found


def test_18_a_gateway_that_deals_users_by_the_header_is_believed_by_its_answers(
    world: World, traffic: KubernetesTraffic
) -> None:
    """Each step is served once values were seen to keep their version, a user of the canary stays as it grows, and a
    rollback moves everybody."""
    assert traffic.abilities("intent").sticky_header == HEADER
    traffic.write(V6_ONLY)
    assert world.client.get(TRAFFIC_POLICIES, "intent") is None  # nobody is divided yet
    assert served(world, traffic) == ""
    traffic.write(SPLIT)
    assert policy_of(world)["spec"] == {
        "targetRefs": [{"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "name": "intent"}],
        "loadBalancer": {
            "type": "ConsistentHash",
            "consistentHash": {"type": "Header", "header": {"name": HEADER}, "tableSize": 65537},
        },
    }
    assert served(world, traffic) == ""
    few = users_of(world, "7")
    assert 40 < len(few) < 110
    more = SPLIT.next(weights_pct={"6": 50.0, "7": 50.0})
    traffic.write(more)
    assert served(world, traffic) == ""
    assert few < users_of(world, "7")
    traffic.write(more.next(weights_pct={"6": 100.0}))
    assert served(world, traffic) == ""
    assert users_of(world, "6", 300) == {f"user-{number}" for number in range(300)}


NOT_BY_WEIGHT = "RouteNotServed: users are not split by the weights: version 6 answers "
NOT_KEPT = (
    "RouteNotServed: users do not stay on their version: one value of x-user, asked twice, is answered by version 6"
)


@pytest.mark.parametrize(
    ("ignores", "said", "tells"),
    [("weights", NOT_BY_WEIGHT, True), ("hash", NOT_KEPT, True), ("hash", NOT_KEPT, False)],
)
def test_18_a_gateway_that_does_something_else_is_told_and_holds(
    world: World, ignores: str, said: str, tells: bool
) -> None:
    """Whether or not it tells by which table it answers; once it is mended the step goes on."""
    features = frozenset(Feature) - (set() if tells else {Feature.ANSWER_HEADERS})
    traffic = world.traffic_of(replace(SITE, features=features), HEADER)
    traffic.write(V6_ONLY)
    assert served(world, traffic) == ""
    world.gateway.ignores = ignores
    traffic.write(SPLIT)
    found = served(world, traffic, 25)
    assert found.startswith(said)
    assert found.endswith("leave out runtime.gateway.sticky_by and sticky_header")
    world.gateway.ignores = ""
    assert served(world, traffic) == ""


@pytest.mark.parametrize("restarted", [False, True])
def test_18_users_who_stay_after_a_rollback_are_found(
    world: World, traffic: KubernetesTraffic, restarted: bool
) -> None:
    """By the very values that the candidate had answered, also by a controller that does not remember them."""
    world.gateway.keeps = True
    traffic.write(V6_ONLY)
    traffic.write(SPLIT)
    assert served(world, traffic) == ""
    traffic.write(BACK)
    traffic = world.traffic_of(SITE, HEADER) if restarted else traffic
    found = served(world, traffic)
    assert found.startswith("RouteNotServed: a value of x-user is answered by version 7, which has no share: the")
    world.gateway.keeps = False
    assert served(world, traffic) == ""


def test_18_a_rollback_waits_for_no_policy(world: World, traffic: KubernetesTraffic, cluster: FakeCluster) -> None:
    traffic.write(V6_ONLY)
    traffic.write(SPLIT)
    away = ApiError(503, "ServiceUnavailable", "the server is overloaded")
    cluster.faults.answer(away, times=1_000, concerns=lambda one: one.resource == "backendtrafficpolicies")
    traffic.write(BACK)
    assert world.backends == {"intent-v6": 10000}
    cluster.faults.clear()
    assert served(world, traffic) == ""


def test_18_the_rollback_on_call_moves_everybody_by_the_route_alone(
    world: World, traffic: KubernetesTraffic, cluster: FakeCluster, tmp_path: Path
) -> None:
    """With the rights of before: get and patch of one route."""
    traffic.write(V6_ONLY)
    traffic.write(SPLIT)
    assert served(world, traffic) == ""
    account = cluster.add_account("oncall", ON_CALL, namespace="default")
    file = tmp_path / "oncall.yaml"
    file.write_text(yaml.safe_dump(cluster.kubeconfig("oncall")))
    who = Override("wrong refunds", "ada", 1_795_432_308.5)
    done = roll_back_route(account_of(file, None, None), "intent", who, name_of, lambda model: model)
    assert dict(done.table.weights_pct) == {"6": 100.0}
    assert account.refused == []
    world.gateway.stopped = False
    world.gateway.step()
    assert len(users_of(world, "6", 100)) == 100
    assert served(world, traffic) == ""
    assert traffic.drift("intent") is None


def test_18_what_a_client_says_of_itself_to_replicas_is_taken_away(world: World, traffic: KubernetesTraffic) -> None:
    """By a filter of each backend, without which Envoy Gateway would not deal by weight and hash."""
    removal = [{"type": "RequestHeaderModifier", "requestHeaderModifier": {"remove": ["x-serin-user"]}}]
    traffic.write(V6_ONLY)
    traffic.write(SPLIT)
    backends = [one for rule in world.route["spec"]["rules"] for one in rule["backendRefs"]]
    assert [one["filters"] for one in backends] == [removal] * 4
    assert traffic.drift("intent") is None
    assert traffic.read("intent") == SPLIT


def by(world: World, manager: str) -> KubernetesClient:
    return KubernetesClient(world.client._connection, manager=manager, source=Source.TRAFFIC)


def test_18_a_policy_that_somebody_changed_is_held_and_never_written_over(
    world: World, traffic: KubernetesTraffic
) -> None:
    traffic.write(V6_ONLY)
    traffic.write(SPLIT)
    assert served(world, traffic) == ""
    other = {"spec": {"loadBalancer": {"type": "RoundRobin", "consistentHash": None}}}
    by(world, "kubectl-edit").merge(TRAFFIC_POLICIES, "intent", other)
    said = "RouteNotServed: BackendTrafficPolicy intent does not split users by x-user as Serin wrote it: kubectl-edit"
    assert served(world, traffic).startswith(said)
    with pytest.raises(TransientError, match="kubectl-edit changed it; delete it, and Serin recreates it"):
        traffic.write(SPLIT.next(weights_pct={"6": 50.0, "7": 50.0}))
    assert policy_of(world)["spec"]["loadBalancer"] == {"type": "RoundRobin"}
    world.others.delete(TRAFFIC_POLICIES, "intent")
    assert served(world, traffic) == ""
    assert policy_of(world)["spec"]["loadBalancer"]["type"] == "ConsistentHash"


def test_18_what_others_say_besides_is_theirs(world: World, traffic: KubernetesTraffic) -> None:
    """Git applies labels, and another size of the table of hashes: users are asked anew, and nothing is in the way."""
    traffic.write(V6_ONLY)
    traffic.write(SPLIT)
    more: Mapping[str, object] = {"spec": {"loadBalancer": {"consistentHash": {"tableSize": 1021}}}}
    by(world, "argocd").merge(TRAFFIC_POLICIES, "intent", dict(more))
    git_applies(world)
    assert served(world, traffic) == ""
    assert policy_of(world)["spec"]["loadBalancer"]["consistentHash"]["tableSize"] == 1021


def test_18_another_header_is_written_where_the_policy_is_serins_alone(world: World) -> None:
    first = world.traffic_of(SITE, HEADER)
    first.write(V6_ONLY)
    first.write(SPLIT)
    anew = world.traffic_of(SITE, "x-account")
    assert served(world, anew) == ""
    assert policy_of(world)["spec"]["loadBalancer"]["consistentHash"]["header"] == {"name": "x-account"}


def test_18_a_policy_that_the_gateway_does_not_follow_is_told(world: World, traffic: KubernetesTraffic) -> None:
    """Another one targets the route, and was first."""
    traffic.write(V6_ONLY)
    traffic.write(SPLIT)
    found = policy_of(world)
    why = {"type": "Accepted", "status": "False", "reason": "Conflicted", "message": "there is another policy"}
    status = {"ancestors": [{"conditions": [{**why, "observedGeneration": found["metadata"]["generation"]}]}]}
    world.others.replace(TRAFFIC_POLICIES, "intent", {**found, "status": status}, subresource="status")
    said = (
        "RouteNotServed: the gateway does not follow BackendTrafficPolicy intent: Conflicted: there is another policy"
    )
    assert served(world, traffic, 3) == said


def test_18_a_release_is_held_and_blames_nobody_until_users_keep_their_version(
    cluster: FakeCluster, tmp_path: Path
) -> None:
    """Its step has not begun, whatever its gates say; then it goes on, and a rollback moves everybody."""
    with ClusterWorld(tmp_path, cluster, sticky_header=HEADER) as world:
        world.service.captured = 0.0
        world.gateway.ignores = "hash"
        world.given().given_candidate("v7", GOOD).when_phase(Phase.CANARY).when_time_passes(180)
        assert world.release.phase is Phase.CANARY
        assert world.release.sticky
        (said,) = world.release.faults.values()
        assert "users do not stay on their version" in said
        assert world.release.routed_at_s is None
        world.when_time_passes(60)
        assert world.release.routed_at_s is None
        world.gateway.ignores = ""
        world.when(lambda: world.release.routed_at_s is not None)
        assert not world.release.faults
        world.when_asked(Ask.ABORT).when_settled()
        assert (world.ends, world.served) == ([("v7", Phase.ABORTED)], {"6": 100.0})


def test_18_a_cluster_without_envoy_gateway_is_nobodys_fault_but_the_settings(
    world: World, traffic: KubernetesTraffic, cluster: FakeCluster
) -> None:
    traffic.write(V6_ONLY)
    none = ApiError(404, "NotFound", "the server could not find the requested resource")
    cluster.faults.answer(none, times=9, concerns=lambda one: one.resource == "backendtrafficpolicies")
    with pytest.raises(
        TransientError, match="is for Envoy Gateway, whose kinds this cluster does not have; leave out sticky_by and"
    ):
        traffic.write(SPLIT)
    assert world.backends == {"intent-v6": 10000}


def test_23_the_policies_under_exactly_their_rights(
    cluster: FakeCluster, world: World, connected: Callable[..., Connection]
) -> None:
    account = cluster.add_account("controller", rules(STICKY_RIGHTS), namespace="default")
    own = KubernetesClient(connected("controller"), manager="serin", source=Source.TRAFFIC)
    for header in (HEADER, "x-account"):
        HashPolicies(own, header, "serin", lambda model: model, FakeClock()).ensure("intent")
    assert (account.unused(), account.refused) == ([], [])


def test_a_small_share_is_believed_by_those_who_got_it() -> None:
    """At 1 % two hundred values may all be answered by stable, which says nothing of any user's staying."""
    users = KeptUsers(HEADER)
    table = TrafficTable("intent", {"6": 99.0, "7": 1.0}, generation=1)

    def ask(value: str) -> Told:
        return Told(200, "7" if int(value.removeprefix("serin-")) % 100 == 99 else "6", "1")

    said = [users.look(ask, table, tells_generation=True) for _ in range(12)]
    assert said[7] == "200 values of x-user asked through the gateway, of them 2 of 3 that version 7 has to answer"
    assert [number for number, one in enumerate(said) if not one] == [11]


def test_who_was_with_a_version_that_lost_its_share_is_asked_first() -> None:
    """However far down the values: of a small share few were led there."""
    users = KeptUsers(HEADER, before={"serin-2900": "7", "serin-3": "6"})
    asked: list[str] = []

    def ask(value: str) -> Told:
        asked.append(value)
        return Told(200, "7" if value == "serin-2900" else "6", "1")

    said = users.look(ask, V6_ONLY, tells_generation=True)
    assert asked == ["serin-2900"]
    assert said.startswith("RouteNotServed: a value of x-user is answered by version 7")


def test_values_that_do_not_fit_are_given_up_for_others() -> None:
    """A gateway that was mended would be doubted for long by what it did before, and a good one for ever by one set."""
    users, right = KeptUsers(HEADER), False

    def ask(value: str) -> Told:
        number = int(value.removeprefix("serin-"))
        return Told(200, "7" if number % (4 if right else 2) else "6", "2")

    table = TrafficTable("intent", {"6": 25.0, "7": 75.0}, generation=2)
    said = [users.look(ask, table, tells_generation=True) for _ in range(32)]
    assert all(one.startswith(NOT_BY_WEIGHT) for one in said[7:])
    right = True
    assert [users.look(ask, table, tells_generation=True) == "" for _ in range(8)] == [False] * 7 + [True]
    assert users.versions.keys() == {f"serin-{number}" for number in range(800, 1000)}
