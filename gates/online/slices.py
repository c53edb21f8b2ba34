"""Which requests belong to a slice: the slice's name says it.

``class:refund``: stable predicted the class. ``tokens:1-16``, ``tokens:129-``: the text has so many tokens for stable,
both bounds included. Any other key is an attribute that the client gave the request: ``lang:en`` is the tag ``lang``
with the value ``en``.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

_NAME = re.compile(r"([a-z][a-z0-9_.-]*):(.+)")
_SPAN = re.compile(r"(\d+)-(\d*)")


@dataclass(frozen=True, slots=True)
class Attributes:
    """What a pair's slices are told by."""

    stable_label: str
    tokens: int | None = None  # of the text, by stable's tokenizer, before truncation; None: not known
    tags: Mapping[str, str] = field(default_factory=dict)


Membership = Callable[[Attributes], bool]


def membership(name: str) -> Membership:
    """Whether a request belongs to the slice of this name.

    Raises:
        ValueError: the name says no such thing; tells what would.
    """
    match = _NAME.fullmatch(name)
    if match is None:
        raise ValueError(f"slice {name!r} must be class:LABEL, tokens:LOW-HIGH, tokens:LOW- or TAG:VALUE")
    key, value = match.groups()
    if key == "class":
        return lambda request: request.stable_label == value
    if key != "tokens":
        return lambda request: request.tags.get(key) == value
    span = _SPAN.fullmatch(value)
    if span is None or (span[2] and int(span[2]) < int(span[1])):
        raise ValueError(f"slice {name!r} must be tokens:LOW-HIGH or tokens:LOW-, two whole numbers in order")
    low, high = int(span[1]), int(span[2]) if span[2] else None
    return lambda request: (
        request.tokens is not None and low <= request.tokens and (high is None or request.tokens <= high)
    )
