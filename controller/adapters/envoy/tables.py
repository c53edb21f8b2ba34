"""The tables that Envoy routes by, and of where deployments answer: each a file with a copy, put back when it is
damaged or gone.

A copy is written after the file itself, so it is never ahead of it. Where neither can be read, the running Envoy still
says what it read last. What Envoy follows of the endpoints is made from their file. Standard library only, and quick to
import: the on-call rollback stands on it.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar, cast

from controller.adapters.envoy.admin import BOOTSTRAP_FILE, EnvoyAdmin
from controller.adapters.envoy.clusters import ClusterDocument
from controller.adapters.envoy.routes import EMPTY_DOCUMENT, ROUTE_CONFIGURATION, RouteDocument
from controller.errors import PermanentError, SerinError, Source, TransientError, in_words, our_fault
from controller.files import locked, replace_file

ROUTES_FILE = "routes.json"
ENDPOINTS_FILE = "endpoints.json"
CLUSTERS_FILE = "clusters.json"  # made from it: which clusters there are
ENDPOINTS_FOLDER = "endpoints"  # and this: a file for each cluster
LOCK_FILE = "routes.lock"

_COPY = ".last"
_DAMAGED = ".damaged"
_GONE = "is gone"
_UNREADABLE = (OSError, ValueError, KeyError, TypeError, IndexError, AttributeError)

_SETTLED_S = 1.0  # two writes within one tick of the file system's clock look alike: what is newer is read each time

T = TypeVar("T", RouteDocument, ClusterDocument)

_kept: dict[Path, tuple[tuple[int, ...], Any]] = {}  # files as they were read last: a look at one costs a stat


@dataclass(frozen=True, slots=True)
class Found(Generic[T]):
    """The contents of a file, current or earlier: ``damage`` says what is wrong with the file, and ``source`` where
    these were found."""

    document: T
    damage: str = ""
    source: str = ""


def is_used(directory: Path) -> bool:
    """Return whether the folder holds, or held, an Envoy's files."""
    routes = directory / ROUTES_FILE
    return any(file.exists() for file in (routes, _copy_of(routes), directory / BOOTSTRAP_FILE))


def read_routes(directory: Path) -> RouteDocument:
    """The routes as they were last written; empty where none ever were.

    Raises:
        PermanentError: neither the file, nor its copy, nor a running Envoy tells them.
    """
    return found_routes(directory).document


def read_clusters(directory: Path) -> ClusterDocument:
    """Return where deployments answer, as it was last written; empty where none was ever told. Raises as
    ``read_routes``."""
    return found_clusters(directory).document


def found_routes(directory: Path) -> Found[RouteDocument]:
    """As ``read_routes``, with where they were found."""
    return _found(directory / ROUTES_FILE, RouteDocument.parse, lambda: _live_routes(directory), EMPTY_DOCUMENT)


def found_clusters(directory: Path) -> Found[ClusterDocument]:
    """As ``read_clusters``, with where they were found."""
    nothing = _clusters_of_before(directory / CLUSTERS_FILE)
    return _found(directory / ENDPOINTS_FILE, ClusterDocument.parse, lambda: _live_clusters(directory), nothing)


def write_routes(directory: Path, document: RouteDocument) -> None:
    """Replace the file and its copy; the caller holds the lock.

    Raises:
        TransientError: the file cannot be written, and stands as it was.
    """
    _put(directory / ROUTES_FILE, document.text())


def write_clusters(directory: Path, document: ClusterDocument) -> None:
    """Replace what Envoy follows, then the file and its copy; the caller holds the lock.

    Raises:
        TransientError: a file cannot be written. Envoy may have read a part of it; the file stands as it was.
    """
    _write_followed(directory, document)
    _put(directory / ENDPOINTS_FILE, document.text())


def mend_routes(directory: Path) -> tuple[str, ...]:
    """Restore the routes if they were damaged or deleted, and a copy that is missing; a sentence for what was restored.

    Raises:
        PermanentError: as ``read_routes``.
        TransientError: a file cannot be written, or another writer holds the lock.
    """
    with locked(directory / LOCK_FILE, source=Source.TRAFFIC):
        return _mended(directory / ROUTES_FILE, found_routes(directory))


def mend_clusters(directory: Path) -> tuple[str, ...]:
    """As ``mend_routes``: where deployments answer, and what Envoy follows of it."""
    with locked(directory / LOCK_FILE, source=Source.TRAFFIC):
        found = found_clusters(directory)
        told = _mended(directory / ENDPOINTS_FILE, found)
        if not (directory / ENDPOINTS_FILE).exists():
            return told
        followed = _write_followed(directory, found.document)
        return told + tuple(f"{path} was damaged: restored from {ENDPOINTS_FILE}" for path in followed)


def _mended(path: Path, found: Found[Any]) -> tuple[str, ...]:
    if found.damage:
        with suppress(FileNotFoundError):  # for a person to look at
            path.replace(path.with_name(f"{path.stem}{_DAMAGED}{path.suffix}"))
        _put(path, found.document.text())
        return (f"{path} {found.damage}: restored from {found.source}",)
    if path.exists() and _text(_copy_of(path)) != _text(path):
        _put_copy(path, found.document.text())
    return ()


def _write_followed(directory: Path, document: ClusterDocument) -> tuple[Path, ...]:
    """Those written: a cluster's own file before it is told of, and none is left of one that is gone."""
    folder = directory / ENDPOINTS_FOLDER
    with _our_fault(folder):
        folder.mkdir(mode=0o700, exist_ok=True)
        stale = set(folder.glob("*.json"))
    files = {folder / name: text for name, text in document.endpoints_texts().items()}
    wanted = {**files, directory / CLUSTERS_FILE: document.clusters_text(str(folder))}
    changed = [path for path, text in wanted.items() if _text(path) != text]
    for path in changed:
        replace_file(path, wanted[path])
    for path in stale - files.keys():
        with _our_fault(path):
            path.unlink(missing_ok=True)
    return tuple(changed)


@contextmanager
def _our_fault(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise our_fault(Source.DISK, f"cannot change {path}", error) from error


def _live_routes(directory: Path) -> RouteDocument | None:
    found = EnvoyAdmin.beside(directory).route_configuration(ROUTE_CONFIGURATION)
    if found is None:
        return None
    try:
        return RouteDocument.of_configuration(found.configuration, revision=found.revision).as_written()
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise PermanentError(f"Envoy routes by a configuration that Serin did not write: {error!r}") from error


def _live_clusters(directory: Path) -> ClusterDocument | None:
    return EnvoyAdmin.beside(directory).clusters()


def _clusters_of_before(path: Path) -> ClusterDocument:
    """As an earlier version of Serin told Envoy; none where this one did."""
    document, _ = _read(path, ClusterDocument.parse)
    return ClusterDocument() if document is None else document


def _found(path: Path, parse: Callable[[str], T], live: Callable[[], T | None], nothing: T) -> Found[T]:
    document, damage = _read(path, parse)
    if document is not None:
        return Found(document)
    copy, copy_damage = _read(_copy_of(path), parse)
    told = _told_by(live)
    if told is not None and (copy is None or told.revision > copy.revision):
        return Found(told, damage, "the running Envoy")
    if copy is not None:
        return Found(copy, damage, "its copy")
    if damage == _GONE and copy_damage == _GONE:
        return Found(nothing)
    raise PermanentError(
        f"{path} {damage}, its copy {_copy_of(path).name} {copy_damage}, and no running Envoy can say "
        "what it contained. Restore one of them from a backup; without a backup, move both away: "
        "then nothing is routed until a version is released or started again."
    )


def _read(path: Path, parse: Callable[[str], T]) -> tuple[T | None, str]:
    """The document, or what is wrong with the file."""
    try:
        return _as_it_lies_there(path, parse), ""
    except FileNotFoundError:
        return None, _GONE
    except OSError as error:
        raise TransientError(Source.TRAFFIC, f"{path} cannot be read: {in_words(error)}") from error
    except _UNREADABLE as error:
        return None, f"was damaged ({type(error).__name__}: {error})"


def _as_it_lies_there(path: Path, parse: Callable[[str], T]) -> T:
    """The document; of a file that has lain there unchanged since it was read, the one of then."""
    found = path.stat()
    state = (found.st_ino, found.st_mtime_ns, found.st_ctime_ns, found.st_size)
    kept = _kept.get(path)
    if kept is not None and kept[0] == state:
        return cast("T", kept[1])
    document = parse(path.read_text(encoding="utf-8"))
    if time.time() - max(found.st_mtime, found.st_ctime) > _SETTLED_S:
        _kept[path] = state, document
    return document


def _told_by(live: Callable[[], T | None]) -> T | None:
    try:
        return live()
    except SerinError:
        return None


def _put(path: Path, text: str) -> None:
    replace_file(path, text)
    _put_copy(path, text)


def _put_copy(path: Path, text: str) -> None:
    """A failure here does not fail the write: if the copy is out of date, the running Envoy is asked."""
    try:
        replace_file(_copy_of(path), text)
    except TransientError:
        return


def _copy_of(path: Path) -> Path:
    return path.with_name(f"{path.stem}{_COPY}{path.suffix}")


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None
