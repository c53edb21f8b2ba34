"""The gates in a simulated world: how often they are wrong, how soon they are right, and what other rules would do.

Twenty thousand equal releases are watched minute by minute with the default policy, and harmful ones of each kind. The
figures, their bars and the comparison are written to ``docs/benchmarks/gates.md``.
"""

import argparse
import os
import sys
from pathlib import Path
from typing import Final

from tests.bench._table import report
from tests.bench.world.page import write
from tests.bench.world.preview import show
from tests.bench.world.rows import bars, work
from tests.bench.world.runs import played

RUNS: Final = 20_000
PAGES: Final = Path(__file__).parents[2] / "docs" / "benchmarks"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.gates", description=__doc__)
    parser.add_argument("--runs", type=int, default=RUNS, help="equal releases; others follow (default: %(default)s)")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1, help="default: %(default)s")
    parser.add_argument("--only", metavar="NAME[,NAME]", help="worlds in whose names these words are; no page then")
    asked = parser.parse_args()
    if asked.only:
        every = {scenario.name: scenario for scenario, _ in work(asked.runs)}
        chosen = [one for name, one in every.items() if any(part in name for part in asked.only.split(","))]
        if not chosen:
            parser.error(f"--only {asked.only}: no such world; there are {'; '.join(every)}")
        show(played([(one, asked.runs) for one in chosen], processes=asked.processes))
        return 0
    results = played(work(asked.runs), processes=asked.processes)
    rows = bars(results)
    if asked.runs >= RUNS:  # a first impression is no result
        print(write(results, rows, PAGES))
    return report("gates", rows)


if __name__ == "__main__":
    sys.exit(main())
