"""Cold caches at a new share: the first minutes are shown and held against nobody; what stays slow is found."""

from dataclasses import replace

import numpy as np

from gates.evidence import Look
from gates.forecast.candidate import UNCHANGED
from gates.forecast.traffic import PlannedStep, Traffic
from gates.gate_set import GateSet
from gates.offline.plan import races
from gates.offline.summing import can_be_added
from gates.outcome import Outcome
from gates.policy import GatePolicy
from gates.verdict import Verdict
from tests.gates.support import World, look

ONLY_LATENCY = replace(
    GatePolicy(),
    accuracy_shadow=None, calibration_shadow=None, errors_shadow=None, accuracy_live=None,
    errors_live=None, budget=None, experiment=None, drift=None, limits=None,
)  # fmt: skip
COLD_LOOKS = 5  # of a minute each: one look decides nothing alone
WORLD = World(shadow_looks=2, label_share=0.0)


def exposed(seed: int, *, cold: float, warm: float = 1.0, told: bool = True, looks: int = 12) -> list[Verdict]:
    """P95 at each look of a candidate that is so slow while it is cold, twice: at 5 %, and when it gets 50 %."""
    rng, gate_set = np.random.default_rng(seed), GateSet(ONLY_LATENCY)
    state, found = gate_set.start(), []
    for sequence in range(1, 2 + 2 * looks + 1):
        since = sequence - 1 - WORLD.shadow_looks
        is_cold = since >= 0 and since % looks < COLD_LOOKS
        share = 0.05 if since < looks else 0.5
        seen = look(rng, sequence, replace(WORLD, share=share, slow=cold if is_cold else warm))
        state, verdicts = gate_set.look(state, replace(seen, warming=told and is_cold))
        found.append(next(verdict for verdict in verdicts if verdict.gate == "latency.p95"))
    return found


def test_an_equal_candidate_with_cold_caches_is_not_rolled_back() -> None:
    """Twice as slow for minutes at each new share; where the looks do not say so it is rolled back."""
    for seed in range(3):
        assert Outcome.FAIL not in {verdict.outcome for verdict in exposed(seed, cold=2.0)}
        assert Outcome.FAIL in {verdict.outcome for verdict in exposed(seed, cold=2.0, told=False)}


def test_what_was_slow_while_it_warmed_up_is_told() -> None:
    """Then, and later, too."""
    verdicts = exposed(1, cold=2.0)
    assert "It is warming up: the candidate took longer in" in verdicts[WORLD.shadow_looks + 1].reason
    assert "does not count against it" in verdicts[WORLD.shadow_looks + 1].reason
    assert "While it warmed up: the candidate took longer in" in verdicts[-1].reason
    assert "warm" not in exposed(1, cold=1.0)[-1].reason


def test_a_version_that_never_gets_warm_is_found() -> None:
    for seed in range(3):
        assert exposed(seed, cold=2.0, warm=2.0)[-1].outcome is Outcome.FAIL


def test_what_a_cold_version_did_well_proves_nothing() -> None:
    """Neither for nor against: samples and evidence are those of the time after it."""
    first, *_ = exposed(1, cold=0.2)[WORLD.shadow_looks :]
    assert (first.samples, first.value) == (0, None)


def test_looks_of_a_warm_up_are_summed_apart() -> None:
    one = look(np.random.default_rng(1), 5, WORLD)
    assert can_be_added(one, replace(one, sequence=6))
    assert not can_be_added(one, replace(one, sequence=6, warming=True))


def test_errors_of_a_cold_version_count() -> None:
    """Users got them, and a version that fails whenever it is started does so again with each replica."""
    rng, gate_set = np.random.default_rng(3), GateSet(GatePolicy(accuracy_shadow=None, calibration_shadow=None))
    state = gate_set.start()
    failing: set[str] = set()
    for sequence in range(1, 6):
        seen: Look = look(rng, sequence, replace(WORLD, share=0.5, error_factor=100.0, shadow_looks=0))
        state, verdicts = gate_set.look(state, replace(seen, warming=True))
        failing |= {verdict.gate for verdict in verdicts if verdict.outcome is Outcome.FAIL}
    assert "errors.live" in failing


def test_a_forecast_knows_that_a_warm_up_proves_nothing() -> None:
    step = PlannedStep(0.05, 600.0)
    traffic = Traffic(requests_per_s=20.0, steps=(step,))
    race = next(race for race in races(ONLY_LATENCY, traffic, UNCHANGED) if race.gate == "latency.p95")
    margin = race.safe[0][0]
    assert max(growth.drift for growth in margin.growth(step)) > 0
    assert not any(growth.drift for growth in margin.growth(replace(step, warming=True)))
    assert race.safe_samples.rate(step) > 0 == race.safe_samples.rate(replace(step, warming=True))


def test_a_suspicion_is_of_the_look_that_raised_it() -> None:
    """Each such look is written to the journal: one that lasted would fill it, look by look."""
    rng, gate_set = np.random.default_rng(5), GateSet(ONLY_LATENCY)
    state, raised = gate_set.start(), []
    for sequence in range(1, 60):
        slow = 3.0 if sequence in (30, 31) else 1.0
        seen = look(rng, sequence, replace(WORLD, share=0.5 if sequence > WORLD.shadow_looks else 0.0, slow=slow))
        state, verdicts = gate_set.look(state, replace(seen, warming=sequence > 31))
        raised += [sequence] if any(verdict.suspects for verdict in verdicts) else []
    assert raised == [30, 31]
