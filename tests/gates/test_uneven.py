"""Labels that were not equally likely: exact enumeration of small cases, and the gates on designs that choose texts."""

import math
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from gates.evidence import Answer, LabelChance, LabelCounts, LabelledPair, LeastLikely, Look
from gates.gate import Timing
from gates.gate_set import GateSet, state_from_json, state_to_json
from gates.online.accuracy_live.gate import BETS, LiveAccuracyGate
from gates.online.accuracy_shadow.gate import PairedAccuracyGate
from gates.online.calibration_shadow.gate import CalibrationGate
from gates.online.pairing import Losses
from gates.outcome import Outcome
from gates.policy import CalibrationPolicy, GatePolicy, LiveAccuracyPolicy, PairedAccuracyPolicy
from gates.stats import betting, uneven
from gates.stats.uneven import FLOOR_LOG_WEIGHT, Arm, Chances, Graded, Span
from gates.stats.weighted import Drawn
from gates.verdict import Verdict, Window
from tests.bench.world.answers import Pool, Skill, pool
from tests.bench.world.scenarios import LOSES_TWO
from tests.gates.test_exact_paths import ROUNDING, best_stopping

D = Span(-1.0, 1.0)
PAIRED = PairedAccuracyPolicy().bets
LEVELS = {"alpha": 0.002, "promotion_alpha": 0.01}
WATCHING = Timing(0.0, due=False)

# Kinds of texts: their share of all, how likely each is labelled, and the chances that the candidate lost and won it.
Kind = tuple[float, float, float, float]
SURE_LOSES, DOUBTED_WINS = (0.7, 0.05, 0.2, 0.05), (0.3, 1.0, 0.1, 0.45)
DESIGNS: dict[str, tuple[Kind, ...]] = {
    "labels where the candidate wins": (SURE_LOSES, DOUBTED_WINS),
    "labels where it loses": ((0.7, 1.0, 0.2, 0.05), (0.3, 0.05, 0.1, 0.45)),
    "three levels": ((0.2, 0.05, 0.3, 0.0), (0.3, 0.2, 0.0, 0.2), (0.5, 1.0, 0.0, 0.0)),
    "even": ((1.0, 0.3, 0.25, 0.25),),
}


def outcomes_of(kinds: tuple[Kind, ...]) -> list[tuple[float, tuple[float, float] | None]]:
    """Every outcome of one request: (its chance, the label's value and probability; None: not labelled)."""
    found: list[tuple[float, tuple[float, float] | None]] = [
        (math.fsum(share * (1 - chance) for share, chance, _, _ in kinds), None)
    ]
    for share, chance, lost, won in kinds:
        for value, part in ((1.0, lost), (-1.0, won), (0.0, 1 - lost - won)):
            found.append((share * chance * part, (value, chance)))
    return [outcome for outcome in found if outcome[0]]


def mean_of(kinds: tuple[Kind, ...]) -> float:
    return float(sum(Fraction(share) * (Fraction(lost) - Fraction(won)) for share, _, lost, won in kinds))


def step(sample: Drawn, seen: tuple[float, float] | None) -> Drawn:
    return sample if seen is None else sample.add(*seen)


# --- the mathematics, exactly -----------------------------------------------------------------------------------------
@pytest.mark.parametrize("kinds", DESIGNS.values(), ids=DESIGNS)
@pytest.mark.parametrize("worse", [0.0, 0.02])
def test_no_stopping_rule_gains_within_the_null_whatever_was_labelled(kinds, worse):
    """At the null's edge and inside it: all paths of five requests, labelled or not, and the best time to stop."""
    least, mean, outcomes = min(kind[1] for kind in kinds), mean_of(kinds), outcomes_of(kinds)
    for test, null in ((uneven.log_e_mean_at_most, mean + worse), (uneven.log_e_mean_at_least, mean - worse)):
        value = best_stopping(Drawn(), step, lambda s, t=test, m=null: t(s, least, m, D, PAIRED), outcomes, 5)
        assert value <= 1 + ROUNDING


def test_the_enumeration_can_tell():
    """Unweighted, the same labels gain against a null that is true; and weighted bets gain where the null is false."""
    kinds = DESIGNS["labels where the candidate wins"]
    least, mean, outcomes = 0.05, mean_of(kinds), outcomes_of(kinds)
    plain = best_stopping(
        Drawn(), lambda s, seen: s if seen is None else s.add(seen[0], 1.0),
        lambda s: uneven.log_e_mean_at_least(s, 1.0, mean, D, PAIRED), outcomes, 5,
    )  # fmt: skip
    assert plain > 1.05
    loses = DESIGNS["labels where it loses"]
    outside = best_stopping(
        Drawn(), step, lambda s: uneven.log_e_mean_at_most(s, least, mean_of(loses) - 0.3, D, PAIRED),
        outcomes_of(loses), 5,
    )  # fmt: skip
    assert outside > 1.001


@pytest.mark.parametrize("difference", [0.0, 0.1])
def test_no_stopping_rule_gains_from_live_labels_of_two_arms(difference):
    """accuracy.live: labels of each arm chosen by a design of its own, the difference exactly at the null."""
    stable = ((0.5, 0.1, 0.3), (0.5, 1.0, 0.5))  # of a kind: its share, how likely it is labelled, the share of wrong
    candidate = ((0.5, 1.0, 0.3 + difference), (0.5, 0.2, 0.5 + difference))

    def arm_outcomes(kinds):
        found = [(sum(share * (1 - chance) for share, chance, _ in kinds), None)]
        for share, chance, wrong in kinds:
            found += [(share * chance * wrong, (1.0, chance)), (share * chance * (1 - wrong), (0.0, chance))]
        return [outcome for outcome in found if outcome[0]]

    outcomes = [(a * b, (x, y)) for a, x in arm_outcomes(candidate) for b, y in arm_outcomes(stable)]

    def log_e(arms):
        own, others = Arm(arms[0], Chances(0.2)), Arm(arms[1], Chances(0.1))
        return uneven.log_e_difference_at_least(own, others, difference, BETS)

    value = best_stopping(
        (Drawn(), Drawn()), lambda s, seen: (step(s[0], seen[0]), step(s[1], seen[1])), log_e, outcomes, 2
    )
    assert value <= 1 + ROUNDING


def test_the_sums_never_claim_more_than_the_bets_have_won():
    """The capital multiplied out label by label is at least what the sums say, for any values, nulls and designs."""
    rng = np.random.default_rng(5)
    for _ in range(200):
        values, chances = rng.uniform(-1, 1, 30), rng.choice([0.05, 0.2, 1.0], 30)
        null = float(rng.uniform(-0.9, 0.9))
        sample = Drawn().add_all(values.tolist(), chances.tolist())
        claimed = uneven.log_capitals(sample, 0.05, null, D, PAIRED)
        sizes = np.array(PAIRED)[:, None] / max(null + 1, 1)
        won = np.log1p(sizes * (0.05 / chances) * (values - null)).sum(axis=1)
        assert (np.array(claimed) <= won + 1e-9).all()


def test_bounds_from_sums_hold_the_mean_at_every_look():
    """Of 200 runs of 40 looks each at 90 %, at most a tenth ever leave the population's mean outside."""
    rng, kinds = np.random.default_rng(6), DESIGNS["labels where the candidate wins"]
    chances, seen = zip(*outcomes_of(kinds), strict=True)
    missed = 0
    for _ in range(200):
        sample, outside = Drawn(), False
        for _ in range(40):
            drawn = [seen[place] for place in rng.choice(len(seen), 100, p=chances)]
            sample = sample.add_all(*zip(*(label for label in drawn if label is not None), strict=True))
            low, high = uneven.mean_bounds(sample, 0.05, D, PAIRED, 0.1)
            outside |= not low <= mean_of(kinds) <= high
        missed += outside
    assert missed <= 20
    assert high - low < 0.4


# --- the gates --------------------------------------------------------------------------------------------------------
def pairs_of(kinds: Pool, rng: np.random.Generator, count: int) -> tuple[list[LabelledPair], int]:
    """Those of ``count`` requests that people are asked about by stable's doubt; and how many disagree in all."""
    chosen = rng.integers(0, len(kinds.chance), count)
    asked = rng.random(count) < kinds.doubts[chosen]
    return [kinds.asked[place] for place in chosen[asked]], int(np.count_nonzero(kinds.change[chosen]))


def look(sequence: int, pairs: list[LabelledPair], count: int = 0, disagreed: int = 0, **fields: object) -> Look:
    window = Window(60.0 * (sequence - 1), 60.0 * sequence)
    return Look(
        sequence, window, 0.0, pairs=tuple(pairs), pairs_agreed=count - disagreed, pairs_disagreed=disagreed, **fields
    )


def watched(gate, looks) -> tuple[list[Verdict], object]:
    state, verdicts = gate.start(), []
    for seen in looks:
        state, verdict = gate.look(state, seen, WATCHING)
        verdicts.append(verdict)
    return verdicts, state


@pytest.mark.parametrize("counted", [True, False], ids=["all pairs counted", "labelled pairs only"])
@pytest.mark.parametrize("least", [None, 0.04], ids=["as seen", "declared"])
def test_a_loss_that_labels_by_doubt_hide_is_not_promoted_and_its_size_is_told(counted, least):
    """Two points are lost; among the texts that stable is unsure of the candidate is better. Ten releases."""
    kinds, gate = (
        pool(LOSES_TWO.skill),
        PairedAccuracyGate(PairedAccuracyPolicy(inclusion_probability_min=least), **LEVELS),
    )
    told = []
    for seed in range(10):
        rng = np.random.default_rng(seed)
        looks = []
        for number in range(1, 16):
            pairs, disagreed = pairs_of(kinds, rng, 6000)
            looks.append(look(number, pairs, *((6000, disagreed) if counted else ())))
        verdicts, state = watched(gate, looks)
        assert all(verdict.outcome is not Outcome.PASS for verdict in verdicts)
        raw = state.losses.counts
        assert raw.minus > raw.plus  # what an unweighted count sees
        assert verdicts[-1].interval.low <= 2.0 <= verdicts[-1].interval.high
        told.append(verdicts[-1].value)
    assert np.mean(told) == pytest.approx(2.0, abs=0.35)  # three standard errors: 0.36 a release
    assert "weighted by how likely each text was to be labelled (0.04 to 1)" in verdicts[-1].reason


def test_an_equal_candidate_passes_on_labels_by_doubt():
    """The same design, and nothing lost."""
    kinds, gate, rng = pool(Skill()), PairedAccuracyGate(PairedAccuracyPolicy(), **LEVELS), np.random.default_rng(1)
    looks = []
    for number in range(1, 31):
        pairs, disagreed = pairs_of(kinds, rng, 6000)
        looks.append(look(number, pairs, 6000, disagreed))
    verdicts, _ = watched(gate, looks)
    assert any(verdict.outcome is Outcome.PASS for verdict in verdicts)
    assert all(verdict.outcome is not Outcome.FAIL for verdict in verdicts)


@pytest.mark.parametrize("chance", [1.0, 0.5, 0.1, 1 / 3])
def test_equally_likely_labels_count_as_they_always_did(chance):
    """Whatever the probability, as long as it is the same for all: the same verdicts, to the last digit."""
    kinds, rng = pool(LOSES_TWO.skill, 2000), np.random.default_rng(2)
    gate_set = GateSet(GatePolicy())
    ones, others = gate_set.start(), gate_set.start()
    for number in range(1, 8):
        plain = [kinds.chance[place] for place in rng.integers(0, 2000, 80)]
        alike = [replace(pair, inclusion_probability=chance) for pair in plain]
        labels = LabelCounts(40, 3), LabelCounts(40, 3, (LabelChance(chance, 40, 3),))
        first = look(number, plain, 800, 56, stable_labels=labels[0], candidate_labels=labels[0])
        second = look(number, alike, 800, 56, stable_labels=labels[1], candidate_labels=labels[1])
        ones, expected = gate_set.look(ones, first)
        others, found = gate_set.look(others, second)
        assert found == expected


def test_evidence_begins_anew_when_a_less_likely_label_comes():
    """What was won while the smallest probability seen was a larger one may not have been won honestly."""
    gate = PairedAccuracyGate(PairedAccuracyPolicy(), **LEVELS)
    right, wrong = Answer("yes", 0.9, 0.02), Answer("no", 0.9, 1.62)
    won = LabelledPair("yes", wrong, right, inclusion_probability=1.0)
    lost = LabelledPair("yes", right, wrong, inclusion_probability=0.01)
    _, state = watched(gate, [look(1, [won] * 90 + [replace(won, truth="no")] * 20)])
    before = state.peak_safe
    assert before > math.log(100)
    state, verdict = gate.look(state, look(2, [lost] * 2), WATCHING)
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert verdict.value > 0
    assert state.peak_safe < math.log(100)


@pytest.mark.parametrize("loss", [0.0, 2.0])
def test_directed_labels_with_a_probability_are_weighed_among_the_disagreements(loss):
    """Disagreements are labelled by stable's doubt, agreement never: their share makes it a mean of all."""
    skill = LOSES_TWO.skill if loss else Skill()
    kinds, gate, rng = pool(skill), PairedAccuracyGate(PairedAccuracyPolicy(), **LEVELS), np.random.default_rng(3)
    looks = []
    for number in range(1, 31):
        pairs, disagreed = pairs_of(kinds, rng, 6000)
        apart = [replace(pair, directed=True) for pair in pairs if pair.stable.label != pair.candidate.label]
        looks.append(look(number, apart, 6000, disagreed))
    verdicts, _ = watched(gate, looks)
    outcomes = {verdict.outcome for verdict in verdicts}
    assert (Outcome.PASS in outcomes, Outcome.FAIL in outcomes) == ((False, True) if loss else (True, False))
    assert verdicts[-1].value == pytest.approx(loss, abs=0.6)
    assert verdicts[-1].interval.low <= loss <= verdicts[-1].interval.high


def test_directed_labels_beside_labels_by_doubt_cannot_be_weighed():
    """Which disagreements were left to direction depends on the doubt, and no label of theirs says how: the gate waits,
    and says what to do; few disagreements certify without a label all the same."""
    kinds, gate, rng = pool(Skill()), PairedAccuracyGate(PairedAccuracyPolicy(), **LEVELS), np.random.default_rng(3)
    looks = []
    for number in range(1, 31):
        chosen = rng.integers(0, len(kinds.chance), 6000)
        asked = rng.random(6000) < kinds.doubts[chosen]
        pairs = [kinds.asked[place] for place in chosen[asked]]
        rest = [kinds.chance[place] for place in chosen[~asked & (kinds.change[chosen] != 0)]]
        directed = [replace(pair, directed=True) for pair in rest]
        looks.append(look(number, pairs + directed, 6000, int(np.count_nonzero(kinds.change[chosen]))))
    verdicts, state = watched(gate, looks)
    assert {verdict.outcome for verdict in verdicts} == {Outcome.INCONCLUSIVE}
    assert verdicts[-1].value is None
    assert "Use one of the two" in verdicts[-1].reason
    _, verdict = gate.look(state, look(31, [], 10_000_000, 0), WATCHING)
    assert verdict.outcome is Outcome.PASS


def live_labels(kinds: Pool, rng: np.random.Generator, count: int, wrong: np.ndarray) -> LabelCounts:
    chosen = rng.integers(0, len(kinds.chance), count)
    chosen = chosen[rng.random(count) < kinds.doubts[chosen]]
    chances = tuple(
        LabelChance(chance, int((kinds.doubts[chosen] == chance).sum()),
                    int(wrong[chosen][kinds.doubts[chosen] == chance].sum()))
        for chance in np.unique(kinds.doubts[chosen]).tolist()
    )  # fmt: skip
    return LabelCounts(len(chosen), int(wrong[chosen].sum()), chances)


@pytest.mark.parametrize("loss", [0.0, 5.0])
def test_live_labels_by_doubt_are_weighed(loss):
    """Each version's own live answers. Of a loss of five points the labels show half; weighted, the whole of it."""
    skill = Skill(both_wrong=0.07, lost=0.06, won=0.01) if loss else Skill()
    kinds, rng = pool(skill), np.random.default_rng(4)
    gate, looks = LiveAccuracyGate(LiveAccuracyPolicy(), **LEVELS), []
    for number in range(1, 21):
        stable = live_labels(kinds, rng, 8000, kinds.stable_wrong)
        candidate = live_labels(kinds, rng, 8000, kinds.candidate_wrong)
        looks.append(look(number, [], stable_labels=stable, candidate_labels=candidate))
    verdicts, _ = watched(gate, looks)
    outcomes = {verdict.outcome for verdict in verdicts}
    assert (Outcome.PASS in outcomes, Outcome.FAIL in outcomes) == ((False, True) if loss else (True, False))
    assert verdicts[-1].value == pytest.approx(loss, abs=0.5)
    assert verdicts[-1].interval.low <= loss <= verdicts[-1].interval.high
    assert "weighted by how likely each text was to be labelled (0.04 to 1)" in verdicts[-1].reason


@pytest.mark.parametrize("least", [None, 0.04], ids=["as seen", "declared"])
def test_calibration_is_that_of_all_texts_and_not_of_the_doubted(least):
    """Overconfident where people are never asked, fine where they are: weighted it fails; and an equal one passes."""
    gate = CalibrationGate(CalibrationPolicy(inclusion_probability_min=least), **LEVELS)
    for skill, bad in ((Skill(sharpness=2.0), True), (Skill(), False)):
        kinds, rng = pool(skill), np.random.default_rng(5)
        verdicts, _ = watched(gate, (look(number, pairs_of(kinds, rng, 6000)[0]) for number in range(1, 26)))
        outcomes = {verdict.outcome for verdict in verdicts}
        assert (Outcome.FAIL in outcomes, Outcome.PASS in outcomes) == (bad, not bad)
    gap = np.mean([p.candidate.confidence - (p.candidate.label == p.truth) for p in pool(Skill(sharpness=2.0)).chance])
    stable = np.mean([p.stable.confidence - (p.stable.label == p.truth) for p in pool(Skill(sharpness=2.0)).chance])
    verdicts, _ = watched(gate, [look(1, pairs_of(pool(Skill(sharpness=2.0)), np.random.default_rng(5), 60_000)[0])])
    assert verdicts[-1].value == pytest.approx(gap - stable, abs=0.02)


def test_a_state_with_uneven_labels_survives_a_restart():
    """Written as JSON and read again, float for float."""
    kinds, gate_set = pool(LOSES_TWO.skill, 2000), GateSet(GatePolicy())
    pairs, disagreed = pairs_of(kinds, np.random.default_rng(6), 2000)
    labels = LabelCounts(3, 1, (LabelChance(0.1, 1, 1), LabelChance(0.7, 2, 0)))
    seen = look(1, pairs, 2000, disagreed, stable_labels=labels, candidate_labels=labels)
    state, _ = gate_set.look(gate_set.start(), seen)
    assert state_from_json(state_to_json(state)) == state


# --- one label that claims to stand for most of the requests ---------------------------------------------------------
RIGHT, WRONG = Answer("yes", 0.9, 0.02), Answer("no", 0.9, 1.62)
SAME, LOSES, WINS = (
    LabelledPair("yes", RIGHT, RIGHT),
    LabelledPair("yes", RIGHT, WRONG),
    LabelledPair("yes", WRONG, RIGHT),
)


def thousand(odd: list[LabelledPair], lost: int, won: int, first: bool) -> list[Look]:
    """A thousand pairs in ten looks, the odd ones in a look before all others or in the last."""
    plain = [LOSES] * lost + [WINS] * won + [SAME] * (100 - lost - won)
    looks = [odd, *[plain] * 10] if first else [plain] * 9 + [plain + odd]
    return [
        look(number, pairs, len(pairs), lost + won if len(pairs) > 99 else 0) for number, pairs in enumerate(looks, 1)
    ]


@pytest.mark.parametrize("chance", [1e-9, 0.001])
@pytest.mark.parametrize("first", [True, False], ids=["first", "last"])
@pytest.mark.parametrize("slip", [SAME, LOSES, WINS], ids=["same", "loses", "wins"])
def test_one_unlikely_label_switches_no_rollback_off(chance, first, slip):
    """Forty points worse: accuracy and its slice, and calibration, fail all the same and never pass."""
    odd = [replace(slip, inclusion_probability=chance, slices=("lang:en",))]
    looks = [
        replace(one, pairs=tuple(replace(pair, slices=("lang:en",)) for pair in one.pairs))
        for one in thousand(odd, 40, 0, first)
    ]
    gates = (
        PairedAccuracyGate(PairedAccuracyPolicy(), **LEVELS),
        PairedAccuracyGate(PairedAccuracyPolicy(), **LEVELS, slice="lang:en"),
        CalibrationGate(CalibrationPolicy(), **LEVELS),
    )
    for gate in gates:
        verdicts, _ = watched(gate, looks)
        assert verdicts[-1].outcome is Outcome.FAIL, (gate.name, verdicts[-1].reason)
        assert all(verdict.outcome is not Outcome.PASS for verdict in verdicts)


@pytest.mark.parametrize("chance", [1e-9, 0.001])
@pytest.mark.parametrize("first", [True, False], ids=["first", "last"])
def test_one_unlikely_live_label_switches_no_rollback_off(chance, first):
    """Of its own live answers half are wrong, of stable's a tenth."""
    odd = LabelCounts(1, 0, (LabelChance(chance, 1, 0),))
    plain = [(LabelCounts(100, 50), LabelCounts(100, 10))] * 10
    counts = [(odd, odd), *plain] if first else [*plain, (odd, odd)]
    looks = [look(n, [], candidate_labels=own, stable_labels=other) for n, (own, other) in enumerate(counts, 1)]
    verdicts, _ = watched(LiveAccuracyGate(LiveAccuracyPolicy(), **LEVELS), looks)
    assert verdicts[-1].outcome is Outcome.FAIL
    assert verdicts[-1].value == pytest.approx(40.0, abs=0.5)


def test_a_good_candidate_that_one_unlikely_label_holds_is_told_which():
    """Setting a label aside promotes nothing: the label may be of texts that nobody is asked about. It is named."""
    odd = [replace(LOSES, inclusion_probability=0.001)]
    verdicts, _ = watched(PairedAccuracyGate(PairedAccuracyPolicy(), **LEVELS), thousand(odd, 2, 3, first=True))
    assert {verdict.outcome for verdict in verdicts} == {Outcome.INCONCLUSIVE}
    assert "1 label says it was far less likely" in verdicts[-1].reason
    assert "inclusion_probability down to 0.001" in verdicts[-1].reason
    assert "fix what its source sends" in verdicts[-1].reason


@pytest.mark.parametrize("gate", ["accuracy.shadow", "calibration.shadow", "accuracy.live"])
def test_whose_the_unlikely_label_is_stands_in_the_reason(gate):
    """The source and the request, so that somebody can look at what it sends; no name breaks out of its line."""
    whose = LeastLikely("help\ndesk", "r17", 0.001)
    if gate == "accuracy.live":
        slip = LabelCounts(1, 0, (LabelChance(0.001, 1, 0),))
        counts = [(slip, slip), *[(LabelCounts(100, 10), LabelCounts(100, 10))] * 5]
        looks = [look(n, [], candidate_labels=own, stable_labels=other) for n, (own, other) in enumerate(counts, 1)]
    else:
        looks = thousand([replace(LOSES, inclusion_probability=0.001)], 2, 3, first=True)
    asked = {
        "accuracy.shadow": PairedAccuracyGate(PairedAccuracyPolicy(), **LEVELS),
        "calibration.shadow": CalibrationGate(CalibrationPolicy(), **LEVELS),
        "accuracy.live": LiveAccuracyGate(LiveAccuracyPolicy(), **LEVELS),
    }[gate]
    verdicts, _ = watched(asked, [replace(one, least_likely=whose) for one in looks])
    told = "the least likely one came from 'help\\ndesk' for request 'r17'"
    assert told in verdicts[-1].reason
    without, _ = watched(asked, looks)
    assert told not in without[-1].reason


@pytest.mark.parametrize("first", [True, False], ids=["first", "last"])
@pytest.mark.parametrize("slip", [SAME, LOSES, WINS], ids=["same", "loses", "wins"])
def test_one_unlikely_label_beside_directed_ones_switches_no_rollback_off(first, slip):
    """Disagreements are asked for; one label by chance says 0.001, the others 1."""
    looks = [
        replace(one, pairs=tuple(replace(pair, directed=pair is LOSES) for pair in one.pairs))
        for one in thousand([replace(slip, inclusion_probability=0.001)], 40, 0, first)
    ]
    verdicts, _ = watched(PairedAccuracyGate(PairedAccuracyPolicy(), **LEVELS), looks)
    assert verdicts[-1].outcome is Outcome.FAIL
    assert "Accuracy fell" in verdicts[-1].reason


@pytest.mark.parametrize("first", [True, False], ids=["first", "last"])
@pytest.mark.parametrize("by_chance", [(0.5, 1.0), (0.5, 0.6), (0.001, 1.0), (0.5,) * 20 + (1.0,) * 20])
def test_labels_by_uneven_chance_beside_directed_ones_switch_no_rollback_off(first, by_chance):
    """Forty points worse by what disagreements were asked for; a few others came by chance, none like the next."""
    odd = [replace(SAME, inclusion_probability=chance) for chance in by_chance]
    looks = [
        replace(one, pairs=tuple(replace(pair, directed=pair is LOSES) for pair in one.pairs))
        for one in thousand(odd, 40, 0, first)
    ]
    verdicts, _ = watched(PairedAccuracyGate(PairedAccuracyPolicy(), **LEVELS), looks)
    assert verdicts[-1].outcome is Outcome.FAIL
    assert "Accuracy fell by at least" in verdicts[-1].reason
    assert all(verdict.outcome is not Outcome.PASS for verdict in verdicts)


@pytest.mark.parametrize("direction", [1.0, 0.5, 0.1])
def test_no_stopping_rule_gains_from_labels_by_chance_and_by_direction(direction):
    """All paths of four disagreements, of which as many are lost as won: what is lost is likelier to be labelled."""
    declared = (0.25, 0.5)  # how likely a text of either kind is to be labelled by chance
    outcomes: list[tuple[float, LabelledPair | None]] = []
    for chance, lost, share in ((0.5, True, 0.4), (0.25, True, 0.1), (0.5, False, 0.1), (0.25, False, 0.4)):
        pair, directed = (LOSES if lost else WINS), (1 - chance) * direction
        outcomes.append((share * chance, replace(pair, inclusion_probability=chance)))
        outcomes.append((share * directed, replace(pair, directed=True)))
        outcomes.append((share * (1 - chance) * (1 - direction), None))
    start = Losses(chances=Chances(min(declared)), by_chance=Chances(*declared), directed=True).add(
        [replace(SAME, inclusion_probability=chance) for chance in declared], 0, 0
    )

    def grow(losses: Losses, seen: LabelledPair | None) -> Losses:
        return losses if seen is None else losses.add([seen], 0, 0)

    def log_e(losses: Losses) -> float:
        return uneven.log_e_mean_at_most(losses.kept.sample, losses.kept.least, 0.0, D, PAIRED)

    assert best_stopping(start, grow, log_e, outcomes, 4) <= 1 + ROUNDING
    plain = best_stopping(
        start, grow, lambda losses: betting.log_e_mean_at_most(losses.counts, 0.0, PAIRED), outcomes, 4
    )
    assert plain > 1.01 or direction == 1.0


def test_labels_that_are_not_few_are_not_set_aside():
    """A loss among common texts, made up for among rare ones, is none: eleven labels of a thousand are of those."""
    few, many = (Graded().add_all([1.0] * 1000 + [-1.0] * n, [1.0] * 1000 + [0.01] * n) for n in (10, 11))
    assert (few.kept.aside, few.kept.least, few.kept.sample.count) == (10, 1.0, 1000)
    assert (many.kept.aside, many.kept.least, many.kept.sample.count) == (0, 0.01, 1011)


@pytest.mark.parametrize("kinds", DESIGNS.values(), ids=DESIGNS)
def test_no_floor_chosen_after_the_labels_gains_more_than_a_tenth(kinds):
    """All paths of four requests, the floor with the most evidence of each, and the best time to stop: where the
    candidate is no worse among the texts above each floor."""
    floors = sorted({chance for _, chance, _, _ in kinds})
    above = [[kind for kind in kinds if kind[1] >= floor] for floor in floors]
    means = [mean_of(tuple(part)) / math.fsum(kind[0] for kind in part) for part in above]

    def most(samples: tuple[Drawn, ...]) -> float:
        found = [
            uneven.log_e_mean_at_most(sample, floor, mean, D, PAIRED)
            for sample, floor, mean in zip(samples, floors, means, strict=True)
        ]
        return max(found) + FLOOR_LOG_WEIGHT

    def seen_by(samples: tuple[Drawn, ...], seen: tuple[float, float] | None) -> tuple[Drawn, ...]:
        return tuple(
            step(sample, seen if seen is not None and seen[1] >= floor else None)
            for sample, floor in zip(samples, floors, strict=True)
        )

    start = tuple(Drawn() for _ in floors)
    assert best_stopping(start, seen_by, most, outcomes_of(kinds), 4) <= 0.1 + ROUNDING
