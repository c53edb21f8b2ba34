"""`serin up` and `serin down`: what they refuse, and what they leave as it is."""

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
from tests.patience import eventually

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
        assert process.wait(5) == 0


def test_down_does_not_claim_what_it_has_not_done(home: Home) -> None:
    """An error, and nothing of what still runs is taken away from under it."""
    with up_in(home.path, "deaf") as process:
        with pytest.raises(PermanentError, match=f"process {process.pid}, still runs"):
            end_everything(home, within_s=0.2)
        assert process.poll() is None
