"""The condition of an installation itself, read from its files and from what runs: for `serin status`."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence

from controller.adapters.local.kept import leftovers, recorded, running_supervisor
from controller.adapters.local.open_files import short_of_files
from controller.adapters.local.processes_os import is_stopped
from controller.adapters.local.records import Records
from controller.adapters.local.suite_answers import progress_in
from controller.bootstrap.again import registered_again
from controller.bootstrap.parts import Lately, parts_of
from controller.bootstrap.sight import LocalSight, Sight, all_told
from controller.config.settings import Home
from controller.core.abilities import TrafficAbilities
from controller.core.parts import Part
from controller.core.policy import ReleasePolicy
from controller.core.traffic import TrafficTable
from controller.ports.runtime import DeploymentStatus
from controller.ports.suites import SuiteProgress
from controller.reserve import is_full


class HomeSite:
    """Implements ``controller.ports.site.Site``: the files of a home, and what is seen of its data plane."""

    def __init__(
        self, home: Home, policies: Callable[[], Mapping[str, ReleasePolicy]], sight: Callable[[], Sight]
    ) -> None:
        """``sight`` is asked for when somebody wants to see something: most commands do not."""
        self._home = home
        self._policies = policies
        self._sight = sight
        self._parts = Lately(lambda: parts_of(home, self.traffic()))

    def traffic(self) -> Mapping[str, TrafficTable]:
        return {table.model: table for table in self._sight().tables()}

    def deployments(self) -> Mapping[str, Mapping[str, DeploymentStatus]]:
        return self._sight().running()

    def abilities(self) -> TrafficAbilities | None:
        return self._sight().abilities()

    def policies(self) -> Mapping[str, ReleasePolicy]:
        return self._policies()

    def asking(self, model: str) -> Sequence[SuiteProgress]:
        return progress_in(self._home.suites, model)

    def troubles(self) -> Sequence[str]:
        return troubles_of(self._home, self._sight())

    def parts(self) -> Sequence[Part]:
        return self._parts()

    def register_again(self, model: str) -> tuple[str, str]:
        return registered_again(self._home, model)


def troubles_of(home: Home, sight: Sight | None = None) -> tuple[str, ...]:
    """Return what is wrong with the disk, with the data plane (that of this machine, where none is given) and with the
    processes, each with the way out."""
    shown = sight if sight is not None else LocalSight(home)
    return all_told([_of_the_disk, lambda _: shown.troubles(), _of_the_processes, _of_open_files], home)


def _of_the_disk(home: Home) -> Iterator[str]:
    room = os.statvfs(home.path)
    if room.f_flag & os.ST_RDONLY or not os.access(home.path, os.W_OK):
        yield f"{home.path} is read-only: mount it writable. What serves goes on, but nothing is recorded"
    elif is_full(home.path):
        yield (
            f"the disk of {home.path} is full: make room. What serves goes on, and a rollback uses the "
            "space that is reserved for it"
        )


def _of_open_files(home: Home) -> Iterator[str]:
    groups = {identity.pid: name for name, identity in recorded(home.path).items()}
    groups |= {record.pid: record.name for record in Records(home.deployments).readable() if not record.failure}
    for name, files in short_of_files(groups):
        yield (
            f"{name} has {files.used:,} files open and may have no more than {files.most:,}: new connections may be "
            "refused. Raise the limit (ulimit -n) of what starts `serin up`"
        )


def _of_the_processes(home: Home) -> Iterator[str]:
    supervisor = running_supervisor(home.path)
    if supervisor is not None and is_stopped(supervisor):
        yield (
            f"`serin up` is stopped, as by Ctrl-Z, and restarts nothing that dies: `kill -CONT {supervisor.pid}` lets "
            "it go on"
        )
    if supervisor is None and (left := leftovers(home.path)):
        yield (
            f"`serin up` was killed, and {', '.join(sorted(left))} went on without it: users are served, "
            "but nothing that dies is restarted. Run `serin up`: it takes over"
        )
