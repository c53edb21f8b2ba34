"""The on-call rollback: this module, some files, and nothing else alive.

Standard library only, and quick to import.
"""

import time
from dataclasses import dataclass
from pathlib import Path

from controller.adapters.envoy.held import forget, held, hold
from controller.adapters.envoy.routes import RouteDocument
from controller.adapters.envoy.running import accepted_revision, served_revision
from controller.adapters.envoy.tables import LOCK_FILE, is_used, read_clusters, read_routes, write_routes
from controller.adapters.local.loopback import accepts_connections
from controller.core.traffic import HUNDRED_PCT, Override, TrafficTable
from controller.errors import PermanentError, SerinError, Source, TransientError, UsageError
from controller.files import locked
from controller.naming import model_named, version_named
from serving.contract import NameRefusedError, deployed

_CONFIRM_WITHIN_S = 1.0
_CONFIRM_POLL_S = 0.005
_CONNECT_WITHIN_S = 0.5


@dataclass(frozen=True, slots=True)
class RollbackResult:
    """``confirmed``: users are answered by this table, as Envoy's answers show (or as it says itself, where it takes no
    new connection), ``elapsed_ms`` after the call began.

    ``unwritten`` says why no file could take the table, which Envoy then holds in memory alone. ``before``: the table
    that it took the place of.
    """

    table: TrafficTable
    confirmed: bool
    elapsed_ms: float
    unwritten: str = ""
    before: TrafficTable | None = None


def rollback_route(
    routes_file: Path, model: str, reason: str, by: str, at_s: float, to_version: str | None = None
) -> RollbackResult:
    """Send every request for the model to its known good version (or ``to_version``), without the controller.

    Needs the files beside ``routes_file`` and nothing else. Safe to repeat: each call records who asked and why.
    The controller finds the override and takes it up before it writes again.

    Raises:
        UsageError: there is nowhere to go: no such model, no known good version, or its replica is not running; or
            a name that no model or version can have.
        PermanentError: the route file is damaged, and neither its copy nor Envoy tells what it held.
        TransientError: another writer would not let go of the file, or it cannot be written.
    """
    began_s = time.perf_counter()
    model_named(model)
    if to_version is not None:
        version_named(to_version)
    directory = routes_file.parent
    if not is_used(directory):
        raise UsageError(f"{routes_file} does not exist: nothing is routed here. Name Serin's home with --home.")
    with locked(directory / LOCK_FILE, source=Source.TRAFFIC):
        document = read_routes(directory)
        table, target = _way_back(directory, document, model, to_version)
        rolled_back = table.back(target, Override(reason=reason, by=by, at_s=at_s))
        unwritten = ""
        try:
            document = document.with_table(rolled_back, document.options(model))
            write_routes(directory, document)
        except TransientError as error:
            unwritten = str(error)
            _hold(directory, table, rolled_back, error)
    if unwritten:
        confirmed = held(directory).get(model) == target
    elif confirmed := _confirm(directory, document.revision_of(model)):
        forget(directory, model)  # what may have been asked for while no file could take it
    return RollbackResult(rolled_back, confirmed, (time.perf_counter() - began_s) * 1000, unwritten, table)


def way_back(routes_file: Path, model: str, to_version: str | None = None) -> tuple[TrafficTable, str]:
    """Return the model's table as it stands, and the version that a rollback would go to now. Nothing is written.
    Raises as `rollback_route`."""
    model_named(model)
    directory = routes_file.parent
    return _way_back(directory, read_routes(directory), model, to_version)


def _way_back(directory: Path, document: RouteDocument, model: str, to_version: str | None) -> tuple[TrafficTable, str]:
    table = _known_table(document, model)
    target = to_version or table.known_good
    if target is None:
        others = ", ".join(one for one in _running(directory, model) if table.weights_pct.get(one) != HUNDRED_PCT)
        way = f"To send everybody to another, name it with --to (running: {others})" if others else "No other runs"
        raise UsageError(f"{table.nowhere_back}. {way}.")
    _check_runs(directory, model, target)
    return table, target


def _hold(directory: Path, before: TrafficTable, rolled_back: TrafficTable, unwritten: TransientError) -> None:
    try:
        hold(directory, before, rolled_back)
    except SerinError as refused:
        said = f"{unwritten}; and Envoy cannot hold the rollback in memory either: {refused}"
        raise TransientError(unwritten.source, said) from refused


def _known_table(document: RouteDocument, model: str) -> TrafficTable:
    table = document.table(model)
    if table is None:
        raise UsageError(
            f"no model {model!r} is routed here; routed are: {', '.join(document.models) or 'none at all'}"
        )
    return table


def _check_runs(directory: Path, model: str, version: str) -> None:
    running = _running(directory, model)
    if version not in running:
        raise UsageError(
            f"version {version} of {model} is not running, so no traffic was moved. "
            f"Name one that is with --to ({', '.join(running) or 'none is'}). `serin up` starts what served, where it "
            f"does not run; `serin release start {model} {version} --reason ...` releases it again."
        )


def _running(directory: Path, model: str) -> tuple[str, ...]:
    return tuple(
        version
        for name, addresses in read_clusters(directory).addresses.items()
        for whose, version in _deployed(name)
        if whose == model and any(accepts_connections(*it, timeout_s=_CONNECT_WITHIN_S) for it in addresses)
    )


def _deployed(cluster: str) -> tuple[tuple[str, str], ...]:
    """Its model and version; nothing if it is not a deployment's."""
    try:
        return (deployed(cluster),)
    except NameRefusedError:
        return ()


def _reached(directory: Path) -> int:
    """The revision that users are answered by; where Envoy takes no new connection, as with too many clients, the one
    that it says it goes by. Raises as ``served_revision``."""
    try:
        return served_revision(directory)
    except TransientError:
        return accepted_revision(directory)


def _confirm(directory: Path, revision: int) -> bool:
    """Return whether users are answered by this revision before long; the table is written either way."""
    deadline_s = time.monotonic() + _CONFIRM_WITHIN_S
    while time.monotonic() < deadline_s:
        try:
            if _reached(directory) >= revision:
                return True
        except (TransientError, PermanentError):
            return False
        time.sleep(_CONFIRM_POLL_S)
    return False
