"""`serin up` and `serin down`: what they refuse, and what they leave as it is."""

import re
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from controller.adapters.local.kept import running_supervisor
from controller.bootstrap.local import end_everything
from controller.cli.app import app
from controller.config.settings import PORTS, Home, Settings
from controller.errors import PermanentError, UsageError
from tests.patience import PATIENCE_S, eventually

UP = """
    import signal, sys, threading
    from pathlib import Path
    from controller.adapters.local.supervisor import ProcessSpec, Supervisor
    stopping = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopping.set() if "deaf" not in sys.argv else None)
    home = Path(sys.argv[1])
    kept = ProcessSpec("kept", (sys.executable, "-c", "import signal; signal.pause()"), lambda: True, home / "kept.log")
    with Supervisor(home, [kept], progress=print, stopping=stopping) as supervisor:
        supervisor.start()
        supervisor.run()
"""


@contextmanager
def up_in(home: Path, *flags: str) -> Iterator[subprocess.Popen[bytes]]:
    """A supervisor of one program that, as under `timeout` or make, leads no process group of its own."""
    with subprocess.Popen([sys.executable, "-c", textwrap.dedent(UP), str(home), *flags]) as process:
        try:
            eventually(lambda: running_supervisor(home) is not None, what="the supervisor to run")
            yield process
        finally:
            process.kill()


@pytest.fixture
def home(tmp_path: Path) -> Home:
    place = Home(tmp_path / "home")
    place.save(Settings(gateway_port=18080))
    return place


def files(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_second_up_changes_nothing_of_the_first(home: Home) -> None:
    """It is refused before it writes: settings, Envoy's bootstrap and Prometheus' configuration are in use."""
    with up_in(home.path):
        before = files(home.path)
        result = CliRunner().invoke(app, ["up", "--free-ports", "--home", str(home.path)])
        assert isinstance(result.exception, UsageError)
        assert "already up" in str(result.exception)
        assert files(home.path) == before


def up_to_its_tokens(home: Home, *flags: str) -> None:
    """`serin up` as far as its tokens, whose file is damaged: settings are saved, and nothing is started."""
    home.api_tokens.write_text("{", encoding="utf-8")
    result = CliRunner().invoke(app, ["up", *flags, "--home", str(home.path)])
    assert isinstance(result.exception, UsageError)
    assert home.api_tokens.name in str(result.exception)


def test_a_plain_up_keeps_the_settings_of_the_home(home: Home) -> None:
    """Started again after a reboot, it must not turn to another registry or forget what it was told."""
    kept = Settings(gateway_port=1, registry_url="http://127.0.0.1:9", sticky_header="x-user", capture_text=True)
    home.save(kept)
    up_to_its_tokens(home)
    assert home.load() == kept


def test_up_changes_the_settings_that_are_given(home: Home) -> None:
    """One option changes one setting."""
    home.save(Settings(registry_url="http://127.0.0.1:9", sticky_header="x-user", capture_text=True))
    up_to_its_tokens(home, "--no-capture-text", "--gateway-port", "1")
    assert home.load() == Settings(1, registry_url="http://127.0.0.1:9", sticky_header="x-user")


def test_names_that_are_given_replace_those_of_before(home: Home) -> None:
    """Hosts and the labels of processes have flags that may be repeated; an empty one is none."""
    flags = ["--api-host", "serin.internal", "--api-host", "localhost:9000", "--gateway-host", "models.internal"]
    up_to_its_tokens(home, *flags, "--process-label", "pod", "--process-label", "namespace")
    named = home.load()
    assert named.api_hosts == ("serin.internal", "localhost:9000")
    assert (named.gateway_hosts, named.process_labels) == (("models.internal",), ("pod", "namespace"))
    up_to_its_tokens(home, "--api-host", "")
    assert home.load() == replace(named, api_hosts=())


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["--api-host", "http://serin.internal"], "api_hosts: .*'http://serin.internal' is neither a host nor a host"),
        (["--gateway-host", "a b"], "gateway_hosts: .*'a b' is neither a host"),
        (
            ["--gateway-host", "models:99999"],
            "gateway_hosts: .*'models:99999' is neither a host nor a host with",
        ),
        (["--process-label", "po d"], "process_labels: .*'po d' is no label of a metric"),
        (["--process-label", "__address__"], "process_labels: .* is no label of a metric that Prometheus keeps"),
        (["--process-label", ""], "process_labels: .*a list of one label or more"),
        (["--gateway-port", "8081"], "api_port: 8081 is gateway_port already: choose another port"),
        (["--gateway-port", "70000"], "gateway_port: 70000 is no port: write a whole number from 1 to 65535"),
        (["--registry", "mlflow.internal:5000"], "registry_url: .*begins with http:// or https://"),
        (["--sticky-header", "x user"], "sticky_header: 'x user' is no name of a header"),
    ],
)
def test_a_bad_value_is_refused_before_anything_is_written(home: Home, flags: list[str], told: str) -> None:
    before = files(home.path)
    result = CliRunner().invoke(app, ["up", *flags, "--home", str(home.path)])
    assert isinstance(result.exception, UsageError)
    assert re.match(told, str(result.exception))
    assert files(home.path) == before


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('{"tick_s": NaN}', "tick_s: NaN, which is not JSON"),
        ('{"capture_text": "no"}', "capture_text: 'no' is neither true nor false"),
        ('{"gateway_port": "8080"}', "gateway_port: '8080' is no port"),
        ('{"api_hosts": "serin.internal"}', 'api_hosts: .*must be a list, as \\["serin.internal"\\]'),
        ('{"process_labels": [1]}', "process_labels: .*must be a list"),
        ('{"lease_s": true}', "lease_s: True is no number above 0"),
        ('{"capture_ratio": 10}', "capture_ratio: 10 is no number from 0 to 1"),
        ('{"tick_s": 1, "tick_s": 2}', "tick_s: occurs twice"),
        ('{"gatway_port": 1}', "unknown key 'gatway_port'; did you mean 'gateway_port'?"),
        ('{"": 1}', "unknown key ''"),
        ("[1]", "it is not a JSON object"),
    ],
)
def test_settings_that_somebody_edited_are_read_strictly(home: Home, text: str, told: str) -> None:
    """Each is refused by name: a text is no flag, and the last of two values is no choice."""
    (home.path / "settings.json").write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match=rf"settings\.json: cannot be read: {told}"):
        home.load()


def test_settings_with_a_byte_order_mark_are_read(home: Home) -> None:
    """Editors of other systems write one, and end lines with CR and LF."""
    (home.path / "settings.json").write_bytes(b'\xef\xbb\xbf{\r\n "gateway_port": 18081\r\n}\r\n')
    assert home.load() == Settings(gateway_port=18081)


def test_free_ports_change_nothing_but_ports(home: Home) -> None:
    """The registry and all the rest stay."""
    before = Settings(registry_url="http://127.0.0.1:9", replica_threads=4, samples_kept_days=7.0)
    home.save(before)
    up_to_its_tokens(home, "--free-ports")
    after = home.load()
    assert all(getattr(after, name) != getattr(before, name) for name in PORTS)
    assert replace(after, **{name: getattr(before, name) for name in PORTS}) == before


def test_down_ends_an_up_that_leads_no_group(home: Home) -> None:
    """Started by `timeout`, make or a script, `serin up` is in the group of another."""
    with up_in(home.path) as process:
        result = CliRunner().invoke(app, ["down", "--home", str(home.path)])
        assert (result.exit_code, result.stdout) == (0, "Ended: serin up.\n")
        assert process.wait(PATIENCE_S) == 0


def test_down_does_not_claim_what_it_has_not_done(home: Home) -> None:
    """An error, and nothing of what still runs is taken away from under it."""
    with up_in(home.path, "deaf") as process:
        with pytest.raises(PermanentError, match=f"process {process.pid}, is still running"):
            end_everything(home, within_s=0.2)
        assert process.poll() is None
