"""The controller of an installation, with its local data plane."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

from controller.adapters.clock import SystemClock
from controller.adapters.envoy import EnvoyTraffic
from controller.adapters.envoy_routes import RouteOptions
from controller.adapters.mlflow_registry import MlflowRegistry
from controller.adapters.processes import Gateway, LocalProcesses, serving_command
from controller.adapters.prometheus import PrometheusMetrics
from controller.adapters.prometheus_server import TargetFiles
from controller.adapters.replicas import HttpReplicas
from controller.adapters.sql.store import Store
from controller.api.app import ApiPorts, create_app
from controller.api.server import serve
from controller.bootstrap.access import access_flags, api_token, prepare_access
from controller.bootstrap.stores import policies_of, store_of
from controller.packages import PackageStore
from controller.perform import World
from controller.reconcile import Reconciler
from controller.settings import Home, Settings
from controller.upkeep import check_kept, daily_pruning
from controller.watch import RegistryWatch


@dataclass(frozen=True, slots=True)
class Controller:
    """What one controller process runs."""

    reconciler: Reconciler
    watch: RegistryWatch
    store: Store
    replicas: HttpReplicas
    settings: Settings
    api_token: str | None  # what who writes to the interface must show

    def close(self) -> None:
        self.replicas.close()
        self.store.close()


def keep_tidy(controller: Controller) -> AbstractContextManager[None]:
    """What is done once a day beside the releases, while the block lasts."""
    return daily_pruning(controller.store.samples, SystemClock(), kept_days=controller.settings.samples_kept_days)


def serve_api(controller: Controller, *, wake: Callable[[], None]) -> AbstractContextManager[str]:
    """The HTTP interface, served while the block lasts. ``wake`` is called when somebody changed something."""
    store, settings = controller.store, controller.settings
    ports = ApiPorts(
        samples=store.samples,
        journal=store.journal,
        inbox=store.inbox,
        freezes=store.freezes,
        deliveries=store.deliveries,
        clock=SystemClock(),
        wake=wake,
    )
    secret = settings.webhook_secret
    app = create_app(ports, token=controller.api_token, webhook_secret=secret.encode() if secret else None)
    return serve(app, "127.0.0.1", settings.api_port)


def build(home: Home) -> Controller:
    """The controller of an installation, with its local data plane. Opens the store; starts nothing."""
    settings = home.load()
    policies = policies_of(home)
    check_kept(settings.samples_kept_days, policies.values())
    clock = SystemClock()
    store = store_of(home, settings)
    registry = MlflowRegistry(settings.registry)
    packages = PackageStore(registry, home.packages)
    traffic = EnvoyTraffic(home.envoy, RouteOptions(sticky_header=settings.sticky_header))
    prepare_access(home, settings)
    replicas = HttpReplicas(token_file=home.own_token if settings.require_tokens else None)
    world = World(
        clock=clock,
        traffic=traffic,
        deployments=_deployments(home, settings, traffic, clock),
        registry=registry,
        replicas=replicas,
        metrics=PrometheusMetrics(
            settings.prometheus,
            scrape_interval_s=settings.scrape_interval_s,
            process_labels=settings.process_labels,
        ),
        samples=store.samples,
        freezes=store.freezes,
    )
    watch = RegistryWatch(registry, packages, clock)
    reconciler = Reconciler(world, packages, store.journal, store.inbox, policies, watch)
    return Controller(reconciler, watch, store, replicas, settings, api_token(home, settings))


def _deployments(home: Home, settings: Settings, traffic: EnvoyTraffic, clock: SystemClock) -> LocalProcesses:
    targets = TargetFiles(home.targets)
    extra = [
        *("--capture-url", settings.api),
        *("--capture-ratio", f"{settings.capture_ratio:g}"),
        *("--threads", str(settings.replica_threads)),
        *(["--capture-text"] if settings.capture_text else []),
        *access_flags(home, settings),
    ]

    def announce(model: str, version: str, url: str, shadow_url: str | None) -> None:
        traffic.set_endpoint(model, version, url, shadow_url)
        targets.set(model, version, url)

    def withdraw(model: str, version: str) -> None:
        traffic.drop_endpoint(model, version)
        targets.drop(model, version)

    return LocalProcesses(
        home.deployments,
        lambda spec, port_file: serving_command(spec, port_file, extra),
        Gateway(announce, withdraw),
        clock,
    )
