"""The access log: one JSON object per line for each request, with who asked and what the result was, and never a text.

What a client wrote freely is left out: of the path only a route that we know is kept. Requests pay for an append to a
queue; a thread writes lines and files. It sleeps while there is nothing to write.
"""

import json
import logging
import os
import sys
import threading
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple

from serving.contract import Traffic
from serving.refusals import Refusal

_log = logging.getLogger(__name__)

QUEUE_MAX: Final = 50_000
STANDARD_OUTPUT: Final = Path("-")
_GATHER_S: Final = 0.2


class Visit(NamedTuple):
    """One request. ``client`` is None if nobody was recognised; ``texts`` and ``tokens`` are for predictions."""

    at_s: float
    request_id: str
    client: str | None
    address: str
    method: str
    route: str
    status: int
    duration_s: float
    texts: int
    tokens: int
    traffic: Traffic
    refusal: Refusal | None


class AccessLog:
    """Appends to a file that may be moved away under it (log rotation), or to standard output."""

    def __init__(
        self, path: Path, model: str, version: str, lost: Callable[[int], None], *, queue_max: int = QUEUE_MAX
    ) -> None:
        """``lost`` counts lines for which there was no room, or that could not be written.

        Raises:
            OSError: the file cannot be written: found at the start, not at the first request.
        """
        self._path = path
        self._own = {"model": model, "model_version": version}
        self._lost = lost
        self._queue_max = queue_max
        self._visits: deque[Visit] = deque()
        self._awake = False
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._descriptor = self._open()
        self._thread = threading.Thread(target=self._run, name="access-log", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def note(self, visit: Visit) -> None:
        """Accept a line, or drop and count it; never blocks, never raises."""
        if len(self._visits) >= self._queue_max:
            self._lost(1)
            return
        self._visits.append(visit)
        if not self._awake:
            self._awake = True
            self._wake.set()

    def stop(self, timeout_s: float) -> None:
        """Write what is queued within ``timeout_s``."""
        if self._thread.is_alive():
            self._stopping.set()
            self._wake.set()
            self._thread.join(timeout_s)

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._wake.wait()
            self._wake.clear()
            self._stopping.wait(_GATHER_S)
            self._awake = False  # from here on a new line wakes us again
            self._drain()
        self._drain()

    def _drain(self) -> None:
        visits = [self._visits.popleft() for _ in range(len(self._visits))]
        if not visits:
            return
        lines = "".join(self._line(visit) for visit in visits).encode()
        try:
            self._follow_rotation()
            _write_all(self._descriptor, lines)
        except OSError as error:
            self._lost(len(visits))
            _log.error("the access log cannot be written: %s", error.strerror)

    def _line(self, visit: Visit) -> str:
        at = datetime.fromtimestamp(visit.at_s, UTC).isoformat(timespec="milliseconds")
        document = {
            "at": at.replace("+00:00", "Z"),
            "request_id": visit.request_id,
            "client": visit.client,
            "address": visit.address,
            "method": visit.method,
            "route": visit.route,
            "status": visit.status,
            "ms": round(visit.duration_s * 1000, 2),
            "texts": visit.texts,
            "tokens": visit.tokens,
            "traffic": visit.traffic,
            **self._own,
        }
        if visit.refusal is not None:
            document["refused"] = visit.refusal
        return json.dumps(document) + "\n"

    def _open(self) -> int:
        if self._path == STANDARD_OUTPUT:
            return sys.stdout.fileno()
        return os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)

    def _follow_rotation(self) -> None:
        if self._path == STANDARD_OUTPUT:
            return
        try:
            moved = not os.path.samestat(self._path.stat(), os.fstat(self._descriptor))
        except FileNotFoundError:
            moved = True
        if moved:
            old, self._descriptor = self._descriptor, self._open()
            os.close(old)


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
