"""The gates in a simulated world: how often they are wrong, how soon they are right, and what other rules would do.

Twenty thousand equal releases are watched minute by minute with the default policy, and thousands in worlds that are
harder to judge: equal ones of which every rollback is false, worse ones of which every promotion is wrong. The figures,
their bars and the comparison are written to ``docs/benchmarks/gates.md``.
"""

import argparse
import json
import math
import os
import sys
from pathlib import Path
from typing import Final

from tests.bench._table import report
from tests.bench.world.bounds import look_ms
from tests.bench.world.preview import show
from tests.bench.world.rows import bars, work
from tests.bench.world.runs import kept_in, play_missing, read

RUNS: Final = 20_000
PAGES: Final = Path(__file__).parents[2] / "docs" / "benchmarks"


def main() -> int:
    asked = _arguments().parse_args()
    todo = work(asked.runs)
    if asked.only:
        words = asked.only.split(",")
        todo = [(one, asked.runs) for one, _ in todo if any(word in one.name for word in words)]
        if not todo:
            names = "; ".join(one.name for one, _ in work(asked.runs))
            _arguments().error(f"--only {asked.only}: no such world; there are {names}")
    kept = asked.results or kept_in()
    if asked.results is None:
        play_missing(todo, kept, processes=asked.processes, minutes=asked.minutes)
    results = read(todo, kept)
    if asked.only:
        show(results)
        return 0
    rows = bars(results, _looks_ms(kept))
    if asked.write or (asked.runs >= RUNS and asked.minutes == math.inf):  # a first impression is no result
        from tests.bench.world.page import Origin, write  # draws

        of_all = sum(runs for _, runs in work(RUNS))
        print(write(results, rows, PAGES, Origin(kept.name, asked.code, of_all)))
    return report("gates", rows)


def _looks_ms(kept: Path) -> list[float]:
    """The times of looks, measured where the releases were played; not numbers where others keep the machine busy."""
    file = kept / "look-ms.json"
    if not file.exists():
        if os.getloadavg()[0] > (os.cpu_count() or 1):
            return [math.nan] * 2
        kept.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps([look_ms(), look_ms(kinds=15)]), encoding="utf-8")
    return [float(one) for one in json.loads(file.read_text(encoding="utf-8"))]


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.gates", description=__doc__)
    parser.add_argument("--runs", type=int, default=RUNS, help="equal releases; others follow (default: %(default)s)")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1, help="default: %(default)s")
    parser.add_argument("--minutes", type=float, default=math.inf, help="play so long at most; no page is written then")
    parser.add_argument("--only", metavar="NAME[,NAME]", help="worlds in whose names these words are, so many of each")
    parser.add_argument("--write", action="store_true", help="write the page of what was played, however little it is")
    parser.add_argument("--code", default="", metavar="COMMIT", help="of the gates that were played, told on the page")
    parser.add_argument("--from", dest="results", type=Path, metavar="FOLDER", help="only read what was played")
    return parser


if __name__ == "__main__":
    sys.exit(main())
