"""E-mail addresses, found from their ``@``.

A pattern that may begin anywhere in a run of characters, and needs something behind the run, takes quadratic time on a
text that is one long run. Here each ``@`` is looked at once, and so far to either side as an address can reach.
"""

import re
from collections.abc import Iterator
from typing import Final

from serving.redaction.spans import EMAIL, Span

_LOCAL_MAX: Final = 64  # RFC 5321, 4.5.3.1.1
_QUOTE: Final = '"'
_AT: Final = re.compile(r"[ \t]?[@\uff20\ufe6b][ \t]?")
_LOCAL: Final = re.compile(r"[\w.!#$%&'*+/=?^`{|}~-]")
_DOMAIN: Final = re.compile(
    r"\[[0-9A-Fa-f.:]{2,45}\]|(?:[\w-]{1,63}+\.){1,10}(?:xn--[\w-]{1,59}|[^\W\d_]{2,24})|localhost\b"
)


def find_emails(text: str) -> Iterator[Span]:
    """Also quoted local parts, address literals, and a space beside the ``@``; not "name at domain dot com"."""
    for at in _AT.finditer(text):
        domain = _DOMAIN.match(text, at.end())
        if domain is None:
            continue
        start = _start_of_local(text, at.start())
        if start < at.start():
            yield Span(start, domain.end(), EMAIL)


def _start_of_local(text: str, end: int) -> int:
    first = max(0, end - _LOCAL_MAX)
    if text[end - 1 : end] == _QUOTE:
        return max(text.rfind(_QUOTE, first, end - 1), 0) if _QUOTE in text[first : end - 1] else end
    start = end
    while start > first and _LOCAL.match(text, start - 1):
        start -= 1
    return start
