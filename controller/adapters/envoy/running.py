"""The revision of the routes that the running Envoy goes by: as its worker threads answer, and as it says itself.

Each worker takes new routes over by itself, a moment after Envoy has. Which one answers is the kernel's choice, anew
for each connection, so several are asked. Standard library only, and quick to import.
"""

import json
import re
import socket
from pathlib import Path
from typing import Any, Final

from controller.adapters.envoy.admin import BOOTSTRAP_FILE, EnvoyAdmin
from controller.adapters.envoy.ledger import REVISION_ROUTE
from controller.adapters.envoy.routes import ROUTE_CONFIGURATION
from controller.errors import PermanentError, Source, TransientError, in_words

PROBES: Final = 8
"""Connections: of two workers one is missed by all of them once in 128 times."""

_ANSWER_WITHIN_S: Final = 0.5
_ANSWER_BYTES_MAX: Final = 4096
_END_OF_HEAD: Final = b"\r\n\r\n"
_LENGTH: Final = re.compile(rb"\r\ncontent-length: *([0-9]{1,9})", re.IGNORECASE)
_EVERYWHERE: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - not bound to: asked instead
_REQUEST: Final = f"GET {REVISION_ROUTE} HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n".encode()


def served_revision(directory: Path, *, probes: int = PROBES) -> int:
    """The lowest revision that a worker answered by.

    Raises:
        TransientError: Envoy does not answer, or has no routes yet, or those that an earlier version of Serin wrote.
        PermanentError: something else answers in its place, or there is no bootstrap file.
    """
    address = _gateway(directory)
    return min(_revision_at(address) for _ in range(probes))


def accepted_revision(directory: Path) -> int:
    """The revision that Envoy itself has taken over. Raises as ``EnvoyAdmin`` does."""
    return EnvoyAdmin.beside(directory).route_revision(ROUTE_CONFIGURATION)


def serves(directory: Path, revision: int) -> bool:
    """Return whether every worker that was asked goes by this revision or a later one; False where none answers."""
    try:
        return served_revision(directory) >= revision
    except (TransientError, PermanentError):
        return False


def _gateway(directory: Path) -> tuple[str, int]:
    path = directory / BOOTSTRAP_FILE
    try:
        bootstrap: Any = json.loads(path.read_text(encoding="utf-8"))
        address = bootstrap["static_resources"]["listeners"][0]["address"]["socket_address"]
        host, port = str(address["address"]), int(address["port_value"])
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
        raise PermanentError(f"{path} does not say where Envoy listens: {error!r}") from error
    return _EVERYWHERE.get(host, host), port


def _revision_at(address: tuple[str, int]) -> int:
    """Asked by hand: importing an HTTP client takes longer than a rollback does."""
    try:
        with socket.create_connection(address, timeout=_ANSWER_WITHIN_S) as connection:
            connection.sendall(_REQUEST)
            answer = b""
            while not _is_whole(answer) and (part := connection.recv(_ANSWER_BYTES_MAX)):
                answer += part
    except OSError as error:
        raise TransientError(
            Source.TRAFFIC, f"Envoy does not answer at {address[0]}:{address[1]}: {in_words(error)}"
        ) from error
    if not answer:  # as it does where too many clients are connected
        raise TransientError(
            Source.TRAFFIC, f"Envoy closes new connections to {address[0]}:{address[1]} without an answer"
        )
    head, _, body = answer.partition(_END_OF_HEAD)
    status = head.split(b" ", 2)[1:2]
    if status == [b"404"]:
        raise TransientError(Source.TRAFFIC, "Envoy does not say yet which routes it serves")
    if status != [b"200"] or not body.isdigit():
        said = head.partition(b"\r\n")[0].decode(errors="replace")
        raise PermanentError(f"what answers at {address[0]}:{address[1]} is not the gateway: {said!r}")
    return int(body)


def _is_whole(answer: bytes) -> bool:
    """Return whether the answer has ended, or will at no length that ours has. Envoy closes a while after it."""
    head, ended, body = answer.partition(_END_OF_HEAD)
    length = _LENGTH.search(head)
    if ended and length is not None:
        return len(body) >= int(length[1])
    return len(answer) >= _ANSWER_BYTES_MAX
