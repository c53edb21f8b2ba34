"""Suites beside users: how much later users are answered while both versions are asked thousands of cases.

Two real replicas on this machine, of which one has users (a Poisson process, from a process of its own), and the suites
as a release asks them: the candidate everything, stable what the journal does not know, here all of it. A time without
suites stands before and after, so that what the machine does otherwise is on both sides.
"""

import argparse
import itertools
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from controller.adapters.local.suites import SuiteRuns
from controller.adapters.replicas import HttpReplicas
from controller.core.release import Version
from controller.ports.suites import NothingAnswered, Subject, SuiteOrder
from serving.package.artifact import read_manifest
from serving.packaging.build import build_package
from suites.cases import load as load_suite
from suites.intents.generator import held_out
from tests.bench._load import Answer, Plan, Spacing, Stream, load
from tests.bench._table import Bar, machine, report
from tests.serving.replica import REPOSITORY, Replica, replica

CHECKPOINTS: Final = REPOSITORY / "suites" / "intents" / "checkpoints"
CASES: Final = 6_000
RATE_PER_S: Final = 20.0
CONNECTIONS: Final = 8
QUIET_S: Final = 60.0
SECONDS_MAX: Final = 900.0
MOVED_PCT_MAX: Final = 5.0


def main() -> int:
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    flags.add_argument("--cases", type=int, default=CASES)
    flags.add_argument("--quiet-s", type=float, default=QUIET_S, help="before the suites, and again after them")
    chosen = flags.parse_args()
    about = machine()
    return report("suites", [*_measured(chosen.cases, chosen.quiet_s), *about])


def _measured(cases: int, quiet_s: float) -> Iterator[Bar]:
    with tempfile.TemporaryDirectory() as place, ExitStack() as stack:
        folder = Path(place)
        for version in ("v1", "v2"):
            build_package(CHECKPOINTS / version, folder / version)
        running = [stack.enter_context(replica(folder / name, version=name[1:])) for name in ("v1", "v2")]
        texts = [example.text for example in held_out(cases + 1_000)]
        stream = Stream(CONNECTIONS, texts[cases:], CONNECTIONS / RATE_PER_S, Spacing.RANDOM)
        users = stack.enter_context(load(Plan(f"{running[0].url}/predict", [stream], SECONDS_MAX)))
        spans = [_quiet(quiet_s)]
        began_s = time.monotonic()
        _asked(folder, running, _suite(folder / "cases.jsonl", texts[:cases]))
        asked = (began_s, time.monotonic())
        spans.append(_quiet(quiet_s))
        answers = users.stop().answers
    quiet = [answer for span in spans for answer in _within(answers, span)]
    during = _within(answers, asked)
    failed = sum(answer.status != 200 for answer in (*quiet, *during))
    before, after = _p95_ms(quiet), _p95_ms(during)
    yield Bar(f"{cases:,} cases asked of both versions", asked[1] - asked[0], "s")
    yield Bar(f"users' P95 without suites, {len(quiet):,} requests", before, "ms")
    yield Bar(f"users' P95 with suites, {len(during):,} requests", after, "ms")
    yield Bar("users' P95 moved by", 100 * (after / before - 1), "%", at_most=MOVED_PCT_MAX)
    yield Bar("requests of users that failed", failed, "", at_most=0)


def _quiet(seconds: float) -> tuple[float, float]:
    began_s = time.monotonic()
    time.sleep(seconds)
    return began_s, time.monotonic()


def _suite(path: Path, texts: Sequence[str]) -> Path:
    labels = itertools.cycle(read_manifest(path.with_name("v1"))[0].labels)
    cases = [{"id": str(n), "text": f"{text} {n}", "label": next(labels)} for n, text in enumerate(texts)]
    path.write_text("\n".join(map(json.dumps, cases)), encoding="utf-8")
    return path


def _asked(folder: Path, running: Sequence[Replica], suite: Path) -> None:
    stable, candidate = (
        Subject(Version(str(number), f"m-{number}", read_manifest(folder / f"v{number}")[1]), one.shadow_url)
        for number, one in enumerate(running, 1)
    )
    runs = SuiteRuns(HttpReplicas(), folder / "kept", NothingAnswered())
    evidence = runs.run(SuiteOrder("intent", (str(suite),), candidate, stable, read_manifest(folder / "v2")[0]))
    assert len(evidence.case_ids) == len(load_suite(suite).cases)


def _within(answers: Sequence[Answer], span: tuple[float, float]) -> list[Answer]:
    return [answer for answer in answers if span[0] <= answer.sent_s <= span[1]]


def _p95_ms(answers: Sequence[Answer]) -> float:
    taken = [1_000 * (a.answered_s - a.sent_s) for a in answers if a.answered_s is not None]
    return statistics.quantiles(taken, n=20)[-1]


if __name__ == "__main__":
    sys.exit(main())
