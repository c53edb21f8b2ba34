"""The HTTP process: LitServe's application with the routes, limits and counts of the serving contract."""

import asyncio
import functools
import hashlib
import importlib.metadata
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, replace
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from fastapi import FastAPI, Request
from litserve import LitServer
from litserve.utils import WorkerSetupStatus
from starlette.exceptions import HTTPException as AnyHTTPException
from starlette.responses import JSONResponse, PlainTextResponse, Response

from serving.access.guard import Guard
from serving.access.log import AccessLog
from serving.contract import (
    HEALTH_ROUTE,
    INFO_ROUTE,
    METRICS_ROUTE,
    OPENAPI_ROUTE,
    PREDICT_ROUTE,
    TOKENIZE_ROUTE,
    TOKENIZER_LABEL,
)
from serving.http.calls import read_body
from serving.http.front import Front
from serving.http.middleware import INTERNAL_ERROR, Middleware
from serving.http.schema import parse_texts
from serving.http.visitors import Visitors
from serving.inference.classifier import TextClassifier
from serving.inference.tokenizer import Tokenizer
from serving.ipc.shared import Place
from serving.messages import Identity
from serving.observe.capture import Capture
from serving.observe.metrics import ApiMetrics, Collector, exposition
from serving.observe.mirror import Mirror
from serving.observe.usage import ReplicaCollector, gpu_collectors
from serving.package.artifact import TOKENIZER_FILE, Manifest
from serving.package.rules import Task
from serving.refusals import ApiError
from serving.settings import AccessSettings, CaptureSettings, Settings

if TYPE_CHECKING:
    from serving.observe.tracing import Tracing

LIBRARIES: Final = ("litserve", "numpy", "onnxruntime", "tokenizers")


class ReplicaServer(LitServer):  # type: ignore[misc]  # LitServe is not typed
    """LitServe's application and health page for one version.

    Its launcher and queues are not used: ``serving.replica.supervisor`` starts the processes, ``serving.ipc`` joins
    them. Nor is its request handler: ``serving.http.middleware`` answers what is posted to the prediction route before
    LitServe's routes are asked.
    """

    def __init__(self, settings: Settings, manifest: Manifest, fingerprint: str) -> None:
        self.classifier = TextClassifier(settings)
        super().__init__(
            self.classifier,
            accelerator="cpu",
            devices=1,
            timeout=settings.limits.answer_timeout_s,
            healthcheck_path=HEALTH_ROUTE,
            info_path="/litserve",  # LitServe's own page; INFO_ROUTE is the contract's
        )
        if manifest.rules.task is not Task.SEQUENCE_CLASSIFICATION:  # samples compare classes: see serving.http.calls
            settings = replace(settings, capture=CaptureSettings())
        self.settings = settings
        self.manifest = manifest
        self.fingerprint = fingerprint
        self.identity = Identity(settings.model, settings.version, manifest.labels)
        # LitServe's page asks this and TextClassifier.health; the workers' state is known to the latter alone.
        self.workers_setup_status = {PREDICT_ROUTE: WorkerSetupStatus.READY}

    def _register_middleware(self) -> None:
        """Register none: answers are small, and LitServe's compression would buffer each of them."""

    @asynccontextmanager
    async def lifespan(self, app: FastAPI) -> AsyncIterator[None]:  # noqa: ARG002  (FastAPI passes it)
        """Nothing of LitServe's: outcomes arrive by sockets, not in a queue that must be read."""
        yield


def build(
    server: ReplicaServer,
    capture: Capture,
    metrics: ApiMetrics,
    place: Place,
    log: AccessLog | None = None,
    tracing: "Tracing | None" = None,
    shadow_port: int | None = None,
    *,
    mirror: Mirror | None = None,
) -> tuple[Front, Middleware]:
    """Put the parts of the HTTP process together, in that process: threads do not survive a fork."""
    identity = server.identity
    front = Front(server.settings, identity, server.manifest, metrics, capture, place, mirror=mirror)
    app: FastAPI = server.app
    tokenizer = hashlib.sha256((server.settings.artifact / TOKENIZER_FILE).read_bytes()).hexdigest()
    own = ReplicaCollector(identity, {"fingerprint": server.fingerprint, TOKENIZER_LABEL: tokenizer}, place)
    _drop_own_pages(app)
    _add_routes(app, server, capture, metrics, (own, *gpu_collectors(identity, place.supervisor_pid)))
    _add_error_pages(app)
    # FastAPI's own exporters, which the environment can turn on, would send out more than the contract lets leave.
    getattr(app, "_telemetry", {}).update(auto_configure=False, tracing=False, metrics=False, logs=False)
    access = server.settings.access
    guard = Guard(access) if access != AccessSettings() else None
    visitors = Visitors(server.settings.names, shadow_port)
    middleware = Middleware(app, identity.version, front.predict, metrics, visitors, guard, log, tracing=tracing)
    server.classifier.is_ready = lambda: front.is_well() and not middleware.draining
    return front, middleware


def _add_routes(
    app: FastAPI, server: ReplicaServer, capture: Capture, counts: ApiMetrics, collectors: Sequence[Collector]
) -> None:
    settings, identity, manifest = server.settings, server.identity, server.manifest
    tokenizer = functools.cache(
        lambda: Tokenizer(settings.artifact / TOKENIZER_FILE, manifest.max_tokens, rules=manifest.tokens)
    )
    own = {"model": identity.model, "model_version": identity.version}
    about = {
        **own,
        "fingerprint": server.fingerprint,
        "labels": list(identity.labels),
        "max_tokens": manifest.max_tokens,
        "task": manifest.rules.task,
        "family": manifest.family,
        "variant": manifest.variant,
        "variant_of": manifest.variant_of,
        "windows": asdict(manifest.rules.windows) if manifest.rules.windows else None,
        "serving": settings.shown,
        "library_versions": {name: importlib.metadata.version(name) for name in LIBRARIES},
    }

    async def health(_: Request) -> Response:
        """As LitServe's own, which names no content type."""
        ready = server.classifier.health()
        return PlainTextResponse("ok" if ready else "not ready", 200 if ready else 503)

    async def info(_: Request) -> Response:
        return JSONResponse({**about, "capture_ratio": capture.ratio_told})

    async def metrics(request: Request) -> Response:
        accept = request.headers.get("accept", "")
        text, content_type = await asyncio.to_thread(exposition, (counts, *collectors), accept)
        return Response(text, headers={"content-type": content_type})

    async def tokenize(request: Request) -> Response:
        body = await read_body(request.headers.raw, request.receive, settings.limits.body_bytes_max)
        texts, _ = parse_texts(body, settings.limits)
        tokenized = await asyncio.to_thread(lambda: tokenizer().tokenize(texts))
        return JSONResponse({**own, "token_ids": [text.ids for text in tokenized]})

    @functools.cache
    def document() -> bytes:
        from serving.http.openapi import openapi_document  # made when first asked for: it costs a start 20 ms

        return openapi_document(manifest.rules.task, settings.limits, settings.access)

    async def openapi(_: Request) -> Response:
        return Response(document(), media_type="application/json")

    app.add_route(HEALTH_ROUTE, health, methods=["GET"])
    app.add_route(OPENAPI_ROUTE, openapi, methods=["GET"])
    app.add_route(INFO_ROUTE, info, methods=["GET"])
    app.add_route(METRICS_ROUTE, metrics, methods=["GET"])
    app.add_route(TOKENIZE_ROUTE, tokenize, methods=["POST"])


def _drop_own_pages(app: FastAPI) -> None:
    """FastAPI's document and its viewers, which load scripts from elsewhere, and LitServe's pages."""
    app.router.routes[:] = [route for route in app.router.routes if getattr(route, "path", None) == PREDICT_ROUTE]


def _add_error_pages(app: FastAPI) -> None:
    """Every error, wherever it arises, is ``{"error": {"code", "message", …}}``."""

    async def refused(_: Request, error: Exception) -> Response:
        assert isinstance(error, ApiError)  # noqa: S101  (registered for this type)
        return JSONResponse(error.document, status_code=error.status, headers=error.headers)

    async def http_error(_: Request, error: Exception) -> Response:
        assert isinstance(error, AnyHTTPException)  # noqa: S101  (registered for this type)
        detail: Any = error.detail
        if not isinstance(detail, dict):
            detail = {"code": HTTPStatus(error.status_code).name.lower(), "message": str(detail)}
        return JSONResponse({"error": detail}, status_code=error.status_code, headers=error.headers)

    async def crashed(_: Request, __: Exception) -> Response:
        return Response(INTERNAL_ERROR, status_code=500, media_type="application/json")

    app.add_exception_handler(ApiError, refused)
    app.add_exception_handler(AnyHTTPException, http_error)
    app.add_exception_handler(Exception, crashed)
