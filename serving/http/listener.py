"""A listening socket, and how to close one without cutting off clients that are just connecting.

Closing it resets every connection that the kernel has made and nobody has accepted yet, with the request that may have
been sent on it already. So first no new ones are begun, then the last are accepted, and only then it is closed.
"""

import contextlib
import ctypes
import socket
import struct
import sys
from dataclasses import dataclass
from typing import Final

_BACKLOG: Final = 1024
_SO_ATTACH_FILTER: Final = 26  # of Linux; Python has no name for it
# Classic BPF on the TCP header: drop what has SYN without ACK, which is a connection's first packet; take the rest.
_NO_NEW: Final = (
    (0x30, 0, 0, 13),  # load the byte of flags
    (0x54, 0, 0, 0x12),  # SYN | ACK of it
    (0x15, 0, 1, 0x02),  # SYN alone?
    (0x06, 0, 0, 0),  # then nothing of the packet
    (0x06, 0, 0, 0xFFFFFFFF),  # else all of it
)


@dataclass(frozen=True, slots=True)
class Listeners:
    """The sockets that a replica listens on. Whatever comes in at ``shadow`` is shadow traffic, all else is live."""

    live: socket.socket
    shadow: socket.socket | None = None

    @property
    def sockets(self) -> list[socket.socket]:
        return [self.live] if self.shadow is None else [self.live, self.shadow]

    @property
    def ports(self) -> list[int]:
        """The live port, and the shadow port if there is one."""
        return [int(listener.getsockname()[1]) for listener in self.sockets]

    @property
    def shadow_port(self) -> int | None:
        return None if self.shadow is None else self.ports[1]

    def close(self) -> None:
        for listener in self.sockets:
            listener.close()


def listen(host: str, port: int) -> socket.socket:
    """A listening socket: from here on connections wait instead of being refused."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=_BACKLOG)


def begin_no_more(listener: socket.socket) -> None:
    """Connections that are half made are finished, new ones go unanswered until the socket is closed.

    If the kernel cannot do that, nothing happens: then clients that are connecting at the end may be reset.
    """
    if sys.platform != "linux":
        return
    program = b"".join(struct.pack("=HBBI", *instruction) for instruction in _NO_NEW)
    held = ctypes.create_string_buffer(program, len(program))
    described = struct.pack("@HP", len(_NO_NEW), ctypes.addressof(held))
    with contextlib.suppress(OSError):
        listener.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, described)
