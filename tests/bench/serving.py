"""Serving at full size (66 M parameters, random weights) and the demo's model: beside the bare engine, and beside what
others serve the same weights with. Same texts, one compute thread each, side by side; ratios are taken within a round.

A full run writes ``docs/benchmarks/serving.md``.
"""

import argparse
import math
import signal
import sys
from collections.abc import Callable, Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from tests.bench import batch
from tests.bench._table import RESULTS, Bar, machine, report
from tests.bench.served import own, page, rivals, switches
from tests.bench.served.models import Models, models
from tests.bench.served.store import Store
from tests.bench.served.without import Switch

PAGES: Final = Path(__file__).parents[2] / "docs" / "benchmarks"
MEMORY_MB: Final = 350.0
QUICK_RATIO: Final = 1 / 3

Parts = dict[str, Callable[[], Iterable[Bar]]]


def parts(served: Models) -> Parts:
    """Everything that is measured, by name, in order."""
    int8, fp32, demo = served.int8, served.fp32, served.demo
    found: Parts = {
        "start": lambda: own.start_rows(served),
        "envoy": lambda: own.envoy_rows(demo),
        "int8": lambda: own.speed_rows(int8, memory_mb_max=MEMORY_MB),
        "fp32": lambda: own.speed_rows(fp32, bars=False),
        "demo": lambda: own.speed_rows(demo, bars=False),
        "overload": lambda: own.overload_rows(int8),
        "metrics": lambda: switches.rows(Switch.METRICS, served),
        "tracing": lambda: switches.rows(Switch.TRACING, served),
    }
    found["batch"] = batch_rows
    for rival in rivals.RIVALS:
        name = rival.name.split()[0].lower()
        found[f"{name}-full"] = lambda rival=rival: rivals.rows(rival, int8, [fp32])  # type: ignore[misc]
        found[f"{name}-demo"] = lambda rival=rival: rivals.rows(rival, demo)  # type: ignore[misc]
    return found


def batch_rows() -> list[Bar]:
    """Of ``tests.bench.batch``; without the pipeline's environment, a row that falls short."""
    if rivals.how_to_prepare() is None:
        return batch.measured()
    return [Bar("batch scoring, texts/s, ours / transformers pipeline", math.nan, "x", at_least=batch.ASKED)]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.serving", description=__doc__)
    parser.add_argument("--only", action="append", metavar="PART", help="this part alone; repeat for several")
    parser.add_argument("--quick", action="store_true", help="a first impression from a third of the texts")
    parser.add_argument("--again", action="store_true", help="measure anew what an earlier run has measured")
    asked = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # by way of what ends the servers
    if find_spec("onnx") is None:
        print("bench serving builds a full-size graph with onnx, which is not installed: pip install 'serin[export]'")
        return 2
    if (missing := rivals.how_to_prepare()) is not None:
        print(missing)
    about = machine()
    store = Store(RESULTS / ("serving-parts-quick" if asked.quick else "serving-parts"))
    if asked.again:
        store.forget()
    served = models(RESULTS / "serving-models", QUICK_RATIO if asked.quick else 1.0)
    every = parts(served)
    if unknown := set(asked.only or ()) - set(every):
        parser.error(f"no part {', '.join(sorted(unknown))}; there are {', '.join(every)}")
    rows = [row for name in every if name in (asked.only or every) for row in store.rows(name, every[name])]
    if not (asked.only or asked.quick) and missing is None:
        print(page.write(rows, about, served, PAGES))
    return report("serving", [*rows, *about])


if __name__ == "__main__":
    sys.exit(main())
