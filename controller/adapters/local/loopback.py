"""Small requests to servers on this machine. Standard library only, and quick to import."""

import errno
import itertools
import os
import socket
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from http.client import HTTPConnection

# Below those that Linux gives to connections of its own accord: one of them would take what is not listened at yet.
_LOWEST: Final = 20_000
_NUMBER: Final = 12_000
_BETWEEN_PROCESSES: Final = 97
_asked = itertools.count()


def free_port() -> int:
    """A loopback TCP port that was free a moment ago, for programs that cannot choose their own and tell it.

    Another process may take it before it is used: prefer port 0 wherever a program can report what it got.
    """
    return free_ports(1)[0]


def free_ports(number: int) -> list[int]:
    """As many such ports, each another one.

    A process goes through them from a place of its own: it finds none twice within a while, and two processes that
    ask at the same time, whose programs only begin to listen seconds later, find others.

    Raises:
        OSError: so many are not free.
    """
    found: list[int] = []
    for place in itertools.islice(_asked, _NUMBER):
        if len(found) == number:
            break
        port = _LOWEST + (os.getpid() * _BETWEEN_PROCESSES + place) % _NUMBER
        with socket.socket() as probe, suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            found.append(port)
    if len(found) < number:
        raise OSError(errno.EADDRINUSE, f"this machine does not have {number} free ports")
    return found


def accepts_connections(host: str, port: int, *, timeout_s: float) -> bool:
    """Return whether something listens there."""
    try:
        socket.create_connection((host, port), timeout=timeout_s).close()
    except OSError:
        return False
    return True


def get(url: str, *, timeout_s: float, token: str = "") -> tuple[int, bytes]:
    """GET over plain HTTP, in the name of the token's holder where one is given: status and body. No redirects, no
    proxy from the environment.

    Raises:
        OSError: nothing answered, what answered was not HTTP, or a read took longer than ``timeout_s``.
    """
    parts = urlsplit(url)
    target = f"{parts.path or '/'}{'?' if parts.query else ''}{parts.query}"
    headers = {"authorization": f"Bearer {token}"} if token else {}
    return _answer(_connection(parts.hostname or "", parts.port, timeout_s), url, target, headers=headers)


def status_of(url: str, *, timeout_s: float) -> int:
    """GET, and return the status alone. By TLS no certificate is checked: nothing is told to whoever answers, and
    nothing that it says is believed. No redirects, no proxy.

    Raises:
        ssl.SSLError: somebody is there, and TLS with them fails: they may ask for a certificate.
        OSError: nothing answered, or not in HTTP, or it took longer than ``timeout_s`` to begin.
    """
    import ssl
    from http.client import HTTPException, HTTPSConnection

    parts = urlsplit(url)
    connection = _connection(parts.hostname or "", parts.port, timeout_s)
    if parts.scheme == "https":
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        connection = HTTPSConnection(parts.hostname or "", parts.port, timeout=timeout_s, context=context)
    try:
        connection.request("GET", parts.path or "/")
        return connection.getresponse().status
    except HTTPException as error:
        raise ConnectionError(f"{url} did not answer in HTTP: {error!r}") from error
    finally:
        connection.close()


def post_json(url: str, body: str, *, token: str, timeout_s: float) -> tuple[int, bytes]:
    """POST a JSON text in the name of a token's holder: status and body. Raises as ``get`` does."""
    parts = urlsplit(url)
    headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}
    connection = _connection(parts.hostname or "", parts.port, timeout_s)
    return _answer(connection, url, parts.path, "POST", body.encode(), headers)


def ask_at_socket(path: Path, target: str, *, timeout_s: float, method: str = "GET") -> tuple[int, bytes]:
    """Ask the server at a Unix socket for the target. Raises as ``get`` does."""
    connection = _connection("localhost", None, timeout_s)
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.settimeout(timeout_s)
    try:
        connection.sock.connect(str(path))
    except OSError:
        connection.close()
        raise
    return _answer(connection, str(path), target, method)


def _connection(host: str, port: int | None, timeout_s: float) -> "HTTPConnection":
    from http.client import HTTPConnection  # here: it costs more to import than a whole rollback takes

    return HTTPConnection(host, port, timeout=timeout_s)


def _answer(
    connection: "HTTPConnection",
    who: str,
    target: str,
    method: str = "GET",
    body: bytes | None = None,
    headers: Mapping[str, str] = MappingProxyType({}),
) -> tuple[int, bytes]:
    from http.client import HTTPException

    try:
        connection.request(method, target, body, headers)
        response = connection.getresponse()
        return response.status, response.read()
    except HTTPException as error:
        raise ConnectionError(f"{who} did not answer in HTTP: {error!r}") from error
    finally:
        connection.close()
