"""The attack: a version's files are replaced whole in MLflow, and released, gated or started under the old number."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from controller.adapters.local.packages import PackageStore
from controller.adapters.mlflow.registry import MlflowRegistry
from controller.bootstrap.packaging import Order
from controller.bootstrap.registering import register
from controller.errors import PermanentError
from controller.ports.registry import FINGERPRINT_TAG, RegisteredVersion
from serving.contract import EXIT_REFUSED
from serving.package.artifact import ArtifactError, read_manifest
from serving.packaging.build import build_package
from tests.controller.mlflow_support import mlflow_server
from tests.patience import PATIENCE_S
from tests.serving.conftest import built_package, package
from tests.serving.graphs import CHECKPOINT
from tests.serving.replica import replica

__all__ = ["built_package", "package"]  # fixtures
pytestmark = pytest.mark.integration
SUITES = Path(__file__).parents[2] / "suites" / "intents"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with mlflow_server(tmp_path_factory.mktemp("registry")) as url:
        yield url


@pytest.fixture(scope="module")
def registry(server: str) -> MlflowRegistry:
    return MlflowRegistry(server, timeout_s=30)


@pytest.fixture
def client(server: str, registry: MlflowRegistry) -> Any:
    """The attacker's: anybody who may write to the registry."""
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=server, registry_uri=server)


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another package, sound in itself."""
    directory = tmp_path_factory.mktemp("other")
    build_package(Path(shutil.copytree(CHECKPOINT, directory / "checkpoint")), directory / "package")
    manifest = directory / "package" / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"created_by": "', '"created_by": "mallory, '))
    return directory / "package"


def registered(registry: MlflowRegistry, model: str) -> tuple[RegisteredVersion, str]:
    """A version as `serin register` makes it, and its fingerprint."""
    version = register(registry, CHECKPOINT, Order(model)).version
    return version, version.fingerprint


def test_the_gate_refuses_the_replaced_version_by_name(
    registry: MlflowRegistry, client: Any, server: str, other: Path, tmp_path: Path
) -> None:
    """`serin gate models:/intent/1`: exit code 1, and both fingerprints."""
    version, fingerprint = registered(registry, "gated")
    client.log_model_artifacts(version.source_id, str(other))
    answer = subprocess.run(
        [Path(sys.executable).with_name("serin"), "gate", "--model", "models:/gated/1", "--registry", server,
         "--suite", str(SUITES / "suite.jsonl"), "--home", str(tmp_path / "none")],
        capture_output=True, text=True, timeout=PATIENCE_S, check=False,
    )  # fmt: skip
    assert answer.returncode == 1, answer.stdout + answer.stderr
    assert f"version 1 was registered with {fingerprint}: its files have been replaced since" in answer.stdout


def test_a_release_never_takes_the_replaced_version_in(
    registry: MlflowRegistry, client: Any, other: Path, tmp_path: Path
) -> None:
    """First sight: the tag tells. Later: what was seen first, whatever the tag says by then."""
    version, fingerprint = registered(registry, "released")
    store = PackageStore(registry, tmp_path)
    seen = store.obtain("released", store.identify("released", "1"))
    assert (seen.version.fingerprint, seen.tagged) == (fingerprint, True)
    client.log_model_artifacts(version.source_id, str(other))
    shutil.rmtree(tmp_path / "released-v1")
    with pytest.raises(ArtifactError, match=f"was registered with {fingerprint}"):
        store.obtain("released", store.identify("released", "1"))
    with pytest.raises(ArtifactError, match=f"was seen first with {fingerprint}"):
        store.obtain("released", seen.version)


def test_a_tag_that_was_changed_with_the_files_contradicts_the_logged_models(
    registry: MlflowRegistry, client: Any, other: Path
) -> None:
    """Registration writes it in two places: who changes one of them is found out."""
    version, _ = registered(registry, "retagged")
    client.log_model_artifacts(version.source_id, str(other))
    client.set_model_version_tag("retagged", "1", FINGERPRINT_TAG, read_manifest(other)[1])
    with pytest.raises(PermanentError, match=r"contradict each other.*somebody changed one"):
        registry.version("retagged", "1")


def test_a_replica_does_not_start_another_package_than_was_registered(other: Path) -> None:
    """Each start of a process compares, also the one after a crash: the files on disk may be others by then."""
    command = [sys.executable, "-m", "serving", "--artifact", str(other), "--model", "m", "--version", "1"]
    done = subprocess.run(
        [*command, "--port", "0", "--fingerprint", "f" * 64],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == EXIT_REFUSED
    assert "manifest.json: has the fingerprint" in done.stderr
    check = subprocess.run(
        [*command[:3], "--check", *command[3:], "--fingerprint", "f" * 64],
        capture_output=True, text=True, timeout=PATIENCE_S, check=False,
    )  # fmt: skip
    assert check.returncode == EXIT_REFUSED


def test_a_worker_that_replaces_another_reads_no_other_package(package: Path, other: Path) -> None:
    """The files are replaced under a running replica, and its worker is lost: the replica ends, serving none."""
    with replica(package) as running:
        for file in other.iterdir():
            shutil.copyfile(file, package / file.name)
        running.family()[2].kill()
        assert running.process.wait(PATIENCE_S) == EXIT_REFUSED
        assert "artifact refused" in running.log.read_text()
