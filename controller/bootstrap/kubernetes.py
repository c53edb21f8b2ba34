"""The data plane of an installation whose versions run on a cluster: ``runtime: {kind: kubernetes}`` in settings."""

import dataclasses
import difflib
import hashlib
import json
import typing
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError

from controller.adapters.kubernetes.capacity import Capacity
from controller.adapters.kubernetes.client import KubernetesClient
from controller.adapters.kubernetes.connection import connect
from controller.adapters.kubernetes.copies import ReplicaCopies
from controller.adapters.kubernetes.looks import Looks
from controller.adapters.kubernetes.names import model_name, names_like, resource_name, version_of
from controller.adapters.kubernetes.objects.site import Site
from controller.adapters.kubernetes.packages import KeptPackages
from controller.adapters.kubernetes.probe import GatewayProbe
from controller.adapters.kubernetes.runtime import KubernetesDeployments
from controller.adapters.kubernetes.sight import ClusterSight
from controller.adapters.kubernetes.sticky import HashPolicies, StickyBy
from controller.adapters.kubernetes.traffic import MANAGER, SETUP_MANAGER, GatewaySite, KubernetesTraffic
from controller.adapters.prometheus.gateway_kinds import KINDS, GatewayPlace
from controller.bootstrap.plane import DataPlane
from controller.config.settings import Home, Settings
from controller.errors import Source, UsageError
from controller.ports.clock import Clock
from controller.roles import ANY, REPLICA
from serving.access.tokens import Entry, TokenFileError, changing, id_of
from serving.contract import GATEWAY_JOB

KIND: Final = "kubernetes"
_COMPUTED: Final = ("namespace", "registry_url", "flags")  # of a site: from the other settings


class GatewayName(StrEnum):
    """The gateways whose own counts can be read, by the names that settings choose them by."""

    SERIN = "serin"
    ENVOY_GATEWAY = "envoy-gateway"
    ISTIO = "istio"
    NGINX = "nginx"
    CILIUM = "cilium"
    HUBBLE = "hubble"


@dataclass(frozen=True, slots=True)
class GatewayMetrics:
    """Where the gateway's own counts are: which gateway, and the job that its pods are scraped as."""

    kind: GatewayName = GatewayName.SERIN
    job: str = GATEWAY_JOB


class RuleForm(StrEnum):
    """The object that alert rules are kept as."""

    PROMETHEUS_RULE = "prometheus_rule"  # a Prometheus operator reads it
    CONFIG_MAP = "config_map"  # a rule file, for any other Prometheus


@dataclass(frozen=True, slots=True)
class AlertRules:
    """The object of alert rules that the controller keeps: its name, and labels by which its reader finds it."""

    name: str
    labels: Mapping[str, str] = field(default_factory=dict)
    form: RuleForm = RuleForm.PROMETHEUS_RULE


@dataclass(frozen=True, slots=True)
class KubernetesRuntime:
    """The block of the settings. ``gateway_url``: where users ask, by which it is seen what is served;
    ``controller_url``: where replicas send their sampled answers; both as they are reached from within the cluster.
    ``capture_token_file``: where the controller itself finds the token of `pods.capture_secret`, by which it knows its
    replicas. Without ``kubeconfig`` the account of the controller's own pod is used. ``gateway_metrics``: whose counts
    of users' requests are read; None: those of Serin's own Envoy. ``alert_rules``: the object by which a Prometheus has
    the rules of the policies in force; None: nobody writes one."""

    kind: str
    pods: Site
    gateway: GatewaySite
    gateway_url: str
    controller_url: str | None = None
    capture_token_file: str | None = None
    gateway_ca_file: str | None = None
    kubeconfig: str | None = None
    context: str | None = None
    namespace: str | None = None
    gateway_metrics: GatewayMetrics | None = None
    alert_rules: AlertRules | None = None


def runtime_of(settings: Settings) -> KubernetesRuntime | None:
    """Return what the settings say of a cluster; None where versions run on this machine.

    Raises:
        UsageError: naming the key, and what it may be.
    """
    document = settings.runtime
    if document is None or document.get("kind") != KIND:
        return None
    for problem in (*_unknown(document, KubernetesRuntime, "runtime"), *_computed(document)):
        raise UsageError(f"settings: {problem}")
    try:
        found = TypeAdapter(KubernetesRuntime).validate_json(json.dumps(document), strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(("runtime", *map(str, first["loc"])))
        raise UsageError(f"settings: {place}: {first['msg']}") from error
    if settings.sticky_header is not None and found.gateway.sticky_by is None:
        raise UsageError(
            "settings: sticky_header: no cluster gateway is known to split users by a header so that all "
            "of them move at a rollback: leave it out, or say in runtime.gateway.sticky_by how yours is "
            "told to, and Serin checks through it that it does (docs/kubernetes.md, Users who stick)"
        )
    if settings.sticky_header is None and found.gateway.sticky_by is not None:
        raise UsageError(
            "settings: runtime.gateway.sticky_by: say in sticky_header by which header users keep their version, or "
            "leave it out"
        )
    if found.controller_url is not None and None in (found.pods.capture_secret, found.capture_token_file):
        raise UsageError(
            "settings: runtime.pods.capture_secret: with controller_url, name a Secret with `token` and `digest-key`, "
            "and in capture_token_file where the controller finds that token"
        )
    return found


def gateway_of(runtime: KubernetesRuntime, process_labels: tuple[str, ...]) -> GatewayPlace:
    """Return where the gateway's own counts are, and what versions are called there.

    Raises:
        UsageError: the namespace is not set, and neither the kubeconfig nor the pod's account tells it.
    """
    found = runtime.gateway_metrics
    if found is None or found.kind is GatewayName.SERIN:
        return GatewayPlace(job=found.job if found is not None else GATEWAY_JOB)
    namespace = runtime.namespace
    if namespace is None:
        kubeconfig = Path(runtime.kubeconfig) if runtime.kubeconfig is not None else None
        namespace = connect(kubeconfig, context=runtime.context).namespace
    return GatewayPlace(
        KINDS[found.kind], found.job, namespace, resource_name, version_of, names_like, model_name, process_labels
    )


def cluster_plane(home: Home, settings: Settings, runtime: KubernetesRuntime, clock: Clock) -> DataPlane:
    """Return the data plane; nothing is asked of the cluster yet.

    Raises:
        UsageError: the kubeconfig or the pod's account cannot be used, or the replicas' token is none.
    """
    if runtime.capture_token_file is not None:
        let_replicas_in(home, Path(runtime.capture_token_file))
    deployments, traffic, packages = _parts(settings, runtime, clock)
    sight = ClusterSight(deployments.running, traffic, clock)
    return DataPlane(deployments, traffic, sight.read_tables, sight, packages)


def cluster_sight(settings: Settings, runtime: KubernetesRuntime, clock: Clock) -> ClusterSight:
    """Return what is shown of the data plane, to whoever asks without the controller. Raises as `cluster_plane`."""
    deployments, traffic, _ = _parts(settings, runtime, clock)
    return ClusterSight(deployments.running, traffic, clock)


def _parts(
    settings: Settings, runtime: KubernetesRuntime, clock: Clock
) -> tuple[KubernetesDeployments, KubernetesTraffic, KeptPackages | None]:
    kubeconfig = Path(runtime.kubeconfig) if runtime.kubeconfig is not None else None
    connection = connect(kubeconfig, context=runtime.context, namespace=runtime.namespace)
    deployments = KubernetesClient(connection, manager=MANAGER, source=Source.DEPLOYMENTS)
    routes = KubernetesClient(connection, manager=MANAGER, source=Source.TRAFFIC)
    setup = KubernetesClient(connection, manager=SETUP_MANAGER, source=Source.TRAFFIC)
    site = replace(
        runtime.pods,
        namespace=connection.namespace,
        registry_url=settings.registry,
        flags=tuple(_flags(settings, runtime)),
    )
    looks = Looks(deployments, clock)
    packages = KeptPackages(deployments, looks, clock) if site.cache.outlives_pods else None
    traffic = KubernetesTraffic(
        routes,
        setup,
        runtime.gateway,
        Capacity(deployments, looks),
        ReplicaCopies(routes, resource_name, model_name),
        GatewayProbe(runtime.gateway_url, Path(runtime.gateway_ca_file) if runtime.gateway_ca_file else None),
        resource_name,
        model_name,
        clock,
        sticky=_sticky(settings, runtime.gateway, routes, clock),
    )

    def routed(model: str) -> Collection[str]:
        table = traffic.read(model)
        return table.asked if table is not None else ()

    return KubernetesDeployments(deployments, looks, site, resource_name, routed, packages), traffic, packages


def _sticky(settings: Settings, gateway: GatewaySite, client: KubernetesClient, clock: Clock) -> HashPolicies | None:
    if settings.sticky_header is None or gateway.sticky_by is None:
        return None
    match gateway.sticky_by:
        case StickyBy.ENVOY_GATEWAY:
            return HashPolicies(client, settings.sticky_header, MANAGER, model_name, clock)


def let_replicas_in(home: Home, token_file: Path) -> None:
    """Let whoever shows that token send predictions. Serin may read no Secret, so it cannot make one a version.

    Raises:
        UsageError: the file cannot be read, or holds no token of Serin's form.
    """
    try:
        token = token_file.read_text(encoding="ascii").strip()
        if (token_id := id_of(token)) is None:
            form = "serin_, 12 hex digits, _ and 43 letters or digits"
            raise UsageError(f"settings: runtime.capture_token_file: {token_file} holds no token: it needs {form}")
        digest = hashlib.sha256(token.encode()).hexdigest()
        with changing(home.api_tokens) as entries:
            if (token_id, digest) not in {(entry.id, entry.sha256) for entry in entries}:
                now = datetime.now(UTC)
                entry = Entry(
                    id=token_id, name=REPLICA, sha256=digest, created_at=now, roles=(REPLICA,), model=ANY, version=ANY
                )
                entries[:] = [*(one for one in entries if (one.model, one.version) != (ANY, ANY)), entry]
    except (OSError, UnicodeDecodeError, TokenFileError) as error:
        raise UsageError(f"settings: runtime.capture_token_file: {error}") from error


def _flags(settings: Settings, runtime: KubernetesRuntime) -> Iterator[str]:
    """Yield what every replica is told besides its version's own."""
    yield from ("--threads", str(settings.replica_threads))
    if runtime.controller_url is not None:
        yield from ("--capture-url", runtime.controller_url)
        if (ratio := settings.fixed_capture_ratio) is not None:  # else all, until the answer to samples says otherwise
            yield from ("--capture-ratio", f"{ratio:.10g}")
        if settings.capture_text:
            yield "--capture-text"


def _computed(document: Mapping[str, Any]) -> Iterator[str]:
    pods = document.get("pods")
    for key in _COMPUTED:
        if isinstance(pods, dict) and key in pods:
            yield f"runtime.pods.{key}: is taken from the other settings: leave it out"


def _unknown(document: object, kind: Any, place: str) -> Iterator[str]:
    """Yield each key that the type does not have, with the one most alike."""
    if not isinstance(document, dict) or not dataclasses.is_dataclass(kind):
        return
    hints = typing.get_type_hints(kind)
    for key, value in document.items():
        if key not in hints:
            near = difflib.get_close_matches(str(key), hints, n=1)
            yield f"{place}: unknown key {key!r}" + (f"; did you mean {near[0]!r}?" if near else "")
            continue
        options = [one for one in (hints[key], *typing.get_args(hints[key])) if dataclasses.is_dataclass(one)]
        for option in options[:1]:
            yield from _unknown(value, option, f"{place}.{key}")
