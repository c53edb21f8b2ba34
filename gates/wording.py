"""Words for the sentences of verdicts: numbers as a tired person reads them, and other people's names."""

import difflib
import math
import re
import unicodedata
from collections.abc import Iterable
from typing import Protocol

NOBODY_BESIDE = (
    "there are no answers of the former version to compare it with, so the fault may be the service's; nothing is "
    "rolled back, a person decides"
)
"""The end of a sentence about a breach, where the former version answers nothing to compare with."""

_NAME_SHOWN = 60
_NAME_READ = 200
_ALIKE = 0.6


class Whose(Protocol):
    """The source and the request of a label, by which it can be looked up."""

    @property
    def source(self) -> str: ...

    @property
    def request_id(self) -> str: ...


def pct(share: float, digits: int | None = None) -> str:
    """Return a share as a percentage with two significant digits, or ``digits`` decimals: ``0.0012`` is ``0.12 %``."""
    value = 100 * share
    if digits is None:
        if value == 0 or not math.isfinite(value):
            return f"{value:g} %"
        digits = max(0, min(4, 1 - math.floor(math.log10(abs(value)))))
    return f"{value:.{digits}f} %"


def times(ratio: float) -> str:
    """Return a ratio in words: ``2.1 times``."""
    return f"{ratio:.2g} times" if math.isfinite(ratio) else "many times"


def span(seconds: float) -> str:
    """Return a waiting time in words, at least a minute: ``20 min``, ``3 h``."""
    return f"{max(seconds, 60) / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.0f} h"


def of(events: int, total: int, what: str) -> str:
    """Return a count with its base: ``3 of 1,204 requests (0.25 %)``."""
    return f"{events:,} of {total:,} {what} ({pct(events / total)})" if total else f"no {what}"


def changed(lost: int, won: int) -> str:
    """Return how many answers differ for the worse and for the better: ``1 answer got worse and 3 better``."""
    return f"{lost} {'answer' if lost == 1 else 'answers'} got worse and {won} better"


def weighed(least: float, most: float) -> str:
    """Return the words for labels that were not equally likely, with their smallest and largest probability."""
    return f"weighted by how likely each text was to be labelled ({least:.2g} to {most:.2g})"


def set_aside(labels: int, least: float, unlikely: Whose | None) -> str:
    """Return why a promotion waits where a few ``labels`` claim to stand for most of the requests; empty without any.

    ``least``: the smallest probability among them; ``unlikely``: the least likely one, where known.
    """
    if not labels:
        return ""
    whose = ""
    if unlikely is not None:
        source, request = quoted_name(unlikely.source), quoted_name(unlikely.request_id)
        whose = f"; the least likely one came from {source} for request {request}"
    which = "1 label says it was" if labels == 1 else f"{labels:,} labels say they were"
    return (
        f"{which} far less likely to be asked for than the others (inclusion_probability down to {least:.2g} with that "
        f"of the capture{whose}): set aside where the candidate is worse, but promotion waits; fix what its source "
        "sends, and start the release again"
    )


def more(needed: int | None, samples: int, what: str) -> str:
    """Return what would settle a gate: ``about 1,200 more labels at this rate would settle it``."""
    if needed is None:
        return f"more {what} are needed"
    return f"about {max(needed - samples, 1):,} more {what} at this rate would settle it"


def quoted_name(name: str) -> str:
    """Return somebody else's name in quotes, on one line, and shortened to fit into a sentence."""
    return repr(name if len(name) <= _NAME_SHOWN else f"{name[: _NAME_SHOWN - 1]}…")


def nearest_name(name: str, names: Iterable[str]) -> str | None:
    """Return the one of ``names`` that is most similar, however it is written; None where none is similar."""
    plain = {_plain(known): known for known in reversed(tuple(names))}
    wanted = _plain(name[:_NAME_READ])
    if wanted in plain:
        return plain[wanted]
    near = difflib.get_close_matches(wanted, plain, n=1, cutoff=_ALIKE)
    return plain[near[0]] if near else None


def perhaps(name: str, near: str | None) -> str:
    """Return the words for the name that may be meant; where the two look the same, with the code points of their
    letters. Empty without such a name."""
    if not near:
        return ""
    if _letters(name) == _letters(near):
        return f"perhaps {near!a}: it looks the same, and this is {name[:_NAME_SHOWN]!a}"
    return f"perhaps {quoted_name(near)}"


def is_same_name(one: str, other: str) -> bool:
    """Return whether the two names differ at most in case, separators and forms of letters."""
    return _plain(one) == _plain(other)


def _plain(name: str) -> str:
    """Return the name without what people and programs write differently: case, spaces, hyphens, underscores, forms of
    letters."""
    return re.sub(r"[\W_]+", "_", _letters(name).casefold()).strip("_")


def _letters(name: str) -> str:
    """Return the name in one of the ways to encode its letters: an accent may be part of its letter or follow it."""
    return unicodedata.normalize("NFKC", name)


_CLUSTERED = 1.5  # events that count as one; below it the sentence does not mention it


def clustered(effect: float, what: str) -> str:
    """Return the end of a sentence that counts events: that they come together; empty where they hardly do."""
    return f" ({what} come together: {effect:.2g} count as one)" if effect >= _CLUSTERED else ""
