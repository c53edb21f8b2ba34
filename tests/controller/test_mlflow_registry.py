"""The adapter on a real MLflow server keeps the contract of ``Registry``, and so does the fake."""

import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from controller.adapters.local.loopback import free_port
from controller.adapters.mlflow.registry import MlflowRegistry
from controller.bootstrap.packaging import Order
from controller.bootstrap.registering import register
from controller.errors import PermanentError, TransientError, UsageError
from serving.package.origin import DataSet, Lineage
from tests.contracts.registry import FILES, RegistryContract, model, package
from tests.controller.mlflow_support import mlflow_server
from tests.fakes.registry import FakeRegistry
from tests.patience import PATIENCE_S
from tests.serving.graphs import CHECKPOINT
from tests.serving.shapes import log_with_mlflow

__all__ = ["model", "package"]  # fixtures of the contract


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with mlflow_server(tmp_path_factory.mktemp("registry")) as url:
        yield url


@pytest.fixture(scope="module")
def mlflow_registry(server: str) -> MlflowRegistry:
    return MlflowRegistry(server, timeout_s=30)


@pytest.fixture
def client(server: str, mlflow_registry: MlflowRegistry) -> Any:
    """MLflow's own client: another user of the same registry."""
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=server, registry_uri=server)


class TestFake(RegistryContract):
    @pytest.fixture
    def registry(self) -> FakeRegistry:
        return FakeRegistry()


@pytest.mark.integration
class TestMlflow(RegistryContract):
    @pytest.fixture
    def registry(self, mlflow_registry: MlflowRegistry) -> MlflowRegistry:
        return mlflow_registry

    def test_a_copied_version_leads_to_its_logged_model(
        self, registry: MlflowRegistry, client: Any, model: str, package: Path, tmp_path: Path
    ) -> None:
        """The safe set-up: trainers write to `x-candidates`, and Serin owns `x` through copies."""
        original = registry.register(package, f"{model}-candidates", tags={})
        client.copy_model_version(f"models:/{model}-candidates/1", model)
        client.copy_model_version(f"models:/{model}/1", f"{model}-again")
        copied = registry.version(f"{model}-again", "1")
        assert copied.source_id == original.source_id
        assert {path.name for path in registry.fetch(copied, tmp_path / "copy").iterdir()} == set(FILES)

    @pytest.mark.parametrize("source", ["s3://bucket/model", "gs://bucket/model"])
    def test_a_source_that_is_no_logged_model_is_refused_by_name(
        self, registry: MlflowRegistry, client: Any, model: str, source: str
    ) -> None:
        """MLflow accepts any source; a version's files are taken from this server's logged models only."""
        client.create_registered_model(model)
        client.create_model_version(model, source, await_creation_for=0)
        with pytest.raises(PermanentError, match=f"{model} version 1 comes from '{source}'"):
            registry.version(model, "1")

    def test_a_model_still_being_uploaded_is_not_ready_and_a_failed_one_never_will_be(
        self, registry: MlflowRegistry, client: Any, model: str
    ) -> None:
        """A pending logged model can be registered, so a version's own status says too little."""
        logged = client.create_logged_model("0", name=model)
        client.create_registered_model(model)
        source = f"models:/{logged.model_id}"
        client.create_model_version(model, source, await_creation_for=0, model_id=logged.model_id)
        assert not registry.version(model, "1").ready
        client.finalize_logged_model(logged.model_id, "FAILED")
        with pytest.raises(PermanentError, match="marked as failed"):
            registry.version(model, "1")

    def test_a_version_that_was_logged_as_it_was_trained_is_taken_over_with_its_run(
        self, registry: MlflowRegistry, client: Any, model: str, tmp_path: Path
    ) -> None:
        """What `mlflow.transformers.log_model` leaves: folders of files, and the run that logged them."""
        from mlflow.entities import Dataset, DatasetInput, InputTag

        run = client.create_run("0", tags={"mlflow.source.git.commit": "c0ffee" * 6})
        client.log_param(run.info.run_id, "epochs", "3")
        data = Dataset("tickets", "ab12", "local", "{}")
        client.log_inputs(run.info.run_id, [DatasetInput(data, [InputTag("mlflow.data.context", "training")])])
        checkpoint = Path(shutil.copytree(CHECKPOINT, tmp_path / "checkpoint"))
        log_with_mlflow(checkpoint)
        logged = client.create_logged_model("0", name="trained", source_run_id=run.info.run_id)
        client.log_model_artifacts(logged.model_id, str(checkpoint))
        client.finalize_logged_model(logged.model_id, "READY")
        client.create_registered_model(f"{model}-trained")
        source = f"models:/{logged.model_id}"
        client.create_model_version(f"{model}-trained", source, await_creation_for=0, model_id=logged.model_id)
        found = register(registry, f"models:/{model}-trained/1", Order(model))
        parts = (("epochs", "3"),), (DataSet("tickets", "ab12", "training"),)
        assert found.manifest.lineage == Lineage(run.info.run_id, "c0ffee" * 6, *parts)
        assert client.get_model_version(model, "1").run_id == run.info.run_id
        assert {path.name for path in registry.fetch(found.version, tmp_path / "served").iterdir()} == {
            "manifest.json", *found.manifest.files,
        }  # fmt: skip
        with pytest.raises(PermanentError, match=f"serin register models:/{model}-trained/1 --model {model}-trained"):
            registry.fetch(registry.version(f"{model}-trained", "1"), tmp_path / "not a package")
        with pytest.raises(PermanentError, match="could not read run 'none'"):
            registry.lineage("none")

    def test_a_package_with_folders_is_refused_before_it_is_downloaded(
        self, registry: MlflowRegistry, model: str, package: Path, tmp_path: Path
    ) -> None:
        """A package is flat: nothing can hide, and no path can lead elsewhere."""
        (package / "code").mkdir()
        (package / "code" / "evil.py").write_text("import os")
        version = registry.register(package, model, tags={})
        with pytest.raises(PermanentError, match="holds 'code'"):
            registry.fetch(version, tmp_path / "packages" / "v1")
        assert not (tmp_path / "packages").exists()

    def test_a_registration_that_failed_leaves_no_version(
        self, registry: MlflowRegistry, model: str, tmp_path: Path
    ) -> None:
        """A half-uploaded package never becomes a version."""
        broken = tmp_path / "broken"
        broken.mkdir()
        (broken / "model.onnx").symlink_to(tmp_path / "nowhere")
        with pytest.raises(TransientError, match="register"):
            registry.register(broken, model, tags={})
        assert registry.aliases_by_model([model]) == {}

    def test_reading_aliases_is_quick_enough_to_poll(self, registry: MlflowRegistry, model: str, package: Path) -> None:
        """One request."""
        registry.register(package, model, tags={})
        times_ms = []
        for _ in range(10):
            began_s = time.perf_counter()
            registry.aliases(model)
            times_ms.append((time.perf_counter() - began_s) * 1000)
        assert sorted(times_ms)[5] < 10_000, times_ms  # a poll's interval, on a machine however busy


@pytest.mark.integration
def test_a_registry_that_is_away_is_told_in_seconds() -> None:
    """MLflow's own defaults would hang for four minutes."""
    registry = MlflowRegistry(f"http://127.0.0.1:{free_port()}")
    began_s = time.monotonic()
    with pytest.raises(TransientError, match="MLflow could not read model 'intent'") as caught:
        registry.aliases("intent")
    assert caught.value.source == "registry"
    assert time.monotonic() - began_s < PATIENCE_S


def test_only_a_server_is_a_registry() -> None:
    """A database or a folder behind Serin's back is nobody's registry."""
    with pytest.raises(UsageError, match="sqlite"):
        MlflowRegistry("sqlite:///mlflow.db")


def test_constructing_the_registry_does_not_import_mlflow() -> None:
    """Its import takes seconds, which an on-call command must not pay."""
    code = (
        "import sys; from controller.adapters.mlflow.registry import MlflowRegistry; "
        "MlflowRegistry('http://127.0.0.1:1'); assert 'mlflow' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
