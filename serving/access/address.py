"""The address that a request comes from, behind gateways that are named."""

import ipaddress
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

_UNKNOWN: Final = "unknown"
_PREFIX_BITS: Final = 64  # of IPv6 addresses: whoever has one usually has all of its network


class Addresses:
    """``X-Forwarded-For`` is believed only from trusted proxies: from its end back to the first address that is not one
    of them. Anybody else could write anything there."""

    def __init__(self, trusted_proxies: Sequence[str]) -> None:
        """Raises ValueError for what is neither an address nor a network."""
        self._trusted = tuple(ipaddress.ip_network(proxy) for proxy in trusted_proxies)
        self.canonical = lru_cache(4096)(_canonical)
        self._is_trusted = lru_cache(4096)(self._among_trusted)

    def of(self, peer: str | None, forwarded_for: bytes | None) -> str:
        """IPv4 addresses as they are, IPv6 ones by their /64 network."""
        if peer is None:
            return _UNKNOWN
        if forwarded_for is None or not self._trusted or not self._is_trusted(peer):
            return self.canonical(peer)
        for entry in reversed(forwarded_for[-2048:].decode("latin-1").split(",")):
            address = self.canonical(entry.strip())
            if address == _UNKNOWN:
                break
            if not self._is_trusted(entry.strip()):
                return address
        return self.canonical(peer)

    def _among_trusted(self, address: str) -> bool:
        try:
            parsed = ipaddress.ip_address(address)
        except ValueError:
            return False
        return any(parsed in network for network in self._trusted)


def _canonical(address: str) -> str:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return _UNKNOWN
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((parsed, _PREFIX_BITS), strict=False))


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach it."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
