"""The notes of an inference worker about the jobs that are traced: when it tokenized them, and their engine calls.

The HTTP process makes spans of it, so that a worker needs no library for tracing and no exporter of its own.
"""

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from serving.messages import EngineCall, Trail


@dataclass(slots=True)
class _Open:
    traceparent: str
    tokenize_began_ns: int
    tokenize_ended_ns: int
    calls: list[EngineCall] = field(default_factory=list)


class Trails(dict[int, _Open]):
    """The trails of the jobs in work, by id. Empty, and false, where none is traced: then nobody looks at a clock for
    it."""

    def begin(self, traces: Mapping[int, str]) -> None:
        """Jobs have arrived that are traced; by their ids, the traceparents."""
        now_ns = time.time_ns()
        self.update((uid, _Open(trace, now_ns, now_ns)) for uid, trace in traces.items())

    def tokenized(self, uids: Iterable[int], began_ns: int) -> None:
        now_ns = time.time_ns()
        for uid in uids:
            if (entry := self.get(uid)) is not None:
                entry.tokenize_began_ns, entry.tokenize_ended_ns = began_ns, now_ns

    def called(self, uids: Iterable[int], began_ns: int, texts: int) -> None:
        """An engine call for these jobs is over."""
        now_ns = time.time_ns()
        for uid in set(uids):
            if (entry := self.get(uid)) is not None:
                entry.calls.append(EngineCall(began_ns, now_ns, texts))

    def end(self, uid: int) -> Trail | None:
        """Return what is known of a job that is answered or given up."""
        entry = self.pop(uid, None)
        return None if entry is None else Trail(entry.tokenize_began_ns, entry.tokenize_ended_ns, entry.calls)

    def suffix(self, uid: int) -> str:
        """For a line of the log: which trace it belongs to, if any."""
        entry = self.get(uid)
        return "" if entry is None else f" (traceparent {entry.traceparent})"
