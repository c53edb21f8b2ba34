"""The links between a version's processes and their counts in Prometheus: names the link that is broken.

A look says that something cannot be read. This module says why, by what else is there.
"""

import itertools
import json
from collections.abc import Callable, Iterator, Sequence
from statistics import median
from typing import Any, Final

from controller.adapters.prometheus.targets import RENAMED, UP_METRIC, Matrix, numbers
from serving.contract import MODEL_LABEL, START_METRIC, VERSION_LABEL

Query = Callable[[str, float], Matrix]  # (PromQL, at which time) -> what Prometheus answers
_JOB: Final = "job"
_LOOK_BACK_S: Final = 300
_SLOWER: Final = 1.5  # times scrape_interval_s of the settings


def broken_links(
    query: Query, model: str, versions: Sequence[str], *, at_s: float, scrape_interval_s: float, only: str = ""
) -> Iterator[str]:
    """Yield a sentence with the way out for each broken link of these versions; none if all is well. Raises as
    ``query`` does.

    ``only``: matchers that every series must have, as the end of a selector.
    """
    named = json.dumps(model)
    targets = query(f"{UP_METRIC}{{{MODEL_LABEL}={named}{only}}}[{_LOOK_BACK_S}s]", at_s)
    own, renamed = (f"{START_METRIC}{{{name}={named}{only}}}" for name in (MODEL_LABEL, RENAMED + MODEL_LABEL))
    told = query(f"{own} or {renamed}", at_s)
    for version in versions:
        mine = [one for one in targets if one["metric"].get(VERSION_LABEL) == version]
        processes = [one["metric"] for one in told if _version_of(one["metric"]) == version]
        yield from _of_version(version, mine, processes, scrape_interval_s)


def _version_of(labels: dict[str, str]) -> str | None:
    return labels.get(RENAMED + VERSION_LABEL) or labels.get(VERSION_LABEL)


def _of_version(
    version: str, targets: Sequence[dict[str, Any]], processes: Sequence[dict[str, str]], scrape_interval_s: float
) -> Iterator[str]:
    if not targets and not processes:
        yield f"version {version}: no target: nothing of it is scraped; check what the scrape configuration selects"
        return
    if not targets:
        yield (
            f"version {version}: its targets have no label {VERSION_LABEL}: its counts are there, but "
            f"`up` does not say whose it is; give targets {MODEL_LABEL} and {VERSION_LABEL} by relabelling"
        )
    if any(RENAMED + MODEL_LABEL in labels or RENAMED + VERSION_LABEL in labels for labels in processes):
        yield f"version {version}: Prometheus renames its labels: set honor_labels (honorLabels) to true"
    jobs = sorted({one["metric"].get(_JOB, "") for one in targets})
    if len(jobs) > 1:
        yield (
            f"version {version}: {len(jobs)} jobs scrape it ({', '.join(jobs)}), so it is counted several "
            "times: keep one"
        )
    measured_s = [
        later[0] - earlier[0]
        for one in targets
        for earlier, later in itertools.pairwise(sorted(numbers(one["values"])))
    ]
    if measured_s and median(measured_s) > _SLOWER * scrape_interval_s:
        yield (
            f"version {version}: scraped every {median(measured_s):g} s, but scrape_interval_s in the "
            f"settings is {scrape_interval_s:g}: samples look old; set it to {median(measured_s):g}"
        )
