"""What it costs to be watched: two replicas of one version side by side, asked in turn.

The cost in throughput is that in processor time of a text: both processes of a replica are busy with nothing else, and
unlike requests a second it is hardly moved by what else the machine does.
"""

from collections.abc import Iterator, Sequence
from typing import Final

from tests.bench._table import Bar
from tests.bench.served.measure import Speed, Target, median, saturated
from tests.bench.served.models import VERSION, Subject
from tests.bench.served.own import ONE_THREAD, target_of
from tests.serving.replica import SERVING, replica

ROUNDS: Final = 8
PASSES: Final = 3  # more of them: the system tells processor time in steps of 10 ms
UNMETERED: Final = "tests.bench.served.unmetered"
NOBODY: Final = "http://127.0.0.1:9"  # takes spans, if there were any


def metrics_rows(subject: Subject) -> Iterator[Bar]:
    with (
        replica(subject.package, *ONE_THREAD, version=VERSION, module=UNMETERED) as without,
        replica(subject.package, *ONE_THREAD, version=VERSION, module=SERVING) as counting,
    ):
        yield from _cost_rows(subject, "metrics", target_of(without), target_of(counting), at_most=3.0)


def tracing_rows(subject: Subject) -> Iterator[Bar]:
    """Tracing that is off cannot be taken out to be compared with (see decision 113); this is on, with none sampled."""
    on = ("--trace-url", NOBODY, "--trace-ratio", "0")
    with (
        replica(subject.package, *ONE_THREAD, version=VERSION) as without,
        replica(subject.package, *ONE_THREAD, *on, version=VERSION) as tracing,
    ):
        yield from _cost_rows(subject, "tracing with none sampled", target_of(without), target_of(tracing))


def _cost_rows(
    subject: Subject, what: str, without: Target, having: Target, at_most: float | None = None
) -> Iterator[Bar]:
    pairs = _in_turn(subject, without, having)
    spent = [100 * (one.cpu_ms / other.cpu_ms - 1) for other, one in pairs]
    rates = [100 * (other.per_s / one.per_s - 1) for other, one in pairs]
    yield Bar(f"{subject.name}: {what}, cost in processor time of a text", median(spent), "%", at_most=at_most)
    yield Bar(f"{subject.name}: {what}, cost in requests/s (as noisy as the machine)", median(rates), "%")


def _in_turn(subject: Subject, first: Target, second: Target) -> Sequence[tuple[Speed, Speed]]:
    """Either goes first as often as the other."""
    found = []
    for number in range(ROUNDS + 1):
        order = (first, second) if number % 2 else (second, first)
        speeds = {target.url: saturated(target, subject.texts, PASSES) for target in order}
        found.append((speeds[first.url], speeds[second.url]))
    return found[1:]  # the first warms them
