"""Three in the morning: what a controller of many models costs, and what becomes of users and releases when parts fail.

The figures come from the benchmarks that measure them, run one after the other; what must hold whatever happens is a
test, on real processes where it concerns them, and is run here once more. All of it is written into
``docs/benchmarks/reliability.md``. Takes about an hour; ``--only fleet,crash`` plays some, and the page keeps the rows
of the others as they stand.
"""

import argparse
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final
from xml.etree import ElementTree

from tests.bench import attacks, cluster_night, fleet, intake, journal, leases, night, nodes_night
from tests.bench._table import Bar, machine, report

ROOT: Final = Path(__file__).parents[2]
PAGE: Final = ROOT / "docs" / "benchmarks" / "reliability.md"
SEED: Final = 1
FAULT: Final = "fault"
SHOWN: Final = "shown"
"""The properties by which a test says which fault it plays, and the sentence that people are shown of it."""


@dataclass(frozen=True, slots=True)
class Promise:
    """What must hold, and the tests that show it."""

    name: str
    what: str
    tests: tuple[str, ...]


PROMISES: Final = (
    Promise(
        "crash",
        "killed before and after every append and outside action: the same end, once",
        ("tests/controller/test_reconcile_crash.py",),
    ),
    Promise(
        "words",
        "abort and rollback while MLflow, Prometheus, samples, a suite or a replica hang, or nothing can be recorded",
        (
            "tests/controller/test_fleet.py",
            "tests/controller/test_jobs.py",
            "tests/controller/test_reconcile_unwritten.py",
        ),
    ),
    Promise(
        "gates",
        "abort and deadline with every gate raising; memory of another version goes on",
        ("tests/controller/test_judging_beside.py", "tests/controller/test_former_release.py"),
    ),
    Promise("clock", "the clock set by 5 s, 1 h and 1 d, both ways", ("tests/controller/test_clock_steps.py",)),
    Promise(
        "workers",
        "a worker that hangs behind a healthy probe; who answers while stable does not",
        ("tests/serving/test_stuck_workers.py", "tests/controller/test_gateway_failover.py"),
    ),
    Promise("policies", "broken and removed policy files", ("tests/controller/test_policies.py",)),
    Promise(
        "data plane",
        "full disk, killed and stopped parts, damaged route files: users answered",
        ("tests/lessons/test_the_data_plane_goes_on.py",),
    ),
    Promise(
        "open files",
        "more clients than Envoy may have files open: a rollback reaches it; who may open no more is named",
        ("tests/lessons/test_clients_leave_files.py", "tests/controller/test_open_files.py"),
    ),
    Promise(
        "database that hangs",
        "PostgreSQL stopped in the middle of an answer: given up, and found again",
        ("tests/controller/test_sql_watchdog.py",),
    ),
    Promise(
        "cluster",
        "a cluster that was built anew: users are answered as before, and a person says how it goes on",
        ("tests/kubernetes/test_chaos.py", "tests/kubernetes/test_rebuilt.py"),
    ),
    Promise("leader", "two controllers on one database: one writer", ("tests/controller/test_leadership.py",)),
    Promise(
        "outages",
        "controller killed; Prometheus stopped; rollback with all else stopped",
        ("tests/e2e/test_outages.py",),
    ),
    Promise("restart", "everything ended and started again in canary and probation", ("tests/e2e/test_restart.py",)),
)


def kept(promise: Promise) -> list[Bar]:
    """How many tests of the promise passed, and 0 where one of them did not: of each fault that tests name, with what
    is shown of it, and of all others."""
    with TemporaryDirectory() as folder:
        told = Path(folder) / "told.xml"
        command = [sys.executable, "-m", "pytest", "-q", "--no-header", f"--junitxml={told}", *promise.tests]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        text = told.read_text(encoding="utf-8") if told.exists() else "<none/>"
    if done.returncode != 0:
        print(done.stdout[-4_000:], file=sys.stderr)
    found = bars_of(promise.what, text)
    return found or [Bar(promise.what, 0, "tests passed", at_least=1)]


def bars_of(what: str, junit: str) -> list[Bar]:
    """One bar a fault of the tests in this file, in their order, and one of ``what`` for those that name none."""
    passed: dict[str, list[bool]] = {}
    shown: dict[str, dict[str, None]] = {}
    for case in ElementTree.fromstring(junit).iter("testcase"):  # noqa: S314 - pytest has just written it
        told = {one.get("name"): one.get("value") or "" for one in case.iter("property")}
        name = told.get(FAULT) or what
        passed.setdefault(name, []).append(_passed(case))
        if sentence := told.get(SHOWN):
            shown.setdefault(name, {})[sentence] = None
    return [
        Bar(
            "; ".join([name, *(f"shown: “{one}”" for one in shown.get(name, ()))]),
            len(outcomes) if all(outcomes) else 0,
            "tests passed",
            at_least=1,
        )
        for name, outcomes in passed.items()
    ]


def _passed(case: ElementTree.Element) -> bool:
    return all(case.find(bad) is None for bad in ("failure", "error", "skipped"))


def figures_of_many_models() -> list[Bar]:
    with TemporaryDirectory() as directory:
        return fleet.run(Path(directory))


def parts() -> dict[str, Callable[[], list[Bar]]]:
    """By name, from those whose figures suffer most from a machine that is busy."""
    found: dict[str, Callable[[], list[Bar]]] = {
        "fleet": figures_of_many_models,
        "journal": journal.run,
        "intake": intake.run,
    }
    for name, one in {**night.NIGHTS, **attacks.ATTACKS}.items():
        found[f"night of {name}"] = lambda one=one: one(SEED)  # type: ignore[misc]
    found["api server away"] = cluster_night.run
    found["night of nodes"] = nodes_night.run
    found["leases"] = leases.of_databases
    found["lease of a cluster"] = leases.of_a_cluster
    for promise in PROMISES:
        found[promise.name] = lambda one=promise: kept(one)  # type: ignore[misc]
    return found


def rows_of(name: str, found: Sequence[Bar]) -> list[str]:
    """The page's rows of a part, with the day and the machine that it was measured on."""
    part = f"{name}, {time.strftime('%Y-%m-%d')}, {len(os.sched_getaffinity(0))} cores"
    told = []
    for row in found:
        asked, missed = (
            (row.bar or "").replace("<=", "≤").replace(">=", "≥"),
            "**missed**" if row.holds is False else "",
        )
        told.append(f"| {part} | {row.what} | {row.value:,.4g} {row.unit} | {asked} | {missed} |")
    return told


def stood(text: str) -> dict[str, list[str]]:
    """The rows of a page that was made before, by part, without those that were not played."""
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        name, played, _ = line.removeprefix("| ").partition(" |")[0].partition(",")
        if line.startswith("| ") and played:
            found.setdefault(name, []).append(line)
    return found


def page(names: Sequence[str], rows: Mapping[str, Sequence[str]]) -> str:
    """The page of these parts; one that has no rows is named as that."""
    lines = [
        "# Reliability",
        "",
        "Made by `make bench-reliability`, part by part. `tests/bench/reliability.py` says what each row is based on:",
        "a benchmark, a night on a real installation, or tests (on real processes if it is about processes), with the",
        "number that passed and, if people are shown the fault, its sentence. A missed bar is marked. In a night of",
        "kills and stops, requests from 1 s before to 15 s after count as in flight on what was killed, or as having",
        "found nobody there.",
        "",
        "| part | what | measured | asked | |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name in names:
        lines += rows.get(name) or [f"| {name} | not played yet | | | |"]
    return "\n".join(lines) + "\n"


def main() -> int:
    flags = argparse.ArgumentParser(prog="python -m tests.bench.reliability", description=__doc__)
    flags.add_argument("--only", help="parts, by comma: " + ", ".join(parts()))
    asked = flags.parse_args().only
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # ends in order, with all that it started
    chosen = asked.split(",") if asked else list(parts())
    rows = machine()
    for name in chosen:
        print(f"{name} ...", flush=True)
        found = parts()[name]()
        kept_rows = {**stood(PAGE.read_text(encoding="utf-8")), name: rows_of(name, found)}
        PAGE.write_text(page(list(parts()), kept_rows), encoding="utf-8")
        rows += [row for row in found if row.what not in {one.what for one in rows}]
    return report("reliability", rows)


if __name__ == "__main__":
    sys.exit(main())
