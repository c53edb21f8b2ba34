"""Small questions asked of servers on this machine. Standard library only, and quick to import."""

import socket
from urllib.parse import urlsplit


def free_port() -> int:
    """A loopback TCP port that was free a moment ago, for programs that cannot choose their own and tell it.

    Another process may take it before it is used: prefer port 0 wherever a program can report what it got.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def accepts_connections(host: str, port: int, *, timeout_s: float) -> bool:
    """Whether something listens there."""
    try:
        socket.create_connection((host, port), timeout=timeout_s).close()
    except OSError:
        return False
    return True


def get(url: str, *, timeout_s: float) -> tuple[int, bytes]:
    """GET over plain HTTP: status and body. No redirects, no proxy from the environment.

    Raises:
        OSError: nothing answered, what answered was not HTTP, or a read took longer than ``timeout_s``.
    """
    from http.client import HTTPConnection, HTTPException  # here: it costs more to import than a whole rollback takes

    parts = urlsplit(url)
    connection = HTTPConnection(parts.hostname or "", parts.port, timeout=timeout_s)
    try:
        connection.request("GET", f"{parts.path or '/'}{'?' if parts.query else ''}{parts.query}")
        response = connection.getresponse()
        return response.status, response.read()
    except HTTPException as error:
        raise ConnectionError(f"{url} did not answer in HTTP: {error!r}") from error
    finally:
        connection.close()
