"""Evidence that begins anew from time to time: what begins late is found, and watching longer gains nothing."""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from gates.evidence import Look
from gates.gate_set import GateSet, state_from_json, state_to_json
from gates.outcome import Outcome
from gates.stats.betting import Trinomial, log_e_mean_at_most, log_es_above_zero
from gates.stats.restarts import SHARE, Restarts
from gates.verdict import Verdict, Window
from tests.gates.support import JUDGING, LOOK_S, World, pairs

BETS = (0.15, 0.25, 0.35, 0.6)
EQUAL, LOSES_SIX = (0.035, 0.035), (0.065, 0.005)


def log_e(counts: Trinomial) -> float:
    return log_e_mean_at_most(counts, 0.0, BETS)


def log_es(every: Sequence[Trinomial]) -> list[float]:
    return log_es_above_zero(every, BETS, 1.0)


def test_many_counts_in_one_go_are_as_one_by_one() -> None:
    every = [Trinomial(7, 3, 90), Trinomial(), Trinomial(0, 5, 0)]
    assert log_es(every) == [log_e(one) for one in every]


def peaks(rng: np.random.Generator, chances: tuple[float, float], looks: int) -> float:
    """The highest log evidence at any look of one release."""
    restarts, counts, highest = Restarts(), Trinomial(), 0.0
    for look in range(looks):
        restarts = restarts.begin(LOOK_S * look, counts)
        plus, minus, zero = rng.multinomial(100, [*chances, 1 - sum(chances)])
        counts = counts + Trinomial(int(plus), int(minus), int(zero))
        highest = max(highest, restarts.with_all(log_e(counts), counts, log_es).log_e)
    return highest


def test_an_equal_candidate_is_rarely_suspected_at_any_look():
    """One in ten at most, by Ville's inequality, over all starts together; here of 50."""
    rng = np.random.default_rng(1)
    suspected = sum(peaks(rng, EQUAL, 60) >= math.log(10) for _ in range(50))
    assert suspected <= 5


def test_the_parts_of_the_level_add_up_to_it():
    """Whatever is kept, all weights are at most one: nothing is gained before anything is counted."""
    restarts, nothing = Restarts(), Trinomial()
    for look in range(500):
        restarts = restarts.begin(LOOK_S * look, nothing)
    assert restarts.with_all(0.0, nothing, log_es).log_e <= 0
    assert SHARE < 1


def test_few_starts_are_kept_of_a_long_release():
    restarts = Restarts()
    for look in range(10_000):
        restarts = restarts.begin(LOOK_S * look, Trinomial(look, 0, 0))
    assert len(restarts.starts) < 60
    newest = [start.number for start in restarts.starts[-4:]]
    assert newest == list(range(restarts.number - 3, restarts.number + 1))
    assert not restarts.forgotten().starts


def play(worlds: list[World], guard_points: float = 0.5) -> list[Verdict]:
    """A look with a hundred labelled pairs in each world."""
    rng = np.random.default_rng(2)
    policy = replace(JUDGING, accuracy_shadow=replace(JUDGING.accuracy_shadow, guard_points=guard_points))
    gate_set = GateSet(policy)
    state, found = gate_set.start(), []
    for number, world in enumerate(worlds, start=1):
        window = Window(LOOK_S * (number - 1), LOOK_S * number)
        state, verdicts = gate_set.look(state, Look(number, window, 0.0, pairs=pairs(rng, 100, world)))
        assert state_from_json(state_to_json(state)) == state
        found += [verdict for verdict in verdicts if verdict.gate == "accuracy.shadow"]
    return found


def test_a_loss_that_begins_late_is_found_nearly_as_soon_as_one_that_begins_at_once():
    """After an hour without it the loss since then is told, and not the mean of all."""
    before, after = World(worse=0.035, better=0.035), World(worse=0.065, better=0.005)
    at_once = [one.outcome for one in play([after] * 12)].index(Outcome.FAIL)
    late = play([before] * 60 + [after] * 12)
    found = [one.outcome for one in late].index(Outcome.FAIL)
    assert found < 60 + at_once + 8
    assert late[found].value > 3
    assert "points of late" in late[found].reason


def test_a_late_loss_below_the_guard_rolls_nothing_back():
    before, after = World(worse=0.035, better=0.035), World(worse=0.065, better=0.005)
    assert Outcome.FAIL not in {one.outcome for one in play([before] * 40 + [after] * 15, guard_points=9.0)}
