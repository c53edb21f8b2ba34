"""The host names of a server: requests that are meant for another, or sent by a web page of another, are strangers'.

A page whose name its owner points at 127.0.0.1 (DNS rebinding) reaches a server on this machine past every same-origin
rule; it cannot choose the Host header that the browser sends. A page that posts across origins sends its Origin.
"""

import re
from collections.abc import Iterable
from enum import StrEnum
from typing import Final

from serving.access.address import is_loopback

_AUTHORITY: Final = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::([0-9]{1,5}))?")
_PORT_MAX: Final = 65_535
_SCHEMES: Final = {"http": 80, "https": 443}
Authority = tuple[str, int]  # host in lower case without brackets, port


class Stranger(StrEnum):
    """The sign that a request is not meant for us, or comes from elsewhere."""

    HOST = "host"
    ORIGIN = "origin"


class Hosts:
    """The names of a server: those of loopback with its own port, and those configured.

    A configured name without a port is taken with any, as behind a proxy or in front of a tunnel.
    """

    def __init__(self, names: Iterable[str] = ()) -> None:
        """Raises ValueError for what is no host, with or without a port."""
        self._names: set[str] = set()
        self._authorities: set[Authority] = set()
        for name in names:
            match = _AUTHORITY.fullmatch(name)
            if match is None or not 0 < int(match[2] or 1) <= _PORT_MAX:
                raise ValueError(f"{name!r} is neither a host nor a host with a port")
            host = match[1].strip("[]").lower()
            if match[2] is None:
                self._names.add(host)
            else:
                self._authorities.add((host, int(match[2])))

    def stranger(self, hosts: Iterable[str], origins: Iterable[str], *, port: int) -> Stranger | None:
        """Return what is strange about a request with these Host and Origin headers, to a server on this port."""
        given = list(hosts)
        if len(given) != 1 or not self._ours(given[0], "http", port):
            return Stranger.HOST
        for origin in origins:
            scheme, found, authority = origin.partition("://")
            if not (found and scheme in _SCHEMES and self._ours(authority, scheme, port)):
                return Stranger.ORIGIN
        return None

    def _ours(self, authority: str, scheme: str, port: int) -> bool:
        match = _AUTHORITY.fullmatch(authority)
        if match is None:
            return False
        host, named = match[1].strip("[]").lower(), int(match[2] or _SCHEMES[scheme])
        if host in self._names or (host, named) in self._authorities:
            return True
        return named == port and is_loopback(host)
