"""Who answers users while the version that serves them does not: a real Envoy, and stand-ins that die or hang."""

import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from controller.adapters.envoy.traffic import EnvoyTraffic
from controller.core.traffic import TrafficTable
from tests.contracts.traffic import confirmed
from tests.controller.envoy_support import RunningEnvoy, Upstream, eventually, running_envoy, set_endpoint, upstream
from tests.patience import PATIENCE_S

pytestmark = pytest.mark.integration
STABLE = TrafficTable("intent", {"6": 100.0}, known_good="6", generation=1)
PROMOTED = STABLE.next(weights_pct={"7": 100.0})


@dataclass
class World:
    """Version 7 serves everybody, version 6 is warm and known to be good."""

    envoy: RunningEnvoy
    traffic: EnvoyTraffic
    six: Upstream
    seven: ExitStack  # closed, version 7 is gone
    serving: Upstream

    def die(self) -> None:
        """Version 7, as when its process is killed."""
        self.seven.close()
        self.serving.hang_up()
        eventually(lambda: self.serving.connections == 0, what="its connections to be closed")

    def statuses(self, count: int) -> Counter[int]:
        return Counter(self.envoy.post().status_code for _ in range(count))


@pytest.fixture(params=[True])
def falls_back(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture
def world(tmp_path: Path, falls_back: bool) -> Iterator[World]:
    with upstream("6") as six, ExitStack() as gone, running_envoy(tmp_path) as envoy:
        seven = gone.enter_context(upstream("7"))
        traffic = EnvoyTraffic(tmp_path, falls_back=lambda _: falls_back)
        for version in (six, seven):
            version.announce(traffic)
        for table in (STABLE, PROMOTED):
            traffic.write(table)
            assert confirmed(traffic, "intent", table.generation)
        eventually(lambda: envoy.ask(1) == ["7"], what="version 7 to serve")
        yield World(envoy, traffic, six, gone, seven)


def test_while_one_replica_of_two_is_lost_the_other_answers_and_no_other_version(world: World) -> None:
    """The known good version would answer for a part of the users, by Envoy's own habit."""
    with upstream("7 too") as second:
        places = [(one.url, one.shadow_url) for one in (world.serving, second)]
        world.traffic.set_endpoints("intent", "7", places)
        eventually(lambda: set(world.envoy.ask(8)) == {"7", "7 too"}, what="both replicas to serve")
        world.die()
        eventually(lambda: set(world.envoy.ask(20)) == {"7 too"}, what="the lost one to be left out")
        assert Counter(world.envoy.ask(200)) == {"7 too": 200}
        world.traffic.set_endpoints("intent", "7", places[1:])
        assert Counter(world.envoy.ask(20)) == {"7 too": 20}


def test_the_warm_version_answers_from_the_first_refused_connection_on(world: World) -> None:
    """No request fails: one that finds nobody goes on to the known good version. Back again, version 7 serves."""
    world.die()
    assert set(world.envoy.ask(100)) == {"6"}
    with upstream("7") as again:
        again.announce(world.traffic)
        eventually(lambda: world.envoy.ask(1) == ["7"], what="version 7 to serve again")
        assert set(world.envoy.ask(20)) == {"7"}


def test_one_that_says_it_is_not_well_is_left_out(world: World) -> None:
    """As a replica does whose engine hangs: in seconds, and it comes back as soon as it is well."""
    world.serving.is_well = False
    began_s = time.monotonic()
    eventually(lambda: world.envoy.ask(1) == ["6"], what="the warm version to answer")
    assert time.monotonic() - began_s < PATIENCE_S
    assert set(world.envoy.ask(20)) == {"6"}
    world.serving.is_well = True
    eventually(lambda: world.envoy.ask(1) == ["7"], what="version 7 to serve again")


def test_a_process_that_takes_connections_and_says_nothing_is_left_out(world: World) -> None:
    """Stopped or deadlocked. Who waited for it is told at once when it is found, and not after a time-out of 15 s."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        world.serving.version = "6"  # whoever still comes by the address of before
        set_endpoint(world.traffic, "intent", "7", address, address)
        statuses: list[int] = []
        waiting = threading.Thread(target=lambda: statuses.append(world.envoy.post().status_code))
        waiting.start()
        eventually(lambda: world.envoy.ask(1) == ["6"], what="the warm version to answer")
        assert set(world.envoy.ask(20)) == {"6"}
        waiting.join(PATIENCE_S)
        assert statuses[0] in {200, 503}


@pytest.mark.parametrize("falls_back", [False], indirect=True)
def test_where_the_policy_wants_no_other_version_users_are_told_at_once(world: World) -> None:
    world.die()
    assert world.statuses(20) == {503: 20}
    assert not world.six.got("live")


def test_where_neither_is_well_requests_are_sent_all_the_same(world: World) -> None:
    """On a machine that is merely slow: an answer that comes late is better than none."""
    world.six.is_well = world.serving.is_well = False
    eventually(lambda: world.envoy.ask(1) == ["6"], what="both to be found unwell")
    assert world.statuses(40) == {200: 40}


def test_errors_that_a_version_answers_are_not_hidden(world: World) -> None:
    """They are the gates' to judge: nobody stands in for a version that answers."""
    world.serving.status = 500
    assert world.statuses(50) == {500: 50}
    assert not world.six.got("live")


def test_who_stands_in_changes_under_load_and_no_request_fails(world: World) -> None:
    """Envoy makes a cluster anew for it: at each promotion, and each time that the warm version starts again."""
    statuses: Counter[int] = Counter()
    stopping = threading.Event()

    def ask() -> None:
        with httpx.Client(trust_env=False, timeout=PATIENCE_S) as client:
            while not stopping.is_set():
                answer = client.post(f"{world.envoy.url}/models/intent/predict", json={"text": "hi"})
                statuses[answer.status_code] += 1

    clients = [threading.Thread(target=ask) for _ in range(4)]
    for client in clients:
        client.start()
    try:
        table = PROMOTED
        for _ in range(5):
            with upstream("6") as again:
                again.announce(world.traffic)
                for version in ("6", "7"):
                    world.traffic.write(table := table.next(weights_pct={version: 100.0}))
                    assert confirmed(world.traffic, "intent", table.generation)
                eventually(lambda: world.envoy.ask(1) == ["7"], what="version 7 to serve")
        asked = sum(statuses.values())
        eventually(lambda: sum(statuses.values()) > asked + 20, what="requests after the last change")
    finally:
        stopping.set()
        for client in clients:
            client.join(PATIENCE_S)
    assert statuses.keys() == {200}
