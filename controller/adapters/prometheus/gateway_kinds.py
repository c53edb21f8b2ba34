"""The gateways whose counts of users' requests Serin can read: how each names its metrics, and what it cannot tell.

Each is one `GatewayKind`, made from the gateway's documentation of what it counts. The sources are in
``tests/controller/expositions``.
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

    ``requests`` counts answers by ``backend_label`` and ``status_label``; a status is a code, or a class that begins
    with the code's first digit. ``time`` is a histogram, and ``edge_ms`` says how many milliseconds one unit of its
    edges has; if it is empty, the gateway exports no times, and ``times_untold`` says why. ``sent`` counts what was
    passed on, answered or not. ``completed`` counts what has ended; it goes on when the classes begin again at zero.
    ``uptime``, in seconds, tells one process from the next; without it, a counter that falls does.

    ``live`` and ``copied`` are the values of the backend label for a version, as regular expressions with the
    placeholders ``{namespace}``, ``{name}`` (that of its Service) and ``{route}``. If ``live`` is empty, versions
    cannot be told apart, and ``untold`` says why; then ``of_model`` is the value for all requests of a model. ``only``:
    further labels that series must have; their values may hold ``{namespace}``.
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
"""Serin's own Envoy, which `controller.adapters.envoy` sets up: one cluster for each version, and one for its
copies."""

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
"""The kinds, by the names that settings choose them by."""


@dataclass(frozen=True, slots=True)
class GatewayPlace:
    """The place where the gateway is found, and the names that versions have there.

    ``name_of`` returns a version's Service. ``version_of`` takes a model and the name of a Service, and returns the
    version whose Service it is; None if it is none of the model's. ``names_like`` returns a regular expression that the
    names of a model's Services match. ``route_of`` returns a model's route. ``process_labels`` tell one gateway process
    from another.
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
        """Return whether this is Serin's own Envoy: we know all of its labels, so any other one is an error."""
        return self.kind is _ENVOY
