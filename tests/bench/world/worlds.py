"""The world as it is: runs, clusters, doubt, delay, cold starts, faults that begin late, few requests.

``EQUAL_WORLDS``: of a candidate that is no worse than stable, so that every rollback is false. ``WORSE_WORLDS``: of
one beyond its margin, so that every promotion is wrong.
"""

from dataclasses import replace
from functools import partial
from typing import Final

from tests.bench.world import latency, texts
from tests.bench.world.answers import Skill
from tests.bench.world.demand import Crowd
from tests.bench.world.errors import LostReplica
from tests.bench.world.requests import ALIKE, Always, By, Kind, Labels, Later, Mix, harder
from tests.bench.world.scenarios import EQUAL, LOSES_FIVE, LOSES_TWO, RELEASED, Candidate, Scenario, clustered
from tests.bench.world.weather import incident, quiet

ONSET: Final = 41  # the look at which what begins after forty minutes is first seen
SLOW_LABELS_LOOKS: Final = 90
DAY_LOOKS: Final = 1_440
REPLAYED: Final = 20_000


def _equal(name: str, candidate: Candidate) -> Scenario:
    return replace(EQUAL, name=name, candidate=candidate)


def _doubt(name: str, by: By, candidate: Candidate | None = None, *, declared: bool = True) -> Scenario:
    """Labels chosen by doubt."""
    return replace(EQUAL, name=name, candidate=candidate or Candidate(), labels=Labels(by=by, declared=declared))


def _later(name: str, candidate: Candidate, kinds: tuple[Kind, ...] = (), mix: Mix = ALIKE) -> Scenario:
    """Equal for forty minutes, at 5 %."""
    return replace(EQUAL, name=name, candidate=replace(candidate, onset=ONSET), kinds=kinds, mix=mix)


def _scarce(name: str, candidate: Candidate, *, replayed: int = 0) -> Scenario:
    labels = Labels(chance=0.02, directed=1.0 if replayed else 0.0)
    return replace(
        RELEASED, name=name, candidate=candidate, forecast=quiet, labels=labels, looks=DAY_LOOKS, replayed=replayed
    )


def _alike(mean: float, scenario: Scenario, name: str, candidate: Candidate | None = None) -> Scenario:
    """Texts in groups that both versions answer alike; with default steps half of their labels are directed."""
    path = ", default steps" if scenario.steps else ""
    groups = partial(texts.Alike, mean=mean)
    return replace(
        scenario, name=f"{name} alike in groups of {mean:g}{path}", candidate=candidate or Candidate(), texts=groups
    )


LOST_REPLICA = Candidate(errors=LostReplica)
_LOSES_TEN = Skill(both_wrong=0.045, lost=0.125, won=0.025)
_TAG = Kind(_LOSES_TEN, tag="segment:new")
_EQUAL_TAG = Kind(tag="segment:new")
_LOSES_SIX = Kind(Skill(both_wrong=0.045, lost=0.08, won=0.02), names=("later", "never"))
_LOSES_SIX = replace(_LOSES_SIX, label_delay_looks=SLOW_LABELS_LOOKS)
_WINS_ONE = Skill(both_wrong=0.045, lost=0.03, won=0.04)
_SLOWER_IN_RUNS = Candidate(slow=1.15, latency=partial(latency.Runs, mean=10))

EQUAL_WORLDS: Final = (
    *(_equal(f"slow runs of {mean}", Candidate(latency=partial(latency.Runs, mean=mean))) for mean in (2, 5, 10, 20)),
    *(clustered(f"errors in clusters of {mean}", mean, Candidate()) for mean in (2, 5)),
    _equal("one replica lost once", LOST_REPLICA),
    *(
        _equal(f"small arm +{pct} %", Candidate(latency=partial(latency.SmallArm, factor=1 + pct / 100)))
        for pct in (3, 5)
    ),
    replace(RELEASED, name="cold for 2.5 minutes", candidate=Candidate(latency=latency.Cold)),
    _equal("latency wanders", Candidate(latency=latency.Wander)),
    _doubt("labels by the candidate's doubt", By.CANDIDATE),
    _doubt("labels by stable's doubt", By.STABLE),
    _doubt("labels by the live answer's doubt", By.LIVE),
    replace(RELEASED, name="incident in probation", probation=incident),
)
STICKY: Final = replace(EQUAL, name="sticky users", crowd=Crowd(), kinds=(harder(Skill()),))
WORSE_WORLDS: Final = (
    *(
        _doubt(f"{name} points by {by}", by, candidate)
        for name, candidate in (("-2", LOSES_TWO), ("-5", LOSES_FIVE))
        for by in (By.STABLE, By.LIVE)
    ),
    replace(
        EQUAL, name="-6 points slowly labelled and +1", candidate=Candidate(_WINS_ONE), kinds=(_LOSES_SIX,),
        mix=Always((0.5, 0.5)),
    ),
    replace(EQUAL, name="P95 x1.15 in runs of 10", candidate=_SLOWER_IN_RUNS),
    clustered("errors x3 in clusters of 5", 5.0, Candidate(error_factor=3.0)),
    replace(EQUAL, name="-10 points of a tag of 5 %", kinds=(_TAG,), mix=Always((0.95, 0.05))),
)  # fmt: skip
_AWAY: Final = range(4, 50)
# How many texts come together is learnt on the way: the first looks cost more than a per cent, which is told.
ALIKE_EQUAL: Final = (
    *(_alike(mean, scenario, "texts") for mean in (5, 20) for scenario in (EQUAL, RELEASED)),
    replace(_alike(20, RELEASED, "nobody looks for 46 minutes, texts"), away=_AWAY),
)
ALIKE_WORSE: Final = tuple(
    _alike(mean, scenario, f"{name} points, texts", candidate)
    for name, candidate in (("-2", LOSES_TWO), ("-5", LOSES_FIVE))
    for mean in (5, 20)
    for scenario in (EQUAL, RELEASED)
)
# What no test of the gates can tell from harm, or only slowly: told, and held to no bar.
BEYOND: Final = (
    replace(
        RELEASED,
        name="texts alike in groups of 20 over half an hour, default steps",
        texts=partial(texts.AlikeForLong, mean=20, looks=30),
    ),
    *(
        replace(
            scenario,
            name=f"replicas of both come each {every} minutes{path}",
            candidate=Candidate(latency=partial(latency.Scaled, every_looks=every)),
            stable_latency=partial(latency.Scaled, every_looks=every, replicas=5),
        )
        for every, scenario, path in (
            (10, RELEASED, ", default steps"),
            (5, RELEASED, ", default steps"),
            (5, EQUAL, ""),
        )
    ),
)
UNDECLARED: Final = tuple(
    _doubt(f"{name} by {by} undeclared", by, candidate, declared=False)
    for name, candidate in (("equal", Candidate()), ("-2 points", LOSES_TWO))
    for by in (By.STABLE, By.CANDIDATE, By.LIVE)
)
COMPLAINED: Final = tuple(
    replace(EQUAL, name=f"{name} and complaints undeclared", candidate=candidate, labels=Labels(complained=0.1))
    for name, candidate in (("equal", Candidate()), ("-2 points", LOSES_TWO))
)
LATE_FAULTS: Final = (
    _later("errors x10 from minute 40", Candidate(error_factor=10.0)),
    _later("P95 +20 % from minute 40", Candidate(slow=1.2)),
    _later("-5 points from minute 40", Candidate(), (Kind(LOSES_FIVE.skill),), Later(ONSET, (1.0, 0.0), (0.0, 1.0))),
    _later(
        "-10 points of a tag of 5 % from minute 40", Candidate(), (_EQUAL_TAG, _TAG),
        Later(ONSET, (0.95, 0.05, 0.0), (0.95, 0.0, 0.05)),
    ),
)  # fmt: skip
SCARCE: Final = (
    _scarce("2 requests/s", Candidate()),
    _scarce("2 requests/s replayed", Candidate(), replayed=REPLAYED),
    _scarce("2 requests/s replayed -2 points", LOSES_TWO, replayed=REPLAYED),
    _scarce("2 requests/s replayed -5 points", LOSES_FIVE, replayed=REPLAYED),
    _scarce("2 requests/s replayed P95 +20 %", Candidate(slow=1.2), replayed=REPLAYED),
    _scarce("2 requests/s replayed errors x5", Candidate(error_factor=5.0), replayed=REPLAYED),
)
