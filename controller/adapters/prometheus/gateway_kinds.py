"""The gateways whose counts of users' requests Serin can read: what each calls them, and what it cannot tell.

A query set is one `GatewayKind`. Each begins where a gateway's documentation says what it counts; the sources stand
in ``tests/controller/expositions``.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from serving.contract import (
    CLUSTER_LABEL,
    CODE_CLASS_LABEL,
    GATEWAY_COMPLETED_METRIC,
    GATEWAY_JOB,
    GATEWAY_REQUESTS_METRIC,
    GATEWAY_SENT_METRIC,
    GATEWAY_TIME_METRIC,
    GATEWAY_UPTIME_METRIC,
    deployment_name,
)

_LIVE_PORT: Final = 8000
_SHADOW_PORT: Final = 8001


@dataclass(frozen=True, slots=True)
class GatewayKind:
    """The metrics of one kind of gateway.

    ``requests`` counts answers by ``backend_label`` and ``status_label``, a code or a class that begins with its digit.
    ``time`` is a histogram, ``edge_ms`` the milliseconds of one unit of its edges; none: it tells no times. ``sent``
    counts what was passed on, answered or not; ``completed`` what ended, also where classes began anew. ``uptime``, in
    seconds, tells one process from the next; without it a counter that fell does.

    ``live`` and ``copied`` are what the backend label says of a version, as regular expressions of ``{namespace}``,
    ``{name}`` (that of its Service) and ``{route}``; an empty ``live``: a version cannot be told from another, as
    ``untold`` says. ``of_model``: what it says of a model's requests where it cannot be told by versions. ``only``: the
    labels that series must have besides, of values with ``{namespace}``.
    """

    requests: str
    backend_label: str
    status_label: str
    live: str
    copied: str = ""
    of_model: str = ""
    time: str = ""
    edge_ms: int = 1
    sent: str = ""
    completed: str = ""
    uptime: str = ""
    only: Mapping[str, str] = field(default_factory=dict)
    untold: str = ""
    times_untold: str = ""


_ENVOY: Final = GatewayKind(
    requests=GATEWAY_REQUESTS_METRIC,
    backend_label=CLUSTER_LABEL,
    status_label=CODE_CLASS_LABEL,
    live="{name}",
    time=GATEWAY_TIME_METRIC,
    sent=GATEWAY_SENT_METRIC,
    completed=GATEWAY_COMPLETED_METRIC,
    uptime=GATEWAY_UPTIME_METRIC,
)
"""Serin's own Envoy, which `controller.adapters.envoy` sets up: a cluster a version, and one for its copies."""

KINDS: Final[Mapping[str, GatewayKind]] = {
    "serin": _ENVOY,
    "envoy-gateway": GatewayKind(
        requests=GATEWAY_REQUESTS_METRIC,
        backend_label=CLUSTER_LABEL,
        status_label=CODE_CLASS_LABEL,
        live="",
        of_model="httproute/{namespace}/{route}/rule/0",
        uptime=GATEWAY_UPTIME_METRIC,
        untold="Envoy Gateway makes one cluster of all backends of a rule, so its counts do not distinguish versions",
    ),
    "istio": GatewayKind(
        requests="istio_requests_total",
        backend_label="destination_service_name",
        status_label="response_code",
        live="{name}",
        time="istio_request_duration_milliseconds",
        uptime=GATEWAY_UPTIME_METRIC,
        only={"reporter": "source", "destination_service_namespace": "{namespace}"},
    ),
    "nginx": GatewayKind(
        requests="nginx_http_upstream_peer_responses_total",
        backend_label="nginx_upstream_name",
        status_label="nginx_status_range",
        live=f"{{namespace}}_{{name}}_{_LIVE_PORT}",
        copied=f"{{namespace}}_{{name}}_{_SHADOW_PORT}",
        sent="nginx_http_upstream_peer_requests_total",
        times_untold="NGINX exports the average response time only, and no histogram",
    ),
    "cilium": GatewayKind(
        requests=GATEWAY_REQUESTS_METRIC,
        backend_label=CLUSTER_LABEL,
        status_label=CODE_CLASS_LABEL,
        live=f"(.*/)?{{namespace}}[:_/]{{name}}[:_]{_LIVE_PORT}",
        copied=f"(.*/)?{{namespace}}[:_/]{{name}}[:_]{_SHADOW_PORT}",
        time=GATEWAY_TIME_METRIC,
        sent=GATEWAY_SENT_METRIC,
        completed=GATEWAY_COMPLETED_METRIC,
        uptime=GATEWAY_UPTIME_METRIC,
    ),
    "hubble": GatewayKind(
        requests="hubble_http_requests_total",
        backend_label="destination_pod",
        status_label="status",
        live="{name}-[a-z0-9]+-[a-z0-9]+",
        time="hubble_http_request_duration_seconds",
        edge_ms=1000,
        only={"reporter": "client", "destination_namespace": "{namespace}"},
    ),
}
"""By the names that settings choose them by."""


@dataclass(frozen=True, slots=True)
class GatewayPlace:
    """Where the gateway is found, and what versions are called there.

    ``name_of``: a version's Service; ``version_of``: of a model and the name of a Service, the version whose it is, if
    it is one of the model's; ``names_like``: of a model, a regular expression that the names of its Services match;
    ``route_of``: its route; ``process_labels``: those that tell one gateway process from another.
    """

    kind: GatewayKind = _ENVOY
    job: str = GATEWAY_JOB
    namespace: str = ""
    name_of: Callable[[str, str], str] = deployment_name
    version_of: Callable[[str, str], str | None] | None = None
    names_like: Callable[[str], str] | None = None
    route_of: Callable[[str], str] | None = None
    process_labels: tuple[str, ...] = ("instance",)

    @property
    def is_own(self) -> bool:
        """Return whether it is Serin's own Envoy: its labels are ours, and any other one is odd."""
        return self.kind is _ENVOY
