"""The service's own noise: what two parts of stable are apart by is no difference of the versions."""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import norm

from gates.evidence import ArmCounts, LabelCounts, Look
from gates.gate_set import GateSet, state_from_json, state_to_json
from gates.outcome import Outcome
from gates.policy import GatePolicy, LiveAccuracyPolicy
from gates.stats.noise import USERS_APART, Apart, Noise, Parts
from gates.stats.ratio import Arms
from gates.verdict import Verdict, Window
from tests.gates.support import EDGES_MS, JUDGING

NO_LABELS = replace(JUDGING, accuracy_shadow=None, accuracy_live=None, calibration_shadow=None, accuracy_slices=None)
POLICY = replace(NO_LABELS, errors_shadow=None, errors_live=None, budget=None)
LOOKS = 60
NOBODY = ArmCounts(0, 0, (0,) * (len(EDGES_MS) + 1))


def parts_of(rng: np.random.Generator, rates: Sequence[float], looks: int = 30) -> Parts:
    """Parts of 500 requests a look each, with so many events in the mean."""
    parts = Parts()
    for _ in range(looks):
        parts = parts.add([(int(rng.poisson(rate)), 500) for rate in rates])
    return parts


@pytest.mark.parametrize("replicas", [2, 3, 8])
def test_replicas_that_chance_alone_sets_apart_have_next_to_no_floor(replicas: int) -> None:
    """At a step of half of the traffic, where they cost the most, and as many events as told of them."""
    rng = np.random.default_rng(1)
    found = [Noise(parts_of(rng, [10 / replicas] * replicas), information=30 * 10 / 4) for _ in range(400)]
    assert np.mean([noise.floor(1.0) > 0 for noise in found]) < 0.12
    assert np.mean([noise.effect(1.0) for noise in found]) < 1.2


@pytest.mark.parametrize("replicas", [2, 3, 5, 8])
def test_one_bad_replica_is_found_whichever_it_is_and_however_many_there_are(replicas: int) -> None:
    """Of halves by name every other one would be diluted by as many good ones."""
    rng = np.random.default_rng(2)
    floors = []
    for bad in range(replicas):
        noise = Noise(parts_of(rng, [200.0 if place == bad else 100.0 for place in range(replicas)]))
        floors.append(noise.floor(1.0))
    spread = (math.log(2) ** 2 / 2) * 2 / replicas  # of the logarithms of the rates
    assert floors == pytest.approx([math.sqrt(2 * spread)] * replicas, rel=0.35)


def test_a_replica_that_was_there_at_a_bad_hour_alone_is_no_bad_one() -> None:
    """One that stopped before the rush, one that came for it, and one that stayed."""
    rng = np.random.default_rng(3)
    parts = parts_of(rng, (5.0, 5.0))
    for _ in range(30):
        parts = parts.add([(int(rng.poisson(50)), 500), (0, 0), (int(rng.poisson(50)), 500)])
    assert Noise(parts).floor(1.0) < 0.03


def test_a_part_alone_and_one_without_events_tell_nothing() -> None:
    alone = Parts().add([(5, 500)]).add([(0, 0), (7, 500)])
    assert alone == Parts()
    assert Noise(alone).effect(2.0) == 2.0
    assert Noise(Parts().add([(0, 500), (0, 500)])).floor(1.0) == 0.0


def by_users(rng: np.random.Generator, *, sd: float, events: float = 3_000.0) -> Parts:
    """Sixteen parts of 2,000 users, of whom few send most, and whose rates differ by so much (of their logarithm)."""
    sends, rates = 1 + rng.pareto(1.5, 2_000), np.exp(sd * rng.standard_normal(2_000))
    of = rng.permutation(2_000) % 16
    mean = sends * rates * events / (sends @ rates)
    asked = sends * 100_000 / sends.sum()
    return Parts().add([(int(rng.poisson(mean[of == part].sum())), int(asked[of == part].sum())) for part in range(16)])


def test_how_far_users_are_apart_is_told_by_parts_of_them() -> None:
    """For any share: as far as the users of a candidate truly are from the others, give or take what chance leaves."""
    rng = np.random.default_rng(4)
    for share in (0.05, 0.2):
        guessed, true = [], []
        for _ in range(60):
            sends, rates = 1 + rng.pareto(1.5, 2_000), np.exp(0.7 * rng.standard_normal(2_000))
            own = rng.random(2_000) < share
            mean_own, mean_other = (np.average(rates[part], weights=sends[part]) for part in (own, ~own))
            true.append(math.log(mean_own / mean_other))
            noise = Noise(among_users=by_users(rng, sd=0.7), sticky=True)
            noise = noise.compared(Arms(int(300 * share), int(10_000 * share), 300, 10_000))
            guessed.append(noise.floor(1.0))
        assert 0.8 < math.sqrt(np.mean(np.square(guessed)) / np.mean(np.square(true))) < 2.0


def test_users_who_are_alike_are_held_apart_by_little() -> None:
    """By what chance leaves unknown: a third of an event in as many as told of it, where 0.4 were assumed before."""
    rng = np.random.default_rng(5)
    alike = [Parts().add([(int(rng.poisson(200)), 6_000) for _ in range(16)]) for _ in range(100)]
    effects = [Noise(among_users=parts, sticky=True, information=285.0, events=1_500).effect(1.0) for parts in alike]
    assert np.mean(effects) < 1.35
    assert Noise(sticky=True, information=285.0, events=1_500).effect(1.0) == pytest.approx(46.6)


def test_an_offset_that_lasts_is_found_whatever_its_size() -> None:
    apart = Apart().add(Arms(3_000, 10_000, 10_000, 100_000))
    assert apart.offset == pytest.approx(math.log(3), abs=1e-3)
    assert apart.beyond_chance(1.0) == pytest.approx(math.log(3), abs=0.04)
    assert apart.beyond_chance(400.0) < 0.7


def test_the_effect_is_never_below_that_of_events_that_come_together() -> None:
    noise = Noise(Parts().add([(90, 1_000), (50, 1_000)]), information=40.0)
    assert noise.effect(1.0) > 1.0
    assert Noise().effect(3.0) == 3.0


def test_users_who_stick_are_apart_until_stable_has_shown_otherwise() -> None:
    untold = Noise(sticky=True, information=100.0)
    assert untold.floor(1.0) == USERS_APART
    alike = replace(untold, users=Apart().add(Arms(500, 10_000, 10_000, 200_000)))
    assert alike.floor(1.0) == pytest.approx(math.sqrt(1 / 500 + 1 / 10_000), rel=0.03)
    others = replace(untold, users=Apart().add(Arms(1_000, 10_000, 10_000, 200_000)))
    assert others.floor(1.0) == pytest.approx(math.log(2) - 1.5 * math.sqrt(1 / 1_000 + 1 / 10_000), abs=0.01)
    assert replace(others, sticky=False).floor(1.0) == 0.0


def arm(rng: np.random.Generator, requests: int, error: float, slow: float) -> ArmCounts:
    """Log-normal times around 40 ms."""
    errors = int(rng.binomial(requests, error))
    law = np.diff(norm.cdf((np.log(EDGES_MS) - np.log(40 * slow)) / 0.5), prepend=0.0, append=1.0)
    return ArmCounts(requests, errors, tuple(rng.multinomial(requests - errors, law).tolist()))


def sum_of(one: ArmCounts, two: ArmCounts) -> ArmCounts:
    counts = tuple(map(int.__add__, one.latency_counts, two.latency_counts))
    return ArmCounts(one.requests + two.requests, one.errors + two.errors, counts)


def released(seed: int, slow: float, *, of_half: float = 1.0, told: bool = True) -> tuple[Outcome, str]:
    """The verdict of latency.p95 at its first failure, or at the end: the candidate at a fifth of the traffic, ``slow``
    times stable's better replica; half of stable's replicas ``of_half`` times."""
    rng, gate_set = np.random.default_rng(seed), GateSet(POLICY)
    state, verdict = gate_set.start(deadline_s=60.0 * LOOKS), None
    for number in range(1, LOOKS + 1):
        good, bad = arm(rng, 480, 0.001, 1.0), arm(rng, 480, 0.001, of_half)
        look = Look(
            sequence=number,
            window=Window(60.0 * (number - 1), 60.0 * number),
            candidate_share=0.2,
            latency_edges_ms=EDGES_MS,
            stable=sum_of(good, bad),
            candidate=arm(rng, 240, 0.001, slow),
            shadow=arm(rng, 960, 0.001, slow),
            stable_parts=(good, bad) if told else (),
        )
        state, verdicts = gate_set.look(state, look)
        verdict = next(one for one in verdicts if one.gate == "latency.p95")
        if verdict.outcome is Outcome.FAIL:
            break
    assert verdict is not None
    return verdict.outcome, verdict.reason


def test_a_candidate_on_a_node_as_bad_as_stables_own_is_not_blamed() -> None:
    """One of stable's two replicas is a quarter slower than the other, and so is the candidate."""
    assert released(1, 1.25, of_half=1.25, told=False)[0] is Outcome.FAIL
    for seed in range(2):
        outcome, reason = released(seed, 1.25, of_half=1.25)
        assert outcome is Outcome.INCONCLUSIVE
        assert "; replicas of stable differ by up to " in reason


def test_harm_beyond_the_noise_is_found() -> None:
    outcome, reason = released(1, 1.8, of_half=1.1)
    assert outcome is Outcome.FAIL
    assert "got worse" in reason


def test_replicas_that_are_alike_take_nothing_from_the_power() -> None:
    assert released(1, 1.25)[0] is Outcome.FAIL


HEAVY = 2.0  # times as many errors as others get: the users of the candidate


def among_users(*, told: bool, factor: float = 1.0, sticky: bool = True) -> dict[str, Verdict]:
    """The last verdicts by gate, of a candidate that fails ``factor`` times as often as stable, whose few users make
    twice as many errors as others do, whoever serves them. ``told``: stable's answers to copies of what they ask."""
    rng, gate_set = np.random.default_rng(3), GateSet(replace(NO_LABELS, latency=None))
    state, verdicts = gate_set.start(deadline_s=60.0 * LOOKS), ()
    for number in range(1, LOOKS + 1):
        look = Look(
            sequence=number,
            window=Window(60.0 * (number - 1), 60.0 * number),
            candidate_share=0.2,
            latency_edges_ms=EDGES_MS,
            stable=arm(rng, 960, 0.02, 1.0),
            candidate=arm(rng, 240, 0.02 * HEAVY * factor, 1.0),
            shadow=arm(rng, 960, 0.02 * factor, 1.0),
            former=arm(rng, 240, 0.02 * HEAVY, 1.0) if told else None,
            sticky=sticky,
        )
        state, verdicts = gate_set.look(state, look)
        if any(one.outcome is Outcome.FAIL for one in verdicts):
            break
    return {one.gate: one for one in verdicts}


def test_users_who_stick_and_fail_more_are_not_the_candidates_fault() -> None:
    """Where requests are dealt by themselves the same counts are harm."""
    assert among_users(told=False, sticky=False)["errors.live"].outcome is Outcome.FAIL
    for told in (True, False):
        found = among_users(told=told)
        assert all(one.outcome is not Outcome.FAIL for one in found.values())
        assert "users stick to a version: a difference of up to " in found["errors.live"].reason
        assert found["errors.shadow"].outcome is Outcome.PASS


def test_what_users_do_not_explain_is_found_among_those_who_stick() -> None:
    assert among_users(told=True, factor=8.0)["errors.live"].outcome is Outcome.FAIL
    assert among_users(told=False, factor=8.0)["errors.live"].outcome is Outcome.FAIL


def test_shares_of_requests_say_nothing_where_users_stick() -> None:
    gate_set = GateSet(GatePolicy())
    state, verdicts = gate_set.start(), ()
    for number in range(1, 20):
        counts = (0,) * (len(EDGES_MS) + 1)
        look = Look(number, Window(60.0 * (number - 1), 60.0 * number), 0.05, EDGES_MS, sticky=True)
        look = replace(look, stable=ArmCounts(800, 0, counts), candidate=ArmCounts(200, 0, counts))
        state, verdicts = gate_set.look(state, look)
    ratio = next(one for one in verdicts if one.gate == "experiment.ratio")
    assert (ratio.outcome, ratio.advisory) == (Outcome.INCONCLUSIVE, True)
    assert ratio.reason.startswith("Users stick to a version")


def test_live_accuracy_passes_nothing_where_users_stick() -> None:
    """Neither that the candidate's users are easy to answer nor that they are hard is its doing."""
    for wrong, sticky, expected in (
        (12, False, Outcome.FAIL),
        (12, True, None),
        (2, False, Outcome.PASS),
        (2, True, None),
    ):
        gate_set = GateSet(replace(GatePolicy(), accuracy_live=LiveAccuracyPolicy(required=True)))
        state, verdicts = gate_set.start(), ()
        for number in range(1, 80):
            look = Look(number, Window(60.0 * (number - 1), 60.0 * number), 0.5, EDGES_MS, sticky=sticky)
            labels = {"stable_labels": LabelCounts(80, 6), "candidate_labels": LabelCounts(80, wrong)}
            state, verdicts = gate_set.look(state, replace(look, stable=NOBODY, candidate=NOBODY, **labels))
        live = next(one for one in verdicts if one.gate == "accuracy.live")
        assert live.outcome is (expected or Outcome.INCONCLUSIVE), live.reason
        assert ("users stick to a version" in live.reason) == sticky


def test_parts_that_are_more_than_the_whole_are_no_trouble() -> None:
    """A scrape fell between two counters."""
    gate_set = GateSet(NO_LABELS)
    counts = (0,) * (len(EDGES_MS) + 1)
    whole, more = ArmCounts(100, 1, counts), ArmCounts(100, 2, counts)
    look = Look(1, Window(0.0, 60.0), 0.0, EDGES_MS, stable=whole, shadow=whole, stable_parts=(more, whole))
    state, verdicts = gate_set.look(gate_set.start(), look)
    assert all(verdict.outcome is not Outcome.ERROR for verdict in verdicts)
    assert state_from_json(state_to_json(state), GatePolicy) == state


def test_a_floor_slows_a_certificate_and_does_not_forbid_it() -> None:
    """Each look is worth less as the floor hides more; all of them together are not divided by it once more."""
    assert released(1, 0.5, of_half=1.3)[0] is Outcome.PASS
