"""The files that Envoy follows, each with a copy of what it last held: damaged or gone, they are put back.

A copy is written after the file itself, so it is never ahead of it. Where neither can be read, the running Envoy still
says what it read last. Standard library only, and quick to import: the on-call rollback stands on it.
"""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from controller.adapters.envoy.admin import BOOTSTRAP_FILE, EnvoyAdmin
from controller.adapters.envoy.clusters import ClusterDocument
from controller.adapters.envoy.routes import EMPTY_DOCUMENT, ROUTE_CONFIGURATION, RouteDocument
from controller.core.traffic import TrafficTable
from controller.errors import PermanentError, SerinError, TransientError
from controller.files import locked, replace_file

ROUTES_FILE = "routes.json"
CLUSTERS_FILE = "clusters.json"
LOCK_FILE = "routes.lock"

_COPY = ".last"
_DAMAGED = ".damaged"
_GONE = "is gone"
_UNREADABLE = (OSError, ValueError, KeyError, TypeError, IndexError, AttributeError)

T = TypeVar("T", RouteDocument, ClusterDocument)


@dataclass(frozen=True, slots=True)
class Found(Generic[T]):
    """What a file holds, or held: ``damage`` says what is wrong with the file, and ``source`` where this was found."""

    document: T
    damage: str = ""
    source: str = ""


def is_used(directory: Path) -> bool:
    """Whether the folder holds, or held, an Envoy's files."""
    routes = directory / ROUTES_FILE
    return any(file.exists() for file in (routes, _copy_of(routes), directory / BOOTSTRAP_FILE))


def read_routes(directory: Path) -> RouteDocument:
    """The routes as they were last written; empty where none ever were.

    Raises:
        PermanentError: neither the file, nor its copy, nor a running Envoy tells them.
    """
    return found_routes(directory).document


def read_clusters(directory: Path) -> ClusterDocument:
    """Where deployments answer, as it was last written; empty where none was ever told. Raises as ``read_routes``."""
    return found_clusters(directory).document


def found_routes(directory: Path) -> Found[RouteDocument]:
    """As ``read_routes``, with where they were found."""
    return _found(directory / ROUTES_FILE, RouteDocument.parse, lambda: _live_routes(directory), EMPTY_DOCUMENT)


def found_clusters(directory: Path) -> Found[ClusterDocument]:
    """As ``read_clusters``, with where they were found."""
    nothing = ClusterDocument({}, {})
    return _found(directory / CLUSTERS_FILE, ClusterDocument.parse, lambda: _live_clusters(directory), nothing)


def write_routes(directory: Path, document: RouteDocument) -> None:
    """Replace the file and its copy; the caller holds the lock.

    Raises:
        TransientError: the file cannot be written, and stands as it was.
    """
    _put(directory / ROUTES_FILE, document.text())


def write_clusters(directory: Path, document: ClusterDocument) -> None:
    """As ``write_routes``."""
    _put(directory / CLUSTERS_FILE, document.text())


def mend(directory: Path) -> tuple[str, ...]:
    """Put back what was damaged or deleted, and make copies that are missing; a sentence for each file put back.

    Raises:
        PermanentError: as ``read_routes``.
        TransientError: a file cannot be written, or another writer holds the lock.
    """
    with locked(directory / LOCK_FILE, source="traffic"):
        routes, clusters = found_routes(directory), found_clusters(directory)
        told = []
        files: Mapping[str, Found[Any]] = {ROUTES_FILE: routes, CLUSTERS_FILE: clusters}
        for name, found in files.items():
            if found.damage:
                path = directory / name
                with suppress(FileNotFoundError):  # for a person to look at
                    path.replace(path.with_name(f"{path.stem}{_DAMAGED}{path.suffix}"))
                _put(path, found.document.text())
                told.append(f"{path} {found.damage}: put back as {found.source} has it")
            elif (directory / name).exists() and _text(_copy_of(directory / name)) != _text(directory / name):
                _put_copy(directory / name, found.document.text())
    return tuple(told)


def live_table(directory: Path, model: str) -> TrafficTable | None:
    """The model's table as the running Envoy has it; None where Envoy does not know the model.

    Its worker threads follow within a millisecond or so.

    Raises:
        TransientError: Envoy does not answer.
        PermanentError: it answers with something that is not ours.
    """
    document = _live_routes(directory)
    return None if document is None else document.table(model)


def _live_routes(directory: Path) -> RouteDocument | None:
    found = EnvoyAdmin.beside(directory).route_configuration(ROUTE_CONFIGURATION)
    if found is None:
        return None
    try:
        return RouteDocument.of_configuration(found.configuration, revision=found.revision)
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise PermanentError(f"Envoy routes by a configuration that Serin did not write: {error!r}") from error


def _live_clusters(directory: Path) -> ClusterDocument | None:
    return ClusterDocument(EnvoyAdmin.beside(directory).clusters(), {})


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
        f"{path} {damage}, its copy {_copy_of(path).name} {copy_damage}, and no running Envoy tells what stood there. "
        "Put one of them back from a backup; without one, move both away: nothing is routed then until a version is "
        "released or started again."
    )


def _read(path: Path, parse: Callable[[str], T]) -> tuple[T | None, str]:
    """The document, or what is wrong with the file."""
    try:
        return parse(path.read_text(encoding="utf-8")), ""
    except FileNotFoundError:
        return None, _GONE
    except OSError as error:
        raise TransientError("traffic", f"{path} cannot be read: {error.strerror or error}") from error
    except _UNREADABLE as error:
        return None, f"was damaged ({type(error).__name__}: {error})"


def _told_by(live: Callable[[], T | None]) -> T | None:
    try:
        return live()
    except SerinError:
        return None


def _put(path: Path, text: str) -> None:
    replace_file(path, text)
    _put_copy(path, text)


def _put_copy(path: Path, text: str) -> None:
    """Not being able to is no failure of the write: the running Envoy is asked where the copy lags behind."""
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
