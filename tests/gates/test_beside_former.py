"""After a promotion the former version's answers to copies stand for stable: an incident of the whole service blames
nobody, and what only the candidate does is found. Where nothing was copied, a breach is told and nothing more."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pytest

from gates.evidence import ArmCounts, Look, UserCounts
from gates.gate_set import GateSet
from gates.outcome import Outcome
from gates.policy import GatePolicy
from gates.verdict import Verdict, Window
from tests.gates.support import EDGES_MS, LOOK_S, NONE_TIMED, arm

LIVE = replace(
    GatePolicy(),
    accuracy_shadow=None, calibration_shadow=None, errors_shadow=None, accuracy_live=None,
    experiment=None, drift=None, limits=None,
)  # fmt: skip
PER_LOOK = 1_200
CANARY_LOOKS = 30
BEGINS, ENDS = 50, 60  # the looks of an incident, in probation
NOBODY = ArmCounts(0, 0, NONE_TIMED)
ERROR = 0.001


@dataclass(frozen=True)
class Health:
    """How a version is: its share of errors, and how many times as long it takes."""

    error: float = ERROR
    slow: float = 1.0


WELL = Health()
INCIDENT = Health(error=0.2, slow=4.0)
Course = Callable[[int], Health]  # by look


def well(_: int) -> Health:
    return WELL


def incident(number: int) -> Health:
    return INCIDENT if BEGINS <= number < ENDS else WELL


def late(health: Health) -> Course:
    return lambda number: health if number >= BEGINS else WELL


def played(
    seed: int, candidate: Course, former: Course, *, copied: float = 0.1, load: float = 1.0, by_gateway: bool = True
) -> list[Verdict]:
    """The verdicts of all looks of a release at 50 %, and of its probation. ``load``: while the candidate is ill."""
    rng, gate_set, found = np.random.default_rng(seed), GateSet(LIVE), []
    state = gate_set.start(deadline_s=CANARY_LOOKS * LOOK_S)

    def arm_of(requests: int, health: Health) -> ArmCounts:
        return arm(rng, requests, health.error, health.slow)

    for number in range(1, 121):
        canary, health = number <= CANARY_LOOKS, candidate(number)
        requests = int(PER_LOOK * (1.0 if health is WELL else load))
        own = arm_of(requests // 2 if canary else requests, health)
        stable = arm_of(PER_LOOK // 2, former(number)) if canary else NOBODY
        copies = None if canary or not copied else arm_of(int(copied * requests), former(number))
        look = Look(
            number,
            Window(LOOK_S * (number - 1), LOOK_S * number),
            0.5 if canary else 1.0,
            EDGES_MS,
            stable,
            own,
            arm_of(PER_LOOK // 2, health) if canary else NOBODY,
            former=copies,
        )
        if by_gateway:
            untimed = replace(copies, latency_counts=(0,)) if copies is not None else None
            look = replace(look, users=UserCounts(stable, own, EDGES_MS, untimed))
        state, verdicts = gate_set.look(state, look)
        found += verdicts
    return found


def failed(verdicts: list[Verdict]) -> set[str]:
    return {verdict.gate for verdict in verdicts if verdict.outcome is Outcome.FAIL}


def told(verdicts: list[Verdict]) -> dict[str, str]:
    return {verdict.gate: verdict.reason for verdict in verdicts if verdict.breach}


@pytest.mark.parametrize("by_gateway", [True, False])
def test_an_incident_of_the_service_in_probation_blames_nobody(*, by_gateway: bool) -> None:
    for seed in range(2):
        found = played(seed, incident, incident, by_gateway=by_gateway)
        assert not failed(found)
        assert not told(found)


@pytest.mark.parametrize(
    ("health", "gate"),
    [(Health(error=0.05), "errors.live"), (Health(slow=4.0), "latency.p95")],
    ids=["errors", "slow"],
)
def test_what_only_the_candidate_does_in_probation_is_found(health: Health, gate: str) -> None:
    assert gate in failed(played(3, late(health), well))


def test_where_nothing_is_copied_a_breach_is_told_and_blames_nobody() -> None:
    """It may be the service's as well as the version's."""
    found = played(4, late(INCIDENT), well, copied=0.0)
    assert not failed(found)
    assert told(found).keys() == {"latency.p95", "budget.burn"}
    for reason in told(found).values():
        assert "the fault may be the service's; nothing is rolled back, a person decides" in reason


def test_a_former_version_that_does_not_answer_excuses_nobody_and_blames_nobody() -> None:
    """Copies that fail on their way are errors of it, as the gateway counts them: the way is ill, and both are."""
    gone = Health(error=1.0)
    assert not failed(played(5, late(INCIDENT), late(gone)))


def test_under_a_load_that_was_never_compared_nobody_is_blamed_for_slowness() -> None:
    """Three times the load: how the former version would have borne it is not known."""
    found = played(6, late(Health(slow=4.0)), well, load=3.0)
    assert not failed(found)
    assert "latency.p95" in told(found)
