"""The data plane on one machine: Envoy, controlled by the files that it follows."""

import ipaddress
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from controller.adapters.envoy.admin import EnvoyAdmin
from controller.adapters.envoy.clusters import Address, Addresses, ClusterDocument
from controller.adapters.envoy.edits import edit_of
from controller.adapters.envoy.encoding import MIRROR_PER_PCT, WEIGHTS_PER_PCT, RouteOptions, copies_cluster_name
from controller.adapters.envoy.held import settle
from controller.adapters.envoy.progress import RouteProgress
from controller.adapters.envoy.rollback import rollback_route
from controller.adapters.envoy.routes import RouteDocument, needed_clusters, routed_versions
from controller.adapters.envoy.tables import (
    LOCK_FILE,
    ROUTES_FILE,
    read_clusters,
    read_routes,
    write_clusters,
    write_routes,
)
from controller.core.abilities import Mirroring, TrafficAbilities
from controller.core.traffic import HUNDRED_PCT, Drift, Override, TrafficTable, WriteProgress
from controller.errors import ConflictError, PermanentError, SerinError, Source, TransientError
from controller.files import locked
from controller.naming import deployment_named

_CLUSTERS_WITHIN_S = 2.0
_POLL_S = 0.005


ABILITIES: Final = TrafficAbilities(
    name="Envoy",
    mirroring=Mirroring.GATEWAY_BOTH_WAYS,
    mirror_step_pct=1 / MIRROR_PER_PCT,
    weight_step_pct=1 / WEIGHTS_PER_PCT,
    versions_max=round(HUNDRED_PCT * WEIGHTS_PER_PCT),
    sticky_by_header=True,
)


class EnvoyTraffic:
    """Implements ``Traffic`` on the directory that ``write_bootstrap`` made; keeps in memory only what Envoy said a
    moment ago.

    A model that was never routed stands at generation 0, so its first table has generation 1.

    ``falls_back``: whether, of a model, the known good version answers while the one that serves everybody does not.
    ``log``: Envoy's.
    """

    def __init__(
        self,
        directory: Path,
        options: RouteOptions | None = None,
        falls_back: Callable[[str], bool] = lambda _: True,
        log: Path | None = None,
    ) -> None:
        self._directory = directory
        self._options = options or RouteOptions()
        self._falls_back = falls_back
        self._progress = RouteProgress(directory, log)

    def abilities(self, model: str) -> TrafficAbilities:  # noqa: ARG002 - the same for each
        return replace(ABILITIES, sticky_header=self._options.sticky_header)

    def models(self) -> tuple[str, ...]:
        return read_routes(self._directory).models

    def read(self, model: str) -> TrafficTable | None:
        return read_routes(self._directory).table(model)

    def write(self, table: TrafficTable, *, over: Drift | None = None) -> None:
        """Replace the model's table. Writing the table that is already there changes nothing.

        Raises:
            ConflictError: the stored generation is not the one before, or the route was edited, and is not as ``over``.
            PermanentError: a version has no endpoint, or a weight is finer than Envoy serves.
            TransientError: Envoy has not (yet) said that it knows a version that is to be routed to for the first time.
        """
        with suppress(SerinError):  # without Envoy nothing is held in its memory
            settle(self._directory)
        found = read_routes(self._directory)
        if not _is_next(table, found, over):
            return
        known = needed_clusters(found.table(table.model))
        newcomers = {name: version for name, version in needed_clusters(table).items() if name not in known}
        # Confirmed before the lock is taken, so that an on-call rollback never waits for Envoy behind us.
        self._await_clusters(table.model, newcomers)
        with locked(self._directory / LOCK_FILE, source=Source.TRAFFIC):
            document = read_routes(self._directory)
            if not _is_next(table, document, over):
                return
            self._addresses(table.model, newcomers)  # once more: dropping an endpoint takes this lock too
            document = document.with_table(table, self._options)
            write_routes(self._directory, document)
            with suppress(TransientError):  # traffic has moved; who stands in for whom is written with the next table
                self._write_addresses(read_clusters(self._directory), document)
        self._progress.forget()

    def retreat(self, model: str, to: str | None, override: Override) -> TrafficTable:
        """As the on-call rollback does: it has space on a full disk, and if nothing can be written, Envoy holds it."""
        file = self._directory / ROUTES_FILE
        done = rollback_route(file, model, override.reason, override.by, override.at_s, to_version=to)
        self._progress.forget()
        return done.table

    def progress(self, model: str) -> WriteProgress | None:
        document = read_routes(self._directory)
        table = document.table(model)
        if table is None:
            return None
        return WriteProgress(table.generation, *self._progress.of(document.revision_of(model), self._written_at_s()))

    def drift(self, model: str) -> Drift | None:
        return edit_of(read_routes(self._directory), model, self._directory / ROUTES_FILE)

    def _written_at_s(self) -> float:
        try:
            return (self._directory / ROUTES_FILE).stat().st_mtime
        except OSError:
            return 0.0

    def set_endpoints(self, model: str, version: str, places: Sequence[tuple[str, str | None]]) -> None:
        """Tell Envoy where the version's replicas answer, and where each takes copies; a version without a place for
        them gets none.

        Returns before Envoy has read it: ``write`` waits for that.

        Raises:
            PermanentError: a URL is not ``http://IP:PORT``.
        """
        own = {deployment_named(model, version): tuple(_address(url) for url, _ in places)}
        if copies := tuple(_address(url) for _, url in places if url is not None):
            own[copies_cluster_name(model, version)] = copies
        with locked(self._directory / LOCK_FILE, source=Source.TRAFFIC):
            found = read_clusters(self._directory)
            addresses = _without(found.addresses, model, version) | own
            self._write_addresses(found, read_routes(self._directory), addresses)

    def drop_endpoint(self, model: str, version: str) -> None:
        """Remove the version's addresses, once neither the table nor the running Envoy sends anything to it.

        Raises:
            PermanentError: the table still routes to it.
            TransientError: Envoy still does, or cannot be asked.
        """
        if (clusters := read_clusters(self._directory).addresses) == _without(clusters, model, version):
            return
        self._check_unrouted(model, version)
        if (progress := self.progress(model)) is not None and not progress.is_served:
            why = f": {progress.detail}" if progress.detail else ""
            raise TransientError(Source.TRAFFIC, f"Envoy may still route {model} requests to version {version}{why}")
        with locked(self._directory / LOCK_FILE, source=Source.TRAFFIC):
            self._check_unrouted(model, version)
            found = read_clusters(self._directory)
            addresses = _without(found.addresses, model, version)
            self._write_addresses(found, read_routes(self._directory), addresses)

    def _write_addresses(
        self, found: ClusterDocument, routes: RouteDocument, addresses: Mapping[str, Addresses] | None = None
    ) -> None:
        """Write the addresses where these differ from what was found, or who stands in for whom does; the caller holds
        the lock."""
        addresses = found.addresses if addresses is None else addresses
        wanted = ClusterDocument(addresses, self._fallbacks(routes, addresses))
        if wanted != found:
            write_clusters(self._directory, wanted)

    def _fallbacks(self, routes: RouteDocument, addresses: Mapping[str, Addresses]) -> dict[str, Addresses]:
        """The known good version stands in for one that serves everybody: where both serve, their gates compare them,
        and what one of them fails to answer is told of it."""
        found = {}
        for model in routes.models:
            table = routes.table(model)
            if table is None or table.known_good is None or len(table.weights_pct) != 1 or not self._falls_back(model):
                continue
            (serving,) = table.weights_pct
            own, other = deployment_named(model, serving), deployment_named(model, table.known_good)
            if own != other and own in addresses and other in addresses:
                found[own] = addresses[other]
        return found

    def _check_unrouted(self, model: str, version: str) -> None:
        if version in routed_versions(self.read(model)):
            raise PermanentError(f"version {version} of {model} still gets traffic: move that away first")

    def _addresses(self, model: str, wanted: Mapping[str, str]) -> dict[str, Addresses]:
        """``wanted``: cluster name -> version."""
        clusters = read_clusters(self._directory).addresses
        missing = {name: version for name, version in wanted.items() if name not in clusters}
        for name, version in missing.items():
            if name != deployment_named(model, version) and deployment_named(model, version) in clusters:
                raise TransientError(
                    Source.TRAFFIC,
                    f"version {version} of {model} has no port for copies, so none are sent there: an earlier "
                    "version of Serin started it; restart it with `serin down` and `serin up`",
                )
        if missing:
            names = ", ".join(sorted(set(missing.values())))
            raise PermanentError(f"version {names} of {model} has no endpoint, so nothing is routed to it")
        return {name: clusters[name] for name in wanted}

    def _await_clusters(self, model: str, wanted: Mapping[str, str]) -> None:
        deadline_s = time.monotonic() + _CLUSTERS_WITHIN_S
        while unknown := self._unknown_to_envoy(self._addresses(model, wanted)):
            if time.monotonic() > deadline_s:
                said = f"Envoy does not know {', '.join(unknown)} yet, so nothing was routed there"
                raise TransientError(Source.TRAFFIC, said)
            time.sleep(_POLL_S)

    def _unknown_to_envoy(self, addresses: Mapping[str, Addresses]) -> list[str]:
        if not addresses:
            return []  # nothing new is routed to: no need for Envoy to be reachable
        known = EnvoyAdmin.beside(self._directory).clusters().addresses
        return [name for name, address in addresses.items() if known.get(name) != address]


def _is_next(table: TrafficTable, document: RouteDocument, over: Drift | None) -> bool:
    """False if exactly this table is stored already: the call was repeated."""
    stored, edit = document.table(table.model), document.edit(table.model)
    generation = stored.generation if stored else 0
    if edit is not None and (over is None or over.digest != edit):
        raise ConflictError(Source.TRAFFIC, f"the traffic table of {table.model} was edited by somebody else")
    if edit is None and generation == table.generation and stored == table:
        return False
    if generation != table.generation - 1:
        raise ConflictError(
            Source.TRAFFIC,
            f"the traffic table of {table.model} is at generation {generation}, not at "
            f"{table.generation - 1}: somebody else wrote it",
        )
    return True


def _without(clusters: Mapping[str, Addresses], model: str, version: str) -> dict[str, Addresses]:
    own = (deployment_named(model, version), copies_cluster_name(model, version))
    return {name: address for name, address in clusters.items() if name not in own}


def _address(url: str) -> Address:
    parts = urlsplit(url)
    try:
        ipaddress.ip_address(parts.hostname or "")
    except ValueError as error:
        raise PermanentError(f"endpoint {url!r}: an address like http://127.0.0.1:8000 is needed") from error
    if parts.scheme != "http" or parts.port is None or parts.hostname is None:
        raise PermanentError(f"endpoint {url!r}: an address like http://127.0.0.1:8000 is needed")
    return parts.hostname, parts.port
