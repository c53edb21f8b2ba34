"""One client tries to use up what the controller's process has: connections, memory, time."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest
from starlette.types import Receive, Scope, Send

from controller.api.patience import Patience
from controller.api.server import serve
from tests.controller.api_support import World
from tests.patience import PATIENCE_S, eventually

pytestmark = pytest.mark.integration

HASTY = Patience(connections_max=8, quiet_s=0.3)


@contextmanager
def interface(patience: Patience) -> Iterator[httpx.URL]:
    with serve(World().client()._app, patience=patience) as url:
        yield httpx.URL(url)


def connect(url: httpx.URL) -> socket.socket:
    connection = socket.create_connection((url.host, url.port or 0), timeout=PATIENCE_S)
    connection.settimeout(20)
    return connection


def is_closed(connection: socket.socket) -> bool:
    """Whether the other end lets go of it; fails where it says something instead."""
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True


def healthy(url: httpx.URL) -> bool:
    try:
        return httpx.get(f"{url}/health", timeout=PATIENCE_S, trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False


@pytest.mark.parametrize("sent", [b"", b"GET /health HTTP/1.1\r\nhost: 127."], ids=["nothing", "half a head"])
def test_silent_connections_keep_nobody_out(sent: bytes) -> None:
    """More than there may be are closed at once, the others when they have been silent for too long."""
    with interface(HASTY) as url:
        silent = [connect(url) for _ in range(3 * HASTY.connections_max)]
        for connection in silent:
            try:
                connection.sendall(sent)
            except OSError:
                continue  # closed already
        assert all(is_closed(connection) for connection in silent)
        eventually(lambda: healthy(url), within_s=20, what="an answer for somebody else")
        for connection in silent:
            connection.close()


def _sent_until_cut_off(connection: socket.socket, *, most: int) -> int:
    """Bytes that went into the socket, its buffers included."""
    sent = 0
    try:
        while sent < most:
            sent += connection.send(b"a" * 2**16)
    except OSError:
        return sent
    return sent


def test_a_head_without_end_is_cut_off() -> None:
    """Not kept in memory for as long as somebody likes to send."""
    with interface(Patience()) as url, connect(url) as connection:
        connection.sendall(b"GET /v1/releases HTTP/1.1\r\nx: ")
        assert _sent_until_cut_off(connection, most=64 * 2**20) < 64 * 2**20
        assert healthy(url)


def test_a_connection_that_is_used_again_and_again_is_kept() -> None:
    """What is bounded is one head, not all that a faithful client ever sends."""
    with (
        interface(Patience(head_bytes_max=4_096)) as url,
        httpx.Client(base_url=url, headers={"x": "a" * 1_000}, trust_env=False) as client,
        client.stream("GET", "/health") as first,
    ):
        first.read()
        stream = first.extensions["network_stream"]
        for _ in range(20):
            with client.stream("GET", "/health") as answer:
                answer.read()
                assert answer.status_code == 200
                assert answer.extensions["network_stream"].get_extra_info("socket") is stream.get_extra_info("socket")


def test_a_request_that_never_ends_does_not_keep_its_connection() -> None:
    """A body that stops half-way, or an answer that nobody takes: the time for both together is bounded."""

    async def waits(_scope: Scope, receive: Receive, _send: Send) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    with serve(waits, patience=Patience(quiet_s=0.2, answer_s=0.5)) as url, connect(httpx.URL(url)) as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\nhalf")
        assert is_closed(connection)


def test_a_huge_body_is_refused_before_it_is_read() -> None:
    """By what is announced, and by who sends it: strangers' bodies are not read at all."""
    with interface(Patience()) as url:
        for size in (b"99999999999", b"9" * 5_000):
            with connect(url) as connection:
                head = b"POST /v1/labels HTTP/1.1\r\nhost: %b\r\ncontent-type: application/json\r\ncontent-length: "
                connection.sendall(head % url.netloc + size + b"\r\n\r\n")
                answer = connection.recv(2**16)
                assert answer[:12] in (b"HTTP/1.1 401", b"HTTP/1.1 413", b"HTTP/1.1 400", b"")
        assert healthy(url)


def test_who_is_refused_with_a_large_body_is_told_so() -> None:
    """What is still on its way of it is not taken for something else: the answer arrives."""
    with interface(Patience()) as url:
        body = b'{"labels": [' + b" " * 8 * 2**20 + b"]}"
        answer = httpx.post(
            f"{url}/v1/labels",
            content=body,
            headers={"content-type": "application/json"},
            timeout=PATIENCE_S,
            trust_env=False,
        )
        assert answer.status_code == 401


def test_many_clients_that_behave_are_all_answered() -> None:
    """What is bounded is far above what an installation has."""
    with interface(Patience()) as url:
        answers: list[bool] = []
        threads = [threading.Thread(target=lambda: answers.append(healthy(url))) for _ in range(40)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert answers == [True] * 40
