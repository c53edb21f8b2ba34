"""The visitors of a replica, known before a request is read: by which port it came, for which host, from a page or
not."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Final

from serving.access.hosts import Hosts, Stranger
from serving.contract import GATEWAY_HOST, HEALTH_ROUTE, Traffic
from serving.refusals import Refusal, RefusedError

_KEPT: Final = 1024  # different headers whose judgement is remembered
_ACROSS: Final = (b"cross-site", b"same-site")
_MISDIRECTED: Final = "the Host header names another server: use this address, or start the replica with --allowed-host"
_FOREIGN: Final = "web pages of other origins may not send requests here; --allowed-host names hosts whose pages may"


class Visitors:
    """Turns away requests that are meant for another host, and those that a web page of another origin sends.

    A replica goes by loopback's names, the one that the gateway uses, and those given. With None any name is taken, for
    one that other machines reach by names that it cannot know; pages of another name are refused all the same. Probes
    of health may come under any name; they learn nothing.
    """

    def __init__(self, names: tuple[str, ...] | None, shadow_port: int | None = None) -> None:
        """Raises ValueError for what is no host, with or without a port."""
        self._shadow_port = shadow_port
        self._hosts = None if names is None else Hosts(names)
        self._judged = lru_cache(_KEPT)(self._judge)

    def traffic(self, port: int) -> Traffic:
        """Return the kind of traffic: shadow if it arrived on the shadow port, whatever the request claims; everything
        else is live."""
        return Traffic.SHADOW if port == self._shadow_port else Traffic.LIVE

    def refusal(self, headers: Mapping[bytes, bytes], route: str, port: int) -> RefusedError | None:
        """Return why the request, to this port, is not answered; None if it is."""
        stranger = self._judged(headers.get(b"host", b""), headers.get(b"origin"), headers.get(b"sec-fetch-site"), port)
        if stranger is None or (route == HEALTH_ROUTE and stranger is Stranger.HOST):
            return None
        if stranger is Stranger.HOST:
            return RefusedError(Refusal.STRANGER, 421, "host", _MISDIRECTED, {})
        return RefusedError(Refusal.STRANGER, 403, "origin", _FOREIGN, {})

    def _judge(self, host: bytes, origin: bytes | None, site: bytes | None, port: int) -> Stranger | None:
        said = host.decode("latin-1")
        if self._hosts is not None and said != GATEWAY_HOST:
            found = self._hosts.stranger((said,), (), port=port)
            if found is not None:
                return found
        if origin is None:  # what a page merely shows has none, and browsers say where the page stands to us
            return Stranger.ORIGIN if site in _ACROSS else None
        page = origin.decode("latin-1")
        if self._hosts is not None:
            return self._hosts.stranger((f"127.0.0.1:{port}",), (page,), port=port)
        return None if page.partition("://")[2] == said else Stranger.ORIGIN
