"""Spans of prediction requests, by OpenTelemetry: one server span for each request, with the children queue, tokenize,
inference and respond.

Imported only if a replica is told to trace. A span says who, when and how much, but never which text. The library also
reads its own environment variables: ``OTEL_EXPORTER_OTLP_HEADERS`` is where a collector's token belongs.
"""

import os
import threading
import time
from collections.abc import Mapping
from typing import Final

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.environment_variables import OTEL_EXPORTER_OTLP_TIMEOUT, OTEL_EXPORTER_OTLP_TRACES_TIMEOUT
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import Span, SpanKind, StatusCode, Tracer, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.util.types import AttributeValue

from serving.contract import PREDICT_ROUTE, TRACE_PARENT_HEADER, TRACE_STATE_HEADER, Traffic
from serving.messages import Outcome
from serving.settings import TracingSettings

_EXPORT_TIMEOUT_S: Final = 2.0  # where the environment names no other
_SPANS_PATH: Final = "/v1/traces"
_PROPAGATED: Final = [(name.encode(), name) for name in (TRACE_PARENT_HEADER, TRACE_STATE_HEADER)]
_SERVER_SPAN: Final = f"POST {PREDICT_ROUTE}"


class Tracing:
    """The tracing of one HTTP process. Spans wait in a bounded queue, which no request waits for, and are sent in
    batches."""

    def __init__(self, settings: TracingSettings, model: str, version: str) -> None:
        assert settings.url is not None  # noqa: S101  (without one there is no tracing)
        endpoint = settings.url.rstrip("/")
        told = any(os.environ.get(name) for name in (OTEL_EXPORTER_OTLP_TRACES_TIMEOUT, OTEL_EXPORTER_OTLP_TIMEOUT))
        exporter = OTLPSpanExporter(
            endpoint if endpoint.endswith(_SPANS_PATH) else endpoint + _SPANS_PATH,
            timeout=None if told else _EXPORT_TIMEOUT_S,
        )
        self._provider = TracerProvider(
            ParentBased(TraceIdRatioBased(settings.ratio)),
            Resource.create({"service.name": model, "service.version": version}),
            shutdown_on_exit=False,
        )
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("serin.serving")
        self._propagator = TraceContextTextMapPropagator()
        self._model = model
        self._version = version

    def begin(self, headers: Mapping[bytes, bytes], request_id: str, traffic: Traffic) -> "Trace | None":
        """Return the request's trace; None if it is not sampled, which its caller or the ratio decides."""
        carrier = {name: value.decode("latin-1") for key, name in _PROPAGATED if (value := headers.get(key))}
        parent = self._propagator.extract(carrier, Context())
        span = self._tracer.start_span(_SERVER_SPAN, parent, SpanKind.SERVER)
        if not span.is_recording():
            return None
        own = {"serin.request_id": request_id, "serin.model_version": self._version}
        span.set_attributes(
            {
                **own,
                "serin.model": self._model,
                "serin.traffic": traffic,
                "http.request.method": "POST",
                "http.route": PREDICT_ROUTE,
            }
        )
        return Trace(self._tracer, span, own)

    def stop(self) -> threading.Thread:
        """Send the spans that wait, and return the thread that does so. It ends when they are sent, or with the
        process."""
        thread = threading.Thread(target=self._provider.shutdown, name="tracing-end", daemon=True)
        thread.start()
        return thread


class Trace:
    """One request that is traced."""

    def __init__(self, tracer: Tracer, server: Span, own: Mapping[str, AttributeValue]) -> None:
        self._tracer = tracer
        self._server = server
        self._within = set_span_in_context(server, Context())
        self._own = own
        self._submitted_ns = 0
        self._answered_ns = 0

    @property
    def trace_id(self) -> str:
        return f"{self._server.get_span_context().trace_id:032x}"

    @property
    def traceparent(self) -> str:
        """Return the reference to the server span that its children need, in the form of W3C."""
        context = self._server.get_span_context()
        return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"

    def submitted(self) -> str:
        """Note that the request is on its way to a worker, and return the traceparent for the worker."""
        self._submitted_ns = time.time_ns()
        return self.traceparent

    def answered(self, outcome: Outcome) -> None:
        """Note that a worker has answered, and add the spans of what it reports to have done."""
        self._answered_ns = time.time_ns()
        if (trail := outcome.trail) is None:
            return
        tokens = sum(row[1] for row in outcome.rows)
        self._child("queue", self._submitted_ns, trail.tokenize_began_ns, {"serin.waits_for": "worker"})
        self._child("tokenize", trail.tokenize_began_ns, trail.tokenize_ended_ns, {"serin.tokens": tokens})
        free_ns = trail.tokenize_ended_ns
        for call in trail.calls:
            self._child("queue", free_ns, call.began_ns, {"serin.waits_for": "engine"})
            own = {"serin.batch_size": call.texts, "serin.tokens": tokens}
            self._child("inference", call.began_ns, call.ended_ns, own)
            free_ns = call.ended_ns

    def end(self, status: int) -> None:
        """End the server span: the response is sent, or nobody is there to receive it."""
        if self._answered_ns:
            self._child("respond", self._answered_ns, time.time_ns(), {})
        self._server.set_attribute("http.response.status_code", status)
        if status >= 500:
            self._server.set_status(StatusCode.ERROR)
        self._server.end()

    def _child(self, name: str, began_ns: int, ended_ns: int, own: Mapping[str, AttributeValue]) -> None:
        span = self._tracer.start_span(name, self._within, attributes={**self._own, **own}, start_time=began_ns)
        span.end(max(began_ns, ended_ns))  # a clock that was set back in between makes no span of negative length
