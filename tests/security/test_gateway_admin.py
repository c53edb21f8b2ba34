"""Attacks on the gateway by way of Envoy's admin interface, which can end it, show its memory and change its logs."""

import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from controller.adapters.envoy.bootstrap import ADMIN_SOCKET, write_bootstrap
from controller.adapters.envoy.running import accepted_revision
from controller.adapters.envoy.traffic import EnvoyTraffic
from controller.adapters.local.loopback import free_ports
from controller.core.traffic import TrafficTable
from controller.errors import PermanentError
from tests.contracts.traffic import confirmed
from tests.controller.envoy_support import RunningEnvoy, running_envoy, upstream
from tests.patience import eventually

PAGE = {"origin": "http://evil.test", "content-type": "application/x-www-form-urlencoded"}
CHANGES = ("/quitquitquit", "/healthcheck/fail", "/drain_listeners", "/reset_counters", "/logging?level=trace")
SECRETS = ("/", "/config_dump", "/clusters", "/server_info", "/stats", "/memory", "/certs", "/stats/prometheus/")


@pytest.fixture
def envoy(tmp_path: Path) -> Iterator[RunningEnvoy]:
    """A gateway that serves version 6."""
    with ExitStack() as stack:
        v6 = stack.enter_context(upstream("6"))
        envoy = stack.enter_context(running_envoy(tmp_path))
        traffic = EnvoyTraffic(tmp_path)
        v6.announce(traffic)
        traffic.write(TrafficTable("intent", {"6": 100.0}, generation=1))
        assert confirmed(traffic, "intent", 1)
        eventually(lambda: envoy.post().status_code == 200, what="the gateway to serve")
        yield envoy


def asked(envoy: RunningEnvoy, method: str, target: str, **headers: str) -> httpx.Response:
    return envoy.client.request(method, envoy.admin_url + target, headers=headers)


@pytest.mark.integration
@pytest.mark.parametrize("path", CHANGES)
def test_a_form_of_a_web_page_changes_nothing(envoy: RunningEnvoy, path: str) -> None:
    """A form may be posted to any port of this machine, with or without its origin told: nothing there takes it."""
    assert asked(envoy, "POST", path, **PAGE).status_code == 404
    assert asked(envoy, "POST", path).status_code == 404
    assert envoy.process.poll() is None
    assert envoy.ask(10) == ["6"] * 10


@pytest.mark.integration
@pytest.mark.parametrize("path", [*CHANGES, *SECRETS, "/ready/../quitquitquit", "//quitquitquit", "/ready;/clusters"])
def test_nothing_but_counts_and_readiness_can_be_read(envoy: RunningEnvoy, path: str) -> None:
    """Neither the configuration nor anything else that the interface knows; however the path is written."""
    answer = asked(envoy, "GET", path)
    assert (answer.status_code, answer.text) == (404, "")
    assert envoy.ask(1) == ["6"]


@pytest.mark.integration
def test_counts_and_readiness_are_read_under_this_machines_names_only(envoy: RunningEnvoy) -> None:
    """What Prometheus scrapes is there; a page whose name was bound to this machine (DNS rebinding) reads nothing."""
    port = envoy.admin_url.rpartition(":")[2]
    for host in (f"127.0.0.1:{port}", f"localhost:{port}", "localhost", f"[::1]:{port}", f"LOCALHOST:{port}"):
        assert "envoy_cluster_upstream_rq" in asked(envoy, "GET", "/stats/prometheus", host=host).text
        assert asked(envoy, "GET", "/ready", host=host).text == "LIVE\n"
    for host in ("evil.test", f"evil.test:{port}", "127.0.0.1.evil.test", "localhost.evil.test", "x@localhost", ""):
        answer = asked(envoy, "GET", "/stats/prometheus", host=host)
        assert answer.status_code in (400, 421), host
        assert "envoy_" not in answer.text
    assert asked(envoy, "GET", "/stats/prometheus", origin="http://evil.test").status_code == 404


@pytest.mark.integration
def test_the_socket_is_its_owners_alone(envoy: RunningEnvoy) -> None:
    """Neither the socket nor the folder around it can be entered by anybody else on this machine."""
    found = (envoy.directory / ADMIN_SOCKET).stat()
    assert stat.S_ISSOCK(found.st_mode)
    assert stat.S_IMODE(found.st_mode) == 0o600
    assert stat.S_IMODE(envoy.directory.stat().st_mode) == 0o700


@pytest.fixture
def deep(tmp_path: Path) -> Path:
    """A home whose path is longer than that of a socket may be."""
    return tmp_path / ("a-long-name-" * 10) / "envoy"


@pytest.fixture
def temporary(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A short folder for temporary files."""
    folder = Path(tempfile.mkdtemp(prefix="s", dir="/tmp"))  # those of pytest are too long for sockets
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield folder
    shutil.rmtree(folder)


@pytest.mark.integration
def test_a_home_with_a_long_path_has_its_socket_in_a_private_folder(deep: Path, temporary: Path) -> None:
    """A socket's path holds 107 bytes; the gateway works all the same, and stays closed to others."""
    with running_envoy(deep):
        assert accepted_revision(deep) == 0
        (folder,) = temporary.iterdir()
        (socket,) = folder.iterdir()
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert stat.S_IMODE(socket.stat().st_mode) == 0o600


@pytest.mark.parametrize("how", ["open", "link", "file"])
def test_a_folder_that_others_prepared_is_refused(deep: Path, temporary: Path, tmp_path: Path, how: str) -> None:
    """Whoever may write there could stand in for the admin interface: nothing is started, and the way out is named."""
    folder = temporary / f"serin-{os.geteuid()}"
    if how == "open":
        folder.mkdir()
        folder.chmod(0o777)
    elif how == "link":
        folder.symlink_to(tmp_path)
    else:
        folder.touch()
    with pytest.raises(PermanentError, match="choose a home with a shorter path"):
        write_bootstrap(deep, *free_ports(2))
