"""Addresses of machines: IPv4, IPv6, and host names, in URLs or by themselves."""

import ipaddress
import re
from collections.abc import Iterator
from typing import Final

from serving.redaction.spans import HOST, Span

_V4: Final = re.compile(r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?!\.?\w)", re.ASCII)
_V6: Final = re.compile(r"(?<![\w:.])(?=[0-9A-Fa-f]{0,4}:)[0-9A-Fa-f:]{2,39}(?:\.\d{1,3}){0,3}(?![\w:])", re.ASCII)
_SURE: Final = re.compile(r"\d|[0-9A-Fa-f]:{1,2}[0-9A-Fa-f]+:{1,2}[0-9A-Fa-f]")
"""A digit, or three groups: "a::b" is an address too, but oftener a name in some language."""
_URL: Final = re.compile(
    r"(?<![A-Za-z])[A-Za-z][A-Za-z0-9+.-]{1,20}://(?:[^\s/@?#]{1,128}@)?([\w-]{1,63}(?:\.[\w-]{1,63}){0,10})"
)
_NAME: Final = re.compile(
    r"(?<![\w.@-])(?:[A-Za-z0-9_](?:[\w-]{0,61}[A-Za-z0-9])?\.){1,10}([A-Za-z]{2,24})(?![\w-]|\.\w)", re.ASCII
)
# Last labels that are no English words: a name of two labels with another one is oftener a full stop without its space.
_UNMISTAKABLE: Final = frozenset(
    ("com", "org", "net", "edu", "gov", "mil", "biz", "io", "dev", "app", "ai", "cloud", "xyz", "eu", "uk", "de", "fr",
     "ch", "nl", "se", "dk", "fi", "cz", "pt", "gr", "ie", "ca", "au", "nz", "jp", "cn", "kr", "br", "mx", "ru", "ua",
     "local", "localdomain", "lan", "internal", "intranet", "corp", "onion", "arpa")
)  # fmt: skip
_WITH_MORE_LABELS: Final = frozenset(
    ("info", "online", "site", "shop", "tech", "store", "blog", "page", "link", "live", "home", "private", "test",
     "example", "invalid", "svc", "agency", "team", "world", "group", "company", "network", "systems")
)  # fmt: skip
_FILE_ENDINGS: Final = frozenset(("py", "rs", "md", "sh", "so", "cc", "pl", "ps", "js", "ts", "gz"))


def find_hosts(text: str) -> Iterator[Span]:
    if "." in text or ":" in text:
        yield from _find_addresses(text)
        for match in _URL.finditer(text):
            yield Span(*match.span(1), HOST)
        for match in _NAME.finditer(text):
            if _is_name(match[0], match[1].lower()):
                yield Span(*match.span(), HOST)


def _find_addresses(text: str) -> Iterator[Span]:
    for match in _V4.finditer(text):
        if all(int(part) < 256 for part in match[0].split(".")):
            yield Span(*match.span(), HOST)
    for match in _V6.finditer(text):
        address = match[0] if match[0].endswith("::") else match[0].rstrip(":")
        if _SURE.search(address) and address.count(":") > 1 and _is_v6(address):
            yield Span(match.start(), match.start() + len(address), HOST)


def _is_v6(address: str) -> bool:
    try:
        ipaddress.IPv6Address(address)
    except ValueError:
        return False
    return True


def _is_name(name: str, last: str) -> bool:
    if last in _UNMISTAKABLE:
        return True
    other = last in _WITH_MORE_LABELS or (len(last) == 2 and last not in _FILE_ENDINGS)
    return other and name.count(".") > 1
