"""The data plane as users meet it: a real Envoy with stand-ins of replicas behind it. And the contract of its fake."""

import json
import signal
import socket
import statistics
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from controller.adapters.envoy.encoding import RouteOptions
from controller.adapters.envoy.rollback import rollback_route
from controller.adapters.envoy.tables import ROUTES_FILE, read_clusters
from controller.adapters.envoy.traffic import EnvoyTraffic
from controller.adapters.local.loopback import free_ports
from controller.core.traffic import Mirror, TrafficTable
from controller.errors import PermanentError, TransientError
from controller.files import replace_file
from controller.ports.traffic import Traffic
from serving.contract import GATEWAY_HOST, USER_HEADER
from tests.contracts.traffic import Hands, TrafficContract, confirmed
from tests.controller.envoy_support import ASIDE, RunningEnvoy, Upstream, running_envoy, set_endpoint, upstream
from tests.fakes.traffic import MemoryTraffic
from tests.patience import eventually

STABLE = TrafficTable("intent", {"6": 100.0}, known_good="6", generation=1)


@dataclass(frozen=True)
class World:
    envoy: RunningEnvoy
    v6: Upstream
    v7: Upstream
    traffic: EnvoyTraffic

    def route(self, table: TrafficTable) -> None:
        """Write the table, and wait until Envoy says that it routes by it."""
        self.traffic.write(table)
        assert confirmed(self.traffic, table.model, table.generation)
        versions = set(table.weights_pct)
        eventually(lambda: set(self.envoy.ask(2, headers=ASIDE)) <= versions, what="every worker thread to follow")
        for seen in (self.v6.requests, self.v7.requests):
            seen.clear()


def nowhere() -> tuple[str, str]:
    """Addresses at which nobody answers: for live requests, and for copies."""
    one, other = free_ports(2)
    return f"http://127.0.0.1:{one}", f"http://127.0.0.1:{other}"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with ExitStack() as stack:
        v6, v7 = (stack.enter_context(upstream(version)) for version in "67")
        envoy = stack.enter_context(running_envoy(tmp_path))
        traffic = EnvoyTraffic(tmp_path)
        v6.announce(traffic)
        v7.announce(traffic)
        yield World(envoy, v6, v7, traffic)


class TestMemoryTraffic(TrafficContract):
    @pytest.fixture
    def traffic(self) -> MemoryTraffic:
        return MemoryTraffic(running={("intent", "6"), ("intent", "7"), ("topic", "1")})

    @pytest.fixture
    def hands(self, traffic: MemoryTraffic) -> Hands:
        return traffic


@dataclass(frozen=True)
class HandsOnEnvoy:
    """Somebody with an editor and signals."""

    envoy: RunningEnvoy

    def edit(self, model: str, weights_pct: Mapping[str, float]) -> None:
        shares = [{"name": f"{model}-v{it}", "weight": round(pct * 100)} for it, pct in weights_pct.items()]
        shares = [{**share, "request_headers_to_remove": ["x-serin-copy-to"]} for share in shares]
        with self._routes() as routes:
            (route,) = (route for route in routes if route["name"] == model)
            route["route"]["weighted_clusters"]["clusters"] = shares

    def delete(self, model: str) -> None:
        with self._routes() as routes:
            routes[:] = [route for route in routes if route["name"] != model]

    @contextmanager
    def _routes(self) -> Iterator[list[dict[str, Any]]]:
        """As an editor does it: the file is read, changed and replaced."""
        file = self.envoy.directory / ROUTES_FILE
        document = json.loads(file.read_text())
        yield document["resources"][0]["virtual_hosts"][0]["routes"]
        replace_file(file, json.dumps(document))

    def stop(self) -> None:
        self.envoy.process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self.envoy.process.send_signal(signal.SIGCONT)


@pytest.mark.integration
class TestEnvoyTraffic(TrafficContract):
    @pytest.fixture
    def hands(self, tmp_path: Path) -> Iterator[Hands]:
        with running_envoy(tmp_path) as envoy:
            yield HandsOnEnvoy(envoy)

    @pytest.fixture
    def traffic(self, tmp_path: Path, hands: Hands) -> Iterator[Traffic]:  # noqa: ARG002 - Envoy runs
        traffic = EnvoyTraffic(tmp_path, log=tmp_path / "envoy.log")
        with ExitStack() as stack:
            for model, version in (("intent", "6"), ("intent", "7"), ("topic", "1")):
                listening = stack.enter_context(socket.create_server(("127.0.0.1", 0)))  # users go back to who is there
                live, copies = f"http://127.0.0.1:{listening.getsockname()[1]}", nowhere()[1]
                set_endpoint(traffic, model, version, live, copies)
            yield traffic


@pytest.mark.integration
class TestWeights:
    def test_all_or_nothing_is_exact(self, world: World) -> None:
        """100:0 serves exactly 100:0, not 50:50 (seldon 4067), and so does the other way round."""
        world.route(STABLE)
        assert Counter(world.envoy.ask(200)) == {"6": 200}
        world.route(STABLE.next(weights_pct={"7": 100.0}))
        assert Counter(world.envoy.ask(200)) == {"7": 200}

    @pytest.mark.parametrize(("pct", "low", "high"), [(50.0, 205, 295), (2.5, 1, 30)])
    def test_a_share_is_the_share_that_is_served(self, world: World, pct: float, low: int, high: int) -> None:
        """Of 500 requests the version serves its share, within four standard deviations (chance 1 in 10,000)."""
        world.route(replace(STABLE, weights_pct={"6": 100 - pct, "7": pct}))
        assert low <= Counter(world.envoy.ask(500))["7"] <= high

    def test_an_edit_replaces(self, world: World) -> None:
        """After 50:50 became 100, the other version gets nothing at all (seldon 5181)."""
        world.route(replace(STABLE, weights_pct={"6": 50.0, "7": 50.0}))
        world.route(STABLE.next())
        assert Counter(world.envoy.ask(200)) == {"6": 200}

    def test_a_model_nobody_routed_is_not_found(self, world: World) -> None:
        """404, not some other model's answer; so is any other path."""
        world.route(STABLE)
        assert world.envoy.post("topic").status_code == 404
        assert httpx.get(f"{world.envoy.url}/metrics", trust_env=False).status_code == 404

    def test_routes_outlive_envoy(self, world: World, tmp_path: Path) -> None:
        """A restarted Envoy serves by the files alone, whoever else is down."""
        world.route(replace(STABLE, weights_pct={"7": 100.0}))
        world.envoy.end()
        with running_envoy(tmp_path) as again:
            assert Counter(again.ask(20)) == {"7": 20}


@pytest.mark.integration
class TestMirror:
    def test_a_copy_carries_the_same_request_id_and_goes_to_a_port_of_its_own(self, world: World) -> None:
        """Both versions see one request under one id, so their answers pair up; the port tells which is the copy."""
        world.route(replace(STABLE, mirror=Mirror("7", 100.0)))
        assert Counter(world.envoy.ask(50)) == {"6": 50}
        eventually(lambda: set(world.v7.ids) >= set(world.v6.ids), what="a copy of each request")
        assert all(count == 1 for count in Counter(world.v7.ids).values())
        assert world.v7.got("shadow") == world.v7.requests
        assert world.v6.got("live") == world.v6.requests
        assert {request["host"] for request in world.v7.requests} == {GATEWAY_HOST}
        assert {request[":path"] for request in world.v7.requests} == {"/predict"}

    def test_a_percentage_is_mirrored(self, world: World) -> None:
        """30 % of 400 requests, within four standard deviations."""
        world.route(replace(STABLE, mirror=Mirror("7", 30.0)))
        world.envoy.ask(400)
        assert 83 <= len(world.v7.requests) <= 157

    def test_nobody_waits_for_a_copy(self, world: World) -> None:
        """A candidate that never answers costs users nothing."""
        world.v7.hold = threading.Event()
        world.route(replace(STABLE, mirror=Mirror("7", 100.0)))
        assert Counter(world.envoy.ask(20)) == {"6": 20}
        world.v7.hold.set()

    def test_a_dead_mirror_costs_nothing(self, world: World) -> None:
        """Copies to a closed port are dropped; the users' requests are answered."""
        set_endpoint(world.traffic, "intent", "7", *nowhere())
        world.route(replace(STABLE, mirror=Mirror("7", 100.0)))
        assert Counter(world.envoy.ask(50)) == {"6": 50}

    def test_the_mirror_does_not_follow_the_weights(self, world: World) -> None:
        """Whether a request is copied does not depend on who serves it: both draws look independent."""
        world.route(replace(STABLE, weights_pct={"6": 50.0, "7": 50.0}, mirror=Mirror("7", 50.0)))
        world.envoy.ask(400)
        shadow = {request["x-request-id"] for request in world.v7.got("shadow")}
        served_by_6 = {request["x-request-id"] for request in world.v6.got("live")}
        assert 0.35 < len(shadow & served_by_6) / len(served_by_6) < 0.65

    def test_copies_go_both_ways(self, world: World) -> None:
        """Whoever serves a request, the other gets its copy: each version carries every request once, at every step."""
        world.route(replace(STABLE, weights_pct={"6": 70.0, "7": 30.0}, mirror=Mirror("7", 100.0)))
        world.envoy.ask(200)
        eventually(lambda: len(world.v6.ids) == len(world.v7.ids) == 200, what="each request at both versions")
        assert set(world.v6.ids) == set(world.v7.ids)
        live = [len(version.got("live")) for version in (world.v6, world.v7)]
        assert sum(live) == 200
        assert 30 <= live[1] <= 90

    def test_a_client_cannot_choose_who_gets_a_copy(self, world: World) -> None:
        """The header by which Envoy hands the copy on is its own: what a client sends in it changes nothing."""
        world.route(replace(STABLE, weights_pct={"7": 100.0}, mirror=Mirror("7", 100.0)))
        world.envoy.ask(20, headers={"x-serin-copy-to": "intent-v6-shadow"})
        assert len(world.v7.requests) == 20
        assert not world.v6.requests


@pytest.mark.integration
class TestHeaders:
    def test_a_request_id_is_kept_or_made(self, world: World) -> None:
        """To the last character, in the answer as well; labels come back under it."""
        world.route(STABLE)
        for number, request_id in enumerate(("order-4711", "0a1b2c3d-4e5f-9a6b-8c7d-9e8f0a1b2c3d")):
            kept = world.envoy.post(headers={"x-request-id": request_id})
            assert kept.headers["x-request-id"] == world.v6.ids[number] == request_id
        made = world.envoy.post()
        assert made.headers["x-request-id"] == world.v6.ids[2]
        assert len(made.headers["x-request-id"]) == 36

    def test_a_client_cannot_change_timeouts_or_retries(self, world: World) -> None:
        """Envoy's own request headers are for internal callers, and nobody is one."""
        world.route(STABLE)
        world.v6.hold = threading.Event()
        release = threading.Timer(0.3, world.v6.hold.set)
        release.start()
        answer = world.envoy.post(headers={"x-envoy-upstream-rq-timeout-ms": "1", "x-envoy-retry-on": "5xx"})
        release.join()
        assert answer.status_code == 200
        assert len(world.v6.requests) == 1

    def test_a_request_that_reached_a_replica_is_never_sent_twice(self, world: World) -> None:
        """A late answer is a time-out for the user, and one computation, counted once."""
        world = replace(world, traffic=EnvoyTraffic(world.envoy.directory, RouteOptions(timeout_s=0.2)))
        world.route(STABLE)
        world.v6.hold = threading.Event()
        assert world.envoy.post().status_code == 504
        world.v6.hold.set()
        assert len(world.v6.requests) == 1

    def test_an_error_of_a_replica_is_the_answer(self, world: World) -> None:
        """It reaches the user and the error rate as it is; a retry would hide it and double the load."""
        world.route(STABLE)
        world.v6.status = 503
        assert world.envoy.post().status_code == 503
        assert len(world.v6.requests) == 1

    def test_idle_connections_are_let_go_before_the_server_closes_them(self, world: World) -> None:
        """uvicorn closes them after 5 s; a request sent into that moment would be lost."""
        world.route(STABLE)
        eventually(lambda: world.v6.connections == 0, what="Envoy to close idle connections")  # these servers never do


@pytest.mark.integration
class TestSticky:
    def test_the_same_value_keeps_its_version_while_the_canary_grows(self, world: World, tmp_path: Path) -> None:
        """Stickiness survives weighted routing (argo 2726, 3904): a user who met the canary stays with it."""
        world = replace(world, traffic=EnvoyTraffic(tmp_path, RouteOptions(sticky_header="x-user")))
        users = [f"user-{number}" for number in range(150)]
        canary: set[str] = set()
        for generation, pct in enumerate((10.0, 30.0, 60.0), start=1):
            world.route(replace(STABLE, weights_pct={"6": 100 - pct, "7": pct}, generation=generation))
            versions = {user: set(world.envoy.ask(2, headers={"x-user": user})) for user in users}
            assert all(len(seen) == 1 for seen in versions.values())
            now = {user for user, seen in versions.items() if seen == {"7"}}
            assert canary < now
            assert abs(len(now) / len(users) - pct / 100) < 0.16
            canary = now

    def test_a_replica_is_told_by_what_a_user_is_kept(self, world: World, tmp_path: Path) -> None:
        """By the gateway: what a client says of itself there is taken away."""
        world = replace(world, traffic=EnvoyTraffic(tmp_path, RouteOptions(sticky_header="x-user")))
        world.route(STABLE)
        for headers in ({"x-user": "ada"}, {"x-user": "ada", USER_HEADER: "eve"}, {USER_HEADER: "eve"}, {}):
            world.envoy.post(headers=headers)
        assert [request.get(USER_HEADER) for request in world.v6.requests] == ["ada", "ada", None, None]

    def test_without_the_header_requests_are_shared_by_chance(self, world: World, tmp_path: Path) -> None:
        """A caller who sends no value is not glued to one version."""
        world = replace(world, traffic=EnvoyTraffic(tmp_path, RouteOptions(sticky_header="x-user")))
        world.route(replace(STABLE, weights_pct={"6": 50.0, "7": 50.0}))
        assert 60 <= Counter(world.envoy.ask(200))["7"] <= 140


@pytest.mark.integration
class TestEndpoints:
    def test_an_endpoint_leaves_when_nothing_is_sent_there(self, world: World) -> None:
        """After the traffic has moved, and no earlier."""
        world.route(replace(STABLE, weights_pct={"6": 50.0, "7": 50.0}))
        with pytest.raises(PermanentError, match="still gets traffic"):
            world.traffic.drop_endpoint("intent", "7")
        world.route(STABLE.next())
        world.traffic.drop_endpoint("intent", "7")
        world.traffic.drop_endpoint("intent", "7")
        assert set(read_clusters(world.envoy.directory).addresses) == {"intent-v6", "intent-v6-shadow"}
        with pytest.raises(PermanentError, match="version 7 of intent has no endpoint"):
            world.traffic.write(STABLE.next().next(weights_pct={"7": 100.0}))

    def test_a_request_under_way_is_answered_though_its_endpoint_leaves(self, world: World) -> None:
        """Draining: who was being served is served."""
        world.route(replace(STABLE, weights_pct={"7": 100.0}))
        world.v7.hold = threading.Event()
        answers: list[httpx.Response] = []
        waiting = threading.Thread(target=lambda: answers.append(world.envoy.post()))
        waiting.start()
        eventually(lambda: world.v7.requests, what="the request to be under way")
        world.traffic.write(STABLE.next())
        assert confirmed(world.traffic, "intent", 2)
        world.traffic.drop_endpoint("intent", "7")
        eventually(lambda: world.envoy.ask(1) == ["6"], what="new requests to go to version 6")
        world.v7.hold.set()
        waiting.join(10)
        assert [answer.status_code for answer in answers] == [200]

    def test_a_restarted_replica_is_found_at_its_new_address(self, world: World) -> None:
        """The same version at another port: no write of the table is needed."""
        world.route(STABLE)
        with upstream("6 again") as again:
            again.announce(world.traffic, "6")
            eventually(lambda: world.envoy.ask(1) == ["6 again"], what="the new address to be used")

    def test_an_endpoint_that_envoy_may_still_use_stays(self, world: World) -> None:
        """The table has moved on, but Envoy has not said so: taking the address away could lose requests."""
        world.route(replace(STABLE, weights_pct={"6": 50.0, "7": 50.0}))
        world.envoy.process.send_signal(signal.SIGSTOP)
        world.traffic.write(STABLE.next())
        with pytest.raises(TransientError, match="does not answer"):
            world.traffic.drop_endpoint("intent", "7")
        assert "intent-v7" in read_clusters(world.envoy.directory).addresses
        world.envoy.process.send_signal(signal.SIGCONT)
        assert confirmed(world.traffic, "intent", 2)
        world.traffic.drop_endpoint("intent", "7")

    def test_an_endpoint_that_leaves_during_a_write_is_missed(self, world: World) -> None:
        """Confirmed a moment ago, gone when the lock is held: nothing is routed there."""

        class SlowWriter(EnvoyTraffic):
            def _await_clusters(self, model: str, versions: list[str]) -> None:
                super()._await_clusters(model, versions)
                world.traffic.drop_endpoint(model, "7")

        world.route(STABLE)
        with pytest.raises(PermanentError, match="version 7 of intent has no endpoint"):
            SlowWriter(world.envoy.directory).write(STABLE.next(weights_pct={"7": 100.0}))
        assert world.traffic.read("intent") == STABLE

    def test_envoy_away_is_transient_for_a_newcomer(self, world: World) -> None:
        """Nothing is written that nobody confirmed."""
        world.route(STABLE)
        world.envoy.end()
        with pytest.raises(TransientError):
            world.traffic.write(STABLE.next(weights_pct={"7": 100.0}))
        assert world.traffic.read("intent") == STABLE


class Load:
    """Four callers that ask without a pause, each over its own connection, and note every answer."""

    def __init__(self, envoy: RunningEnvoy) -> None:
        self._url = f"{envoy.url}/models/intent/predict"
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._call) for _ in range(4)]
        self.answers: list[tuple[float, str]] = []  # (when it came, version)
        self.lost: list[str] = []

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        eventually(lambda: len(self.answers) > 50, what="the load to flow")
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(10)

    def _call(self) -> None:
        with httpx.Client(trust_env=False, timeout=5) as client:
            while not self._stop.is_set():
                try:
                    answer = client.post(self._url, json={"text": "hi"})
                except httpx.HTTPError as error:
                    self.lost.append(repr(error))
                    continue
                if answer.status_code == 200:
                    self.answers.append((time.monotonic(), answer.json()["version"]))
                else:
                    self.lost.append(f"{answer.status_code}: {answer.text}")


@pytest.mark.integration
class TestUnderLoad:
    def test_moving_traffic_loses_no_request(self, world: World) -> None:
        """Twenty moves to and fro, each time with the endpoint of the idle version taken away and put back."""
        world.route(STABLE)
        table, urls = STABLE, {"6": world.v6.url, "7": world.v7.url}
        with Load(world.envoy) as load:
            for turn in range(20):
                target, idle = ("7", "6") if turn % 2 == 0 else ("6", "7")
                set_endpoint(world.traffic, "intent", target, urls[target])
                table = table.next(weights_pct={target: 100.0})
                world.traffic.write(table)
                assert confirmed(world.traffic, "intent", table.generation)
                world.traffic.drop_endpoint("intent", idle)
        assert load.lost == []
        assert {version for _, version in load.answers} == {"6", "7"}

    def test_a_rollback_is_quick_and_loses_no_request(
        self, world: World, record_property: Callable[[str, object], None]
    ) -> None:
        """From the call to the last answer of the bad version, with requests under way. How many milliseconds it takes
        is recorded here, and held to its bound by the benchmark (``tests/bench/rollback.py``)."""
        world.route(replace(STABLE, weights_pct={"7": 100.0}))
        last_bad_ms, first_good_ms, call_ms = [], [], []
        generation = 1
        with Load(world.envoy) as load:
            for _ in range(5):
                called_s = time.monotonic()
                result = rollback_route(world.envoy.directory / ROUTES_FILE, "intent", "bad", "ada", 0.0)
                assert result.confirmed
                seen = len(load.answers)
                eventually(lambda seen=seen: len(load.answers) > seen + 40, what="answers after the rollback")
                after = [(at_s, version) for at_s, version in load.answers if at_s > called_s]
                last_bad_ms.append(max([at_s - called_s for at_s, v in after if v == "7"], default=0.0) * 1000)
                first_good_ms.append(min(at_s - called_s for at_s, v in after if v == "6") * 1000)
                call_ms.append(result.elapsed_ms)
                assert {version for _, version in after[-10:]} == {"6"}
                generation = result.table.generation + 1
                world.traffic.write(result.table.next(weights_pct={"7": 100.0}, override=None))
                assert confirmed(world.traffic, "intent", generation)
                eventually(lambda: load.answers[-1][1] == "7", what="the load to be back on version 7")
        assert load.lost == []
        for name, values in (("call", call_ms), ("first good answer", first_good_ms), ("last bad", last_bad_ms)):
            record_property(f"{name}, median ms", round(statistics.median(values), 1))
            print(f"{name}: median {statistics.median(values):.1f} ms, maximum {max(values):.1f} ms")
