"""The condition of an installation itself, read from its files and from what runs: for `serin status`."""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from controller.adapters.clock import SystemClock
from controller.adapters.envoy.admin import BOOTSTRAP_FILE, EnvoyAdmin
from controller.adapters.envoy.edits import edit_of
from controller.adapters.envoy.held import held
from controller.adapters.envoy.tables import ROUTES_FILE, found_clusters, found_routes, read_routes
from controller.adapters.local.kept import leftovers, recorded, running_supervisor
from controller.adapters.local.open_files import short_of_files
from controller.adapters.local.processes import statuses
from controller.adapters.local.records import Records
from controller.adapters.local.suite_answers import progress_in
from controller.bootstrap.again import registered_again
from controller.config.settings import Home
from controller.core.policy import ReleasePolicy
from controller.core.traffic import TrafficTable
from controller.errors import SerinError
from controller.ports.runtime import DeploymentStatus
from controller.ports.suites import SuiteProgress
from controller.reserve import RESERVE_BYTES, is_given_up


class HomeSite:
    """Implements ``controller.ports.site.Site``: the files of a home, and what runs on this machine."""

    def __init__(
        self,
        home: Home,
        policies: Callable[[], Mapping[str, ReleasePolicy]],
        tables: Callable[[], Iterable[TrafficTable]] | None = None,
    ) -> None:
        """``tables``: the traffic tables as they stand; those of the route file, where nothing is given."""
        self._home = home
        self._policies = policies
        self._tables = tables or (lambda: traffic_tables(home).values())

    def traffic(self) -> Mapping[str, TrafficTable]:
        return {table.model: table for table in self._tables()}

    def deployments(self) -> Mapping[str, Mapping[str, DeploymentStatus]]:
        return statuses(self._home.deployments, SystemClock())

    def policies(self) -> Mapping[str, ReleasePolicy]:
        return self._policies()

    def asking(self, model: str) -> Sequence[SuiteProgress]:
        return progress_in(self._home.suites, model)

    def troubles(self) -> Sequence[str]:
        return troubles_of(self._home)

    def register_again(self, model: str) -> tuple[str, str]:
        return registered_again(self._home, model)


def traffic_tables(home: Home) -> Mapping[str, TrafficTable]:
    """Every model's table, as the route file has it."""
    routes = read_routes(home.envoy)
    return {model: table for model in routes.models if (table := routes.table(model)) is not None}


def troubles_of(home: Home) -> tuple[str, ...]:
    """Return what is wrong with the disk, with Envoy's files and with the processes, each with the way out."""
    found: list[str] = []
    for told in (_of_the_disk, _of_the_files, _of_edits, _of_envoys_memory, _of_the_processes, _of_open_files):
        try:
            found += told(home)
        except (SerinError, OSError) as error:
            found.append(str(error))
    return tuple(found)


def _of_the_disk(home: Home) -> Iterator[str]:
    room = os.statvfs(home.path)
    if room.f_flag & os.ST_RDONLY or not os.access(home.path, os.W_OK):
        yield f"{home.path} can only be read: mount it to be written. What serves goes on, and nothing is recorded"
    elif is_given_up(home.path) or room.f_bavail * room.f_frsize < RESERVE_BYTES:
        yield (
            f"the disk of {home.path} is full: make room. What serves goes on, and a rollback writes into what is kept "
            "back for it"
        )


def _of_the_files(home: Home) -> Iterator[str]:
    for found in (found_routes(home.envoy), found_clusters(home.envoy)):
        if found.damage:
            yield f"a file in {home.envoy} {found.damage}: {found.source} counts; `serin up` puts it back"


def _of_edits(home: Home) -> Iterator[str]:
    routes = read_routes(home.envoy)
    for model in (*routes.models, *routes.deleted):
        if (edit := edit_of(routes, model, home.envoy / ROUTES_FILE)) is not None:
            yield f"{edit.what}; put it back, or have it replaced: `serin rollback {model}`"


def _of_envoys_memory(home: Home) -> Iterator[str]:
    if not (home.envoy / BOOTSTRAP_FILE).exists() or not EnvoyAdmin.beside(home.envoy).is_ready():
        return
    for model, version in held(home.envoy).items():
        yield f"{model} was rolled back to version {version} in Envoy's memory alone: it is written down when it can be"


def _of_open_files(home: Home) -> Iterator[str]:
    groups = {identity.pid: name for name, identity in recorded(home.path).items()}
    groups |= {record.pid: record.name for record in Records(home.deployments).readable() if not record.failure}
    for name, files in short_of_files(groups):
        yield (
            f"{name} has {files.used:,} files open and may have no more than {files.most:,}: new connections may be "
            "refused. Raise the limit (ulimit -n) of what starts `serin up`"
        )


def _of_the_processes(home: Home) -> Iterator[str]:
    if running_supervisor(home.path) is None and (left := leftovers(home.path)):
        yield (
            f"`serin up` was killed, and {', '.join(sorted(left))} went on without it: users are served, nothing that "
            "dies is started again. `serin up` takes it up"
        )
