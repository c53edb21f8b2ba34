"""The application: which route is answered by what, and who may ask for it."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import Final

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import BaseRoute

from controller.api.access import Access
from controller.api.callers import READY_ROUTE, AccessLog, KnownHosts, Refusals
from controller.api.entries import EntryRoutes, EveryStream
from controller.api.errors import ApiError, handlers
from controller.api.http import JSON_LINES_TYPE, JSON_TYPE, Call, Endpoint, Handler, Reply
from controller.api.releases import CommandRoutes, FreezeRoutes, ReleaseRoutes
from controller.api.samples import SampleRoutes
from controller.api.signed import Deliveries, SignedDeliveries
from controller.api.telemetry import Telemetry
from controller.api.webhook import ArgillaWebhook, MlflowWebhook
from controller.config.variables import INSTALLATION_KEY
from controller.label_queue import StoredLabelQueue
from controller.ports.clock import Clock
from controller.ports.samples import SampleIntake
from controller.ports.standing import StandingRequests
from controller.roles import Deed
from controller.service import Service
from serving.access.hosts import Hosts
from serving.contract import HEALTH_ROUTE, LABEL_REQUESTS_ROUTE, LABELS_ROUTE, METRICS_ROUTE, PREDICTIONS_ROUTE

MLFLOW_WEBHOOK_ROUTE = "/v1/webhooks/mlflow"
LABEL_STUDIO_ROUTE: Final = "/v1/webhooks/label-studio"
ARGILLA_ROUTE: Final = "/v1/webhooks/argilla"
WEBHOOK_BYTES_MAX: Final = 256 * 2**10


@dataclass(frozen=True, slots=True)
class ApiPorts:
    """The ports that the interface needs. ``wake`` makes the control loop look now instead of at its next turn."""

    samples: SampleIntake
    standing: StandingRequests
    journal: EveryStream
    service: Service
    deliveries: Deliveries
    clock: Clock
    wake: Callable[[], None]
    label_names: Callable[[], Mapping[str, Mapping[str, str]]] = dict  # by model: what label sources call classes
    telemetry: Telemetry | None = None  # None: there is no page of metrics
    capture_ratio: Callable[[str], float | None] = lambda _: None  # of a model; None: not known here
    not_ready: Callable[[], str] = str  # why nothing should be asked here; may raise as the store does
    refusals: Refusals = field(default_factory=Refusals)
    installation: str = ""  # the word of the home that this is the controller of


def create_app(
    ports: ApiPorts,
    access: Access,
    *,
    webhook_secret: Callable[[], bytes] | None = None,
    argilla_secret: Callable[[], bytes] | None = None,
    hosts: Hosts | None = None,
    log: logging.Handler | None = None,
    beside: Sequence[BaseRoute] = (),
) -> Starlette:
    """The interface on these ports, for those whom ``access`` lets in, by the names of loopback and of ``hosts``.

    Without a ``webhook_secret`` MLflow has no route for its webhooks, without an ``argilla_secret`` Argilla has none,
    since nothing could be believed that comes by it; a hook's signature stands in for a token. ``beside``: routes of
    others at the same address, which let in whom they let in.
    """
    return Starlette(
        routes=[*(endpoint.route(access) for endpoint in endpoints(ports, webhook_secret, argilla_secret)), *beside],
        exception_handlers=handlers(),
        middleware=[Middleware(AccessLog, log, ports.clock, ports.refusals), Middleware(KnownHosts, hosts or Hosts())],
    )


def endpoints(
    ports: ApiPorts,
    webhook_secret: Callable[[], bytes] | None = None,
    argilla_secret: Callable[[], bytes] | None = None,
) -> list[Endpoint]:
    """Every route of the interface, and who may ask for it; docs/http.md tells of each."""
    found = [
        Endpoint("GET", HEALTH_ROUTE, _health(ports.installation)),
        Endpoint("GET", READY_ROUTE, _ready(ports.not_ready)),
        *_reading(ports),
        *_samples(ports, argilla_secret),
        *_commands(ports),
    ]
    if ports.telemetry is not None:
        found.append(Endpoint("GET", METRICS_ROUTE, ports.telemetry.answer, Deed.READ))
    if webhook_secret is not None:
        hook = MlflowWebhook(webhook_secret, ports.deliveries, ports.clock, ports.wake)
        found.append(_signed(MLFLOW_WEBHOOK_ROUTE, hook.receive))
    return found


def _reading(ports: ApiPorts) -> list[Endpoint]:
    releases, entries, freezes = ReleaseRoutes(ports.service), EntryRoutes(ports.journal), FreezeRoutes(ports.service)
    return [
        Endpoint("GET", "/v1/releases", releases.list, Deed.READ),
        Endpoint("GET", "/v1/releases/{release_id}", releases.one, Deed.READ),
        Endpoint("GET", "/v1/releases/{release_id}/entries", entries.of_release, Deed.READ),
        Endpoint("GET", "/v1/releases/{release_id}/report", releases.report, Deed.READ),
        Endpoint("GET", "/v1/status", releases.status, Deed.READ),
        Endpoint("GET", "/v1/history", releases.history, Deed.READ),
        Endpoint("GET", "/v1/models/{model}/foreseen", CommandRoutes(ports.service).foresee, Deed.READ),
        Endpoint("GET", "/v1/commands/{command_id}", CommandRoutes(ports.service).one, Deed.READ),
        Endpoint("GET", "/v1/journal", entries.of_all, Deed.READ),
        Endpoint("GET", "/v1/freezes", freezes.list, Deed.READ),
    ]


def _samples(ports: ApiPorts, argilla_secret: Callable[[], bytes] | None) -> list[Endpoint]:
    queue = StoredLabelQueue(ports.samples, ports.standing, ports.journal)
    samples = SampleRoutes(ports.samples, queue, ports.journal, ports.clock, ports.label_names, ports.capture_ratio)
    found = [
        _post(PREDICTIONS_ROUTE, samples.predictions, Deed.PREDICT),
        _post(LABELS_ROUTE, samples.labels, Deed.LABEL, JSON_TYPE, JSON_LINES_TYPE),
        _post(LABEL_STUDIO_ROUTE, samples.label_studio, Deed.LABEL),  # its webhooks send headers: a token is one
        Endpoint("GET", LABEL_REQUESTS_ROUTE, samples.label_requests, Deed.ASK_LABELS),
    ]
    if argilla_secret is not None:
        hook = ArgillaWebhook(SignedDeliveries(argilla_secret, ports.deliveries, ports.clock), samples.argilla)
        found.append(_signed(ARGILLA_ROUTE, hook.receive))
    return found


def _commands(ports: ApiPorts) -> list[Endpoint]:
    commands, freezes = CommandRoutes(ports.service), FreezeRoutes(ports.service)
    return [
        _post("/v1/releases", commands.start, Deed.START),
        _post("/v1/models/{model}/replace", commands.replace, Deed.REPLACE),
        _post("/v1/models/{model}/again", commands.again, Deed.START),
        _post("/v1/models/{model}/abort", commands.abort, Deed.ABORT),
        _post("/v1/models/{model}/rollback", commands.rollback, Deed.ROLL_BACK),
        _post("/v1/models/{model}/resume", commands.resume, Deed.RESUME),
        _post("/v1/models/{model}/pause", commands.pause, Deed.PAUSE),
        _post("/v1/models/{model}/promote", commands.promote, Deed.PROMOTE),
        _post("/v1/freezes", freezes.freeze, Deed.FREEZE),
        Endpoint("DELETE", "/v1/freezes/{model}", freezes.lift, Deed.UNFREEZE),
    ]


def _signed(path: str, handler: Handler) -> Endpoint:
    """A route that is believed by its signature. Read before anybody knows whose it is, since that is over the body: so
    it must be small."""
    return replace(_post(path, handler, None), body_bytes_max=WEBHOOK_BYTES_MAX)


def _post(path: str, handler: Handler, deed: Deed | None, *content_types: str) -> Endpoint:
    return Endpoint("POST", path, handler, deed, content_types or (JSON_TYPE,))


def _health(installation: str) -> Handler:
    told = Reply({"status": "ok", INSTALLATION_KEY: installation})

    def answer(_call: Call) -> Reply:
        """Alive, and whose: no database is asked."""
        return told

    return answer


def _ready(not_ready: Callable[[], str]) -> Handler:
    def answer(_call: Call) -> Reply:
        """Say whether it can answer: its store does, and it is not about to end."""
        if why := not_ready():
            raise ApiError(HTTPStatus.SERVICE_UNAVAILABLE, "not_ready", why)
        return Reply({"status": "ready"})

    return answer
