"""Three in the morning: what a controller of many models costs, and what becomes of users and releases when parts fail.

The figures come from the benchmarks that measure them, run one after the other; what must hold whatever happens is a
test, on real processes where it concerns them, and is run here once more. All of it is written into
``docs/benchmarks/reliability.md``. Takes about half an hour; ``--only fleet,crash`` plays some.
"""

import argparse
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from tests.bench import fleet
from tests.bench._table import Bar, machine, report

ROOT: Final = Path(__file__).parents[2]
PAGE: Final = ROOT / "docs" / "benchmarks" / "reliability.md"
_COUNTED: Final = re.compile(r"(\d+) passed")


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
        "abort and rollback while MLflow, Prometheus, the samples or a replica hang",
        ("tests/controller/test_fleet.py", "tests/controller/test_jobs.py"),
    ),
    Promise(
        "gates",
        "abort and deadline with every gate raising; memory of another version goes on",
        ("tests/controller/test_judging_beside.py",),
    ),
    Promise("clock", "the clock set by 5 s, 1 h and 1 d, both ways", ("tests/controller/test_clock_steps.py",)),
    Promise("policies", "broken and removed policy files", ("tests/controller/test_policies.py",)),
    Promise(
        "data plane",
        "full disk, killed and stopped parts, damaged route files: users answered",
        ("tests/lessons/test_the_data_plane_goes_on.py",),
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
    """How many tests of the promise passed, and whether any did not."""
    command = [sys.executable, "-m", "pytest", "-q", "--no-header", *promise.tests]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    found = _COUNTED.search(done.stdout)
    if done.returncode != 0:
        print(done.stdout[-4_000:], file=sys.stderr)
    passed = int(found.group(1)) if found is not None else 0
    return [Bar(promise.what, passed if done.returncode == 0 else 0, "tests passed", at_least=1)]


def figures_of_many_models() -> list[Bar]:
    with TemporaryDirectory() as directory:
        return fleet.run(Path(directory))


def parts() -> dict[str, Callable[[], list[Bar]]]:
    found: dict[str, Callable[[], list[Bar]]] = {"fleet": figures_of_many_models}
    for promise in PROMISES:
        found[promise.name] = lambda one=promise: kept(one)  # type: ignore[misc]
    return found


def page(rows: Sequence[Bar]) -> str:
    lines = [f"| {row.what} | {row.value:,.4g} {row.unit} | {row.bar or ''} |".replace("<=", "≤") for row in rows]
    return "\n".join(
        [
            "# Reliability",
            "",
            "Made by `make bench-reliability`. `tests/bench/reliability.py` says what a row rests on: a benchmark,",
            "or tests, on real processes where it concerns them, with how many passed.",
            "",
            "| what | measured | asked |",
            "| --- | --- | --- |",
            *lines,
            "",
        ]
    )


def main() -> int:
    flags = argparse.ArgumentParser(prog="python -m tests.bench.reliability", description=__doc__)
    flags.add_argument("--only", help="parts, by comma: " + ", ".join(parts()))
    asked = flags.parse_args().only
    chosen = asked.split(",") if asked else list(parts())
    rows = machine()
    for name in chosen:
        print(f"{name} ...", flush=True)
        rows += [row for row in parts()[name]() if row.what not in {one.what for one in rows}]
    if not asked:
        PAGE.write_text(page(rows), encoding="utf-8")
    return report("reliability", rows)


if __name__ == "__main__":
    sys.exit(main())
