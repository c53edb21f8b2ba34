"""What answers and what does not, asked of real servers: a system that is down is never shown as a live one."""

import json
import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from typer.testing import CliRunner, Result

from controller.adapters.envoy.encoding import RouteOptions
from controller.adapters.envoy.tables import read_routes, write_routes
from controller.adapters.envoy.traffic import EnvoyTraffic
from controller.adapters.local.kept import SUPERVISOR, KeptRecord
from controller.adapters.local.processes_os import identity_of
from controller.adapters.local.records import Record, Records
from controller.bootstrap.parts import parts_of, the_store, why_a_word_waits, word_of
from controller.bootstrap.sight import LocalSight
from controller.bootstrap.stores import opened, upgrade_schema
from controller.cli.app import app
from controller.config.settings import Home, Settings
from controller.core.parts import Grade, Kind, Part, standing
from controller.core.release import Phase
from controller.core.traffic import TrafficTable
from controller.errors import Source, TransientError
from controller.files import locked
from controller.journal.codec import record_of
from controller.ports.journal import Entry
from tests.controller import releases
from tests.controller.envoy_support import running_envoy, set_endpoint
from tests.controller.http_support import http_server

TABLE = TrafficTable("intent", {"6": 50.0, "7": 50.0}, known_good="6")
PROMOTED = TrafficTable("intent", {"7": 100.0}, known_good="6", generation=2)
GATEWAY = Part(Kind.GATEWAY, "the gateway", ":8080")
CONTROLLER = Part(Kind.CONTROLLER, "the controller", ":8081")
REGISTRY = Part(Kind.REGISTRY, "the registry", ":5000")
REPLICAS = tuple(Part(Kind.REPLICA, f"intent-v{one}", f":{one}", model="intent", version=one) for one in "67")
ALL = (GATEWAY, CONTROLLER, REGISTRY, *REPLICAS)


@pytest.mark.parametrize(
    ("away", "grade", "said"),
    [
        ((), Grade.UP, "Everything answers."),
        ((GATEWAY, CONTROLLER), Grade.DOWN, "Users get no answers: the gateway at :8080 is away. Start it."),
        (REPLICAS, Grade.DOWN, "Users of intent get no answers: intent-v6 at :6 is away; intent-v7 at :7 is away."),
        (REPLICAS[1:], Grade.DOWN, "50 % of the requests for intent get no answer: intent-v7 at :7 is away. Start it."),
        (
            (CONTROLLER, REGISTRY),
            Grade.STANDS_STILL,
            "Users are answered, but nothing is being decided: the controller at",
        ),
        (
            (REGISTRY,),
            Grade.IMPAIRED,
            "Users are answered, but not everything is running: the registry at :5000 is away.",
        ),
    ],
)
def test_the_worst_for_users_is_said_first(away: tuple[Part, ...], grade: Grade, said: str) -> None:
    parts = [replace(one, fault="is away", way_out="Start it.") if one in away else one for one in ALL]
    found = standing(parts, {"intent": TABLE})
    assert found.grade is grade
    assert found.sentence.startswith(said)


def test_a_replica_of_a_version_that_nobody_is_sent_to_answers_no_user() -> None:
    """The candidate in shadow runs: that helps nobody."""
    shadowing = TrafficTable("intent", {"6": 100.0})
    parts = [replace(REPLICAS[0], fault="is away"), REPLICAS[1]]
    assert standing(parts, {"intent": shadowing}).grade is Grade.DOWN


@pytest.mark.parametrize(
    ("weights_pct", "away", "said"),
    [
        ({"6": 90.0, "7": 10.0}, "6", "90 % of the requests for intent get no answer: intent-v6 at :6 is away."),
        ({"6": 90.0, "7": 10.0}, "7", "10 % of the requests for intent get no answer: intent-v7 at :7 is away."),
        ({"7": 100.0}, "7", "Users of intent get no answers: intent-v7 at :7 is away."),
    ],
    ids=["most of them", "the canary's", "where nobody stands in"],
)
def test_requests_of_a_version_that_is_away_are_answered_by_no_other(
    weights_pct: dict[str, float], away: str, said: str
) -> None:
    """Envoy sends on what it dealt to one version, whoever else answers; the known good one, too."""
    parts = [replace(one, fault="is away") if one.version == away else one for one in ALL]
    found = standing(parts, {"intent": TrafficTable("intent", weights_pct, known_good="6")})
    assert (found.grade, found.sentence) == (Grade.DOWN, said)


def test_models_are_told_apart_where_some_users_of_one_are_answered() -> None:
    table = TrafficTable("tickets", {"1": 95.0, "2": 5.0})
    second = Part(Kind.REPLICA, "tickets-v2", ":2", model="tickets", version="2", fault="is away")
    parts = [replace(one, fault="is away") if one in REPLICAS else one for one in (*ALL, second)]
    found = standing(parts, {"intent": TABLE, "tickets": table})
    assert found.sentence.startswith("Users of intent get no answers; 5 % of the requests for tickets get no answer: ")


@pytest.mark.parametrize(
    ("away", "grade", "said"),
    [
        (REPLICAS[1:], Grade.IMPAIRED, "but not everything is running: intent-v7 at :7 is away."),
        (
            (CONTROLLER, REPLICAS[1]),
            Grade.STANDS_STILL,
            "but nothing is being decided: the controller at :8081 is away.",
        ),
    ],
)
def test_who_answers_in_the_place_of_another_is_said(away: tuple[Part, ...], grade: Grade, said: str) -> None:
    parts = [replace(one, fault="is away") if one in away else one for one in ALL]
    parts = [replace(one, stands_in_for="7") if one.version == "6" else one for one in parts]
    found = standing(parts, {"intent": PROMOTED})
    expected = f"Users are answered, those of intent by version 6 in place of version 7, {said}"
    assert (found.grade, found.sentence) == (grade, expected)


def test_a_stand_in_that_is_away_answers_nobody() -> None:
    six, seven = (replace(one, fault="is away") for one in REPLICAS)
    found = standing([GATEWAY, replace(six, stands_in_for="7"), seven], {"intent": PROMOTED})
    said = "Users of intent get no answers: intent-v7 at :7 is away; intent-v6 at :6 is away."
    assert (found.grade, found.sentence) == (Grade.DOWN, said)


@dataclass
class Server:
    """One stand-in, which answers any question with its body, or with 503 while it is not well."""

    body: bytes = b"OK"
    url: str = ""
    is_well: bool = True

    @property
    def port(self) -> int:
        return urlsplit(self.url).port or 0


@contextmanager
def server(body: bytes = b"OK") -> Iterator[Server]:
    state = Server(body)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if state.is_well else 503)
            self.send_header("content-length", str(len(state.body)))
            self.end_headers()
            self.wfile.write(state.body)

        def log_message(self, *_: object) -> None:
            """Quiet."""

    with http_server(Handler) as state.url:
        yield state


@dataclass
class Installed:
    """An installation whose gateway is a real Envoy; stand-ins are the rest. Version 6 serves, 7 has a canary."""

    home: Home
    others: dict[str, Server]

    def status(self, *flags: str) -> Result:
        return CliRunner().invoke(app, ["status", *flags, "--home", str(self.home.path)])

    def doctor(self, *flags: str) -> Result:
        return CliRunner().invoke(app, ["doctor", *flags, "--home", str(self.home.path)])

    def grade(self) -> Grade:
        tables = {table.model: table for table in LocalSight(self.home).tables()}
        return standing(parts_of(self.home, tables), tables).grade


@pytest.fixture
def installed(tmp_path: Path) -> Iterator[Installed]:
    home = Home(tmp_path / "home")
    names = ("controller", "mlflow", "prometheus", "6", "7")
    with ExitStack() as stack:
        envoy = stack.enter_context(running_envoy(home.envoy))
        others = {name: stack.enter_context(server()) for name in names}
        home.save(
            Settings(
                gateway_port=urlsplit(envoy.url).port or 0,
                api_port=others["controller"].port,
                mlflow_port=others["mlflow"].port,
                prometheus_port=others["prometheus"].port,
            )
        )
        home.controller_lock.write_text("a1b2c3d4", encoding="ascii")
        others["controller"].body = json.dumps({"status": "ok", "installation": word_of(home)}).encode()
        write_routes(home.envoy, read_routes(home.envoy).with_table(TABLE, RouteOptions()))
        home.deployments.mkdir()
        records, mine = Records(home.deployments), identity_of(os.getpid())
        assert mine is not None
        for version in "67":
            started = (mine.pid, mine.start_ticks, mine.boot_id, ("serving",), 1.0, (1.0,), 0)
            records.save(Record("intent", version, *started, port=others[version].port, answered=True))
        upgrade_schema(home)
        with opened(home) as store:
            canary = releases.release_in(Phase.CANARY, routed=True, faults={"metrics": "did not answer"})
            store.journal.append(record_of(canary, 1), [Entry("Looked", 1_000.0, {})])
        yield Installed(home, others)


@pytest.mark.integration
def test_each_dead_part_is_named_first_and_by_the_exit_code(installed: Installed) -> None:
    """One after the other; with the way out, and as JSON with the same code."""
    assert (installed.status().exit_code, installed.grade()) == (0, Grade.UP)
    for name, grade, said in (
        ("mlflow", Grade.IMPAIRED, "the registry (MLflow)"),
        ("controller", Grade.STANDS_STILL, "nothing is being decided: the controller"),
        ("7", Grade.DOWN, "50 % of the requests for intent get no answer: intent-v7"),
        ("6", Grade.DOWN, "Users of intent get no answers: intent-v6"),
    ):
        installed.others[name].is_well = False
        told = installed.status()
        first = " ".join(told.stdout.split())
        assert (told.exit_code, installed.grade()) == (4, grade)
        assert first.startswith(f"{grade} ")
        assert said in first
        assert f"`serin up --home {installed.home.path}` starts what is missing." in first
        as_json = installed.status("--output", "json")
        document = json.loads(as_json.stdout)
        assert (as_json.exit_code, document["standing"]["grade"], document["written_at_s"]) == (4, grade, 1_000.0)


@pytest.mark.integration
@pytest.mark.parametrize(
    ("falls_back", "said"),
    [
        (
            True,
            (
                "impaired Users are answered, those of intent by version 6 in place of version 7, "
                "but not everything is running"
            ),
        ),
        (False, "DOWN Users of intent get no answers: intent-v7"),
    ],
)
def test_whether_the_known_good_version_answers_is_read_from_what_envoy_goes_by(
    installed: Installed, falls_back: bool, said: str
) -> None:
    """Where the policy has users refused, that it is warm helps nobody."""
    traffic = EnvoyTraffic(installed.home.envoy, falls_back=lambda _: falls_back)
    for version in "67":
        set_endpoint(traffic, "intent", version, installed.others[version].url)
    now = traffic.read("intent")
    assert now is not None
    traffic.write(now.next(weights_pct={"7": 100.0}))
    installed.others["7"].is_well = False
    told = installed.status()
    assert told.exit_code == 4
    assert " ".join(told.stdout.split()).startswith(said)


@pytest.mark.integration
def test_what_nobody_decides_on_is_shown_with_its_age(installed: Installed) -> None:
    """A fault that was recorded is the past's once nobody looks any more."""
    assert "as it was recorded" not in installed.status().stdout
    installed.others["controller"].is_well = False
    text = " ".join(installed.status().stdout.split())
    assert "The rest is what was recorded last: 1970-01-01 00:16 UTC" in text
    assert "Nothing is decided now. Last state:" in text
    assert "did not answer (as recorded; nobody checks now)" in text


@pytest.mark.integration
def test_another_homes_controller_is_no_answer(installed: Installed) -> None:
    """Two homes on one port: each is told apart by its word."""
    installed.others["controller"].body = b'{"status": "ok", "installation": "ffffffff"}'
    told = installed.doctor()
    assert told.exit_code == 4
    assert "does not answer: another home's controller has the port" in told.stdout


@pytest.mark.integration
@pytest.mark.parametrize("body", ['{"status": "UP"}', "{}", "[]", "<html>"])
def test_whatever_else_answers_at_its_port_is_no_controller(installed: Installed, body: str) -> None:
    """Many programs have a health route, and tell it in JSON. Nobody is told that such a one takes a word up."""
    installed.others["controller"].body = body.encode()
    assert installed.grade() is Grade.STANDS_STILL
    assert "nothing is being decided: the controller" in " ".join(installed.status().stdout.split())
    assert why_a_word_waits(installed.home) == "no controller runs here: it waits until `serin up` starts one."
    installed.others["controller"].body = json.dumps({"installation": word_of(installed.home)}).encode()
    with locked(installed.home.controller_lock, source=Source.HOME):
        assert why_a_word_waits(installed.home) == ""


@pytest.mark.parametrize(
    ("why", "way_out"),
    [
        ("database or disk is full", "Make room on its disk; "),
        ("attempt to write a readonly database", "Mount its disk writable; "),
        ("connection refused", "Bring it back; "),
    ],
)
def test_the_way_out_of_a_database_is_that_of_its_disk(why: str, way_out: str) -> None:
    assert the_store(TransientError(Source.STORE, why)).way_out.startswith(way_out)


@pytest.mark.integration
def test_what_runs_and_does_not_answer_is_not_said_to_be_started_again(installed: Installed) -> None:
    """`serin up` starts what has ended; of what hangs it is said how it is ended."""
    mine = identity_of(os.getpid())
    assert mine is not None
    KeptRecord(installed.home.path).write(
        {SUPERVISOR: mine, "controller": mine, "mlflow": replace(mine, start_ticks=0)}
    )
    installed.others["controller"].is_well = installed.others["mlflow"].is_well = False
    told = " ".join(installed.doctor().stdout.split())
    kill = f"if it stays like that, `kill -9 {mine.pid}` makes `serin up` restart it"
    itself = "which it does by itself after a minute without any answer"
    assert f"It is running as process {mine.pid}: {kill}, {itself}" in told
    assert told.count("`serin up` keeps restarting it") == 1
    assert f"It is running as process {mine.pid}" in why_a_word_waits(installed.home)


@pytest.mark.integration
@pytest.mark.parametrize("which", ["registry_url", "prometheus_url"])
def test_a_registry_of_others_that_is_broken_or_hangs_does_not_answer(installed: Installed, which: str) -> None:
    """A proxy answers before it with 503, or takes connections for one that is gone. Whoever refuses us is there."""
    other = installed.others["mlflow"]

    def told(url: str) -> str:
        installed.home.save(replace(installed.home.load(), **{which: url}))
        return " ".join(installed.doctor().stdout.split())

    assert f"at {other.url} answers" in told(other.url)
    other.is_well = False
    assert f"at {other.url} answers with status 503 See what is wrong at {other.url}." in told(other.url)
    with socket.create_server(("127.0.0.1", 0)) as hangs:
        at = f"http://127.0.0.1:{hangs.getsockname()[1]}"
        assert f"at {at} did not answer within 2 s See what is wrong at {at}." in told(at)


@pytest.mark.integration
def test_the_doctor_names_each_fault_and_the_way_out(installed: Installed) -> None:
    """What is well is said too. A fault that is only on record is none."""
    assert "metrics" not in installed.doctor().stdout
    for name in ("mlflow", "6"):
        installed.others[name].is_well = False
    told = installed.doctor()
    lines = told.stdout.splitlines()
    assert told.exit_code == 4
    assert [line.split()[0] for line in lines[:6]] == ["ok", "FAULT", "`serin", "ok", "ok", "FAULT"]
    assert "answers with status 503" in lines[1]
    document = json.loads(installed.doctor("--output", "json").stdout)
    assert (document["well"], sum(bool(part["fault"]) for part in document["parts"])) == (False, 2)


def test_a_home_of_which_nothing_runs_is_down(tmp_path: Path) -> None:
    """Whatever its files say of who serves."""
    home = Home(tmp_path / "home")
    home.save(Settings(gateway_port=2, api_port=1, mlflow_port=3, prometheus_port=4))
    upgrade_schema(home)
    home.envoy.mkdir()
    write_routes(home.envoy, read_routes(home.envoy).with_table(TABLE, RouteOptions()))
    told = CliRunner().invoke(app, ["status", "--home", str(home.path)])
    assert told.exit_code == 4
    said = " ".join(told.stdout.split())
    assert said.startswith("DOWN Users get no answers: the gateway (Envoy) at http://127.0.0.1:2 does not answer")
