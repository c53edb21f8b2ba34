"""A traced request tells where its time went, in the trace of whoever sent it; an untraced one pays nothing."""

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from controller.adapters.envoy.traffic import EnvoyTraffic
from controller.core.traffic import TrafficTable
from serving.contract import DURATION_METRIC, METRICS_ROUTE, PREDICT_ROUTE, QUEUE_DEPTH_METRIC
from tests.contracts.traffic import is_served
from tests.controller.envoy_support import running_envoy, set_endpoint
from tests.patience import PATIENCE_S, eventually
from tests.serving.otlp import Collector, Received, collector
from tests.serving.replica import REPOSITORY, Replica, replica, until

pytestmark = pytest.mark.integration

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
CALLER_SPAN = "00f067aa0ba902b7"
SAMPLED = {"traceparent": f"00-{TRACE_ID}-{CALLER_SPAN}-01", "x-request-id": "r-1"}
UNSAMPLED = {"traceparent": f"00-{TRACE_ID}-{CALLER_SPAN}-00"}
TEXT = "where is my order number twelve"


@pytest.fixture(scope="module")
def spans() -> Iterator[Collector]:
    with collector() as it:
        yield it


@pytest.fixture(scope="module")
def running(built_package: Path, spans: Collector) -> Iterator[Replica]:
    """Traces only what its callers want traced."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
        environment.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "60")  # a busy machine's collector takes its time
        environment.setenv("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20secret")
        with replica(built_package, "--trace-url", spans.url, "--trace-ratio", "0", version="7") as it:
            yield it


def predict(running: Replica, headers: dict[str, str], **body: object) -> httpx.Response:
    return httpx.post(
        running.url + PREDICT_ROUTE, json=body or {"text": TEXT}, headers=headers, trust_env=False, timeout=20
    )


def arrived(spans: Collector, trace_id: str) -> list[Received]:
    """The spans of a trace once its server span, which ends last, is there."""
    until(lambda: any(span.is_server for span in spans.trace(trace_id)), f"trace {trace_id} arrives")
    return spans.trace(trace_id)


def trace_of(number: int) -> dict[str, str]:
    """Headers of a trace of its own for one test."""
    return {"traceparent": f"00-{number:032x}-{CALLER_SPAN}-01", "x-request-id": f"r-{number}"}


def test_a_request_is_one_server_span_and_its_parts(running: Replica, spans: Collector) -> None:
    answer = predict(running, SAMPLED)
    found = arrived(spans, TRACE_ID)
    server, *parts = found
    assert answer.status_code == 200
    assert (server.name, server.parent_id, server.is_server) == ("POST /predict", CALLER_SPAN, True)
    assert [part.name for part in parts] == ["queue", "tokenize", "queue", "inference", "respond"]
    assert {part.parent_id for part in parts} == {server.span_id}
    moments = [moment for part in parts for moment in (part.began_ns, part.ended_ns)]
    assert moments == sorted(moments), "one after the other"
    assert server.began_ns <= moments[0] <= moments[-1] <= server.ended_ns
    assert {span.attributes["serin.request_id"] for span in found} == {"r-1"}
    assert {span.attributes["serin.model_version"] for span in found} == {"7"}
    assert server.attributes["http.response.status_code"] == 200
    assert (server.resource["service.name"], server.resource["service.version"]) == ("intent", "7")
    inference = next(part for part in parts if part.name == "inference")
    assert inference.attributes["serin.batch_size"] == 1
    assert inference.attributes["serin.tokens"] > 2
    assert spans.paths == {"/v1/traces"}
    assert spans.headers[0]["authorization"] == "Bearer secret", "a collector's token comes by the environment"


def test_the_answer_names_its_trace(running: Replica, spans: Collector) -> None:
    """Whoever has only the answer finds the spans."""
    answer = predict(running, trace_of(1))
    server = arrived(spans, f"{1:032x}")[0]
    assert answer.headers["traceresponse"] == f"00-{1:032x}-{server.span_id}-01"


def test_texts_never_stand_in_spans(running: Replica, spans: Collector) -> None:
    predict(running, trace_of(2))
    for span in arrived(spans, f"{2:032x}"):
        values = " ".join(str(value) for value in (span.name, *span.attributes.values(), *span.resource.values()))
        assert not any(word in values for word in TEXT.split())


def test_texts_that_are_computed_together_say_so(running: Replica, spans: Collector) -> None:
    """A list is one request: one tokenization, and each of its engine calls."""
    predict(running, trace_of(3), texts=["refund"] * 20)
    parts = arrived(spans, f"{3:032x}")[1:]
    calls = [part.attributes["serin.batch_size"] for part in parts if part.name == "inference"]
    assert sum(calls) == 20
    assert len(calls) == 2, "sixteen texts fit into a call"


def test_a_wait_shows_in_the_queue(running: Replica, spans: Collector) -> None:
    worker = running.family()[2]
    worker.suspend()
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(predict, running, trace_of(4))
        until(lambda: running.total(QUEUE_DEPTH_METRIC) == 1, "it waits")
        worker.resume()
        assert answer.result().status_code == 200
    _, waited, *rest = arrived(spans, f"{4:032x}")
    assert waited.name == "queue"
    assert waited.attributes["serin.waits_for"] == "worker"
    assert waited.ended_ns - waited.began_ns > sum(part.ended_ns - part.began_ns for part in rest)


def test_a_refused_request_is_a_span_without_parts_and_a_failure_is_marked(running: Replica, spans: Collector) -> None:
    assert predict(running, trace_of(5), text="").status_code == 422
    (server,) = arrived(spans, f"{5:032x}")
    assert (server.attributes["http.response.status_code"], server.failed) == (422, False)
    worker = running.family()[2]
    worker.suspend()
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(predict, running, trace_of(6))
        until(lambda: running.total(QUEUE_DEPTH_METRIC) == 1, "it waits")
        worker.kill()
        assert answer.result().status_code == 500
    until(running.is_healthy, "a new worker is ready")
    assert arrived(spans, f"{6:032x}")[0].failed


def test_what_its_caller_does_not_trace_is_not_traced(running: Replica, spans: Collector) -> None:
    for headers in (UNSAMPLED | {"x-request-id": "quiet"}, {"x-request-id": "quiet"}, {"traceparent": "garbage"}):
        answer = predict(running, headers)
        assert answer.status_code == 200
        assert "traceresponse" not in answer.headers
    predict(running, trace_of(7))
    arrived(spans, f"{7:032x}")
    assert not any(span.attributes["serin.request_id"] == "quiet" for span in spans.spans)


def test_a_slow_bucket_shows_a_trace_that_fell_into_it(running: Replica) -> None:
    """OpenMetrics is for those who accept it; the others get what they always got."""
    predict(running, trace_of(8))
    with httpx.Client(base_url=running.url, trust_env=False) as client:
        open_metrics = client.get(METRICS_ROUTE, headers={"accept": "application/openmetrics-text; version=1.0.0"})
        plain = client.get(METRICS_ROUTE)
    assert open_metrics.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    exemplars = [
        sample.exemplar
        for family in text_string_to_metric_families(open_metrics.text)
        if family.name == DURATION_METRIC
        for sample in family.samples
        if sample.exemplar is not None
    ]
    assert f"{8:032x}" in {exemplar.labels["trace_id"] for exemplar in exemplars}
    assert plain.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert "trace_id" not in plain.text


def test_a_trace_passes_through_the_gateway(running: Replica, spans: Collector, tmp_path: Path) -> None:
    """Stable's and candidate's spans stand in the trace of the client that Envoy served."""
    with running_envoy(tmp_path) as envoy:
        traffic = EnvoyTraffic(envoy.directory)
        set_endpoint(traffic, "intent", "7", running.url)
        traffic.write(TrafficTable("intent", {"7": 100.0}, generation=1))
        eventually(lambda: is_served(traffic, "intent", 1), what="Envoy to route")
        url = f"{envoy.url}/models/intent{PREDICT_ROUTE}"
        answer = httpx.post(url, json={"text": TEXT}, headers=trace_of(9), trust_env=False)
    assert answer.headers["traceresponse"].split("-")[1] == f"{9:032x}"
    assert arrived(spans, f"{9:032x}")[0].parent_id == CALLER_SPAN


def test_a_part_of_the_requests_is_traced_and_the_end_loses_no_span(built_package: Path) -> None:
    """What still waits to be sent at the end is sent then."""
    with (
        collector() as spans,
        replica(built_package, "--trace-url", spans.url + "/v1/traces", "--trace-ratio", "0.5") as running,
        httpx.Client(base_url=running.url, trust_env=False) as client,
    ):
        answers = [client.post(PREDICT_ROUTE, json={"text": TEXT}) for _ in range(200)]
        traced = {answer.headers.get("traceresponse", "-none").split("-")[1] for answer in answers} - {"none"}
        assert 50 < len(traced) < 150
        running.process.terminate()
        assert running.process.wait(PATIENCE_S) == 0
        assert {span.trace_id for span in spans.spans if span.is_server} == traced


def test_a_collector_that_is_away_fails_no_request_and_holds_up_no_end(built_package: Path) -> None:
    with replica(built_package, "--trace-url", "http://127.0.0.1:9", "--trace-ratio", "1") as running:
        assert {predict(running, {}).status_code for _ in range(20)} == {200}
        running.process.terminate()
        assert running.process.wait(PATIENCE_S) == 0


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--trace-url", "localhost:4318"], "--trace-url must start with"),
        (["--trace-url", "http://localhost:4318", "--trace-ratio", "2"], "--trace-ratio must be between 0 and 1"),
    ],
)
def test_a_wrong_setting_is_a_usage_error(built_package: Path, flags: list[str], words: str) -> None:
    command = [sys.executable, "-m", "serving", "--artifact", str(built_package), "--model", "m", "--version", "1"]
    done = subprocess.run(
        [*command, *flags], cwd=REPOSITORY, capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )
    assert done.returncode == 2
    assert words in done.stderr


def test_without_tracing_its_library_is_not_loaded(built_package: Path) -> None:
    with replica(built_package) as running:
        assert predict(running, SAMPLED).status_code == 200
        for process in running.family():
            mapped = Path(f"/proc/{process.pid}/maps").read_text()
            assert "google/_upb" not in mapped, "protobuf comes with the exporter"
    # FastAPI looks at the API by itself.
    wanted = "('serving.observe.tracing', 'opentelemetry.sdk', 'opentelemetry.exporter')"
    code = f"import serving.replica.supervisor, sys; sys.exit(any(name.startswith({wanted}) for name in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, check=False).returncode == 0
