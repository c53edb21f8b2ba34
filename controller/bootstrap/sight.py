"""The sight of a data plane: what is shown of it to people who ask how things are. Nothing is decided by it."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Protocol

from controller.adapters.clock import SystemClock
from controller.adapters.envoy.admin import BOOTSTRAP_FILE, EnvoyAdmin
from controller.adapters.envoy.edits import edit_of
from controller.adapters.envoy.held import held
from controller.adapters.envoy.tables import ROUTES_FILE, found_clusters, found_routes, read_routes
from controller.adapters.envoy.traffic import ABILITIES
from controller.adapters.local.processes import statuses
from controller.config.settings import Home
from controller.core.abilities import TrafficAbilities
from controller.core.traffic import TrafficTable
from controller.errors import SerinError
from controller.ports.runtime import DeploymentStatus


class Sight(Protocol):
    """The data plane of an installation as it was last seen: none of these raises because it does not answer."""

    def tables(self) -> Sequence[TrafficTable]:
        """Return every model's table, as it is written."""

    def running(self) -> Mapping[str, Mapping[str, DeploymentStatus]]:
        """Return what runs, by model and version."""

    def troubles(self) -> Sequence[str]:
        """Return what is wrong with it, a sentence each, with the way out."""

    def abilities(self) -> TrafficAbilities | None:
        """Return what it can do; None where nobody says."""


class LocalSight:
    """Implements ``Sight``: Envoy's files, and the processes of this machine."""

    def __init__(self, home: Home) -> None:
        self._home = home

    def tables(self) -> Sequence[TrafficTable]:
        routes = read_routes(self._home.envoy)
        return tuple(table for model in routes.models if (table := routes.table(model)) is not None)

    def running(self) -> Mapping[str, Mapping[str, DeploymentStatus]]:
        return statuses(self._home.deployments, SystemClock())

    def troubles(self) -> Sequence[str]:
        return all_told([_of_the_files, _of_edits, _of_envoys_memory], self._home)

    def abilities(self) -> TrafficAbilities | None:
        return replace(ABILITIES, sticky_header=self._home.load().sticky_header)


def sight_of(home: Home) -> Sight:
    """Return the sight of the data plane that a home's settings ask for.

    Raises:
        UsageError: the settings' ``runtime``, the kubeconfig or the pod's account cannot be used.
    """
    settings = home.load()
    if settings.runtime is not None:
        from controller.bootstrap.kubernetes import cluster_sight, runtime_of  # a library that one machine does without

        if (runtime := runtime_of(settings)) is not None:
            return cluster_sight(settings, runtime, SystemClock())
    return LocalSight(home)


def all_told(parts: Iterable[Callable[[Home], Iterable[str]]], home: Home) -> tuple[str, ...]:
    """Return what each part has to say; of one that cannot tell, why."""
    found: list[str] = []
    for told in parts:
        try:
            found += told(home)
        except (SerinError, OSError) as error:
            found.append(str(error))
    return tuple(found)


def _of_the_files(home: Home) -> Iterator[str]:
    for found in (found_routes(home.envoy), found_clusters(home.envoy)):
        if found.damage:
            yield f"a file in {home.envoy} {found.damage}: {found.source} counts; `serin up` restores it"


def _of_edits(home: Home) -> Iterator[str]:
    routes = read_routes(home.envoy)
    for model in (*routes.models, *routes.deleted):
        if (edit := edit_of(routes, model, home.envoy / ROUTES_FILE)) is not None:
            yield f"{edit.what}; undo the edit, or replace it: `serin rollback {model}`"


def _of_envoys_memory(home: Home) -> Iterator[str]:
    if not (home.envoy / BOOTSTRAP_FILE).exists() or not EnvoyAdmin.beside(home.envoy).is_ready():
        return
    for model, version in held(home.envoy).items():
        yield (
            f"{model} was rolled back to version {version} in Envoy's memory only: it will be written to "
            "its file as soon as possible"
        )
