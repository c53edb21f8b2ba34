"""``python -m serving`` as if nobody had thought of metrics, or of tracing: what each costs is measured against it.

``python -m tests.bench.served.without --without metrics`` and the flags of ``python -m serving``. What is done for the
one is taken out of the source as it is loaded. Who changes such a line changes it here, too: a test says so.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from enum import StrEnum
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import CodeType, ModuleType
from typing import Final


class Switch(StrEnum):
    """What can be taken out."""

    METRICS = "metrics"
    TRACING = "tracing"


EDITS: Final[Mapping[Switch, Mapping[str, Mapping[str, str]]]] = {
    Switch.METRICS: {
        "serving.http.middleware": {
            "started_s = time.perf_counter()": "pass",
            "duration_s = time.perf_counter() - started_s": "pass",
            'if scope["path"] == PREDICT_ROUTE:': "if False:",
        },
        "serving.http.front": {
            "self._metrics.depth(len(self._open))": "pass",
            "self._metrics.busy(busy_s)": "pass",
            "for _, tokens, unknown, truncated, windows in outcome.rows:": "if False:",
        },
        "serving.inference.classifier": {"self.metrics.batch(len(rows))": "pass"},
    },
    Switch.TRACING: {
        "serving.http.calls": {'trace: "Trace | None" = None': ""},
        "serving.http.middleware": {
            "trace = None": "pass",
            'self._tracing is not None and scope["path"] == PREDICT_ROUTE': "False",
            ", None if trace is None else trace.trace_id": "",
            "trace is not None": "False",
        },
        "serving.http.front": {
            "caller.trace is not None": "False",
            "trace = call.caller.trace": "pass",
            ", None if trace is None else trace.submitted()": "",
        },
        "serving.observe.metrics": {", trace_id: str | None = None": "", "trace_id is not None": "False"},
        "serving.messages": {
            "trace: str | None = None": "",
            "trail: Trail | None = None  # of jobs that are traced": "",
        },
        "serving.ipc.frames": {
            "done.trail is None": "True",
            ", trail: Any = None": "",
            "if trail is None": "if True",
        },
        "serving.ipc.worker_end": {
            "traces: dict[int, str] = field(default_factory=dict)  # by id, the traceparent": "",
            "for jobs, cancelled, traces in": "for jobs, cancelled in",
            "inbox.traces.update(traces)": "pass",
        },
        "serving.ipc.dispatcher": {
            "job.trace is not None": "False",
            "[_NO_JOB], {})": "[_NO_JOB])",  # the sign of life that a worker is asked for which is slow to answer
            "self._cancelled, self._traces)": "self._cancelled)",
            "self._cancelled, self._traces = {}, [], {}": "self._cancelled = {}, []",
        },
        "serving.inference.classifier": {
            "if inbox.traces:": "if False:",
            "time.time_ns() if self._trails else 0": "0",
            "if self._trails:": "if False:",
            ", trail=self._trails.end(task.uid) if self._trails else None": "",
        },
    },
}
"""Of each module, what is replaced wherever it stands. ``if False`` leaves nothing behind in what is compiled."""


def edited(switch: Switch, module: str, source: str) -> str:
    """A module's source without what is done for the one.

    Raises:
        ValueError: it does not stand there any more.
    """
    for old, new in EDITS[switch][module].items():
        if old not in source:
            raise ValueError(f"{module} has no {old!r} any more: say in {__name__} how it does {switch} now")
        source = source.replace(old, new)
    return source


class _Loader(SourceFileLoader):
    """Without a cache, which would keep it for others."""

    switch: Switch

    def get_code(self, fullname: str) -> CodeType:
        return compile(edited(self.switch, fullname, self.get_data(self.path).decode()), self.path, "exec")


class _Finder(MetaPathFinder):
    def __init__(self, switch: Switch) -> None:
        self._switch = switch

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        spec = PathFinder.find_spec(fullname, path, target) if fullname in EDITS[self._switch] else None
        if spec is not None and spec.origin is not None:
            spec.loader = loader = _Loader(fullname, spec.origin)
            loader.switch = self._switch
        return spec


def take_out(switch: Switch) -> None:
    """Before the first of these modules is imported."""
    assert not EDITS[switch].keys() & sys.modules.keys()
    sys.meta_path.insert(0, _Finder(switch))


def main() -> int:
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--without", type=Switch, required=True)
    asked, sys.argv[1:] = parser.parse_known_args()
    take_out(asked.without)
    from serving.__main__ import main as serve

    return serve()


if __name__ == "__main__":
    sys.exit(main())
