"""The controller of an installation, with its data plane."""

import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from shutil import disk_usage
from typing import TYPE_CHECKING, Final

from starlette.applications import Starlette

from controller.adapters.clock import SystemClock
from controller.adapters.local.known_texts import SuiteTexts
from controller.adapters.local.packages import PackageStore, UnusedPackages
from controller.adapters.local.suites import SuiteRuns
from controller.adapters.mlflow.registry import MlflowRegistry
from controller.adapters.prometheus.explained import ExplainedMetrics
from controller.adapters.replicas import HttpReplicas
from controller.adapters.sql.space import database_bytes
from controller.adapters.sql.store import Store
from controller.api.access import Access, Tokens
from controller.api.app import ApiPorts, create_app
from controller.api.callers import Refusals, log_lines
from controller.api.server import serve
from controller.api.telemetry import Readings, Telemetry
from controller.api.tls import Certificate
from controller.bootstrap.access import argilla_secret, prepare_access, tokens_at_the_interface, webhook_secret
from controller.bootstrap.condition import HomeSite
from controller.bootstrap.in_use import InUse, versions_in_use
from controller.bootstrap.metrics import metrics_of
from controller.bootstrap.notify import channels_of
from controller.bootstrap.page import page_of
from controller.bootstrap.parts import word_of
from controller.bootstrap.plane import DataPlane, data_plane
from controller.bootstrap.policies import current_policies
from controller.bootstrap.stores import digest_of, share_digest_key, store_of, texts_of
from controller.config.settings import Home, Settings
from controller.core.traffic import Override
from controller.errors import SerinError
from controller.journal.answered import AnsweredBefore
from controller.loop.candidate_poller import CandidatePoller
from controller.loop.champions import ChampionWatch, WatchPorts
from controller.loop.courier import Courier, delivering
from controller.loop.executor import World
from controller.loop.fleet import Fleet
from controller.loop.jobs import ThreadedJobs
from controller.loop.leader import Leader
from controller.loop.policies import CurrentPolicies
from controller.loop.policy_log import PolicyLog
from controller.loop.reconciler import Books
from controller.loop.replay import RecordedReplays, is_in_shadow
from controller.loop.retention import UNMATCHED_KEPT_DAYS, Kept, Prunable, Room, daily_pruning
from controller.loop.sampling import Needs, SampledAsNeeded
from controller.offline.forecast.sampling import ratio_between, ratio_in_release
from controller.ports.notices import Channel
from controller.ports.runtime import DeploymentStatus
from controller.service import Service
from controller.subscribers.feed import CatchesUp, Follower
from controller.subscribers.named_targets import NamedTargets
from controller.subscribers.outbox import FromNowOn, Outbox
from controller.subscribers.registry_tags import RegistryTags
from controller.subscribers.undelivered import undelivered
from serving.access.hosts import Hosts

if TYPE_CHECKING:
    from controller.bootstrap.kubernetes_objects import ClusterObjects

NOTICES_KEPT_DAYS: Final = 30.0
"""How long a notice is kept after it arrived, or was given up."""
CALM_S: Final = 1.0
"""How often a model is seen to of which nothing is in a hurry: a candidate that died is taken back so much later."""


@dataclass(frozen=True, slots=True)
class Controller:
    """The parts that one controller process runs."""

    fleet: Fleet
    leader: Leader
    poller: CandidatePoller
    jobs: ThreadedJobs
    store: Store
    replicas: HttpReplicas
    home: Home
    settings: Settings
    tokens: Tokens  # of those who may ask at the interface
    hosts: Hosts  # the names that the interface goes by
    policies: CurrentPolicies
    sampling: SampledAsNeeded
    plane: DataPlane
    packages: PackageStore
    channels: Sequence[Channel]
    courier: Courier
    watch: ChampionWatch

    def close(self) -> None:
        self.jobs.close()
        self.replicas.close()
        self.store.close()


def keep_tidy(controller: Controller) -> AbstractContextManager[None]:
    """Do what is to be done from time to time beside the releases, while the block lasts."""
    store, days = controller.store, controller.settings.samples_kept_days

    def in_use() -> InUse:
        return versions_in_use(controller.plane, store.journal, controller.fleet.models)

    packages: list[Prunable] = [UnusedPackages(controller.packages, in_use)]
    packages += [controller.plane.packages] if controller.plane.packages is not None else []
    looks = store.looks.led_by(controller.leader.fence)
    kept = [Kept(store.samples, days), Kept(store.samples.unmatched_labels, UNMATCHED_KEPT_DAYS)]
    kept += [
        Kept(store.inbox, days),
        Kept(store.notices, NOTICES_KEPT_DAYS),
        Kept(looks, controller.settings.looks_kept_days),
        *(Kept(one, controller.settings.packages_kept_days) for one in packages),
    ]
    return daily_pruning(kept, SystemClock(), [Room(store.samples, controller.settings.samples_mb_max * 1e6)])


def tell_people(controller: Controller) -> AbstractContextManager[None]:
    """Tell the targets of the settings what happens, while the block lasts."""
    return delivering(controller.courier, controller.channels)


@contextmanager
def serve_api(controller: Controller, *, wake: Callable[[], None]) -> Iterator[str]:
    """The HTTP interface, served while the block lasts: on loopback, and where the settings say so beyond it, by TLS
    and for tokens only. ``wake`` is called when somebody changed something. Yields its address on loopback.

    At the end it goes on for as long as the settings say, and tells who probes it that it is not ready.

    Raises:
        UsageError: the certificate cannot be used.
        OSError: an address cannot be bound.
    """
    store, settings, ending = controller.store, controller.settings, threading.Event()

    def not_ready() -> str:
        store.ask()
        return "it is about to end" if ending.is_set() else ""

    site = HomeSite(controller.home, controller.policies, lambda: controller.plane.sight)
    refusals = Refusals()
    ports = ApiPorts(
        samples=store.samples,
        standing=store.standing,
        journal=store.journal,
        service=_service(store, controller.fleet.models, site, wake, retreat=controller.plane.traffic.retreat),
        deliveries=store.deliveries,
        clock=SystemClock(),
        wake=wake,
        label_names=controller.policies.label_names,
        telemetry=Telemetry(_readings(controller, refusals)),
        refusals=refusals,
        capture_ratio=controller.sampling.ratio_of,
        not_ready=not_ready,
        installation=word_of(controller.home),
    )
    secret, argilla = webhook_secret(settings), argilla_secret(settings)
    controller.home.logs.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        log = stack.enter_context(closing(log_lines(controller.home.logs / "api-access.log")))

        page = page_of(controller, ports.service)

        def app(access: Access) -> Starlette:
            beside = page.routes(access)
            return create_app(
                ports,
                access,
                webhook_secret=secret,
                argilla_secret=argilla,
                hosts=controller.hosts,
                log=log,
                beside=beside,
            )

        if (listen := settings.api_listen) is not None:
            host, port = listen.rsplit(":", 1)
            known = app(Access(controller.tokens, open_reading=False))
            shown = Certificate(Path(settings.api_cert_file or ""), Path(settings.api_key_file or ""))
            stack.enter_context(serve(known, host.strip("[]"), int(port), certificate=shown))
        here = app(Access(controller.tokens, open_reading=not settings.require_tokens))
        url = stack.enter_context(serve(here, "127.0.0.1", settings.api_port))
        stack.enter_context(page.following())  # ended first: a server waits for those who look on
        try:
            yield url
        finally:
            ending.set()
            time.sleep(settings.api_drain_s)


def _service(
    store: Store,
    models: Collection[str],
    site: HomeSite,
    wake: Callable[[], None] = lambda: None,
    retreat: Callable[[str, str | None, Override], object] | None = None,
) -> Service:
    clock = SystemClock()

    def untold() -> Sequence[str]:
        return tuple(undelivered(store.notices.standing(), clock.now_s()))

    return Service(
        store.journal,
        store.inbox,
        store.freezes,
        clock,
        models,
        site,
        wake,
        store.recordings.progress,
        untold,
        lambda: store.champions.kept()[1],
        retreat,
    )


def _readings(controller: Controller, refusals: Refusals) -> Readings:
    store, home = controller.store, controller.home
    return Readings(
        journal=store.journal,
        freezes=store.freezes,
        leads=lambda: controller.leader.has_lease,
        last_round_s=lambda: controller.fleet.last_round_s,
        policy_faults=lambda: len(controller.policies.faults),
        models=lambda: list(controller.fleet.models),
        under_way=controller.fleet.under_way,
        unreadable=controller.fleet.unreadable,
        champions=lambda: controller.watch.told,
        notices=store.notices,
        tallies=controller.courier.tallies,
        tables=controller.plane.tables,
        database_bytes=lambda: database_bytes(store.database),
        disk_free_bytes=lambda: disk_usage(home.path).free,
        refusals=refusals,
    )


def build(home: Home, name: str) -> Controller:
    """The controller of an installation, with its data plane. Opens the store; starts nothing. ``name`` is what
    it competes by with others of its database (`stores.only_controller`)."""
    settings = home.load()
    clock = SystemClock()
    prepare_access(home, settings)
    store = store_of(home, settings, texts_of(home, settings), digest_of(home, settings), SuiteTexts())
    try:
        share_digest_key(home, settings, store)
    except SerinError:
        store.close()
        raise
    objects = _cluster_objects(home, settings, store, lambda: policies.faults)
    beside = [objects.policies] if objects is not None else []
    policies = current_policies(home, settings.samples_kept_days, beside)
    registry = MlflowRegistry(settings.registry)
    packages = PackageStore(registry, home.packages)
    replicas = HttpReplicas(token_file=home.own_token if settings.require_tokens else None)

    def running(model: str) -> Mapping[str, DeploymentStatus]:
        return plane.deployments.status(model)

    metrics = ExplainedMetrics(metrics_of(settings, running), clock)
    jobs = ThreadedJobs(clock)
    leadership = objects.leadership if objects is not None else store.leadership
    leader = Leader(leadership, name, lease_s=settings.lease_s)
    sampling = SampledAsNeeded(
        Needs(ratio_in_release, ratio_between),
        metrics,
        store.samples,
        store.journal,
        clock,
        jobs,
        leader.fence,
        fixed=settings.fixed_capture_ratio,
    )
    plane = data_plane(home, settings, policies.falls_back, packages, sampling.ratio_of)
    world = World(
        clock=clock,
        traffic=plane.traffic,
        deployments=plane.deployments,
        registry=registry,
        replicas=replicas,
        metrics=metrics,
        samples=store.samples,
        freezes=store.freezes,
        suites=SuiteRuns(replicas, home.suites, AnsweredBefore(store.journal)),
        sampling=sampling,
        replays=RecordedReplays(
            store.recordings,
            replicas,
            clock,
            time.sleep,
            in_shadow=partial(is_in_shadow, store.journal),
            fence=leader.fence,
        ),
    )
    poller = CandidatePoller(registry, packages, clock, jobs)
    books = Books(store.journal, store.inbox, poller, packages, jobs, leader.fence, leader.leads)
    followers: list[CatchesUp] = [Follower(store.journal, RegistryTags(registry, store.journal))]
    channels = channels_of(settings)
    followers.append(NamedTargets(store.notices, [one.name for one in channels], clock))
    if channels:
        outbox = Outbox(store.notices, channels, store.journal, store.freezes, policies, clock)
        followers.append(FromNowOn(store.journal, outbox))
    watch = ChampionWatch(
        WatchPorts(
            champions=store.champions,
            releases=store.journal,
            traffic=plane.traffic,
            metrics=metrics,
            policies=policies,
            label_names=policies.label_names_of,
            clock=clock,
            fence=leader.fence,
        )
    )
    followers.append(watch)
    recorded = PolicyLog(policies, store.journal, clock, leader.fence)
    fleet = Fleet(world, books, recorded, policies.label_names_of, followers=followers, calm_s=CALM_S)
    if objects is not None:
        site = HomeSite(home, policies, lambda: plane.sight)
        service = _service(store, fleet.models, site)
        fleet.follow(objects.policies)
        fleet.follow(objects.releases(store, service, plane.traffic))
        for rules in objects.rules(policies):
            fleet.follow(rules)
    return Controller(
        fleet=fleet,
        leader=leader,
        poller=poller,
        jobs=jobs,
        store=store,
        replicas=replicas,
        home=home,
        settings=settings,
        tokens=tokens_at_the_interface(home, settings),
        hosts=Hosts(settings.api_hosts),
        policies=policies,
        sampling=sampling,
        plane=plane,
        packages=packages,
        channels=channels,
        watch=watch,
        courier=Courier(store.notices, channels, clock, lambda: leader.has_lease),
    )


def _cluster_objects(
    home: Home, settings: Settings, store: Store, faults: Callable[[], Mapping[str, str]]
) -> "ClusterObjects | None":
    """The objects that the installation has in a cluster; None where it has no cluster."""
    if settings.runtime is None:
        return None
    from controller.bootstrap.kubernetes_objects import cluster_objects  # a library that one machine does without

    return cluster_objects(home, settings, store, faults)
