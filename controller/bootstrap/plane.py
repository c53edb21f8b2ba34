"""The data plane of an installation: what runs versions, and what routes to them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from controller.adapters.clock import SystemClock
from controller.adapters.envoy.encoding import RouteOptions
from controller.adapters.envoy.traffic import EnvoyTraffic
from controller.adapters.local.command import serving_command
from controller.adapters.local.packages import PackageStore
from controller.adapters.local.processes import Gateway, LocalProcesses, Place
from controller.adapters.local.records import Records
from controller.adapters.prometheus.server import TargetFiles
from controller.bootstrap.access import access_flags, token_of_version
from controller.bootstrap.sight import LocalSight, Sight
from controller.config.settings import Home, Settings
from controller.core.traffic import TrafficTable
from controller.loop.retention import Prunable
from controller.ports.runtime import Deployments, DeploymentSpec
from controller.ports.traffic import Traffic

RatioOf = Callable[[str], float | None]


@dataclass(frozen=True, slots=True)
class DataPlane:
    """The two ports, and what is shown of them. ``tables``: those of all models as they stand there; raises
    TransientError while nobody says. ``packages``: those that replicas keep, where that is not on this machine."""

    deployments: Deployments
    traffic: Traffic
    tables: Callable[[], Sequence[TrafficTable]]
    sight: Sight
    packages: Prunable | None = None


def data_plane(
    home: Home, settings: Settings, falls_back: Callable[[str], bool], packages: PackageStore, ratio_of: RatioOf
) -> DataPlane:
    """Return the data plane that the settings ask for: processes and Envoy of this machine, or a cluster's.

    ``ratio_of``: the share of a model's requests that a version samples until it has asked; None: not known.

    Raises:
        UsageError: the settings' ``runtime`` cannot be.
    """
    if settings.runtime is not None:
        from controller.bootstrap.kubernetes import cluster_plane, runtime_of  # a library that one machine does without

        if (runtime := runtime_of(settings)) is not None:
            return cluster_plane(home, settings, runtime, SystemClock())
    options = RouteOptions(sticky_header=settings.sticky_header)
    traffic = EnvoyTraffic(home.envoy, options, falls_back, log=home.logs / "envoy.log")
    deployments = _deployments(home, settings, traffic, packages, ratio_of)
    sight = LocalSight(home)
    return DataPlane(deployments, traffic, sight.tables, sight)


def _deployments(
    home: Home, settings: Settings, traffic: EnvoyTraffic, packages: PackageStore, ratio_of: RatioOf
) -> LocalProcesses:
    targets = TargetFiles(home.targets)
    extra = [
        *("--capture-url", settings.api),
        *("--threads", str(settings.replica_threads)),
        *(["--capture-text"] if settings.capture_text else []),
        *access_flags(home, settings),
    ]

    def announce(model: str, version: str, places: Mapping[str, Place]) -> None:
        traffic.set_endpoints(model, version, list(places.values()))
        targets.set(model, version, {replica: url for replica, (url, _) in places.items()})

    def withdraw(model: str, version: str) -> None:
        traffic.drop_endpoint(model, version)
        targets.drop(model, version)

    records = Records(home.deployments)

    def command(spec: DeploymentSpec, port_file: Path) -> list[str]:
        token_file = token_of_version(home, records, spec.model, spec.version, starting=port_file.stem)
        package = packages.place(spec.model, spec.artifact)
        ratio = ratio_of(spec.model)  # until it has asked
        sampled = ["--capture-ratio", f"{ratio:.10g}"] if ratio is not None else []
        return serving_command(spec, package, port_file, [*extra, *sampled, "--capture-token-file", str(token_file)])

    return LocalProcesses(
        home.deployments,
        command,
        Gateway(announce, withdraw),
        SystemClock(),
    )
