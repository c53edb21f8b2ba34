"""The routing of a cluster: one HTTPRoute for each model. Its rules are Serin's; everything else in it may be Git's."""

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from threading import Lock
from typing import Final

from controller.adapters.kubernetes.capacity import Capacity
from controller.adapters.kubernetes.client import KubernetesClient
from controller.adapters.kubernetes.copies import ReplicaCopies
from controller.adapters.kubernetes.features import abilities_of, features_of
from controller.adapters.kubernetes.kept import KeptUsers
from controller.adapters.kubernetes.objects.labels import DOMAIN, MANAGED_BY
from controller.adapters.kubernetes.objects.route import (
    Feature,
    NameOf,
    RouteOptions,
    annotations_of,
    edited,
    rules_of,
    table_of,
    writer_of_rules,
)
from controller.adapters.kubernetes.probe import GatewayProbe, Told
from controller.adapters.kubernetes.refusals import ForbiddenError
from controller.adapters.kubernetes.resources import GATEWAY_CLASSES, HTTP_ROUTES, Object
from controller.adapters.kubernetes.served import Answers, standing_of
from controller.adapters.kubernetes.sticky import HashPolicies, Standing, StickyBy
from controller.core.abilities import Mirroring, TrafficAbilities
from controller.core.traffic import Drift, Override, TrafficTable, WriteProgress, WriteStage
from controller.errors import ConflictError, PermanentError, SerinError, Source, TransientError, UsageError
from controller.ports.clock import Clock

log = logging.getLogger(__name__)

MANAGER: Final = "serin"
SETUP_MANAGER: Final = "serin-setup"  # owns what a new route has besides its rules, until Git takes that over
ROLLBACK_MANAGER: Final = "serin-rollback"
_OURS: Final = (MANAGER, SETUP_MANAGER, ROLLBACK_MANAGER)
_MODEL: Final = f"{DOMAIN}/model"
_TRIES: Final = 5
_ASKED_AT_ONCE: Final = 5
_KEPT_S: Final = 1.0
_PATIENCE_S: Final = 2.0  # after a write, before anybody is told what the table waits for


@dataclass(frozen=True, slots=True)
class GatewaySite:
    """The gateway, as the settings describe it. ``features``: those that it supports; None: its GatewayClass is asked.
    ``mirroring``: who copies; None: the gateway if it can, otherwise the replicas. ``sticky_by``: the kind of gateway
    that keeps users on their version; None: users are not kept."""

    name: str
    namespace: str | None = None
    class_name: str | None = None
    hostnames: tuple[str, ...] = ()
    features: frozenset[str] | None = None
    mirroring: Mirroring | None = None
    timeout_s: float = 15.0
    sticky_by: StickyBy | None = None


class KubernetesTraffic:
    """Implements ``Traffic``. Beside the cluster's own state, it remembers only how far its last writes were seen to
    have come.

    ``name_of``: the Service of a version; ``route_name``: the HTTPRoute of a model. ``setup`` creates a missing route,
    with what it needs besides rules, under a field manager of its own, so that Git can take that over. ``sticky`` makes
    the gateway keep users on their version; None: users are not kept.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - each a part of the data plane
        self,
        client: KubernetesClient,
        setup: KubernetesClient,
        site: GatewaySite,
        capacity: Capacity,
        copies: ReplicaCopies,
        probe: GatewayProbe,
        name_of: NameOf,
        route_name: Callable[[str], str],
        clock: Clock,
        *,
        sticky: HashPolicies | None = None,
        kept_s: float = _KEPT_S,
        patience_s: float = _PATIENCE_S,
    ) -> None:
        self._client = client
        self._setup = setup
        self._site = site
        self._capacity = capacity
        self._copies = copies
        self._probe = probe
        self._name_of = name_of
        self._route_name = route_name
        self._clock = clock
        self._sticky = sticky
        self._kept_s = kept_s
        self._patience_s = patience_s
        self._lock = Lock()
        self._routes: Mapping[str, Object] | None = None  # by model
        self._listed_s = 0.0
        self._known: set[str] = set()  # models that have had a table
        self._features: frozenset[str] | None = site.features
        self._served: dict[str, _Mark] = {}
        self._settled: dict[str, _Mark] = {}  # by model: the served route to which capacity was last fitted
        self._waiting: dict[str, _Waiting] = {}  # by model

    # --- what it can ---------------------------------------------------------------------------------------------
    def abilities(self, model: str) -> TrafficAbilities:  # noqa: ARG002 - one gateway for all
        header = self._sticky.header if self._sticky is not None else None
        return abilities_of(f"gateway {self._site.name}", self._supported(), self._site.mirroring, header)

    def _supported(self) -> frozenset[str]:
        """Return the features that the gateway supports.

        A Role cannot grant the right to read a GatewayClass. If Serin may not read it, only one feature is assumed:
        that paths are rewritten, without which no request reaches a replica.
        """
        if self._features is None:
            found = None
            if self._site.class_name is not None:
                with suppress(ForbiddenError):
                    found = self._client.get(GATEWAY_CLASSES, self._site.class_name)
            self._features = features_of(found) if found is not None else frozenset({Feature.REWRITE})
        return self._features

    def _options(self) -> RouteOptions:
        features = self._supported()
        if Feature.REWRITE not in features:
            raise PermanentError(
                f"gateway {self._site.name} does not declare that it can rewrite paths ({Feature.REWRITE}), "
                "which Serin needs"
            )
        return RouteOptions(
            gateway_mirrors=self.abilities("").mirroring is Mirroring.GATEWAY_ONE_WAY,
            tells_generation=Feature.ANSWER_HEADERS in features,
            timeout_s=self._site.timeout_s if Feature.TIMEOUT in features else None,
            sticky=self._sticky is not None,
        )

    # --- what stands there ---------------------------------------------------------------------------------------
    def models(self) -> Sequence[str]:
        return tuple(sorted(model for model, route in self._listed().items() if self._table(model, route) is not None))

    def read(self, model: str) -> TrafficTable | None:
        return self._table(model, self._listed().get(model))

    def _table(self, model: str, route: Object | None) -> TrafficTable | None:
        """Return the table that the route holds. An edited route may lead to a version that Serin had not routed to."""
        if route is None:
            return None
        return table_of(model, route, self._capacity.names(model) if edited(route) is not None else {})

    def drift(self, model: str) -> Drift | None:
        return self._drift(model, self._listed().get(model))

    def _drift(self, model: str, route: Object | None) -> Drift | None:
        table = self._table(model, route)
        if route is None or table is None:
            if model in self._known or self._capacity.has_served(model):
                return Drift("", f"the route of {model} was deleted, or the annotations that Serin keeps on it")
            return None
        if (digest := edited(route)) is None:
            return None
        by = writer_of_rules(route, _OURS)
        shares = ", ".join(f"version {version} {pct:g} %" for version, pct in table.weights_pct.items())
        who = f"by {by} " if by else ""
        return Drift(digest, f"the route of {model} was changed {who}past Serin (now {shares}; rules {digest})", by)

    def _listed(self) -> Mapping[str, Object]:
        """Return the routes by model, from one list for all models that is kept for a moment. Our own writes are seen
        at once."""
        with self._lock:
            now_s = self._clock.monotonic_s()
            if self._routes is None or now_s - self._listed_s >= self._kept_s:
                found = self._client.list(HTTP_ROUTES).items
                by_name = {one["metadata"]["name"]: one for one in found}
                self._routes = {
                    model: by_name[name]
                    for one in found
                    if (model := (one["metadata"].get("annotations") or {}).get(_MODEL)) is not None
                    and (name := self._route_name(model)) in by_name
                }
                self._known.update(self._routes)
                self._listed_s = now_s
            return self._routes

    # --- writing -------------------------------------------------------------------------------------------------
    def write(self, table: TrafficTable, *, over: Drift | None = None) -> None:
        options = self._options()
        for _ in range(_TRIES):
            route = self._client.get(HTTP_ROUTES, self._route_name(table.model))
            stored = self._table(table.model, route)
            if self._stands(table, stored, self._drift(table.model, route), over):
                return
            if self._sticky is not None and _is_split(table):  # a rollback is not split, and waits for nothing
                self._sticky.ensure(table.model)
            self._capacity.prepare(stored, table)
            self._copy(table)
            try:
                self._put(table, route, options)
            except ConflictError as conflict:
                log.info("%s: read again: %s", table.model, conflict)
                continue
            finally:
                self._forget()
            self._known.add(table.model)
            log.info("%s: generation %d: %s", table.model, table.generation, dict(table.weights_pct))
            return
        raise ConflictError(Source.TRAFFIC, f"the route of {table.model} was changed {_TRIES} times while it was read")

    def retreat(self, model: str, to: str | None, override: Override) -> TrafficTable:
        with self._lock:
            self._routes = None  # the list that is kept may be older than the cluster's state
        table = self.read(model)
        if table is None:
            raise UsageError(f"no model {model!r} is routed here")
        if (target := to or table.known_good) is None:
            raise UsageError(table.nowhere_back)
        back = table.back(target, override)
        self.write(back, over=self.drift(model))
        return back

    @staticmethod
    def _stands(table: TrafficTable, stored: TrafficTable | None, drift: Drift | None, over: Drift | None) -> bool:
        """Return whether this very table is stored already, as when a call is repeated.

        Raises:
            ConflictError: somebody else has written the route, or edited it.
        """
        model = table.model
        if drift is not None and (over is None or over.digest != drift.digest):
            raise ConflictError(Source.TRAFFIC, f"{drift.what}: somebody else did that, and it is not overwritten")
        generation = stored.generation if stored is not None else 0
        if drift is None and stored == table:
            return True
        if generation != table.generation - 1:
            raise ConflictError(
                Source.TRAFFIC,
                f"the traffic table of {model} is at generation {generation}, not at {table.generation - 1}: "
                "somebody else wrote it",
            )
        return False

    def _copy(self, table: TrafficTable) -> None:
        """Start or end the copies, as the table says. Copies end before traffic moves back, but traffic never waits for
        that."""
        by_replica = self.abilities(table.model).mirroring is Mirroring.REPLICA
        try:
            if by_replica and table.mirror is not None:
                self._copies.follow(table)
            else:
                self._copies.end(table.model)
        except TransientError:
            if by_replica and table.mirror is not None:
                raise
            log.warning("%s: replicas could not be told to stop sending copies", table.model)

    def _put(self, table: TrafficTable, route: Object | None, options: RouteOptions) -> None:
        rules = rules_of(table, options, self._name_of)
        annotations = {_MODEL: table.model, **annotations_of(table, rules, self._name_of)}
        name = self._route_name(table.model)
        if route is None:
            parent = {"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": self._site.name}
            if self._site.namespace is not None:
                parent["namespace"] = self._site.namespace
            hostnames = {"hostnames": list(self._site.hostnames)} if self._site.hostnames else {}
            metadata = {"name": name, "labels": {MANAGED_BY: "serin"}, "annotations": annotations}
            spec = {"parentRefs": [parent], **hostnames, "rules": rules}
            body = {"apiVersion": HTTP_ROUTES.api_version, "kind": HTTP_ROUTES.kind, "metadata": metadata, "spec": spec}
            self._setup.create(HTTP_ROUTES, body)
            return
        body = {"metadata": {"annotations": annotations}, "spec": {"rules": rules}}
        # Edits of the rules by others were checked above, on this very revision.
        self._client.apply(HTTP_ROUTES, name, body, force=True, revision=route["metadata"]["resourceVersion"])

    def _forget(self) -> None:
        with self._lock:
            self._routes = None

    # --- how far it has come -------------------------------------------------------------------------------------
    def progress(self, model: str) -> WriteProgress | None:
        route = self._listed().get(model)
        table = self._table(model, route)
        if route is None or table is None:
            return None
        kept = self._sticky.standing(model) if self._sticky is not None and _is_split(table) else _NO_POLICY
        mark = _Mark(route["metadata"]["uid"], route["metadata"]["generation"], table.generation, kept.revision)
        if self._served.get(model) == mark and not kept.problem:
            self._settle(table, mark)
            return WriteProgress(table.generation, WriteStage.SERVED)
        waiting = self._waiting.get(model)
        if waiting is None or waiting.mark != mark:
            users = waiting.users.next() if waiting is not None and waiting.users is not None else self._nobody_asked()
            waiting = self._waiting[model] = _Waiting(mark, self._clock.monotonic_s(), users)
        standing = standing_of(route)
        stage, detail = standing.stage, standing.detail
        if stage is WriteStage.ACCEPTED:
            detail = kept.problem or self._asked(table, route, waiting)
            if not detail:
                self._served[model] = mark
                self._settle(table, mark)
                return WriteProgress(table.generation, WriteStage.SERVED)
        patient = self._clock.monotonic_s() - waiting.since_s < self._patience_s and stage is not WriteStage.REJECTED
        return WriteProgress(table.generation, stage, "" if patient else detail)

    def _settle(self, table: TrafficTable, mark: "_Mark") -> None:
        """Give up capacity that nobody needs any more. Nothing depends on it: a failure is logged, and it is tried
        again."""
        if self._settled.get(table.model) == mark:
            return
        try:
            self._capacity.settle(table)
        except SerinError as error:
            log.warning("%s: its autoscalers stay as they are for now: %s", table.model, error)
        else:
            self._settled[table.model] = mark

    def _nobody_asked(self) -> KeptUsers | None:
        return KeptUsers(self._sticky.header) if self._sticky is not None else None

    def _asked(self, table: TrafficTable, route: Object, waiting: "_Waiting") -> str:
        """Return why the table is not yet seen to be served; empty once it is."""
        answers, users = waiting.answers, waiting.users
        told = Feature.ANSWER_HEADERS in self._supported()
        host = next((name.replace("*", "serin") for name in route["spec"].get("hostnames") or ()), None)
        try:
            if answers.missing(tells_generation=told):
                for _ in range(_ASKED_AT_ONCE):
                    answers.add(self._probe.ask(table.model, host), table, tells_generation=told)
                if problem := answers.problem(table):
                    answers.told.clear()
                    return problem
            missing = answers.missing(tells_generation=told)
            if missing or users is None:
                return missing
            ask = partial(self._ask_as, table.model, host, users.header)
            return users.look(ask, table, tells_generation=told)
        except TransientError as error:
            answers.told.clear()
            return str(error)

    def _ask_as(self, model: str, host: str | None, header: str, value: str) -> Told:
        return self._probe.ask(model, host, {header: value})


def _is_split(table: TrafficTable) -> bool:
    return len(table.weights_pct) > 1


_NO_POLICY: Final = Standing("", "")


@dataclass(frozen=True, slots=True)
class _Mark:
    """One route as it was written once, with the policy that keeps users on their version."""

    uid: str
    generation: int
    table: int
    policy: str


@dataclass(frozen=True, slots=True)
class _Waiting:
    """The answers since a route was written. ``users``: None if users are not kept on a version."""

    mark: _Mark
    since_s: float
    users: KeptUsers | None
    answers: Answers = field(default_factory=Answers)
