"""Messages as bytes on a socket: each with its length before it.

They are marshalled: both ends are forks of one process, so the interpreter is the same and nobody else can write. It
costs a third of JSON here, and the HTTP process is what small models wait for.
"""

import marshal
import struct
from collections.abc import Iterator, Sequence
from typing import Any, Final

from serving.messages import EngineCall, Outcome, Row, Trail

_LENGTH: Final = struct.Struct("!I")


class FrameBuffer:
    """Puts frames together from whatever pieces a socket delivers."""

    def __init__(self) -> None:
        self._data = bytearray()

    def feed(self, data: bytes) -> Iterator[Any]:
        self._data += data
        while len(self._data) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._data)
            end = _LENGTH.size + length
            if len(self._data) < end:
                return
            yield marshal.loads(self._data[_LENGTH.size : end])  # noqa: S302  (from our own fork: see above)
            del self._data[:end]


def frame(message: Any) -> bytes:
    payload = marshal.dumps(message)
    return _LENGTH.pack(len(payload)) + payload


def pack(done: Outcome) -> tuple[Any, ...]:
    if done.trail is None:
        return done[:4]
    trail = (*done.trail[:2], [tuple(call) for call in done.trail.calls])
    return done.uid, done.rows, done.error, done.too_long, trail


def unpack(
    uid: int, rows: Sequence[Row], error: str | None, too_long: tuple[int | None, int] | None, trail: Any = None
) -> Outcome:
    if trail is None:
        return Outcome(uid, rows, error, too_long)
    began_ns, ended_ns, calls = trail
    return Outcome(uid, rows, error, too_long, Trail(began_ns, ended_ns, [EngineCall(*call) for call in calls]))
