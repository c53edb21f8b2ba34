"""``python -m serving fetch``: a version's package from an MLflow server into a folder, held against its fingerprint.

The step that runs before a replica where nobody else brings it its files, such as the init container of a pod. Standard
library only. What lies in the folder already is verified and used, so that a replica starts while the registry is away.

Exit status: 0 the package is there, 2 usage, 3 it is not the one that was asked for, 75 this machine or the registry
did not give it now.
"""

import argparse
import hashlib
import http.client
import json
import re
import shutil
import ssl
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlsplit

from serving.contract import EXIT_REFUSED, EXIT_SHORTAGE
from serving.package.artifact import MANIFEST_FILE, ArtifactError, FileRecord, Manifest, read_manifest, verify
from serving.package.shared import FINGERPRINT, alone, kept_by, prune, touch
from serving.text.printable import one_line

_SOURCE: Final = re.compile(r"m-[0-9a-f]{32}")
_SERVED: Final = re.compile(r"mlflow-artifacts:/(?!/)([A-Za-z0-9._/-]+)")  # on the registry's own server
_MANIFEST_BYTES_MAX: Final = 4 * 2**20
_PIECE_BYTES: Final = 2**20
_TIMEOUT_S: Final = 30.0  # of a connection, and between two pieces
_PACKAGE_BYTES_MAX: Final = 8 * 2**30


class RegistryAwayError(Exception):
    """The registry did not give what was asked of it, now; says nothing of the package."""


@dataclass(frozen=True, slots=True)
class Registry:
    """The MLflow server to read from. ``token_file`` holds a bearer token, or an ``Authorization`` header's value with
    its scheme, as in ``Basic ...``; it is read for each request, so that it may be renewed."""

    url: str
    token_file: Path | None = None
    ca_file: Path | None = None

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or parts.hostname is None:
            raise ValueError(
                f"--registry: an http:// or https:// address of an MLflow server is needed, got {self.url}"
            )

    @contextmanager
    def opened(self, path: str) -> Iterator["_Answer"]:
        """The answer to a GET. Raises RegistryAwayError unless it is 200."""
        connection = self._connection()
        try:
            with _told(self.url):
                connection.request("GET", urlsplit(self.url).path.rstrip("/") + path, headers=self._headers())
                response = connection.getresponse()
            answer = _Answer(self.url, response)
            if response.status != 200:
                said = one_line(answer.read(200).decode(errors="replace"))
                raise RegistryAwayError(f"{self.url} answered {response.status} to {path}: {said}")
            yield answer
        finally:
            connection.close()

    def _connection(self) -> http.client.HTTPConnection:
        parts = urlsplit(self.url)
        host = parts.hostname or ""
        if parts.scheme == "http":
            return http.client.HTTPConnection(host, parts.port, timeout=_TIMEOUT_S)
        context = ssl.create_default_context(cafile=self.ca_file)
        return http.client.HTTPSConnection(host, parts.port, timeout=_TIMEOUT_S, context=context)

    def _headers(self) -> dict[str, str]:
        if self.token_file is None:
            return {}
        token = self.token_file.read_text(encoding="ascii").strip()
        return {"authorization": token if " " in token else f"Bearer {token}"}


@dataclass(frozen=True, slots=True)
class _Answer:
    """The body of an answer. One that ends before its time is the registry's fault, never the package's."""

    url: str
    response: http.client.HTTPResponse

    def read(self, bytes_max: int) -> bytes:
        with _told(self.url):
            data = self.response.read(bytes_max)
            if len(data) < bytes_max and self.response.length:
                raise OSError(f"its answer ended {self.response.length} bytes early")
        return data


@contextmanager
def _told(url: str) -> Iterator[None]:
    try:
        yield
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise RegistryAwayError(f"{url} did not answer: {error or type(error).__name__}") from error


def fetch(registry: Registry, source: str, expect: str, into: Path) -> bool:
    """See that ``into`` is the package with the fingerprint ``expect``; return whether the registry was asked for it.

    The folder appears whole and verified or not at all; one that is damaged stays until another takes its place. Of
    several that fetch the same at a time, one does. ``source`` is the id of the logged model.

    Raises:
        ArtifactError: what the registry has under this id is another package, or none that may be served.
        RegistryAwayError: it is not here, and the registry does not give it now.
        OSError: this machine refused something.
    """
    into.parent.mkdir(parents=True, exist_ok=True)
    with alone(into):
        if _is_here(into, expect):
            touch(into)
            return False
        with tempfile.TemporaryDirectory(dir=into.parent, prefix=f".{into.name}.") as work:
            arriving = Path(work) / "package"
            arriving.mkdir()
            _download(registry, source, expect, arriving)
            verify(arriving)
            if into.exists():
                into.rename(Path(work) / "damaged")
            arriving.rename(into)
    return True


def _is_here(place: Path, expect: str) -> bool:
    try:
        _, found = read_manifest(place)
        verify(place)
    except ArtifactError:
        return False
    except OSError:
        if not place.exists():
            return False
        raise
    return found == expect


def _download(registry: Registry, source: str, expect: str, into: Path) -> None:
    """The manifest says which files there are, and its digest is known: no list of the registry's is believed."""
    location = _location(registry, source)
    with registry.opened(f"{location}/{MANIFEST_FILE}") as answer:
        data = _read(answer, _MANIFEST_BYTES_MAX, MANIFEST_FILE)
    if (found := hashlib.sha256(data).hexdigest()) != expect:
        raise ArtifactError(MANIFEST_FILE, f"has the fingerprint {found}, but {expect} was registered")
    manifest = Manifest.parse(data)
    size_bytes = sum(record.size_bytes for record in manifest.files.values())
    if size_bytes > _PACKAGE_BYTES_MAX:
        raise ArtifactError(
            MANIFEST_FILE, f"names {size_bytes} bytes of files: at most {_PACKAGE_BYTES_MAX} are accepted"
        )
    if (free_bytes := shutil.disk_usage(into).free) < size_bytes:
        raise OSError(
            f"{size_bytes} bytes are needed at {into.parent.parent}, but only {free_bytes} are free: make room"
        )
    (into / MANIFEST_FILE).write_bytes(data)
    for name, record in manifest.files.items():
        with registry.opened(f"{location}/{quote(name)}") as answer:
            _save(answer, into / name, record)


def _location(registry: Registry, source: str) -> str:
    with registry.opened(f"/api/2.0/mlflow/logged-models/{source}") as answer:
        data = _read(answer, _MANIFEST_BYTES_MAX, source)
    try:
        info: dict[str, Any] = json.loads(data)["model"]["info"]
        location, status = str(info["artifact_uri"]), str(info.get("status", ""))
    except (ValueError, KeyError, TypeError) as error:
        raise RegistryAwayError(f"{registry.url} answered something other than a logged model") from error
    served = _SERVED.fullmatch(location)
    if served is None or ".." in location:
        raise ArtifactError(
            MANIFEST_FILE, f"is at {location!r}: only files that the registry itself serves are accepted"
        )
    if "FAILED" in status:
        raise ArtifactError(MANIFEST_FILE, f"belongs to logged model {source}, which is marked as failed")
    return f"/api/2.0/mlflow-artifacts/artifacts/{served[1]}"


def _read(answer: _Answer, bytes_max: int, what: str) -> bytes:
    data = answer.read(bytes_max + 1)
    if len(data) > bytes_max:
        raise ArtifactError(what, f"is longer than {bytes_max} bytes")
    return data


def _save(answer: _Answer, path: Path, record: FileRecord) -> None:
    """No byte more than the manifest tells is taken. Whether they are the right ones, `verify` says."""
    left = record.size_bytes + 1
    with path.open("xb") as file:
        while left and (piece := answer.read(min(_PIECE_BYTES, left))):
            file.write(piece)
            left -= len(piece)


def _pruned(package: Path, kept_in: Path) -> str:
    """Make room beside the package; return what is to be said of it. No replica fails to start for that."""
    try:
        kept = kept_by(kept_in)
        gone = prune(package.parent, kept | {package.name}, time.time()) if kept is not None else ()
    except OSError as error:
        return f"old packages are kept beside {package}: {error}"
    return f"{package.parent}: deleted {', '.join(gone)}, which nothing needs any more" if gone else ""


def main(argv: Sequence[str]) -> int:
    flags = argparse.ArgumentParser(prog="python -m serving fetch", description="Fetch and verify a version's package.")
    flags.add_argument("--source", required=True, help="id of the logged model, m-...")
    flags.add_argument("--expect", required=True, help="fingerprint: SHA-256 of its manifest, in hex")
    flags.add_argument(
        "--into", type=Path, required=True, help="folder for the package; used as it is if it is already right"
    )
    flags.add_argument("--registry", required=True, help="address of the MLflow server")
    flags.add_argument("--token-file", type=Path, help="a token that may read, or the value of an Authorization header")
    flags.add_argument("--ca-file", type=Path, help="certificates that the server's certificate is checked against")
    flags.add_argument(
        "--kept",
        type=Path,
        help="folder with a file for each fingerprint to keep: other packages beside this one are deleted",
    )
    chosen = flags.parse_args(argv)
    if not _SOURCE.fullmatch(chosen.source):
        flags.error(f"--source: m- and 32 hex digits are needed, got {chosen.source!a}")
    if not FINGERPRINT.fullmatch(chosen.expect):
        flags.error(f"--expect: 64 lower-case hex digits are needed, got {chosen.expect!a}")
    try:
        registry = Registry(chosen.registry, chosen.token_file, chosen.ca_file)
    except ValueError as error:
        flags.error(str(error))
    if chosen.kept is not None and (said := _pruned(chosen.into.absolute(), chosen.kept)):
        print(one_line(said), file=sys.stderr)
    try:
        fetched = fetch(registry, chosen.source, chosen.expect, chosen.into.absolute())
    except ArtifactError as error:
        print(one_line(f"artifact refused: {error}"), file=sys.stderr)
        return EXIT_REFUSED
    except (RegistryAwayError, OSError, MemoryError) as error:
        print(one_line(f"the package is not available now: {error or type(error).__name__}"), file=sys.stderr)
        return EXIT_SHORTAGE
    print(f"{chosen.into}: {'fetched and verified' if fetched else 'here already, and verified'}")
    return 0
