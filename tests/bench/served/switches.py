"""What it costs to be watched: metrics, and tracing that is off, each against a tree from which it was taken out.

A part in a hundred of a request is less than what two runs of the same server differ by. So the difference is measured
where it is large, on a request's way without HTTP and engine (``within``), by processes that take turns; and told as a
share of the processor time of a request that is served, measured in between. Both processes of a saturated replica are
busy with nothing else, so that is what it costs in throughput. Beside it stand whole replicas, asked in turn.

An interval is the middle 95 % of what resampled rounds give (bootstrap); the bar is asked of its upper end.
"""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np
import numpy.typing as npt

from tests.bench._table import Bar
from tests.bench.served.measure import Target, median, saturated
from tests.bench.served.models import VERSION, Models, Subject
from tests.bench.served.own import ONE_THREAD, target_of
from tests.bench.served.without import Switch
from tests.serving.replica import REPOSITORY, replica

TURNS: Final = 10
PAIRS: Final = 4  # in each turn, and before them each model served
TRIES: Final = 3  # of which the quickest is taken: so it is with the pairs, and a share is of like and like
STARTS: Final = 3
ROUNDS: Final = 10  # of whole replicas, with each start
AT_MOST_PCT: Final = {Switch.METRICS: 3.0, Switch.TRACING: 1.0}
_WITHIN: Final = "tests.bench.served.within"
_WITHOUT: Final = "tests.bench.served.without"
_RESAMPLED: Final = 10_000
_MIDDLE: Final = (2.5, 97.5)

Numbers = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure, and where it lies with 95 % confidence."""

    value: float
    low: float
    high: float


def rows(switch: Switch, served: Models) -> Iterator[Bar]:
    subjects = (served.demo, served.int8)
    pairs: list[tuple[float, float]] = []
    whole: dict[str, list[float]] = {subject.name: [] for subject in subjects}
    with ExitStack() as stack:
        targets = [
            target_of(stack.enter_context(replica(subject.package, *ONE_THREAD, version=VERSION)))
            for subject in subjects
        ]
        for turn in range(TURNS + 1):
            for subject, target in zip(subjects, targets, strict=True):
                spent_us = min(_served_us({None: target}, subject, None) for _ in range(TRIES))
                if turn:  # the first warms them
                    whole[subject.name].append(spent_us)
            for _ in range(PAIRS if turn else 0):
                _take_turns(partial(_within_us, served.demo), switch, pairs)
    having, lacking = np.array(pairs).T
    yield Bar(f"{switch}: a request without HTTP and engine", median(having), "processor µs")
    yield Bar(f"{switch}: a request without HTTP and engine, if there were none", median(lacking), "processor µs")
    yield from _told(f"{switch}: cost of a request", interval(_same, having - lacking), "processor µs")
    for name, spent in whole.items():
        yield Bar(f"{name}: {switch}, processor time of a text as served", median(spent), "processor µs")
        share = interval(_share_pct, having - lacking, spent)
        yield from _told(f"{name}: {switch}, cost in processor time of a text", share, "%", AT_MOST_PCT[switch])
    yield from _side_by_side(switch, served.demo)


def _same(cost: Numbers) -> Numbers:
    return cost


def _share_pct(cost: Numbers, whole: Numbers) -> Numbers:
    """Of what a request would cost without."""
    return 100 * cost / (whole - cost)


def _within_us(subject: Subject, without: Switch | None) -> float:
    """Processor µs of a request, without HTTP and engine."""
    asked = () if without is None else ("--without", without)
    done = subprocess.run(
        [sys.executable, "-m", _WITHIN, str(subject.package), *asked],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        check=True,
    )
    return float(min(json.loads(done.stdout)))  # of its blocks: whatever else the machine does only adds


def interval(figure: Callable[..., float], *rounds: Sequence[float] | Numbers) -> Interval:
    """A figure of medians of rounds."""
    draw = np.random.default_rng(0)
    found = [np.median(draw.choice(of, size=(_RESAMPLED, len(of))), axis=1) for of in rounds]
    low, high = np.percentile(figure(*found), _MIDDLE)
    return Interval(float(figure(*(np.median(of) for of in rounds))), float(low), float(high))


def _take_turns(measure: Callable[[Switch | None], float], switch: Switch, pairs: list[tuple[float, float]]) -> None:
    """One pair more, with it and without; either goes first as often as the other."""
    order = (None, switch) if len(pairs) % 2 else (switch, None)
    found = {without: measure(without) for without in order}
    pairs.append((found[None], found[switch]))


def _side_by_side(switch: Switch, subject: Subject) -> Iterator[Bar]:
    """Whole replicas; each start of a process has its own luck with memory, so there are several."""
    pairs: list[tuple[float, float]] = []
    for _ in range(STARTS):
        with (
            replica(subject.package, *ONE_THREAD, version=VERSION) as having,
            replica(subject.package, *ONE_THREAD, "--without", switch, version=VERSION, module=_WITHOUT) as lacking,
        ):
            targets: dict[Switch | None, Target] = {None: target_of(having), switch: target_of(lacking)}
            for target in targets.values():
                saturated(target, subject.texts, 1)
            for _ in range(ROUNDS):
                _take_turns(partial(_served_us, targets, subject), switch, pairs)
    with_it, lacking_it = np.array(pairs).T
    cost = interval(lambda ratio: 100 * (ratio - 1), with_it / lacking_it)
    yield from _told(f"{subject.name}: {switch}, whole replicas in turn, processor time of a text", cost, "%")


def _served_us(targets: Mapping[Switch | None, Target], subject: Subject, without: Switch | None) -> float:
    """Processor µs of a text."""
    return 1000 * saturated(targets[without], subject.texts, 1).cpu_ms


def _told(what: str, found: Interval, unit: str, at_most: float | None = None) -> Iterator[Bar]:
    yield Bar(what, found.value, unit)
    yield Bar(f"{what}, lower end of 95 %", found.low, unit)
    yield Bar(f"{what}, upper end of 95 %", found.high, unit, at_most=at_most)
