"""The route file as the traffic table, and the rollback that needs nothing but files."""

import itertools
import json
import os
import socket
import socketserver
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.adapters.envoy.admin import BOOTSTRAP_FILE
from controller.adapters.envoy.bootstrap import ADMIN_SOCKET, write_bootstrap
from controller.adapters.envoy.encoding import RouteOptions
from controller.adapters.envoy.rollback import rollback_route
from controller.adapters.envoy.routes import EMPTY_DOCUMENT, RouteDocument
from controller.adapters.envoy.running import accepted_revision
from controller.adapters.envoy.tables import (
    ENDPOINTS_FILE,
    ROUTES_FILE,
    mend_clusters,
    mend_routes,
    read_clusters,
    read_routes,
    write_routes,
)
from controller.adapters.envoy.traffic import EnvoyTraffic
from controller.adapters.local.loopback import free_port, free_ports
from controller.bootstrap.condition import troubles_of
from controller.config.settings import Home
from controller.core.traffic import Mirror, Override, TrafficTable, WriteStage
from controller.errors import ConflictError, PermanentError, TransientError, UsageError
from tests.controller.envoy_support import set_endpoint
from tests.patience import PATIENCE_S, eventually

CANARY = TrafficTable("intent", {"6": 90.0, "7": 10.0}, mirror=Mirror("7", 100.0), known_good="6", generation=1)

DAMAGES = ["", "{", "[]", "null", '{"version_info": "1", "resources": []}', "half", None]


def damage_to(file: Path, damage: str | None) -> str:
    """Write what is no file of ours, half of the file, or take it away; what stands there then."""
    text = file.read_text()
    if damage is None:
        file.unlink()
        return ""
    damaged = text[: len(text) // 2] if damage == "half" else damage
    file.write_text(damaged)
    return damaged


class WatchedPath(type(Path())):  # type: ignore[misc] - the class of paths on this system
    """A path that remembers which files were read by it."""

    read: ClassVar[list[Path]] = []

    def read_text(self, *arguments: Any, **named: Any) -> str:
        self.read.append(Path(self))
        return str(super().read_text(*arguments, **named))


@pytest.fixture
def running() -> Iterator[dict[str, int]]:
    """Something that accepts connections for version 6, 7 and 8: version -> port."""
    with ExitStack() as stack:
        ports = {}
        for version in "678":
            server = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
            ports[version] = server.getsockname()[1]
        yield ports


@pytest.fixture
def home(tmp_path: Path, running: dict[str, int]) -> Path:
    """Envoy's directory after Envoy and the controller have died: files, and replicas that still run."""
    write_bootstrap(tmp_path, *free_ports(2))
    traffic = EnvoyTraffic(tmp_path)
    for version in "67":
        set_endpoint(traffic, "intent", version, f"http://127.0.0.1:{running[version]}", "http://127.0.0.1:1")
    write_routes(tmp_path, EMPTY_DOCUMENT.with_table(CANARY, RouteOptions(sticky_header="x-user", timeout_s=7.5)))
    return tmp_path


@contextmanager
def stranger_at(path: Path) -> Iterator[None]:
    """Something that answers in HTTP, but knows no GET, at a Unix socket."""

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *args: object) -> None:
            """Quiet."""

    class Stranger(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
        daemon_threads = True

    with Stranger(str(path), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join(5)


def rollback(home: Path, *, to: str | None = None, reason: str = "P99 doubled") -> TrafficTable:
    return rollback_route(home / ROUTES_FILE, "intent", reason, "ada", 1_795_432_308.5, to).table


def stored(home: Path) -> TrafficTable:
    table = read_routes(home).table("intent")
    assert table is not None
    return table


class TestTheFile:
    @given(
        hundredths=st.lists(st.integers(1, 9_999), max_size=3, unique=True),
        mirror_pct=st.none() | st.integers(1, 1_000_000).map(lambda units: units / 10_000),
        known_good=st.none() | st.just("1"),
        sticky=st.none() | st.just("x-user"),
    )
    def test_every_table_survives_the_file(
        self, hundredths: list[int], mirror_pct: float | None, known_good: str | None, sticky: str | None
    ) -> None:
        """Shares down to 0.01 % come back as the same floating-point numbers, beside the options of the route."""
        cuts = [0, *sorted(hundredths), 10_000]
        shares = [after - before for before, after in itertools.pairwise(cuts)]
        table = TrafficTable(
            "a-model-v1",
            {str(version): units / 100 for version, units in enumerate(shares, start=1)},
            mirror=None if mirror_pct is None else Mirror("2", mirror_pct),
            known_good=known_good,
            generation=41,
            override=Override("why", "who", 1.25),
        )
        options = RouteOptions(sticky_header=sticky, timeout_s=2.5)
        document = RouteDocument.parse(EMPTY_DOCUMENT.with_table(table, options).text())
        assert document.table("a-model-v1") == table
        assert document.options("a-model-v1") == options

    def test_a_file_that_did_not_change_is_decoded_once(self, home: Path) -> None:
        """Each model's read of 500 models' file costs its reading; one that changed is read anew."""
        first = read_routes(home)
        assert read_routes(home) is first
        write_routes(home, first.with_table(TrafficTable("tone", {"1": 100.0}, generation=1), RouteOptions()))
        assert read_routes(home).models == ("intent", "tone")
        assert first.models == ("intent",)

    def test_a_file_that_was_written_just_now_is_read_each_time(self, home: Path) -> None:
        """Two writes within one tick of the file system's clock may look alike, to the byte."""
        file = home / ROUTES_FILE
        for known_good in ("6", "7"):
            text = EMPTY_DOCUMENT.with_table(replace(CANARY, known_good=known_good), RouteOptions()).text()
            file.write_text(text)
            os.utime(file, (1_800_000_000, 1_800_000_000))
            assert stored(home).known_good == known_good

    def test_a_file_that_lies_there_costs_a_look_at_it(self, home: Path) -> None:
        """500 models ask for theirs at each round; a file of a megabyte was read for each."""
        file = home / ROUTES_FILE
        os.utime(file, (1.0, 1.0))
        eventually(lambda: time.time() - file.stat().st_ctime > 1.5, what="the file to be old")
        watched = WatchedPath(home)
        for _ in range(3):
            assert read_routes(watched).table("intent") == CANARY
        assert WatchedPath.read == [file]
        write_routes(home, read_routes(home).with_table(CANARY.next(), RouteOptions()))
        assert read_routes(watched).table("intent") == CANARY.next()

    def test_weights_are_exact_or_refused(self) -> None:
        """A share that Envoy would round is refused by name, not rounded in silence."""
        table = TrafficTable("intent", {"7": 1 / 3, "6": 100 - 1 / 3}, known_good="6", generation=1)
        with pytest.raises(PermanentError, match=r"version 7.*finer than 0\.01 %"):
            EMPTY_DOCUMENT.with_table(table, RouteOptions())

    @pytest.mark.parametrize(("model", "version"), [("a/b", "1"), ("", "1"), ("../x", "1"), ("a", "1-v2"), ("a", "")])
    def test_a_name_that_is_no_part_of_a_url_is_refused(self, model: str, version: str) -> None:
        """Names become paths and cluster names; one that could be read in two ways never gets there."""
        with pytest.raises(UsageError, match=r"cannot (name a model|be a version)"):
            EMPTY_DOCUMENT.with_table(TrafficTable(model, {version: 100.0}, generation=1), RouteOptions())

    @pytest.mark.parametrize("damage", DAMAGES)
    def test_a_file_that_is_damaged_or_gone_is_put_back_from_its_copy(self, home: Path, damage: str | None) -> None:
        """Reading, writing and rolling back go on meanwhile; what it was is kept for a person to look at."""
        file, text = home / ROUTES_FILE, (home / ROUTES_FILE).read_text()
        damaged = damage_to(file, damage)
        assert EnvoyTraffic(home).read("intent") == CANARY
        (told,) = mend_routes(home)
        assert told.startswith(f"{file} {'is gone' if damage is None else 'was damaged'}")
        assert told.endswith("restored from its copy")
        assert file.read_text() == text
        assert damage is None or (home / "routes.damaged.json").read_text() == damaged
        assert mend_routes(home) == ()
        damage_to(file, damage)
        EnvoyTraffic(home).write(CANARY.next(mirror=None))
        assert stored(home) == CANARY.next(mirror=None)
        damage_to(file, damage)
        assert rollback(home) == stored(home)
        assert dict(stored(home).weights_pct) == {"6": 100.0}

    @pytest.mark.parametrize("damage", DAMAGES[:-1])
    def test_without_a_copy_and_without_envoy_it_is_named_and_never_overwritten(self, home: Path, damage: str) -> None:
        """Nobody guesses who serves: the sentence says what to do, and the file stays for a person to look at."""
        file = home / ROUTES_FILE
        damaged = damage_to(file, damage)
        (home / "routes.last.json").unlink()
        for refused in (
            lambda: EnvoyTraffic(home).read("intent"),
            lambda: EnvoyTraffic(home).write(CANARY.next(mirror=None)),
            lambda: rollback(home),
            lambda: mend_routes(home),
        ):
            with pytest.raises(PermanentError, match=r"routes\.json was damaged.*routes\.last\.json is gone.*backup"):
                refused()
        assert file.read_text() == damaged

    def test_a_table_that_sums_to_something_else_is_damage(self, home: Path) -> None:
        """A hand edit that serves 90 + 20 is found at the next reading."""
        file = home / ROUTES_FILE
        document = json.loads(file.read_text())
        document["resources"][0]["virtual_hosts"][0]["routes"][0]["route"]["weighted_clusters"]["clusters"][0][
            "weight"
        ] = 2000
        file.write_text(json.dumps(document))
        assert stored(home) == CANARY
        assert "must sum to 100" in mend_routes(home)[0]

    def test_a_copy_that_is_damaged_or_behind_is_made_anew(self, home: Path) -> None:
        """The file itself counts, for as long as it can be read."""
        copy, text = home / "routes.last.json", (home / ROUTES_FILE).read_text()
        for damage in ("{", EMPTY_DOCUMENT.text()):
            copy.write_text(damage)
            assert stored(home) == CANARY
            assert mend_routes(home) == ()
            assert copy.read_text() == text

    def test_a_crash_before_the_rename_leaves_the_old_table(self, home: Path) -> None:
        """The writer dies with the new file half in place; the old table stands, and the next write works."""
        crash = """
            import os, sys
            from pathlib import Path
            from controller.adapters.envoy.traffic import EnvoyTraffic
            Path.replace = lambda *_: os._exit(9)
            traffic = EnvoyTraffic(Path(sys.argv[1]))
            traffic.write(traffic.read("intent").next(weights_pct={"7": 100.0}))
        """
        died = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(crash), str(home)], check=False, timeout=PATIENCE_S
        )
        assert died.returncode == 9
        assert (home / f".{ROUTES_FILE}.tmp").exists()
        assert stored(home) == CANARY
        EnvoyTraffic(home).write(CANARY.next(mirror=None))
        assert stored(home).mirror is None
        assert not (home / f".{ROUTES_FILE}.tmp").exists()

    def test_of_two_writers_one_is_told(self, home: Path) -> None:
        """Both have read generation n and write n + 1 at once: exactly one wins, every time."""
        for generation in range(1, 11):
            table, start, outcomes = stored(home), threading.Barrier(2), []

            def write(
                by: str, table: TrafficTable = table, start: threading.Barrier = start, outcomes: list[str] = outcomes
            ) -> None:
                start.wait()
                try:
                    EnvoyTraffic(home).write(table.next(override=Override("race", by, 0.0)))
                except ConflictError:
                    outcomes.append("told")
                else:
                    outcomes.append(by)

            threads = [threading.Thread(target=write, args=(by,)) for by in ("ada", "ben")]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(10)
            override = stored(home).override
            assert override is not None
            assert sorted(outcomes) == sorted([override.by, "told"])
            assert stored(home).generation == generation + 1


def edited(directory: Path, *, delete: bool = False) -> None:
    """Somebody changes the first model's time-out, or takes its route away."""
    document = json.loads((directory / ROUTES_FILE).read_text())
    routes = document["resources"][0]["virtual_hosts"][0]["routes"]
    if delete:
        del routes[0]
    else:
        routes[0]["route"]["timeout"] = "1s"
    (directory / ROUTES_FILE).write_text(json.dumps(document))


class TestEdits:
    @pytest.mark.parametrize("delete", [False, True])
    def test_status_names_what_somebody_did_to_the_file(self, tmp_path: Path, delete: bool) -> None:
        """Also between releases, when nobody writes: what is edited need not be a weight."""
        home = Home(tmp_path)
        write_bootstrap(home.envoy, *free_ports(2))
        write_routes(home.envoy, EMPTY_DOCUMENT.with_table(CANARY, RouteOptions()))
        assert not any("routes.json" in trouble for trouble in troubles_of(home))
        edited(home.envoy, delete=delete)
        (told,) = (trouble for trouble in troubles_of(home) if "routes.json" in trouble)
        assert "serin rollback intent" in told
        assert ("was deleted from" in told) is delete

    def test_a_restart_takes_no_edit_for_what_was_written(self, home: Path) -> None:
        """`serin up` writes what an earlier version wrote anew, and must not make an edit its own by that."""
        edited(home)
        write_bootstrap(home, *free_ports(2))
        write_routes(home, read_routes(home).renewed())
        assert EnvoyTraffic(home).drift("intent") is not None

    def test_what_the_running_envoy_tells_is_no_edit(self, home: Path) -> None:
        """Its dump has other numbers, and leaves out what is zero."""
        document = read_routes(home)
        configuration = json.loads(document.text())["resources"][0]
        for route in configuration["virtual_hosts"][0]["routes"][:-1]:
            stored = route["metadata"]["filter_metadata"]["serin"]
            stored["generation"] = float(stored["generation"])
        dumped = RouteDocument.of_configuration(configuration, revision=document.revision)
        assert dumped.edit("intent") is not None
        assert dumped.as_written().edit("intent") is None
        assert dumped.as_written().text() == document.text()

    def test_a_rollback_goes_over_an_edit(self, home: Path) -> None:
        """A person's word, and told as such: it is no edit itself."""
        edited(home)
        assert dict(rollback(home).weights_pct) == {"6": 100.0}
        assert EnvoyTraffic(home).drift("intent") is None


class TestWithoutEnvoy:
    def test_versions_already_routed_can_be_reweighted(self, home: Path) -> None:
        """Going back to the version that serves most needs no answer from Envoy's admin interface."""
        EnvoyTraffic(home).write(CANARY.next(weights_pct={"6": 100.0}, mirror=None))
        assert dict(stored(home).weights_pct) == {"6": 100.0}

    def test_a_newcomer_waits_for_envoy(self, home: Path, running: dict[str, int]) -> None:
        """A version is routed to for the first time only when Envoy says that it knows the way."""
        traffic = EnvoyTraffic(home)
        set_endpoint(traffic, "intent", "8", f"http://127.0.0.1:{running['8']}")
        with pytest.raises(TransientError, match="does not answer"):
            traffic.write(CANARY.next(weights_pct={"6": 90.0, "8": 10.0}))
        assert stored(home) == CANARY

    def test_an_endpoint_in_use_stays(self, home: Path) -> None:
        """Neither a live version nor a mirrored one loses its address; who asks is told why."""
        with pytest.raises(PermanentError, match="version 7 of intent still gets traffic"):
            EnvoyTraffic(home).drop_endpoint("intent", "7")
        EnvoyTraffic(home).write(CANARY.next(weights_pct={"6": 100.0}))
        with pytest.raises(PermanentError, match="version 7 of intent still gets traffic"):
            EnvoyTraffic(home).drop_endpoint("intent", "7")
        assert set(read_clusters(home).addresses) == {"intent-v6", "intent-v6-shadow", "intent-v7", "intent-v7-shadow"}

    def test_what_nobody_serves_is_written_and_says_so(self, home: Path) -> None:
        """No answer is neither yes nor no."""
        progress = EnvoyTraffic(home).progress("intent")
        assert progress is not None
        assert (progress.generation, progress.stage) == (1, WriteStage.WRITTEN)
        assert "Envoy does not answer" in progress.detail

    def test_another_program_at_the_admin_socket_is_no_envoy(self, home: Path) -> None:
        """What it answers is never taken for a confirmation; a rollback is written all the same."""
        with stranger_at(home / ADMIN_SOCKET):
            with pytest.raises(PermanentError, match="is not Envoy's admin interface: status 501"):
                accepted_revision(home)
            result = rollback_route(home / ROUTES_FILE, "intent", "why", "ada", 0.0)
        assert not result.confirmed
        assert stored(home) == result.table

    @pytest.mark.parametrize("url", ["http://localhost:80", "https://127.0.0.1:80", "http://127.0.0.1", "nonsense"])
    def test_an_endpoint_is_an_address(self, home: Path, url: str) -> None:
        """Envoy resolves no names for us; what is no address is refused."""
        with pytest.raises(PermanentError, match="an address like"):
            set_endpoint(EnvoyTraffic(home), "intent", "9", url)

    def test_a_restart_keeps_routes_and_endpoints(self, home: Path) -> None:
        """Writing the bootstrap file again, for other ports, forgets nothing."""
        write_bootstrap(home, *free_ports(2))
        assert stored(home) == CANARY
        assert set(read_clusters(home).addresses) == {"intent-v6", "intent-v6-shadow", "intent-v7", "intent-v7-shadow"}

    def test_a_restart_writes_the_routes_of_an_earlier_version_anew(self, home: Path) -> None:
        """Copies went to the live port then, under a header that told: no replica believes that any more."""
        file = home / ROUTES_FILE
        document = json.loads(file.read_text())
        (route, teller) = document["resources"][0]["virtual_hosts"][0]["routes"]
        document["resources"][0]["virtual_hosts"][0]["routes"].remove(teller)  # nor was it told what is served
        for share in route["route"]["weighted_clusters"]["clusters"]:
            copy_to = share["request_headers_to_add"][0]["header"]
            copy_to["value"] = copy_to["value"].removesuffix("-shadow")
        file.write_text(json.dumps(document))
        write_bootstrap(home, *free_ports(2))
        assert stored(home) == CANARY
        assert read_routes(home).options("intent") == RouteOptions(sticky_header="x-user", timeout_s=7.5)
        (route, _) = json.loads(file.read_text())["resources"][0]["virtual_hosts"][0]["routes"]
        shares = route["route"]["weighted_clusters"]["clusters"]
        copied_to = {share["name"]: share["request_headers_to_add"][0]["header"]["value"] for share in shares}
        assert copied_to == {"intent-v6": "intent-v7-shadow", "intent-v7": "intent-v6-shadow"}

    def test_an_envoy_of_an_earlier_version_is_told_and_still_rolled_back(self, home: Path) -> None:
        """Its admin interface was no socket: nobody asks it, no release is blamed, and the on-call way out is open."""
        file = home / BOOTSTRAP_FILE
        document = json.loads(file.read_text())
        document["admin"] = {"address": {"socket_address": {"address": "127.0.0.1", "port_value": free_port()}}}
        file.write_text(json.dumps(document))
        with pytest.raises(TransientError, match="earlier version of Serin started Envoy: restart it"):
            accepted_revision(home)
        assert dict(rollback(home).weights_pct) == {"6": 100.0}
        write_bootstrap(home, *free_ports(2))
        with pytest.raises(TransientError, match="does not answer"):
            accepted_revision(home)

    def test_no_copies_go_where_they_have_no_port(self, home: Path) -> None:
        """At a live port they would count as live: what an earlier version started serves on, and takes no copies."""
        traffic = EnvoyTraffic(home)
        traffic.write(CANARY.next(weights_pct={"6": 100.0}, mirror=None))
        table = stored(home)
        set_endpoint(traffic, "intent", "7", "http://127.0.0.1:1")
        with pytest.raises(TransientError, match=r"version 7 of intent has no port for copies.*restart it"):
            traffic.write(table.next(mirror=Mirror("7", 100.0)))
        assert stored(home) == table

    @pytest.mark.parametrize("damage", ["", "{", "half", None])
    def test_an_endpoint_file_that_is_damaged_or_gone_is_put_back(self, home: Path, damage: str | None) -> None:
        """As with the routes: running deployments are not announced twice, so nothing else would enter them again."""
        file, before = home / ENDPOINTS_FILE, read_clusters(home)
        damage_to(file, damage)
        assert dict(rollback(home).weights_pct) == {"6": 100.0}
        assert read_clusters(home) == before
        (told,) = mend_clusters(home)
        assert told.startswith(str(file))
        set_endpoint(EnvoyTraffic(home), "intent", "8", "http://127.0.0.1:1")
        damage_to(file, damage)
        assert set(read_clusters(home).addresses) == {*before.addresses, "intent-v8"}

    def test_without_a_copy_nobody_guesses_where_replicas_are(self, home: Path) -> None:
        (home / ENDPOINTS_FILE).write_text("{")
        (home / "endpoints.last.json").unlink()
        with pytest.raises(PermanentError, match=r"endpoints\.json was damaged"):
            set_endpoint(EnvoyTraffic(home), "intent", "8", "http://127.0.0.1:1")
        assert (home / ENDPOINTS_FILE).read_text() == "{"

    def test_who_stands_in_is_the_known_good_version_of_one_that_serves_all(
        self, home: Path, running: dict[str, int]
    ) -> None:
        """Never the candidate, never beside it, and never where a policy does not want it."""
        traffic = EnvoyTraffic(home)
        assert read_clusters(home).fallbacks == {}
        promoted = CANARY.next(weights_pct={"7": 100.0}, mirror=None)
        traffic.write(promoted)
        six = read_clusters(home).addresses["intent-v6"]
        assert read_clusters(home).fallbacks == {"intent-v7": six}
        set_endpoint(traffic, "intent", "6", f"http://127.0.0.1:{running['8']}")
        assert read_clusters(home).fallbacks == {"intent-v7": (("127.0.0.1", running["8"]),)}
        set_endpoint(EnvoyTraffic(home, falls_back=lambda _: False), "intent", "8", "http://127.0.0.1:2")
        assert read_clusters(home).fallbacks == {}
        rollback(home)
        set_endpoint(traffic, "intent", "9", "http://127.0.0.1:3")
        assert read_clusters(home).fallbacks == {}


class TestRollback:
    def test_goes_to_the_known_good_version_with_nothing_else_alive(self, home: Path) -> None:
        """All traffic to version 6, no mirror, and the file says who did it and why; Envoy is dead and so not asked."""
        result = rollback_route(home / ROUTES_FILE, "intent", "P99 doubled", "ada", 1_795_432_308.5)
        assert stored(home) == result.table
        assert dict(result.table.weights_pct) == {"6": 100.0}
        assert (result.table.mirror, result.table.generation, result.table.known_good) == (None, 2, "6")
        assert result.table.override == Override("P99 doubled", "ada", 1_795_432_308.5)
        assert not result.confirmed

    def test_keeps_the_options_of_the_route(self, home: Path) -> None:
        """Stickiness and time-out stay as the controller had set them."""
        rollback(home)
        assert read_routes(home).options("intent") == RouteOptions(sticky_header="x-user", timeout_s=7.5)

    def test_is_safe_to_repeat_and_records_each_time(self, home: Path) -> None:
        """The second call routes the same and says who asked last."""
        rollback(home, reason="first")
        table = rollback(home, reason="second")
        assert dict(table.weights_pct) == {"6": 100.0}
        assert table.generation == 3
        assert table.override == Override("second", "ada", 1_795_432_308.5)

    def test_goes_to_a_version_that_is_named(self, home: Path) -> None:
        """Any version that runs; what is known to be good does not change by that."""
        table = rollback(home, to="7")
        assert (dict(table.weights_pct), table.known_good) == ({"7": 100.0}, "6")

    def test_the_controller_finds_out_before_it_writes(self, home: Path) -> None:
        """Its next write, made from what it had read before, is a conflict."""
        rollback(home)
        with pytest.raises(ConflictError):
            EnvoyTraffic(home).write(CANARY.next(weights_pct={"6": 50.0, "7": 50.0}))

    def test_leaves_other_models_alone(self, home: Path) -> None:
        """Rolling back one model moves nobody else's traffic."""
        topic = TrafficTable("topic", {"1": 100.0}, generation=5)
        write_routes(home, read_routes(home).with_table(topic, RouteOptions()))
        rollback(home)
        assert read_routes(home).table("topic") == topic

    def test_says_so_where_nothing_is_known_to_be_good(self, home: Path) -> None:
        """The way out is named, with the versions that run."""
        write_routes(
            home, EMPTY_DOCUMENT.with_table(TrafficTable("intent", {"7": 100.0}, generation=1), RouteOptions())
        )
        with pytest.raises(UsageError, match=r"at version 7 already, and no earlier version.*with --to \(running: 6\)"):
            rollback(home)

    def test_says_how_a_release_ends_that_has_no_users_yet(self, home: Path) -> None:
        """While suites are asked its version runs beside stable: nobody is to be sent there for want of another way."""
        table = TrafficTable("intent", {"6": 100.0}, generation=1)
        write_routes(home, EMPTY_DOCUMENT.with_table(table, RouteOptions()))
        with pytest.raises(UsageError, match=r"no users yet is ended by `serin abort intent --reason \.\.\.`"):
            rollback(home)

    @pytest.mark.parametrize("version", ["5", "dead"])
    def test_never_goes_to_a_version_that_does_not_run(self, home: Path, version: str) -> None:
        """Neither one that nobody started nor one whose port is closed; the traffic stays where it is."""
        set_endpoint(EnvoyTraffic(home), "intent", "dead", f"http://127.0.0.1:{free_port()}")
        with pytest.raises(UsageError, match=rf"version {version} of intent is not running.*\(6, 7\)"):
            rollback(home, to=version)
        assert stored(home) == CANARY

    def test_names_the_models_there_are(self, home: Path) -> None:
        """A misspelt model is told apart from one without routes."""
        with pytest.raises(UsageError, match="no model 'intnet' is routed here; routed are: intent"):
            rollback_route(home / ROUTES_FILE, "intnet", "typo", "ada", 0.0)

    def test_in_the_wrong_directory_writes_nothing(self, tmp_path: Path) -> None:
        """No route file, no rollback, no new file."""
        empty = tmp_path / "elsewhere"
        empty.mkdir()
        with pytest.raises(UsageError, match="nothing is routed here"):
            rollback_route(empty / ROUTES_FILE, "intent", "why", "ada", 0.0)
        assert not list(empty.iterdir())

    def test_a_file_that_cannot_be_written_leaves_the_table(self, home: Path) -> None:
        """The error says which file, and the old table stands."""
        (home / f".{ROUTES_FILE}.tmp").mkdir()  # writing to this name fails, for root too
        with pytest.raises(TransientError, match=r"cannot write .*routes\.json"):
            rollback(home)
        assert stored(home) == CANARY

    def test_its_module_starts_quickly(self) -> None:
        """On call, milliseconds count: nothing heavy is imported, not even an HTTP client."""
        heavy = ["asyncio", "http.client", "httpx", "numpy", "psutil", "pydantic", "sqlalchemy", "ssl", "subprocess"]
        code = f"import sys, controller.adapters.envoy.routes; print([m for m in {heavy} if m in sys.modules])"
        found = subprocess.run(
            [sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=PATIENCE_S
        )
        assert found.stdout.strip() == "[]"
