"""From one replica to 10,000 requests a second, and to a few calls an hour: a simulation fed with measured figures.

Without ``--measure`` it is fed with those that are kept beside it. Writes ``docs/scale.md``.
"""

import argparse
import sys
from pathlib import Path
from typing import Final

from controller.core.policy import ReleasePolicy
from controller.offline.forecast.sampling import least_ratio
from controller.offline.forecast.traffic import ReleaseTraffic
from tests.bench._table import Bar, machine, report
from tests.bench.scaled import figures, measure, page

PAGE: Final = Path(__file__).parents[2] / "docs" / "scale.md"
LABELLED_RATIOS: Final = (0.1, 0.01, 0.001)  # of the requests: from clicks, or by people


def _capture_ratio(labelled_ratio: float) -> float:
    """Return the share of requests that the default policy's gates need sampled at the peak, in a release."""
    service = ReleaseTraffic(page.PEAK_PER_S, steps=(), label_ratio=labelled_ratio, live_label_ratio=labelled_ratio)
    return least_ratio(ReleasePolicy("intent"), service)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.scale", description=__doc__)
    parser.add_argument("--measure", action="store_true", help="measure this machine first, and keep the figures")
    about = machine()
    if parser.parse_args().measure:
        figures.write(measure.measured())
    fed = figures.read()
    ratios = {labelled: _capture_ratio(labelled) for labelled in LABELLED_RATIOS}
    PAGE.write_text("\n".join(page.lines(fed, ratios)), encoding="utf-8")
    print(PAGE)
    small, large = (page.service(fed.encoder(f"{name} int8")) for name in ("DistilBERT", "BERT"))
    rows = [
        Bar(
            "DistilBERT int8 at 10,000 requests/s: P95 on the simulated fleet",
            small.waited.p95_ms if small else float("nan"),
            "ms",
            at_most=page.OBJECTIVE_P95_MS,
        )
    ]
    if small and large:
        rows.append(
            Bar("DistilBERT int8: price of a request / BERT int8's", small.price / large.price, "x", at_most=2 / 3)
        )
    return report("scale", [*rows, *about])


if __name__ == "__main__":
    sys.exit(main())
