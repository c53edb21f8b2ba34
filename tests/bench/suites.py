"""Suites beside users: how much later users are answered while versions are asked thousands of cases.

Two real replicas on this machine, of which one has users (a Poisson process, from a process of its own), and the suites
as a release asks them: the candidate everything, stable what the journal does not know, here all of it. They are asked
in turns, and after each turn nobody is for as long: so what else the machine does is on both sides.
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
TURNS: Final = 20
WARM_S: Final = 5.0
SECONDS_MAX: Final = 3_600.0
OK: Final = 200
MOVED_PCT_MAX: Final = 5.0
Span = tuple[float, float]  # by the monotonic clock


def main() -> int:
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    flags.add_argument("--cases", type=int, default=CASES)
    flags.add_argument("--turns", type=int, default=TURNS)
    chosen = flags.parse_args()
    about = machine()
    return report("suites", [*_measured(chosen.cases, chosen.turns), *about])


def _measured(cases: int, turns: int) -> Iterator[Bar]:
    with tempfile.TemporaryDirectory() as place, ExitStack() as stack:
        folder = Path(place)
        for version in ("v1", "v2"):
            build_package(CHECKPOINTS / version, folder / version)
        running = [stack.enter_context(replica(folder / name, version=name[1:])) for name in ("v1", "v2")]
        texts = [example.text for example in held_out(cases + 1_000)]
        stream = Stream(CONNECTIONS, texts[cases:], CONNECTIONS / RATE_PER_S, Spacing.RANDOM)
        users = stack.enter_context(load(Plan(f"{running[0].url}/predict", [stream], SECONDS_MAX)))
        time.sleep(WARM_S)
        with_suites, without = list[Span](), list[Span]()
        for turn in range(turns):
            suite = _suite(
                folder / f"turn-{turn}.jsonl", folder / "v1", texts[turn * cases // turns :][: cases // turns]
            )
            began_s = time.monotonic()
            _asked(folder, running, suite)
            with_suites.append((began_s, ended_s := time.monotonic()))
            time.sleep(ended_s - began_s)
            without.append((ended_s, time.monotonic()))
        answers = users.stop().answers
    during, quiet = _within(answers, with_suites), _within(answers, without)
    before, after = _p95_ms(quiet), _p95_ms(during)
    yield Bar(f"{cases:,} cases asked of both versions", sum(end - begin for begin, end in with_suites), "s")
    yield Bar(f"users' P95 without suites, {len(quiet):,} requests", before, "ms")
    yield Bar(f"users' P95 with suites, {len(during):,} requests", after, "ms")
    yield Bar("users' P95 moved by", 100 * (after / before - 1), "%", at_most=MOVED_PCT_MAX)
    yield Bar("requests of users that failed", sum(a.status != OK for a in (*quiet, *during)), "", at_most=0)


def _suite(path: Path, package: Path, texts: Sequence[str]) -> Path:
    labels = itertools.cycle(read_manifest(package)[0].labels)
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


def _within(answers: Sequence[Answer], spans: Sequence[Span]) -> list[Answer]:
    return [answer for answer in answers if any(begin <= answer.sent_s <= end for begin, end in spans)]


def _p95_ms(answers: Sequence[Answer]) -> float:
    taken = [1_000 * (a.answered_s - a.sent_s) for a in answers if a.answered_s is not None]
    return statistics.quantiles(taken, n=20)[-1]


if __name__ == "__main__":
    sys.exit(main())
