"""The requests that belong to a slice, by the slice's name.

``class:refund``: stable predicted the class. ``tokens:1-16``, ``tokens:129-``: stable's tokenizer counts this many
tokens in the text, both bounds included. Any other key is an attribute that the client gave the request: ``lang:en`` is
the tag ``lang`` with the value ``en``.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from gates.evidence import UnseenSlice
from gates.wording import is_same_name, nearest_name, quoted_name

CLASS = "class"
TOKENS = "tokens"
_TRAFFIC_MIN = 200  # requests seen before the absence of a tag means anything

_NAME = re.compile(r"([a-z][a-z0-9_.-]*):(.+)")
_SPAN = re.compile(r"(\d+)-(\d*)")


@dataclass(frozen=True, slots=True)
class Attributes:
    """The attributes of a request that decide which slices it belongs to."""

    stable_label: str
    tokens: int | None = None  # of the text, by stable's tokenizer, before truncation; None: not known
    tags: Mapping[str, str] = field(default_factory=dict)


Membership = Callable[[Attributes], bool]


def membership(name: str) -> Membership:
    """Return the function that says whether a request belongs to the slice of this name.

    Raises:
        ValueError: the name is of none of the forms above; the message says which are allowed.
    """
    match = _NAME.fullmatch(name)
    if match is None:
        raise ValueError(f"slice {name!r} must be class:LABEL, tokens:LOW-HIGH, tokens:LOW- or TAG:VALUE")
    key, value = match.groups()
    if key == CLASS:
        return lambda request: request.stable_label == value
    if key != TOKENS:
        return lambda request: request.tags.get(key) == value
    span = _SPAN.fullmatch(value)
    if span is None or (span[2] and int(span[2]) < int(span[1])):
        raise ValueError(f"slice {name!r} must be tokens:LOW-HIGH or tokens:LOW-, two whole numbers in order")
    low, high = int(span[1]), int(span[2]) if span[2] else None
    return lambda request: (
        request.tokens is not None and low <= request.tokens and (high is None or request.tokens <= high)
    )


class Members:
    """Slices by name, stored so that the slices of a request are found in a time that grows with its tags and with the
    number of slices by length, and not with the number of all slices.

    ``bounds``: the numbers of tokens at which a slice by length begins, or just after it ends, in ascending order.
    Requests between two of them belong to the same slices by length.
    """

    def __init__(self, names: Iterable[str]) -> None:
        """Raises ValueError as `membership` does."""
        self.names = tuple(names)
        self._by_value: dict[tuple[str, str], int] = {}
        self._by_length: list[tuple[int, Membership]] = []
        bounds = set[int]()
        for place, name in enumerate(self.names):
            key, value = parts_of(name)
            if key == TOKENS:
                self._by_length.append((place, membership(name)))
                low, _, high = value.partition("-")
                bounds |= {int(low)} | ({int(high) + 1} if high else set())
            else:
                self._by_value[key, value] = place
        self.bounds = tuple(sorted(bounds))

    def of(self, request: Attributes) -> tuple[str, ...]:
        """Return the slices that the request belongs to, in the order of the names."""
        keys = ((CLASS, request.stable_label), *((key, value) for key, value in request.tags.items() if key != CLASS))
        found = [self._by_value[key] for key in keys if key in self._by_value]
        found += [place for place, belongs in self._by_length if belongs(request)]
        return tuple(self.names[place] for place in sorted(found))


def parts_of(name: str) -> tuple[str, str]:
    """Return the key and the value of a slice's name; raises ValueError as `membership` does."""
    membership(name)
    key, _, value = name.partition(":")
    return key, value


def unseen_classes(slices: Iterable[str], classes: Sequence[str]) -> tuple[UnseenSlice, ...]:
    """Return the slices by a class that is not among stable's ``classes``: no request can belong to them. Empty where
    the classes are not known."""
    found = []
    for name in slices:
        key, value = parts_of(name)
        if key == CLASS and classes and value not in classes:
            near = nearest_name(value, classes)
            found.append(UnseenSlice(name, nearest=f"{CLASS}:{near}" if near is not None else ""))
    return tuple(found)


def unseen_tags(slices: Iterable[str], seen: Sequence[Mapping[str, str]]) -> tuple[UnseenSlice, ...]:
    """Return the slices by a tag that none of the requests ``seen`` carries, or carries only with a value that is spelt
    differently. A rare value of a tag that is carried is no mistake; too few requests show nothing."""
    if len(seen) < _TRAFFIC_MIN:
        return ()
    values: dict[str, Counter[str]] = {}
    for tags in seen:
        for key, value in tags.items():
            values.setdefault(key, Counter())[value] += 1
    return tuple(one for name in slices if (one := _unseen_tag(name, values, len(seen))) is not None)


def _unseen_tag(name: str, values: Mapping[str, Counter[str]], requests: int) -> UnseenSlice | None:
    key, value = parts_of(name)
    if key in (CLASS, TOKENS):
        return None
    if key not in values:
        near = nearest_name(key, values)
        carried = values[near].most_common(1)[0][0] if near is not None else ""
        return UnseenSlice(name, requests, f"{near}:{carried}" if near is not None else "")
    near = nearest_name(value, values[key])
    if value in values[key] or near is None or not is_same_name(near, value):
        return None
    return UnseenSlice(name, requests, f"{key}:{near}")


def no_such_slice(unseen: UnseenSlice) -> str:
    """Return the sentence of a gate whose slice no request belongs to."""
    among = (
        f"none of the last {unseen.requests:,} sampled requests is in it" if unseen.requests else "no request can be"
    )
    hint = f"; did you mean {quoted_name(unseen.nearest)}?" if unseen.nearest else ""
    return f"Could not judge this look: gates.slices: there is no slice {quoted_name(unseen.slice)}, {among}{hint}"
