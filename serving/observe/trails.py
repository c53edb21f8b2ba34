"""An inference worker's notes on the jobs that are traced: when it tokenized them, and their engine calls.

The HTTP process makes spans of these notes, so that a worker needs neither a tracing library nor an exporter.
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
    """The trails of the jobs in progress, by id. It is empty, and so false, if no job is traced: then no time is taken
    for it."""

    def begin(self, traces: Mapping[int, str]) -> None:
        """Note the arrival of traced jobs. ``traces``: their traceparents, by the jobs' ids."""
        now_ns = time.time_ns()
        self.update((uid, _Open(trace, now_ns, now_ns)) for uid, trace in traces.items())

    def tokenized(self, uids: Iterable[int], began_ns: int) -> None:
        now_ns = time.time_ns()
        for uid in uids:
            if (entry := self.get(uid)) is not None:
                entry.tokenize_began_ns, entry.tokenize_ended_ns = began_ns, now_ns

    def called(self, uids: Iterable[int], began_ns: int, texts: int) -> None:
        """Note that an engine call for these jobs is over."""
        now_ns = time.time_ns()
        for uid in set(uids):
            if (entry := self.get(uid)) is not None:
                entry.calls.append(EngineCall(began_ns, now_ns, texts))

    def end(self, uid: int) -> Trail | None:
        """Return what is known of a job that was answered or given up, and forget it; None if it is not traced."""
        entry = self.pop(uid, None)
        return None if entry is None else Trail(entry.tokenize_began_ns, entry.tokenize_ended_ns, entry.calls)

    def suffix(self, uid: int) -> str:
        """Return the end of a log line about the job: the trace that it belongs to; empty if it is not traced."""
        entry = self.get(uid)
        return "" if entry is None else f" (traceparent {entry.traceparent})"
