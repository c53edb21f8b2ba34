"""Clients that mean no good, at the socket: slow, endless, broken, deep, huge. The replica answers everybody else."""

import itertools
import json
import socket
import time
from collections.abc import Iterable, Iterator
from http.client import HTTPResponse
from pathlib import Path

import httpx
import psutil
import pytest

from serving.contract import PREDICT_ROUTE, REQUESTS_METRIC, TOKENIZE_ROUTE
from tests.patience import PATIENCE_S
from tests.serving.replica import Replica, replica, until

pytestmark = pytest.mark.integration

RECEIVE_TIMEOUT_S = 2.0


@pytest.fixture(scope="module")
def running(built_package: Path) -> Iterator[Replica]:
    with replica(built_package, "--receive-timeout-s", str(RECEIVE_TIMEOUT_S)) as it:
        yield it


def connect(running: Replica) -> socket.socket:
    address = httpx.URL(running.url)
    return socket.create_connection((address.host, address.port or 80), timeout=PATIENCE_S)


def status_of(running: Replica, request: bytes) -> int:
    """The status of the answer to these bytes; 0 where the connection is closed without one."""
    with connect(running) as connection:
        try:
            connection.sendall(request)
            head = connection.recv(4096)
        except (BrokenPipeError, ConnectionResetError):
            return 0
    return int(head.split(b" ")[1]) if head else 0


def answers(running: Replica) -> bool:
    return httpx.post(running.url + PREDICT_ROUTE, json={"text": "refund"}, trust_env=False, timeout=20).is_success


def closed(connection: socket.socket) -> bool:
    try:
        return connection.recv(4096) == b""
    except ConnectionResetError:
        return True


@pytest.mark.parametrize(
    "beginning",
    [
        b"",
        b"POST /pre",
        b"POST /predict HTTP/1.1\r\nhost: serin.localhost\r\nx-a: b",
        b"POST /predict HTTP/1.1\r\nhost: serin.localhost\r\ncontent-length: 100\r\n\r\n",
        b'POST /predict HTTP/1.1\r\nhost: serin.localhost\r\ncontent-length: 100\r\n\r\n{"text": "a',
        b"POST /predict HTTP/1.1\r\nhost: serin.localhost\r\ntransfer-encoding: chunked\r\n\r\n5\r\nabc",
        b"GET /health HTTP/1.1\r\nhost: serin.localhost\r\n\r\nGET /hea",  # the second request of a connection
    ],
)
def test_a_request_that_never_ends_does_not_hold_its_connection(running: Replica, beginning: bytes) -> None:
    with connect(running) as connection:
        began_s = time.monotonic()
        connection.sendall(beginning)
        while not closed(connection):
            assert time.monotonic() - began_s < PATIENCE_S
        assert time.monotonic() - began_s > RECEIVE_TIMEOUT_S / 2
    assert answers(running)


def test_dripping_bytes_gain_no_time(running: Replica) -> None:
    """Slowloris: a header line now and then keeps no connection open."""
    with connect(running) as connection:
        connection.settimeout(0.2)
        connection.sendall(b"GET /health HTTP/1.1\r\nhost: serin.localhost\r\n")
        began_s = time.monotonic()
        gone = False
        while not gone and time.monotonic() - began_s < PATIENCE_S:
            try:
                connection.sendall(b"x-drip: 1\r\n")
                gone = connection.recv(1) == b""
            except TimeoutError:
                continue
            except (BrokenPipeError, ConnectionResetError):
                gone = True
    assert gone


def test_many_slow_clients_keep_nobody_else_waiting(running: Replica) -> None:
    connections = [connect(running) for _ in range(200)]
    try:
        for connection in connections:
            connection.sendall(b"POST /predict HTTP/1.1\r\nhost: serin.localhost\r\ncontent-length: 100\r\n\r\n{")
        assert answers(running)
        http = psutil.Process(running.pid).children()[0]
        until(lambda: http.num_fds() < 150, "the slow connections are closed")
    finally:
        for connection in connections:
            connection.close()
    assert answers(running)


def test_a_slow_answer_is_no_slow_request(running: Replica) -> None:
    """A connection that is kept idle after its request stays open far beyond the time that a request may take."""

    def whole_answer() -> int:  # its head and its body come in one segment or in two
        connection.sendall(b"GET /health HTTP/1.1\r\nhost: serin.localhost\r\n\r\n")
        response = HTTPResponse(connection)
        response.begin()
        response.read()
        return response.status

    with connect(running) as connection:
        assert whole_answer() == 200
        connection.settimeout(2 * RECEIVE_TIMEOUT_S)
        with pytest.raises(TimeoutError):
            connection.recv(1)
        connection.settimeout(10)
        assert whole_answer() == 200


def head(line: bytes, more: bytes = b"") -> bytes:
    return b"POST /predict HTTP/1.1\r\nhost: serin.localhost\r\n" + line + b"\r\n\r\n" + more


@pytest.mark.parametrize(
    "request_bytes",
    [
        head(b"content-length: abc"),
        head(b"content-length: -1"),
        head(b"content-length: +5", b"{}   "),
        head(b"content-length: 1e3"),
        head(b"content-length: " + b"9" * 30),
        head(b"content-length: " + b"9" * 5000),
        head(b"content-length: 2\r\ncontent-length: 3", b"{} "),
        head(b"content-length: 2\r\ntransfer-encoding: chunked", b"0\r\n\r\n"),
        head(b"transfer-encoding: chunked", b"zz\r\n"),
        head(b"transfer-encoding: chunked", b"-1\r\n"),
        head(b"transfer-encoding: chunked", b"fffffffffffffffff\r\n"),
        b"POST /predict HTTP/9.9\r\nhost: serin.localhost\r\n\r\n",
        b"POST  /predict  HTTP/1.1\r\n\r\n",
        b"GET /%ff%fe HTTP/1.1\r\nhost: serin.localhost\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\nhost: serin.localhost\r\n\r\n",
        b"GET http://[::1 HTTP/1.1\r\nhost: serin.localhost\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # TLS
        b"\x00" * 100,
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ],
    ids=range(19),
)
def test_a_broken_request_is_refused(running: Replica, request_bytes: bytes) -> None:
    failed = running.total(REQUESTS_METRIC, code="500")
    status = status_of(running, request_bytes)
    assert status == 0 or 400 <= status < 500
    assert running.total(REQUESTS_METRIC, code="500") == failed
    assert answers(running)


def test_a_head_without_end_is_cut(running: Replica) -> None:
    """uvicorn would keep all of it."""
    pieces = (b"GET /health HTTP/1.1\r\n", *[b"x-a: " + b"a" * 65_000 + b"\r\n"] * 3000)
    assert refuses_to_read(running, pieces)
    assert answers(running)


def test_a_body_without_end_is_cut(running: Replica) -> None:
    """Also after it was refused: nobody reads on for ever."""
    pieces = itertools.chain(
        [b"POST /predict HTTP/1.1\r\nhost: serin.localhost\r\ntransfer-encoding: chunked\r\n\r\n"],
        itertools.repeat(b"10000\r\n" + b"a" * 65_536 + b"\r\n"),
    )
    assert refuses_to_read(running, pieces)
    assert answers(running)


def refuses_to_read(running: Replica, pieces: Iterable[bytes]) -> bool:
    """Whether the connection is closed within a while, and nothing of what was sent is kept."""
    http = psutil.Process(running.pid).children()[0]
    before_bytes = http.memory_info().rss
    began_s = time.monotonic()
    with connect(running) as connection:
        for piece in pieces:
            try:
                connection.sendall(piece)
            except (BrokenPipeError, ConnectionResetError):
                return http.memory_info().rss - before_bytes < 30 * 2**20
            if time.monotonic() - began_s > PATIENCE_S:
                return False
    return False


ONE_MIB = 2**20 - 100


@pytest.mark.parametrize(
    "body",
    [
        b'{"text": ' + b"[" * 400_000 + b"]" * 400_000 + b"}",
        b'{"a":' * 150_000 + b"1" + b"}" * 150_000,
        b'{"texts": [' + b"1," * 500_000 + b"1]}",
        b'{"texts": [' + b'"",' * 300_000 + b'""]}',
        b'{"texts": [' + b'"a",' * 250_000 + b'"a"]}',
        b"{" + b",".join(b'"%d":1' % n for n in range(90_000)) + b"}",
        b'{"text": "' + b"\\u0000" * 170_000 + b'"}',
        b'{"text": ' + b"9" * ONE_MIB + b"}",
        b'{"text": 1e999}',
        b'{"text": "\xff\xfe"}',
        b'{"text": "\\ud800"}',
        b'\xef\xbb\xbf{"text": "a"}',
        '{"text": "a"}'.encode("utf-16"),
        b'{"text": "a", "text": 5}',
        b"[" + b"{}," * 300_000 + b"{}]",
        b"null",
        b"\x00" * ONE_MIB,
        b" " * ONE_MIB,
    ],
    ids=range(18),
)
@pytest.mark.parametrize("route", [PREDICT_ROUTE, TOKENIZE_ROUTE])
def test_odd_bodies_are_refused_and_keep_nobody_waiting(running: Replica, route: str, body: bytes) -> None:
    """A list of half a million faults took four seconds to describe, in which nobody else was answered."""
    http = psutil.Process(running.pid).children()[0]
    before_s = sum(http.cpu_times()[:2])
    answer = httpx.post(running.url + route, content=body, trust_env=False, timeout=20)
    assert answer.status_code in (400, 422)
    assert len(answer.content) < 300
    assert answer.json()["error"]["message"]
    assert sum(http.cpu_times()[:2]) - before_s < 1.0


def test_texts_that_are_odd_but_texts_are_answered(running: Replica) -> None:
    for text in ("\0", "a\0b", "\u202e\u0301" * 50, "🙂" * 300, "\n\t a", "{}", "a" * 20_000, "ﷺ" * 500):
        answer = httpx.post(
            running.url + PREDICT_ROUTE, content=json.dumps({"text": text}), trust_env=False, timeout=20
        )
        assert answer.status_code == 200, text[:5]


def test_after_all_of_that_nothing_had_failed(running: Replica) -> None:
    codes = {dict(of)["code"]: count for (name, of), count in running.samples().items() if name == REQUESTS_METRIC}
    assert not [code for code, count in codes.items() if code.startswith("5") and count]
    log = running.log.read_text()
    assert "Traceback" not in log
    assert len(log) < 2000, "broken requests do not fill the disk"
