"""`verify-cluster.sh` plays a release's objects on an API server, and says what did not hold."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.deploy.verified import outcomes, verify
from tests.fakes.kubernetes import Account, ApiError, FakeCluster
from tests.patience import PATIENCE_S

ROOT = Path(__file__).parents[2]
TOOLS = Path(sys.executable).parent


@pytest.fixture
def cluster() -> Iterator[FakeCluster]:
    with FakeCluster() as opened:
        opened.rights.give("", Account("anybody"))  # kubectl shows no token to a server without TLS
        yield opened


@pytest.mark.integration
def test_a_whole_release_of_objects_holds(cluster: FakeCluster, tmp_path: Path) -> None:
    done = verify(cluster, tmp_path, "--objects-only", "--namespace", "tried")
    table = outcomes(done.stdout)
    assert set(table.values()) == {"ok"}, done.stdout
    assert len(table) == 22
    assert done.returncode == 0
    assert "22 of 22 held." in done.stdout


def test_what_does_not_hold_is_a_row_and_the_exit_status(cluster: FakeCluster, tmp_path: Path) -> None:
    """A server that is away: nothing else is tried."""
    with cluster.away():
        done = verify(cluster, tmp_path, "--objects-only", "--namespace", "tried")
    assert outcomes(done.stdout) == {"the server answers": "FAILED"}
    assert "0 of 1 held." in done.stdout
    assert done.returncode == 1


@pytest.mark.integration
def test_a_row_fails_where_the_server_does_otherwise(cluster: FakeCluster, tmp_path: Path) -> None:
    """As one does that lets nobody write how a release is."""
    cluster.faults.answer(
        ApiError(403, "Forbidden", "no"), times=1_000, concerns=lambda access: access.resource == "modelreleases/status"
    )
    done = verify(cluster, tmp_path, "--objects-only", "--namespace", "tried")
    failed = [row for row, outcome in outcomes(done.stdout).items() if outcome != "ok"]
    assert failed == ["kubectl wait --for=condition=Promoted"], done.stdout
    assert done.returncode == 1


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--objects"], "--objects: no such option"),
        (["--model"], "--model: a value is missing"),
        (
            ["--namespace", "a", "--model", "intent", "--version", "2"],
            "name --namespace, --model, --version and --server",
        ),
    ],
)
def test_wrong_usage_is_one_line(cluster: FakeCluster, tmp_path: Path, options: list[str], said: str) -> None:
    done = verify(cluster, tmp_path, *options)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("script", sorted((ROOT / "deploy").rglob("*.sh")), ids=lambda path: path.name)
def test_scripts_have_no_fault_that_shellcheck_knows(script: Path, checked: Callable[..., None]) -> None:
    found = subprocess.run(
        [str(TOOLS / "shellcheck"), "--external-sources", str(script)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert (found.returncode, found.stdout) == (0, "")
    checked("scripts")
