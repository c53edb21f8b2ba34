"""Sampled predictions reach the controller, or are dropped and counted; no request ever waits for them."""

import json
import threading
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from serving.contract import PREDICTIONS_ROUTE, PREDICTIONS_SCHEMA, Traffic, text_digest
from serving.http.calls import tags_of
from serving.observe import receiver as wire
from serving.observe.capture import Capture, CapturedPrediction, DropReason, encode_batch
from serving.settings import CaptureSettings
from tests.serving.replica import until


def prediction(number: int, text: str | None = None) -> CapturedPrediction:
    return CapturedPrediction(
        request_id=f"r-{number}",
        model="intent",
        model_version="1",
        traffic=Traffic.LIVE,
        at_s=1.5,
        label="refund",
        confidence=0.75,
        probabilities={"refund": 0.75, "other": 0.25},
        inclusion_probability=0.5,
        text_digest="d",
        tokens=4,
        text=text,
    )


class Counts:
    def __init__(self) -> None:
        self.taken = 0
        self.lost: Counter[DropReason] = Counter()

    def captured(self, predictions: int) -> None:
        self.taken += predictions

    def dropped(self, predictions: int, reason: DropReason) -> None:
        self.lost[reason] += predictions


class Receiver(ThreadingHTTPServer):
    """The controller's end: answers predictions with ``statuses`` in turn, then 202, and keeps the bodies that it took.

    What it answers beside is ``answer``. Batches without predictions are counted, and always taken.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.statuses: list[int] = []
        self.answer = b""
        self.asks = 0
        self.bodies: list[dict[str, Any]] = []
        self.paths: list[str] = []
        self.authorizations: list[str | None] = []
        self.gate = threading.Event()
        self.gate.set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    @property
    def request_ids(self) -> list[str]:
        return [entry["request_id"] for body in self.bodies for entry in body["predictions"]]


class Handler(BaseHTTPRequestHandler):
    server: Receiver
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.gate.wait(10)
        status = 202
        if body["predictions"]:
            status = self.server.statuses.pop(0) if self.server.statuses else 202
            self.server.paths.append(self.path)
            self.server.authorizations.append(self.headers["authorization"])
            if status == 202:
                self.server.bodies.append(body)
        else:
            self.server.asks += 1
        answer = self.server.answer
        self.send_response(status)
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        """Nothing on the test's output."""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    server = Receiver()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield server
    server.gate.set()
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def counts() -> Counts:
    return Counts()


def test_predictions_arrive_in_batches_in_the_contracts_form(receiver: Receiver, counts: Counts) -> None:
    capture = Capture(CaptureSettings(url=receiver.url), counts)
    capture.start()
    for number in range(1200):
        capture.offer(prediction(number))
    until(lambda: counts.taken == 1200, "all predictions are delivered")
    capture.stop(5)
    assert receiver.request_ids == [f"r-{number}" for number in range(1200)]
    assert set(receiver.paths) == {PREDICTIONS_ROUTE}
    assert all(body["schema"] == PREDICTIONS_SCHEMA and len(body["predictions"]) <= 500 for body in receiver.bodies)
    assert receiver.bodies[0]["predictions"][0] == {
        "request_id": "r-0", "model": "intent", "model_version": "1", "traffic": "live", "at_s": 1.5,
        "label": "refund", "confidence": 0.75, "probabilities": {"refund": 0.75, "other": 0.25},
        "inclusion_probability": 0.5, "text_digest": "d", "tokens": 4,
    }  # fmt: skip
    assert not counts.lost


def test_a_full_queue_drops_and_counts_and_never_blocks(receiver: Receiver, counts: Counts) -> None:
    receiver.gate.clear()
    capture = Capture(CaptureSettings(url=receiver.url), counts, queue_max=10)
    capture.start()
    for number in range(1000):  # while the receiver takes nothing, so that an offer that waited would wait for ever
        capture.offer(prediction(number))
    assert counts.lost[DropReason.FULL] > 0
    receiver.gate.set()
    until(lambda: counts.taken + counts.lost[DropReason.FULL] == 1000, "each prediction is counted once")
    capture.stop(5)
    assert counts.lost[DropReason.FULL] >= 900
    assert len(receiver.request_ids) == counts.taken


def test_a_failed_delivery_is_tried_again(receiver: Receiver, counts: Counts) -> None:
    receiver.statuses = [503, 429]
    capture = Capture(CaptureSettings(url=receiver.url), counts)
    capture.start()
    capture.offer(prediction(1))
    until(lambda: counts.taken == 1, "the third attempt is taken")
    capture.stop(5)
    assert receiver.request_ids == ["r-1"]
    assert not counts.lost


class ClosesIdle(Receiver):
    """Ends a connection on which nothing comes for a moment, as servers do after some seconds; and says so."""

    def __init__(self) -> None:
        super().__init__()
        self.ended = threading.Event()
        self.RequestHandlerClass = type("Impatient", (Handler,), {"timeout": 0.05})

    def shutdown_request(self, request: Any) -> None:
        super().shutdown_request(request)
        self.ended.set()


def test_a_connection_that_was_closed_while_idle_is_no_trouble(caplog: pytest.LogCaptureFixture) -> None:
    """A replica with nothing to send asks every ten seconds, and servers wait for less: every second one was lost."""
    with ClosesIdle() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            own = wire.Receiver(server.url, None)
            for _ in range(3):
                server.ended.clear()
                assert own.post(encode_batch([])).reply is wire.Reply.TAKEN
                assert server.ended.wait(10)
            own.close()
        finally:
            server.shutdown()
            thread.join()
    assert server.asks == 3
    assert caplog.records == []


def test_a_refused_batch_is_not_tried_again(receiver: Receiver, counts: Counts) -> None:
    receiver.statuses = [422]
    capture = Capture(CaptureSettings(url=receiver.url), counts)
    capture.start()
    capture.offer(prediction(1))
    until(lambda: counts.lost[DropReason.UNDELIVERABLE] == 1, "the refused batch is counted")
    capture.stop(5)
    assert len(receiver.paths) == 1


def test_a_receiver_that_is_away_costs_predictions_not_memory(receiver: Receiver, counts: Counts) -> None:
    receiver.statuses = [500] * 4
    capture = Capture(CaptureSettings(url=receiver.url), counts)
    capture.start()
    capture.offer(prediction(1))
    until(lambda: counts.lost[DropReason.UNDELIVERABLE] == 1, "it is given up")
    capture.offer(prediction(2))
    until(lambda: counts.taken == 1, "the next one is delivered once the receiver is back")
    capture.stop(5)


def test_stopping_sends_what_is_queued(receiver: Receiver, counts: Counts) -> None:
    capture = Capture(CaptureSettings(url=receiver.url), counts)
    capture.start()
    for number in range(3):
        capture.offer(prediction(number))
    capture.stop(5)
    assert receiver.request_ids == ["r-0", "r-1", "r-2"]


def test_without_a_receiver_nothing_is_wanted(counts: Counts) -> None:
    capture = Capture(CaptureSettings(url=None), counts)
    capture.start()
    assert capture.chance_of("any") == 0
    capture.stop(1)


def test_the_sample_is_a_function_of_the_request_id(counts: Counts) -> None:
    """So both versions sample the same requests and their answers pair up."""
    first, second = (Capture(CaptureSettings("http://127.0.0.1:9", 0.3), counts) for _ in range(2))
    chosen = [str(number) for number in range(2000) if first.chance_of(str(number))]
    assert chosen == [str(number) for number in range(2000) if second.chance_of(str(number))]
    assert 500 < len(chosen) < 700


def test_a_text_leaves_only_where_it_was_asked_for() -> None:
    assert b"secret" not in encode_batch([prediction(1)])
    assert json.loads(encode_batch([prediction(1, "secret")]))["predictions"][0]["text"] == "secret"


@pytest.mark.parametrize(
    ("header", "tags"),
    [
        (b"lang=en, channel=app", {"lang": "en", "channel": "app"}),
        (b"", {}),
        (b"lang", {}),
        (b"lang=,=en,Lang=en,lang=a b,lang=de", {"lang": "de"}),
        (b"name=" + b"x" * 65, {}),
        (b",".join(b"t%d=1" % number for number in range(20)), {f"t{number}": "1" for number in range(8)}),
        ("lang=fr\u00e9".encode(), {}),
    ],
    ids=["two", "none", "no value", "malformed", "too long", "too many", "not ASCII"],
)
def test_tags_of_a_request_are_read_as_far_as_they_are_well_formed(header: bytes, tags: dict[str, str]) -> None:
    assert tags_of(header) == tags


def test_the_digest_needs_its_key() -> None:
    assert text_digest("a", b"k") == text_digest("a", b"k")
    assert text_digest("a", b"k") != text_digest("a", b"other")


@pytest.mark.parametrize("url", ["ftp://host", "host:80", "file:///etc/passwd", "http://"])
def test_a_capture_url_must_be_http(url: str, counts: Counts) -> None:
    with pytest.raises(ValueError, match="capture URL"):
        Capture(CaptureSettings(url=url), counts)
