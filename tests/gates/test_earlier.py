"""What is known of a service before a release: it sets how many events count as one at first, and never the verdict."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import norm

from gates.checks import LOOK, problems
from gates.evidence import ArmCounts, Earlier, Look
from gates.gate_set import GateSet
from gates.outcome import Outcome
from gates.stats.ratio import Arms
from gates.stats.spread import Spread, whole_of
from gates.verdict import Window
from tests.gates.support import EDGES_MS, JUDGING

POLICY = replace(JUDGING, accuracy_shadow=None, accuracy_live=None, calibration_shadow=None, accuracy_slices=None)


def spread_of(mean: int, looks: int, known: float, seed: int = 1) -> Spread:
    """Of events that come ``mean`` at a time, and as many in all whatever that is."""
    rng, spread = np.random.default_rng(seed), Spread().expecting(known)
    for _ in range(looks):
        own, other = (mean * int(rng.poisson(20 / mean)) for _ in range(2))
        spread = spread.add(Arms(own, 1_000, other, 1_000))
    return spread


def test_the_estimate_begins_with_what_is_known_and_is_drawn_to_what_is_seen() -> None:
    assert Spread().expecting(5.0).sudden == Spread().expecting(5.0).lasting == 5.0
    few, many = (spread_of(1, looks, 5.0) for looks in (3, 200))
    assert 1.5 < few.sudden < 5.0
    assert many.sudden == pytest.approx(1.0, abs=0.25)
    assert spread_of(8, 200, 1.5).sudden == pytest.approx(8.0, rel=0.3)


def test_no_history_makes_evidence_count_for_more() -> None:
    """Never below what independent events would be, nor below what the same looks tell without it."""
    assert Spread().expecting(0.2) == Spread()
    for mean in (1, 5):
        for looks in (2, 5, 20):
            for seed in range(20):
                without = spread_of(mean, looks, 1.0, seed)
                assert spread_of(mean, looks, 4.0, seed).sudden >= without.sudden
                assert spread_of(mean, looks, 4.0, seed).whole >= without.whole


def test_what_was_seen_already_is_not_changed_by_what_is_told_later() -> None:
    seen = spread_of(1, 10, 1.0)
    assert seen.expecting(9.0) == seen


def test_what_is_learnt_goes_to_the_next_release() -> None:
    first = spread_of(6, 60, 1.0)
    assert first.learnt == pytest.approx(6.0, rel=0.4)
    assert Spread().expecting(first.learnt).sudden == first.learnt
    assert Spread().learnt == 1.0


def arm(rng: np.random.Generator, requests: int, errors: int, mean: int = 1) -> ArmCounts:
    """Log-normal times around 40 ms, as independent as slow ones that come ``mean`` at a time are."""
    law = np.diff(norm.cdf((np.log(EDGES_MS) - np.log(40)) / 0.5), prepend=0.0, append=1.0)
    return ArmCounts(requests, errors, tuple((mean * rng.multinomial((requests - errors) // mean, law)).tolist()))


def begun(earlier: tuple[Earlier, ...], *, errors: int = 0, mean: int = 1, looks: int = 4) -> dict[str, object]:
    """The states of the gates after some looks in shadow."""
    rng, gate_set = np.random.default_rng(5), GateSet(POLICY)
    state = gate_set.start()
    for number in range(1, looks + 1):
        look = Look(number, Window(60.0 * (number - 1), 60.0 * number), 0.0, EDGES_MS)
        parts = arm(rng, 600, 0, mean), arm(rng, 600, 0, mean)
        counts = tuple(map(int.__add__, *(part.latency_counts for part in parts)))
        told = earlier if number == 1 else ()
        stable = ArmCounts(1_200, errors, counts)
        look = replace(look, stable=stable, shadow=arm(rng, 1_200, errors), stable_parts=parts, earlier=told)
        state, verdicts = gate_set.look(state, look)
        assert all(verdict.outcome is not Outcome.ERROR for verdict in verdicts)
    return dict(state.gates)


GATES = ("errors.shadow", "errors.live", "latency.p95", "latency.p99", "budget.burn")


def test_each_gate_begins_with_its_own() -> None:
    told = tuple(Earlier(name, 3.0 + place) for place, name in enumerate(GATES))
    found = begun(told, looks=1)
    for one in told:
        state = found[one.gate]
        spread = getattr(state, "before", None) or getattr(state, "spread")  # noqa: B009
        assert spread.known == one.effect
        assert state.learnt == one.effect  # type: ignore[attr-defined]
    assert begun((), looks=1)["errors.live"].spread.known == 1.0  # type: ignore[attr-defined]


def test_how_slow_requests_come_is_known_before_users_get_the_candidate() -> None:
    """By the halves of stable, in shadow: ten at a time."""
    alone = begun((), mean=1, looks=40)["latency.p95"].effect  # type: ignore[attr-defined]
    tens = begun((), mean=10, looks=40)["latency.p95"].effect  # type: ignore[attr-defined]
    assert alone < 1.6
    assert tens > 5.0


@pytest.mark.parametrize("effect", [0.5, math.nan, math.inf])
def test_what_no_effect_can_be_is_refused(effect: float) -> None:
    look = Look(1, Window(0.0, 60.0), 0.0, earlier=(Earlier("errors.live", effect),))
    found = problems(look, last_sequence=0, last_end_s=None)
    assert [(one.source, one.reason) for one in found] == [
        (LOOK, f"earlier[errors.live].effect: {effect!r} is not at least 1")
    ]


def test_what_a_gate_was_told_is_unlearnt_where_it_is_not_seen() -> None:
    """Of copies nobody waits for, the gate of shadow sees all that it will ever see."""
    found = begun((Earlier("errors.shadow", 10.0),), errors=6, looks=120)["errors.shadow"]
    assert found.learnt < 3.0  # type: ignore[attr-defined]
    assert found.whole < 1.5  # type: ignore[attr-defined]


def test_a_place_that_saw_nothing_says_nothing_of_the_whole() -> None:
    """A gateway that copies no requests, or a gate that sees copies alone: half as much again for good, once."""
    seen = spread_of(1, 200, 1.0)
    assert Spread().whole == 1.5
    assert whole_of(seen, Spread()) == seen.whole < 1.2
    assert whole_of(seen, spread_of(8, 200, 1.0)) > 5.0
