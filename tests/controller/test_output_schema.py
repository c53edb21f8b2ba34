"""What commands print as JSON is what docs/output.schema.json says, of every command that prints any."""

import base64
import json
import socket
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import typer.main
from typer.testing import CliRunner

from controller.adapters.envoy.encoding import RouteOptions
from controller.adapters.envoy.tables import read_routes, write_routes
from controller.adapters.envoy.traffic import EnvoyTraffic
from controller.bootstrap.access import create_token
from controller.bootstrap.stores import opened, upgrade_schema
from controller.cli.app import app
from controller.cli.rollback import rollback
from controller.config.settings import Home, Settings
from controller.core.commands import Freeze
from controller.core.release import Phase
from controller.core.traffic import TrafficTable
from controller.journal.codec import entry_of, record_of
from controller.roles import Role
from gates.outcome import Outcome
from gates.verdict import Limit, Rule, Stage
from tests.controller import releases

DOCS = Path(__file__).parents[2] / "docs"
SCHEMA = json.loads((DOCS / "output.schema.json").read_text(encoding="utf-8"))
RELEASE = "intent-v7-1"
WHY = ("--reason", "incident 42")
COMMANDS = {
    "status": ("status",),
    "doctor": ("doctor",),
    "release list": ("release", "list"),
    "release start": ("release", "start", "intent", "9", "--supersede", "--during-freeze"),
    "why": ("why", RELEASE),
    "history": ("history", "--since", "1970-01-01"),
    "wait": ("wait", "intent", "--timeout-s", "0.001"),
    "abort": ("abort", "intent", *WHY),
    "resume": ("resume", "intent", *WHY),
    "pause": ("pause", "intent", *WHY),
    "promote": ("promote", "intent", *WHY),
    "freeze": ("freeze", "intent", *WHY),
    "unfreeze": ("unfreeze", "intent", *WHY),
    "report": ("report", RELEASE),
    "down": ("down",),
    "labels": ("labels", "{folder}/labels.jsonl"),
    "label-requests": ("label-requests", "intent"),
    "token create": ("token", "create", "--role", "view", "--name", "desk"),
    "token list": ("token", "list"),
    "token revoke": ("token", "revoke", "--name", "mine"),
    "db upgrade": ("db", "upgrade"),
    "db forget-digest-key": ("db", "forget-digest-key", *WHY),
    "dataset export": ("dataset", "export", "intent", "--out", "{folder}/out.jsonl"),
    "notify test": ("notify", "test"),
    "drill": ("drill",),  # one that is played: tests/e2e/test_drills.py
    "dashboards": ("dashboards", "--out", "{folder}/dashboards"),
    "policy check": ("policy", "check", "{folder}/home/policies/intent.yaml"),
    "plan": ("plan", "--policy", "{folder}/home/policies/intent.yaml", "--requests-per-s", "20"),
}
ELSEWHERE = {
    "release again",  # it asks a registry: its keys are those of a start
    "load",  # a gateway: test_load.py
    "register",  # a registry: test_registering.py, as of
    "package",
    "gate",  # a replica: lessons/test_gate_files.py, and what pipelines get: deploy/test_ci.py
    "judge",  # recorded evidence: test_evidence_command.py, as of
    "backtest",
}
PRINT_OTHERWISE = {
    "up",  # runs until it is ended
    "help",
    "rollback",  # its own parser has the option
    "rules",  # files of other programs
    "routing",
    "evidence",  # JSON Lines, docs/evidence.md
    "policy schema",  # is JSON
    "policy preset",  # a policy file
}


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """An installation of which nothing runs, with a canary and a freeze."""
    place = Home(tmp_path / "home")
    place.save(Settings(gateway_port=2, api_port=1, mlflow_port=3, prometheus_port=4))
    place.policies.mkdir()
    text = "apiVersion: serin/v1\nkind: ReleasePolicy\nmodel: intent\n"
    (place.policies / "intent.yaml").write_text(text, encoding="utf-8")
    place.envoy.mkdir()
    table = TrafficTable("intent", {"6": 95.0, "7": 5.0}, known_good="6")
    write_routes(place.envoy, read_routes(place.envoy).with_table(table, RouteOptions()))
    upgrade_schema(place)
    limits = (Limit(Rule.MARGIN, 1.25, 1.04, "times"),)
    open_gate = replace(releases.verdict("errors.live", Outcome.INCONCLUSIVE, Stage.LIVE), limits=limits, samples=9)
    canary = releases.release_in(Phase.CANARY, verdicts={"errors.live": open_gate})
    with opened(place) as store:
        store.journal.append(record_of(canary, 1), [entry_of(releases.started(), releases.NOW_S)])
        store.freezes.freeze(Freeze("*", "holidays", "ana", 3.0))
    return place


def checked(text: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(text)
    jsonschema.validate(document, SCHEMA)
    return document


def _given(command: str, home: Home) -> list[str]:
    """The arguments, with what they name made before."""
    (home.path.parent / "labels.jsonl").write_text('{"request_id": "1", "label": "refund"}\n', encoding="utf-8")
    if command == "dataset export":
        home.text_key.write_text(base64.urlsafe_b64encode(bytes(32)).decode(), encoding="ascii")
    if command == "notify test":
        home.save(
            replace(home.load(), notify=({"name": "pager", "kind": "command", "argv": [sys.executable, "--version"]},))
        )
    if command == "token revoke":
        create_token(home, "mine", [Role.VIEW], model=None, lasts=None)
    return [part.replace("{folder}", str(home.path.parent)) for part in COMMANDS[command]]


@pytest.mark.parametrize("command", COMMANDS)
def test_what_is_printed_is_what_the_schema_says(home: Home, command: str) -> None:
    told = CliRunner().invoke(app, [*_given(command, home), "-o", "json", "--home", str(home.path)])
    assert told.stdout, repr(told.exception)
    assert checked(told.stdout)["schema"] in (DOCS / "output.md").read_text(encoding="utf-8")
    assert told.exit_code in (0, 3, 4, 5), told.output


def test_a_rollback_is_told_by_its_schema(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    """Its own parser prints it, which waits for no library."""
    with socket.create_server(("127.0.0.1", 0)) as replica:
        EnvoyTraffic(home.envoy).set_endpoints("intent", "6", [(f"http://127.0.0.1:{replica.getsockname()[1]}", None)])
        rollback(["intent", "--dry-run", "-o", "json", "--home", str(home.path)])
    dry = checked(capsys.readouterr().out)
    assert (dry["schema"], dry["version"], dry["moved"]) == ("serin.rollback/v1", "6", False)


def test_every_command_that_prints_json_is_held_to_the_schema() -> None:
    """A command added later cannot forget it."""
    group = typer.main.get_command(app)
    found, without = set(), set()
    for name, command in group.commands.items():  # type: ignore[attr-defined]
        of = command.commands if hasattr(command, "commands") else {"": command}
        for below, one in of.items():
            if one.hidden:  # words of others, that say where they went
                continue
            has = any("--output" in option.opts for option in one.params)
            (found if has else without).add(f"{name} {below}".strip())
    assert found == COMMANDS.keys() | ELSEWHERE
    assert without == PRINT_OTHERWISE
