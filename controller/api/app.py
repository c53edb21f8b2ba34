"""The application: which route is answered by what, and who may write."""

from collections.abc import Callable
from dataclasses import dataclass

from starlette.applications import Starlette

from controller.api.errors import handlers
from controller.api.http import JSON_LINES_TYPE, JSON_TYPE, BearerToken, Call, Endpoint, Guard, Handler, Reply, no_guard
from controller.api.releases import CommandRoutes, FreezeRoutes, ReleaseRoutes
from controller.api.samples import SampleRoutes
from controller.api.webhook import Deliveries, MlflowWebhook
from controller.ports import Clock, Freezes, Inbox, Journal, SampleIntake
from serving.contract import HEALTH_ROUTE, LABEL_REQUESTS_ROUTE, LABELS_ROUTE, PREDICTIONS_ROUTE

MLFLOW_WEBHOOK_ROUTE = "/v1/webhooks/mlflow"


@dataclass(frozen=True, slots=True)
class ApiPorts:
    """What the interface needs of the world. ``wake`` makes the control loop look now instead of at its next turn."""

    samples: SampleIntake
    journal: Journal
    inbox: Inbox
    freezes: Freezes
    deliveries: Deliveries
    clock: Clock
    wake: Callable[[], None]


def create_app(ports: ApiPorts, *, token: str | None = None, webhook_secret: bytes | None = None) -> Starlette:
    """The interface on these ports.

    With a ``token``, every route that writes, or hands out texts, asks for it. Without a ``webhook_secret`` there is no
    webhook route, since nothing could be believed that comes by it; a hook's signature stands in for the token.
    """
    guard: Guard = no_guard if token is None else BearerToken(token)
    endpoints = [*_reading(ports), *_guarded(ports, guard)]
    if webhook_secret is not None:
        hook = MlflowWebhook(webhook_secret, ports.deliveries, ports.clock, ports.wake)
        endpoints.append(Endpoint("POST", MLFLOW_WEBHOOK_ROUTE, hook.receive, content_types=(JSON_TYPE,)))
    return Starlette(routes=[endpoint.route() for endpoint in endpoints], exception_handlers=handlers())


def _reading(ports: ApiPorts) -> list[Endpoint]:
    releases = ReleaseRoutes(ports.journal)
    freezes = FreezeRoutes(ports.freezes, ports.clock, ports.wake)
    return [
        Endpoint("GET", HEALTH_ROUTE, _health),
        Endpoint("GET", "/v1/releases", releases.list),
        Endpoint("GET", "/v1/releases/{release_id}", releases.one),
        Endpoint("GET", "/v1/releases/{release_id}/entries", releases.entries),
        Endpoint("GET", "/v1/freezes", freezes.list),
    ]


def _guarded(ports: ApiPorts, guard: Guard) -> list[Endpoint]:
    samples = SampleRoutes(ports.samples, ports.journal, ports.clock)
    commands = CommandRoutes(ports.inbox, ports.clock, ports.wake)
    freezes = FreezeRoutes(ports.freezes, ports.clock, ports.wake)

    def post(path: str, handler: Handler, *content_types: str) -> Endpoint:
        return Endpoint("POST", path, handler, guard, content_types or (JSON_TYPE,))

    return [
        post(PREDICTIONS_ROUTE, samples.predictions),
        post(LABELS_ROUTE, samples.labels, JSON_TYPE, JSON_LINES_TYPE),
        Endpoint("GET", LABEL_REQUESTS_ROUTE, samples.label_requests, guard),
        post("/v1/releases", commands.start),
        post("/v1/models/{model}/abort", commands.abort),
        post("/v1/models/{model}/rollback", commands.rollback),
        post("/v1/models/{model}/resume", commands.resume),
        post("/v1/freezes", freezes.freeze),
        Endpoint("DELETE", "/v1/freezes/{model}", freezes.lift, guard),
    ]


def _health(_call: Call) -> Reply:
    """Alive, and no more than that: no database is asked."""
    return Reply({"status": "ok"})
