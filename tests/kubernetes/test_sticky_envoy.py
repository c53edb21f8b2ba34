"""18. Users keep their version, by a real Envoy that is led as Envoy Gateway leads it; which of its renderings keeps
whom is seen through it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from controller.adapters.kubernetes.kept import KeptUsers
from controller.adapters.kubernetes.objects.hash_policy import hash_policy
from controller.adapters.kubernetes.objects.route import RouteOptions, rolled_back, rules_of
from controller.adapters.kubernetes.probe import GatewayProbe, Told
from controller.adapters.kubernetes.resources import Object
from controller.core.traffic import TrafficTable
from tests.kubernetes.envoy_gateway import BY_CHANCE, BY_HASH, ONE_CLUSTER, EnvoyGateway, envoy_gateway
from tests.kubernetes.test_traffic import name_of

pytestmark = pytest.mark.integration
HEADER = "x-user"
SPLIT = TrafficTable("intent", {"6": 75.0, "7": 25.0}, known_good="6", generation=2)
POLICY = hash_policy("intent", HEADER)


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[EnvoyGateway]:
    with envoy_gateway(tmp_path / "gateway", {name_of("intent", one): one for one in "67"}) as found:
        yield found


def route_of(table: TrafficTable) -> Object:
    return {"spec": {"rules": rules_of(table, RouteOptions(sticky=True), name_of)}}


def seen(gateway: EnvoyGateway, table: TrafficTable, users: KeptUsers) -> str:
    """What is said at last: nothing once users are seen to keep their version."""
    probe = GatewayProbe(gateway.url)

    def ask(value: str) -> Told:
        return probe.ask("intent", None, {HEADER: value})

    said = ""
    for _ in range(20):
        said = users.look(ask, table, tells_generation=True)
        if not said or said.startswith("RouteNotServed"):
            return said
    return said


@pytest.mark.parametrize(
    ("rendering", "said"),
    [
        (BY_HASH, ""),
        (BY_CHANCE, "RouteNotServed: users do not stay on their version: one value of x-user, asked twice"),
        (ONE_CLUSTER, "RouteNotServed: users are not split by the weights: version 6 answers "),
    ],
)
def test_18_what_a_rendering_of_envoy_gateway_does_to_users_is_seen(
    gateway: EnvoyGateway, rendering: str, said: str
) -> None:
    gateway.rendering = rendering
    gateway.follow(route_of(SPLIT), POLICY)
    found = seen(gateway, SPLIT, KeptUsers(HEADER))
    assert found.startswith(said)
    assert bool(found) == bool(said)


def test_18_everybody_moves_with_a_rollback_and_with_one_on_call(gateway: EnvoyGateway) -> None:
    """Those of the candidate among them; a user of the canary stays there while it grows."""
    users = KeptUsers(HEADER)
    gateway.follow(route_of(SPLIT), POLICY)
    assert seen(gateway, SPLIT, users) == ""
    more = SPLIT.next(weights_pct={"6": 40.0, "7": 60.0})
    gateway.follow(route_of(more), POLICY)
    grown = users.next()
    assert seen(gateway, more, grown) == ""
    first = {value for value, version in users.versions.items() if version == "7"}
    assert first < {value for value, version in grown.versions.items() if version == "7"}
    back = more.next(weights_pct={"6": 100.0})
    on_call = rolled_back(route_of(more)["spec"]["rules"], "intent", "6", back.generation, name_of)
    for route in (route_of(back), {"spec": {"rules": on_call}}):
        gateway.follow(route, POLICY)
        moved = grown.next()
        assert seen(gateway, back, moved) == ""
        assert first < moved.versions.keys()
        assert set(moved.versions.values()) == {"6"}
