"""The messages between the processes of a replica: jobs on their way to a worker, outcomes on their way back.

Standard library only: who sends, who counts and who answers share these words and nothing else.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple


@dataclass(frozen=True, slots=True)
class Identity:
    """The identity of whoever answers: model, version, and the names of the classes in output order."""

    model: str
    version: str
    labels: tuple[str, ...]


class Job(NamedTuple):
    """A request on its way to a worker. ``cost`` is what admission reckons it at, ``trace`` its W3C traceparent."""

    uid: int
    texts: tuple[str, ...]
    cost: int = 1
    trace: str | None = None


class EngineCall(NamedTuple):
    """An engine call: from when to when, and for how many texts, this job's and others'."""

    began_ns: int
    ended_ns: int
    texts: int


class Trail(NamedTuple):
    """The times of a worker's steps for a job that is traced, in ns since the epoch."""

    tokenize_began_ns: int
    tokenize_ended_ns: int
    calls: Sequence[EngineCall]


# One text's answer: it as a JSON object, its tokens, how many of them are unknown, whether it was cut, its windows.
Row = tuple[bytes, int, int, bool, int]


class Failure:
    """The cause that made several requests fail, a worker's end: one event, however many it took along."""

    __slots__ = ("_kinds",)

    def __init__(self) -> None:
        self._kinds: set[str] = set()

    def is_new(self, kind: str) -> bool:
        """Return whether this is the first that is heard of it among requests of this kind."""
        known = kind in self._kinds
        self._kinds.add(kind)
        return not known


class Outcome(NamedTuple):
    """A worker's answer: a row for each text, or why there is none.

    ``too_long``: a text needs more windows than are computed for one, or all texts together (None) more than are for a
    request, as (the index of the text, how many windows).
    """

    uid: int
    rows: Sequence[Row] = ()
    error: str | None = None
    too_long: tuple[int | None, int] | None = None
    trail: Trail | None = None  # of jobs that are traced
    failure: Failure | None = None  # what it shares with others; an engine call that fails is tried again row by row
