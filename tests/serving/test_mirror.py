"""Copies by the replica: of a consistent sample, with the request's id, and never at a request's cost."""

import json
import threading
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

from serving.contract import (
    MIRROR_DROPPED_METRIC,
    MIRRORED_METRIC,
    PREDICT_ROUTE,
    REQUEST_ID_HEADER,
    REQUESTS_METRIC,
    TAGS_HEADER,
    is_sampled,
)
from serving.observe.mirror import QUEUE_COPIES_MAX, SENDERS, Copying, CopyLost, Mirror, copying_of
from tests.serving.replica import replica, until

BODY = b'{"text": "where is my order"}'


class Counts:
    def __init__(self) -> None:
        self.taken = 0
        self.lost: Counter[CopyLost] = Counter()
        self._lock = threading.Lock()

    def mirrored(self) -> None:
        with self._lock:
            self.taken += 1

    def unmirrored(self, reason: CopyLost) -> None:
        with self._lock:
            self.lost[reason] += 1


class Peer(ThreadingHTTPServer):
    """The other version's shadow port. Answers once ``gate`` is open, and keeps what it was asked."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.gate = threading.Event()
        self.gate.set()
        self.asked: list[tuple[str, dict[str, str], bytes]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: Peer
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.asked.append((self.path, {k.lower(): v for k, v in self.headers.items()}, body))
        self.server.gate.wait(30)
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing on the test's output."""


@pytest.fixture
def peer() -> Iterator[Peer]:
    server = Peer()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield server
    server.gate.set()
    server.shutdown()
    thread.join()
    server.server_close()


def told(file: Path, pct: float, **to: str) -> Path:
    """A file that is replaced whole, as a mounted ConfigMap is."""
    whole = file.with_suffix(".new")
    whole.write_text(json.dumps({"to": {name.removeprefix("v"): url for name, url in to.items()}, "pct": pct}))
    whole.replace(file)
    return file


@pytest.fixture
def counts() -> Counts:
    return Counts()


@pytest.fixture
def mirror(tmp_path: Path, counts: Counts, peer: Peer) -> Iterator[Mirror]:
    """Of version 6, which sends half of its requests to the peer; it knows where."""
    mirror = Mirror(told(tmp_path / "mirror.json", 50, v6=peer.url), "6", counts)
    mirror.start()
    until(lambda: mirror._copying is not None, "it has read where to")
    yield mirror
    peer.gate.set()
    mirror.stop(5)


def test_a_consistent_sample_is_copied_with_its_ids(mirror: Mirror, counts: Counts, peer: Peer) -> None:
    """Half of the requests by the function that both versions choose samples by."""
    headers = [(b"content-type", b"application/json"), (TAGS_HEADER.encode(), b"lang=en"), (b"cookie", b"x")]
    sampled = [f"r-{n}" for n in range(200) if is_sampled(f"r-{n}", 0.5)]
    for number in range(200):
        mirror.offer(f"r-{number}", headers, BODY)
    until(lambda: counts.taken == len(sampled), "the sample is copied")
    assert sorted(headers[REQUEST_ID_HEADER] for _, headers, _ in peer.asked) == sorted(sampled)
    assert {(path, body) for path, _, body in peer.asked} == {(PREDICT_ROUTE, BODY)}
    assert all(headers[TAGS_HEADER] == "lang=en" and "cookie" not in headers for _, headers, _ in peer.asked)
    assert not counts.lost


def test_a_peer_that_hangs_costs_copies_and_no_request(mirror: Mirror, counts: Counts, peer: Peer) -> None:
    """The queue is bounded: an offer that waited would wait for ever here."""
    peer.gate.clear()
    ids = [f"r-{n}" for n in range(2000) if is_sampled(f"r-{n}", 0.5)]
    for name in ids:
        mirror.offer(name, [], BODY)
    assert len(ids) - QUEUE_COPIES_MAX - SENDERS <= counts.lost[CopyLost.FULL] < len(ids)
    peer.gate.set()
    until(lambda: counts.taken + counts.lost[CopyLost.FULL] == len(ids), "each is counted once")


def test_long_bodies_are_bounded_together(mirror: Mirror, counts: Counts, peer: Peer) -> None:
    peer.gate.clear()
    for number in range(100):
        mirror.offer(f"r-{number}", [], b"x" * 2**20)
    lost = counts.lost[CopyLost.FULL]
    assert lost >= sum(is_sampled(f"r-{n}", 0.5) for n in range(100)) - 16 - SENDERS
    peer.gate.set()
    until(lambda: counts.taken and not mirror._held_bytes, "what was kept is delivered")
    mirror.offer(next(f"s-{n}" for n in range(99) if is_sampled(f"s-{n}", 0.5)), [], b"x")
    assert counts.lost[CopyLost.FULL] == lost


def test_a_peer_that_is_away_is_counted(tmp_path: Path, counts: Counts) -> None:
    mirror = Mirror(told(tmp_path / "mirror.json", 100, v6="http://127.0.0.1:1"), "6", counts)
    mirror.start()
    until(lambda: mirror._copying is not None, "it has read where to")
    mirror.offer("r-1", [], BODY)
    until(lambda: counts.lost[CopyLost.UNDELIVERABLE] == 1, "it is given up")
    mirror.stop(5)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (b"[]", '"to" is needed'),
        (b"{", "Expecting"),
        (b'{"to": {"6": "http://a:1"}, "pct": 0}', "pct must be above 0"),
        (b'{"to": {"6": "http://a:1"}, "pct": true}', "pct must be above 0"),
        (b'{"to": {"6": "https://a:1"}, "pct": 1}', "an address like"),
        (b'{"to": {"6": "http://a:1/x"}, "pct": 1}', "an address like"),
    ],
)
def test_a_file_that_says_something_else_is_refused(text: bytes, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        copying_of(text, "6")


def test_each_version_finds_its_own_place() -> None:
    text = b'{"to": {"6": "http://v7:8001", "7": "http://v6:8001"}, "pct": 12.5}'
    assert copying_of(text, "6") == Copying("v7", 8001, 0.125)
    assert copying_of(text, "7") == Copying("v6", 8001, 0.125)
    assert copying_of(text, "8") is None


@pytest.mark.integration
def test_two_replicas_copy_to_each_other_and_stop_when_they_are_told(built_package: Path, tmp_path: Path) -> None:
    """What comes in as a copy is never copied again, and counts as shadow traffic alone."""
    file = tmp_path / "mirror.json"
    flags = ("--mirror-file", str(file))
    with replica(built_package, *flags, version="6") as six, replica(built_package, *flags, version="7") as seven:
        told(file, 100, v6=seven.shadow_url, v7=six.shadow_url)

        def asked(url: str, number: int) -> bool:
            httpx.post(url + PREDICT_ROUTE, json={"text": "hello"}, headers={REQUEST_ID_HEADER: f"r-{number}"})
            return six.total(MIRRORED_METRIC) >= 1 and seven.total(MIRRORED_METRIC) >= 1

        until(lambda: [asked(six.url, 1), asked(seven.url, 2)][-1], "both send copies")
        file.unlink()
        for one, other in ((six, seven), (seven, six)):
            until(
                lambda one=one, other=other: (
                    other.total(REQUESTS_METRIC, traffic="shadow", code="200") == one.total(MIRRORED_METRIC)
                ),
                "every copy is counted at both ends",
            )
            assert one.total(MIRRORED_METRIC) <= one.total(REQUESTS_METRIC, traffic="live", code="200")
            assert one.total(MIRROR_DROPPED_METRIC) == 0
