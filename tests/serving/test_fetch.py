"""``python -m serving fetch``: what a pod does before its replica starts."""

import os
import shutil
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from controller.adapters.mlflow.registry import MlflowRegistry
from serving.__main__ import main
from serving.package.artifact import MANIFEST_FILE, WEIGHTS_FILE, read_manifest, verify
from serving.package.shared import UNTOUCHED_S, alone
from tests.controller.mlflow_support import mlflow_server

SOURCE = "m-" + "0" * 32
NOBODY = "http://127.0.0.1:1"


class Server:
    """An MLflow server's answers for one logged model, whose files are those of ``directory``.

    ``cut``: names of files of which only the half is sent. ``token``: asked for where it is set.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.cut: set[str] = set()
        self.token = ""
        self.asked: list[str] = []
        self.location = "mlflow-artifacts:/1/models/x/artifacts"

    def answer(self, path: str, authorization: str) -> tuple[int, bytes, int]:
        self.asked.append(path)
        if authorization != self.token:
            return 403, b"who are you", 11
        if path.startswith("/api/2.0/mlflow/logged-models/"):
            body = f'{{"model": {{"info": {{"artifact_uri": "{self.location}", "status": "LOGGED_MODEL_READY"}}}}}}'
            return 200, body.encode(), len(body)
        name = path.rpartition("/")[2]
        data = (self.directory / name).read_bytes()
        return 200, data[: len(data) // 2] if name in self.cut else data, len(data)


@pytest.fixture
def server(package: Path) -> Iterator[tuple[Server, str]]:
    served = Server(package)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, data, length = served.answer(self.path, self.headers.get("authorization", ""))
            self.send_response(status)
            self.send_header("content-length", str(length))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            """Nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield served, f"http://127.0.0.1:{http.server_port}"
        http.shutdown()
        thread.join()


def fetched(url: str, package: Path, into: Path, *more: str, source: str = SOURCE) -> int:
    _, expect = read_manifest(package)
    return main(["fetch", "--source", source, "--expect", expect, "--into", str(into), "--registry", url, *more])


def test_what_was_fetched_once_is_used_while_the_registry_is_away(
    server: tuple[Server, str], package: Path, tmp_path: Path
) -> None:
    """A rescheduled pod starts from its cache; its files are digested before it is used."""
    _, url = server
    assert fetched(url, package, tmp_path / "cache" / "one") == 0
    verify(tmp_path / "cache" / "one")
    assert fetched(NOBODY, package, tmp_path / "cache" / "one") == 0


def test_a_damaged_cache_is_not_used(
    server: tuple[Server, str], package: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither where the registry is away, nor after: it is fetched again."""
    _, url = server
    into = Path(shutil.copytree(package, tmp_path / "one"))
    (into / WEIGHTS_FILE).write_bytes(b"spoilt")
    assert fetched(NOBODY, package, into) == 75
    assert "the package is not available now: http://127.0.0.1:1 did not answer" in capsys.readouterr().err
    assert fetched(url, package, into) == 0
    verify(into)


def test_another_package_under_the_same_id_is_refused(
    server: tuple[Server, str], package: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Files in a registry can be replaced: the manifest is not the one that was registered, or a file is not its."""
    served, url = server
    served.directory = Path(shutil.copytree(package, tmp_path / "other"))
    weights = served.directory / WEIGHTS_FILE
    weights.write_bytes(bytes(weights.stat().st_size))
    assert fetched(url, package, tmp_path / "one") == 3
    assert "artifact refused: model.safetensors: has SHA-256" in capsys.readouterr().err
    manifest = served.directory / MANIFEST_FILE
    manifest.write_bytes(manifest.read_bytes() + b"\n")
    assert fetched(url, package, tmp_path / "one") == 3
    assert "manifest.json: has the fingerprint" in capsys.readouterr().err
    assert not (tmp_path / "one").exists()


def test_an_answer_that_ends_early_says_nothing_of_the_package(
    server: tuple[Server, str], package: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The registry's connection broke: a version must not fail for that."""
    served, url = server
    served.cut = {WEIGHTS_FILE}
    assert fetched(url, package, tmp_path / "one") == 75
    assert "bytes early" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".one")] == [".one.lock"]


def test_a_token_is_shown_as_it_is_meant(server: tuple[Server, str], package: Path, tmp_path: Path) -> None:
    """A bearer token, or what stands behind its scheme."""
    served, url = server
    token = tmp_path / "token"
    for number, (text, shown) in enumerate([("abc\n", "Bearer abc"), ("Basic YWJj\n", "Basic YWJj")]):
        token.write_text(text)
        served.token = shown
        assert fetched(url, package, tmp_path / str(number)) == 75
        assert fetched(url, package, tmp_path / str(number), "--token-file", str(token)) == 0


def test_files_that_lie_elsewhere_are_not_taken(server: tuple[Server, str], package: Path, tmp_path: Path) -> None:
    served, url = server
    for location in ("s3://bucket/x", "mlflow-artifacts://other/x", "mlflow-artifacts:/../../etc"):
        served.location = location
        assert fetched(url, package, tmp_path / "one") == 3


# --- what lies beside it ---------------------------------------------------------------------------------------------
OLD, YOUNG, NEEDED = ("a" * 64, "b" * 64, "c" * 64)


@pytest.fixture
def cache(package: Path, tmp_path: Path) -> Path:
    """A cache with three other packages, two of which nobody has touched for two days, and what is none of ours."""
    found = tmp_path / "cache"
    for name in (OLD, YOUNG, NEEDED, f".{OLD}.killed", f".{YOUNG}.arriving", "theirs"):
        shutil.copytree(package, found / name)
        if name != YOUNG:
            aged = [found / name, *((found / name).iterdir() if name.endswith(".killed") else ())]
            for one in aged:
                os.utime(one, (time.time() - 2 * UNTOUCHED_S,) * 2)
    return found


def kept(folder: Path, *names: str) -> Path:
    folder.mkdir()
    for name in names:
        (folder / name).write_text("2026-11-26")
    return folder


def names(cache: Path) -> set[str]:
    return {one.name for one in cache.iterdir() if one.is_dir()}


def test_what_is_not_to_be_kept_goes_and_what_is_or_was_just_taken_in_stays(
    server: tuple[Server, str], package: Path, cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With it goes what a fetch that was killed left. Folders of others are not touched, nor what still arrives: its
    lock may be of another machine."""
    _, expect = read_manifest(package)
    listed = kept(tmp_path / "kept", NEEDED, "..data")
    assert fetched(server[1], package, cache / expect, "--kept", str(listed)) == 0
    assert names(cache) == {YOUNG, f".{YOUNG}.arriving", NEEDED, "theirs", expect}
    assert f"deleted .{OLD}.killed, {OLD}" in capsys.readouterr().err


def test_the_package_that_is_asked_for_stays_and_begins_anew(package: Path, cache: Path, tmp_path: Path) -> None:
    """Though no list names it, and while the registry is away."""
    _, expect = read_manifest(package)
    shutil.copytree(package, cache / expect)
    os.utime(cache / expect, (0, 0))
    assert fetched(NOBODY, package, cache / expect, "--kept", str(kept(tmp_path / "kept", NEEDED))) == 0
    assert time.time() - (cache / expect).stat().st_mtime < UNTOUCHED_S
    verify(cache / expect)


@pytest.mark.parametrize("listed", [[], ["..data", "README"], None])
def test_without_a_list_nothing_goes(package: Path, cache: Path, tmp_path: Path, listed: list[str] | None) -> None:
    """None was written yet, or the list is no list: pods mount it where it is there."""
    _, expect = read_manifest(package)
    shutil.copytree(package, cache / expect)
    before = names(cache)
    folder = tmp_path / "kept" if listed is None else kept(tmp_path / "kept", *listed)
    assert fetched(NOBODY, package, cache / expect, "--kept", str(folder)) == 0
    assert names(cache) == before


def test_what_somebody_takes_in_or_what_cannot_be_deleted_stays_and_keeps_nobody_from_starting(
    package: Path, cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, expect = read_manifest(package)
    shutil.copytree(package, cache / expect)
    listed = kept(tmp_path / "kept", NEEDED)
    with alone(cache / OLD):
        assert fetched(NOBODY, package, cache / expect, "--kept", str(listed)) == 0
    assert {OLD, f".{OLD}.killed"} <= names(cache)

    delete = shutil.rmtree

    def refused(folder: Path) -> None:
        if folder.name == f".{OLD}.killed":
            raise OSError(30, "Read-only file system")
        delete(folder)

    monkeypatch.setattr(shutil, "rmtree", refused)
    assert fetched(NOBODY, package, cache / expect, "--kept", str(listed)) == 0
    assert "old packages are kept beside" in capsys.readouterr().err
    assert OLD not in names(cache), "what cannot be deleted keeps no other"


@pytest.mark.parametrize("source", ["m-1", "../x", "models:/m-" + "0" * 32])
def test_a_source_is_the_id_of_a_logged_model(
    package: Path, tmp_path: Path, source: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        fetched(NOBODY, package, tmp_path / "one", source=source)
    assert "--source: m- and 32 hex digits are needed" in capsys.readouterr().err


@pytest.mark.integration
def test_a_package_of_a_real_registry(package: Path, tmp_path: Path) -> None:
    """As `serin register` puts it there."""
    with mlflow_server(tmp_path) as url:
        registered = MlflowRegistry(url, timeout_s=30).register(package, "intent", tags={})
        assert fetched(url, package, tmp_path / "cache" / "one", source=registered.source_id) == 0
    assert verify(tmp_path / "cache" / "one") == verify(package)
