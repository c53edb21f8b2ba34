"""What the adapter makes of a registry that answers strangely, or that others change; each over a real socket."""

import json
import socket
import uuid
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from controller.adapters.mlflow.registry import CHAIN_LENGTH_MAX, MlflowRegistry
from controller.errors import ConflictError, PermanentError, TransientError
from controller.ports.registry import RegisteredVersion
from tests.controller.http_support import http_server

API = "/api/2.0/mlflow"


class Mlflow:
    """Answers by path: a list is used up one by one, its last entry stays."""

    def __init__(self) -> None:
        self.url = ""
        self.answers: dict[str, list[Any]] = {}
        self.asked: list[str] = []
        # One of its own: the client library remembers for the whole process where a logged model's files are.
        self.version = RegisteredVersion("intent", "7", f"m-{uuid.uuid4().hex}", ready=True)

    def answer(self, path: str) -> Any:
        self.asked.append(path)
        answers = self.answers.get(path, [{"error_code": "RESOURCE_DOES_NOT_EXIST", "message": f"nothing at {path}"}])
        return answers.pop(0) if len(answers) > 1 else answers[0]

    def holds_package(self, location: str, *files: dict[str, Any]) -> None:
        info = {
            "model_id": self.version.source_id,
            "experiment_id": "1",
            "name": "intent",
            "artifact_uri": location,
            "creation_timestamp_ms": 1,
            "last_updated_timestamp_ms": 1,
            "status": "LOGGED_MODEL_READY",
        }
        self.answers[f"{API}/logged-models/{self.version.source_id}"] = [{"model": {"info": info, "data": {}}}]
        self.answers["/api/2.0/mlflow-artifacts/artifacts"] = [{"files": list(files)}]

    def has_aliases(self, *readings: str) -> None:
        self.answers[f"{API}/registered-models/get"] = [
            {"registered_model": {"name": "intent", "aliases": [{"alias": "champion", "version": version}]}}
            for version in readings
        ]
        self.answers[f"{API}/registered-models/alias"] = [{}]


@pytest.fixture
def mlflow() -> Iterator[Mlflow]:
    server = Mlflow()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.do_GET()

        def do_GET(self) -> None:
            answer = server.answer(urlsplit(self.path).path)
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            body = answer.encode() if isinstance(answer, str) else json.dumps(answer).encode()
            self.send_response(404 if isinstance(answer, dict) and "error_code" in answer else 200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Quiet."""

    with http_server(Handler) as server.url:
        yield server


@pytest.fixture
def registry(mlflow: Mlflow) -> MlflowRegistry:
    return MlflowRegistry(mlflow.url, retries=0)


def test_a_registry_that_is_away_is_told_in_a_few_words() -> None:
    """Where, and not the client library's sentence about its connection pool."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        place = f"http://127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(TransientError) as hung:
            MlflowRegistry(place, timeout_s=1, retries=0).version("intent", "7")
    assert str(hung.value) == f"MLflow could not read intent version 7: {place} gave no answer in time"
    with pytest.raises(TransientError) as away:
        MlflowRegistry(place, retries=0).version("intent", "7")
    assert str(away.value) == f"MLflow could not read intent version 7: nobody listens at {place}"


def test_an_alias_that_somebody_else_moved_meanwhile_is_told(mlflow: Mlflow, registry: MlflowRegistry) -> None:
    """The registry takes the last write, so both promoters would believe they won."""
    mlflow.has_aliases("6", "5")
    with pytest.raises(ConflictError, match="set to version 7, but found at version 5"):
        registry.move_alias("intent", "champion", "7", expected="6")


def test_a_move_already_made_writes_nothing(mlflow: Mlflow, registry: MlflowRegistry) -> None:
    """Repeating an action after a crash."""
    mlflow.has_aliases("7")
    registry.move_alias("intent", "champion", "7", expected="6")
    assert f"{API}/registered-models/alias" not in mlflow.asked


@pytest.mark.parametrize("answer", ["<html>please log in</html>", "[]"])
def test_an_odd_answer_is_an_outage(mlflow: Mlflow, registry: MlflowRegistry, answer: str) -> None:
    """A proxy's page says nothing about the model."""
    mlflow.answers[f"{API}/registered-models/get"] = [answer]
    with pytest.raises(TransientError, match="MLflow could not read model 'intent'"):
        registry.aliases("intent")


def test_a_circle_of_copies_ends(mlflow: Mlflow, registry: MlflowRegistry) -> None:
    """A chain of sources is followed only so far."""
    version = {"name": "intent", "version": "7", "source": "models:/intent/7", "status": "READY"}
    mlflow.answers[f"{API}/model-versions/get"] = [{"model_version": version}]
    with pytest.raises(PermanentError, match="a cycle"):
        registry.version("intent", "7")
    assert len(mlflow.asked) == CHAIN_LENGTH_MAX


@pytest.mark.parametrize(
    "location",
    ["file:///etc", "s3://bucket/x", "mlflow-artifacts://elsewhere/1/models/x", "mlflow-artifacts:/1/../../secrets"],
)
def test_files_of_other_places_are_not_taken(
    mlflow: Mlflow, registry: MlflowRegistry, tmp_path: Path, location: str
) -> None:
    """Whoever may create an experiment chooses where its files are: not on this machine, not on another host."""
    mlflow.holds_package(location, {"path": "model.onnx", "is_dir": False, "file_size": 5})
    with pytest.raises(PermanentError, match="files that the registry's own server serves"):
        registry.fetch(mlflow.version, tmp_path / "into")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["../evil", "/etc/passwd", "a/b", ".hidden", "a b", "%2e%2e"])
def test_no_file_name_leads_out_of_the_directory(
    mlflow: Mlflow, registry: MlflowRegistry, tmp_path: Path, name: str
) -> None:
    """Refused by MLflow's client or by us, and nothing is written."""
    mlflow.holds_package("mlflow-artifacts:/1/models/x", {"path": name, "is_dir": False, "file_size": 5})
    with pytest.raises((PermanentError, TransientError)):
        registry.fetch(mlflow.version, tmp_path / "into")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "files",
    [
        [],
        [{"path": f"file{number}", "is_dir": False, "file_size": 1} for number in range(65)],
        [{"path": "model.onnx", "is_dir": False, "file_size": 10**12}],
    ],
)
def test_a_package_of_absurd_size_is_refused_before_download(
    mlflow: Mlflow, registry: MlflowRegistry, tmp_path: Path, files: list[dict[str, Any]]
) -> None:
    """Neither nothing nor a full disk."""
    mlflow.holds_package("mlflow-artifacts:/1/models/x", *files)
    with pytest.raises(PermanentError, match="1 to 64 files"):
        registry.fetch(mlflow.version, tmp_path / "into")


def test_a_download_that_fails_leaves_nothing_behind(mlflow: Mlflow, registry: MlflowRegistry, tmp_path: Path) -> None:
    """The directory appears whole or not at all."""
    mlflow.holds_package("mlflow-artifacts:/1/models/x", {"path": "model.onnx", "is_dir": False, "file_size": 5})
    with pytest.raises((PermanentError, TransientError), match="download intent version 7"):
        registry.fetch(mlflow.version, tmp_path / "into")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("code", ["PERMISSION_DENIED", "UNAUTHENTICATED", "CUSTOMER_UNAUTHORIZED"])
def test_rights_that_we_lack_are_waited_for_and_reject_no_version(mlflow: Mlflow, code: str) -> None:
    """A password that ran out says nothing of the candidate that is looked at just then."""
    mlflow.answers[f"{API}/model-versions/get"] = [{"error_code": code, "message": "not allowed"}]
    with pytest.raises(TransientError, match="not allowed") as refused:
        MlflowRegistry(mlflow.url, timeout_s=5).version("intent", "7")
    assert refused.value.source == "registry"
