"""The figures of the benchmark, with their Monte-Carlo errors and the bars that they must reach."""

from collections.abc import Mapping, Sequence
from typing import Final

from tests.bench._table import Bar
from tests.bench.world import scenarios as s
from tests.bench.world.bounds import alpha_of, latency_bound_min, paired_bound
from tests.bench.world.measures import (
    ever_promoted,
    failed,
    held_for,
    mean_bar,
    median_bar,
    minutes_after_onset,
    minutes_to_fail,
    minutes_to_promote,
    promoted,
    promoted_before,
)
from tests.bench.world.runs import Played
from tests.bench.world.scenarios import Scenario
from tests.bench.world.worlds import (
    ALIKE_EQUAL,
    ALIKE_WORSE,
    BEYOND,
    COMPLAINED,
    EQUAL_WORLDS,
    LATE_FAULTS,
    SCARCE,
    STICKY,
    UNDECLARED,
    WORSE_WORLDS,
)

Results = Mapping[str, Sequence[Played]]

EXPOSED = {name: s.exposed(name, candidate) for name, candidate in s.HARMFUL.items()} | {
    "P95 +10 %": s.exposed("P95 +10 %", s.SLOWER_10),
    "errors x10": s.exposed("errors x10", s.FAILING_TEN),
}
RELEASED = {name: s.released(name, candidate) for name, candidate in s.HARMFUL.items()}
AT_MARGIN = s.released("accuracy -1", s.LOSES_ONE)
PAIRED = {name: s.paired(name, c) for name, c in (("-1", s.LOSES_ONE), ("-2", s.LOSES_TWO), ("-5", s.LOSES_FIVE))}
DIRECTED = s.paired("-2", s.LOSES_TWO, directed=True)
INCIDENT, *HARDER = s.HARDER
UNDECLARED_WORDS: Final = "labelled texts are not those"
_MEDIANS_MAX: Final = {"P95 +20 %": 12.0, "errors x5": 9.0, "overconfident": 18.0}
_LATE_MAX: Final = (5.0, 14.0, 18.0)


def work(runs: int) -> list[tuple[Scenario, int]]:
    """What is played how often; the false alarms are the rare thing, so most goes there."""
    quiet, *replayed = SCARCE
    parts = (
        (10, (INCIDENT,)),
        (20, (*EQUAL_WORLDS, *ALIKE_EQUAL, STICKY, *WORSE_WORLDS, PAIRED["-2"], s.RELEASED)),
        (50, (*RELEASED.values(), AT_MARGIN, DIRECTED, *ALIKE_WORSE, *BEYOND)),
        (100, (*EXPOSED.values(), *LATE_FAULTS, *HARDER, PAIRED["-1"], PAIRED["-5"])),
        (200, (*UNDECLARED, *COMPLAINED)),
        (400, replayed),  # a day each
        (1000, (quiet,)),
    )
    return [(s.EQUAL, runs), *((one, max(runs // part, 1)) for part, scenarios in parts for one in scenarios)]


def bars(results: Results, looks_ms: Sequence[float]) -> list[Bar]:
    """Those that are asked for first, then what else is promised, then what is only told. ``looks_ms``: the time of a
    look, and of one with thirty classes."""
    look_ms, wide_ms = looks_ms
    return [
        *_equal(results),
        *_worse(results),
        *_independent(results, look_ms),
        *_late(results),
        *_promised(results),
        *_told(results),
        Bar("one look of thirty classes and five tags", wide_ms, "ms"),
    ]


def _equal(results: Results) -> list[Bar]:
    """Every rollback is false."""
    rows = [
        failed(results[one.name]).bar(f"equal, rolled back: {one.name}", at_most=0.5) for one in (s.EQUAL, INCIDENT)
    ]
    for one in EQUAL_WORLDS:
        share, what = failed(results[one.name]), f"equal, rolled back: {one.name}"
        rows += [share.bar(what, at_most=1.0), share.upper_bar(what, 2.0)]
    return [*rows, failed(results[STICKY.name]).bar(f"equal, rolled back: {STICKY.name}", at_most=2.0)]


def _worse(results: Results) -> list[Bar]:
    """Every promotion is wrong."""
    rows = []
    for one in (*WORSE_WORLDS, *ALIKE_WORSE):
        share, what = ever_promoted(results[one.name]), f"worse, promoted: {one.name}"
        rows += [share.bar(what, at_most=1.0), share.upper_bar(what, 2.0)]
    for one in UNDECLARED:
        held = held_for(results[one.name], UNDECLARED_WORDS)
        rows += [
            held.bar(f"held, and why is said: {one.name}", at_least=95.0),
            ever_promoted(results[one.name]).bar(f"promoted: {one.name}", at_most=0.0),
        ]
    _, alone, *worse = SCARCE
    rows.append(promoted(results[alone.name]).bar(f"equal, promoted within a day: {alone.name}", at_least=80.0))
    return [
        *rows,
        *(ever_promoted(results[one.name]).bar(f"worse, promoted: {one.name}", at_most=0.0) for one in worse),
    ]


def _independent(results: Results, look_ms: float) -> list[Bar]:
    """What a service without bursts pays for it."""
    pairs = [float(one.ended.labels) for one in results[PAIRED["-2"].name] if one.ended.failed_at]
    bound = paired_bound(s.LOSES_TWO, alpha_of("accuracy.shadow"))
    equal = results[s.RELEASED.name]
    return [
        promoted(equal).bar("equal, promoted within two hours: default steps", at_least=93.0),
        median_bar("equal, promoted: median, default steps", minutes_to_promote(s.RELEASED, equal), "min", 75.0),
        mean_bar("-2 points, paired: mean pairs over the bound", pairs, "", 1.25, scale=bound),
        *(_found(name, results[EXPOSED[name].name], most) for name, most in _MEDIANS_MAX.items()),
        Bar("one look, all gates, after 10 million requests", look_ms, "ms", at_most=2.0),
    ]


def _found(name: str, played: Sequence[Played], most: float) -> Bar:
    """The median from the first user on; of latency from the end of the warm-up on, whose minutes are not judged."""
    minutes = minutes_to_fail(EXPOSED[name], played)
    if not name.startswith("P95"):
        return median_bar(f"{name}, 5 %: median", minutes, "min", most)
    judged = [one - EXPOSED[name].warm_up_s / 60 for one in minutes]
    return median_bar(f"{name}, 5 %: median, after the warm-up", judged, "min", most)


def _late(results: Results) -> list[Bar]:
    return [
        median_bar(f"{one.name}: median after it began", minutes_after_onset(one, results[one.name]), "min", most)
        for one, most in zip(LATE_FAULTS, _LATE_MAX, strict=False)  # what else begins late is only told
    ]


def _promised(results: Results) -> list[Bar]:
    """What the levels promise, whatever the weather."""
    beyond = [(f"beyond its margin: {name}", one) for name, one in RELEASED.items()]
    asked = [float(one.ended.labels) for one in results[DIRECTED.name] if one.ended.failed_at]
    return [
        *(ever_promoted(results[one.name]).bar(f"promoted {what}", at_most=0.0) for what, one in beyond),
        ever_promoted(results[AT_MARGIN.name]).bar("promoted at its margin: accuracy -1", at_most=1.0),
        mean_bar("-2 points, directed: mean labels", asked, "labels", 150.0),
        failed(results[s.RELEASED.name]).bar("equal, rolled back: default steps", at_most=1.0),
        *(failed(results[one.name]).bar(f"equal, rolled back: {one.name}", at_most=1.0) for one in HARDER),
    ]


def _told(results: Results) -> list[Bar]:
    equal = (s.EQUAL, INCIDENT, *HARDER, *EQUAL_WORLDS, *ALIKE_EQUAL, STICKY, *BEYOND, SCARCE[0])
    rows = [failed(results[one.name]).bar(f"equal, rolled back: {one.name}") for one in (*ALIKE_EQUAL, *BEYOND)]
    rows += [promoted(results[one.name]).bar(f"equal, promoted: {one.name}") for one in equal]
    rows.append(median_bar("equal, promoted: median, 5 %", minutes_to_promote(s.EQUAL, results[s.EQUAL.name]), "min"))
    for one in COMPLAINED:
        rows.append(held_for(results[one.name], UNDECLARED_WORDS).bar(f"held, and why is said: {one.name}"))
        rows.append(ever_promoted(results[one.name]).bar(f"promoted: {one.name}"))
    for one in LATE_FAULTS:
        played = results[one.name]
        rows.append(promoted_before(played, one.candidate.onset).bar(f"{one.name}: promoted before it"))
        rows.append(median_bar(f"{one.name}: median after it began", minutes_after_onset(one, played), "min"))
    for name, one in PAIRED.items():
        pairs = [float(one.ended.labels) for one in results[one.name] if one.ended.failed_at]
        rows.append(median_bar(f"{name} points, paired: median pairs", pairs, "pairs"))
    rows.append(Bar("-2 points, paired: the bound at this gate's level", paired_bound(s.LOSES_TWO), "pairs"))
    for name, one in EXPOSED.items():
        played = results[one.name]
        rows.append(failed(played).bar(f"{name}, 5 %: rolled back"))
        rows.append(median_bar(f"{name}, 5 %: median", minutes_to_fail(one, played), "min"))
    for name in ("P95 +10 %", "P95 +20 %"):
        bound_min = latency_bound_min(EXPOSED[name].candidate)
        rows.append(Bar(f"{name}, 5 %: the bound of the mean at this gate's level", bound_min, "min"))
    return rows
