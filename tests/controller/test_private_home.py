"""What lies in a home is its owner's alone, whatever the umask was and whoever made it."""

import json
import socket
import stat
from pathlib import Path

import pytest
from typer.testing import CliRunner

from controller.adapters.envoy.encoding import RouteOptions
from controller.adapters.envoy.tables import read_routes, write_routes
from controller.adapters.envoy.traffic import EnvoyTraffic
from controller.bootstrap.access import prepare_access
from controller.bootstrap.local import make_private
from controller.cli.app import app
from controller.cli.rollback import rollback
from controller.config.settings import Home, Settings
from controller.core.traffic import TrafficTable
from controller.errors import UsageError
from tests.controller.envoy_support import set_endpoint


@pytest.fixture
def home(tmp_path: Path) -> Home:
    place = Home(tmp_path / "home")
    place.save(Settings(api_port=1))
    return place


def open_to_others(home: Home) -> list[str]:
    found = [home.path, *home.path.rglob("*")]
    return [str(path) for path in found if stat.S_IMODE(path.lstat().st_mode) & 0o077]


@pytest.mark.parametrize(
    "command",
    [
        ("db", "upgrade"),
        ("freeze", "*", "--reason", "holidays"),
        ("unfreeze", "*", "--reason", "over"),
        ("token", "create", "--role", "view", "--name", "board"),
        ("labels", "LABELS"),
        ("abort", "intent", "--reason", "wrong"),
        ("resume", "intent", "--reason", "right"),
        ("release", "start", "intent", "7"),
    ],
    ids=lambda command: command[0],
)
def test_what_a_command_writes_is_its_owners_alone(home: Home, tmp_path: Path, command: tuple[str, ...]) -> None:
    """The database that it makes and all beside it, under a umask that lets everybody read."""
    home.policies.mkdir(mode=0o700)
    policy = home.policies / "intent.yaml"
    policy.touch(mode=0o600)
    policy.write_text("apiVersion: serin/v1\nkind: ReleasePolicy\nmodel: intent\n", encoding="utf-8")
    labels = tmp_path / "labels.jsonl"
    labels.write_text('{"request_id": "a", "label": "b"}\n', encoding="utf-8")
    words = [str(labels) if word == "LABELS" else word for word in command]
    for arguments in (["db", "upgrade"], words):
        result = CliRunner().invoke(app, [*arguments, "--home", str(home.path)])
        assert result.exit_code == 0, result.output
    assert open_to_others(home) == []


def test_a_rollback_leaves_the_routes_its_owners_alone(home: Home) -> None:
    """It replaces the file that Envoy follows."""
    home.envoy.mkdir(mode=0o700)
    admin = {"admin": {"address": {"pipe": {"path": str(home.envoy / "nobody")}}}}
    (home.envoy / "bootstrap.json").write_text(json.dumps(admin))
    traffic = EnvoyTraffic(home.envoy)
    listener = socket.create_server(("127.0.0.1", 0))  # a replica that runs
    set_endpoint(traffic, "intent", "6", f"http://127.0.0.1:{listener.getsockname()[1]}")
    table = TrafficTable("intent", {"7": 100.0}, known_good="6", generation=1)
    write_routes(home.envoy, read_routes(home.envoy).with_table(table, RouteOptions()))
    home.routes.chmod(0o644)
    with listener:
        rollback(["intent", "--reason", "wrong refunds", "--home", str(home.path)])
    assert stat.S_IMODE(home.routes.stat().st_mode) == 0o600


def test_an_open_home_is_closed_and_counted(home: Home) -> None:
    """One from before; what is not ours in the folder stays as it was, and so does what a link leads to."""
    prepare_access(home, home.load())
    old = home.api_token.read_text()
    outside = home.path.parent / "outside"
    outside.mkdir()
    home.logs.mkdir()
    (home.logs / "controller.log").write_text("x")
    (home.logs / "elsewhere").symlink_to(outside)
    (home.path / "serin.db-wal").write_text("x")
    (home.path / "thesis.tex").write_text("x")
    for path in (home.path, home.logs, outside):
        path.chmod(0o755)
    for path in (home.logs / "controller.log", home.path / "serin.db-wal", home.path / "thesis.tex", home.api_token):
        path.chmod(0o644)
    assert make_private(home) == 4  # the folder, logs, its file, the database: the token is another one by now
    assert open_to_others(home) == [str(home.path / "thesis.tex"), str(home.logs / "elsewhere")]
    assert stat.S_IMODE(outside.stat().st_mode) == 0o755
    assert home.api_token.read_text() != old
    assert make_private(home) == 0


def test_a_folder_of_everybodys_is_no_home(tmp_path: Path) -> None:
    """Closing it would take it from everybody; leaving it open would show them everything."""
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o1777)
    with pytest.raises(UsageError, match="this folder is everybody's"):
        Home(shared).check_path()
