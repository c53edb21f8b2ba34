"""cost.shadow and floors of classes: mistakes that cost more at equal accuracy, and what is asked of one class."""

from dataclasses import replace

import numpy as np
import pytest

from gates.evidence import Answer, LabelledPair, Look
from gates.gate import Timing
from gates.gate_set import GateSet
from gates.online.costs.gate import CostGate
from gates.online.floors.gate import FloorGate
from gates.outcome import Outcome
from gates.policy import CostPolicy, CostRow, FloorPolicy, GatePolicy
from gates.verdict import Window

CLASSES = ("fraud", "refund", "track")
ALPHA = 0.001
COSTS = CostPolicy(rows=(CostRow("fraud", 10.0), CostRow("fraud", 4.0, answer="refund")))


def answer(label):
    return Answer(label, 0.9, 0.1)


def pair(truth, stable, candidate, **more):
    return LabelledPair(truth, answer(stable), answer(candidate), **more)


def watched(gate, draw, looks=40, labelled=120, **more):
    """Plays releases; ``draw(rng)`` gives a pair. Labels come by chance, and all pairs are counted."""
    rng, state, found = np.random.default_rng(1), gate.start(), []
    for number in range(1, looks + 1):
        pairs = tuple(draw(rng) for _ in range(labelled))
        apart = sum(one.stable.label != one.candidate.label for one in pairs)
        look = Look(
            number, Window(60.0 * (number - 1), 60.0 * number), 0.0, pairs=pairs, pairs_agreed=10 * (labelled - apart),
            pairs_disagreed=10 * apart, classes=CLASSES, **more,
        )  # fmt: skip
        state, verdict = gate.look(state, look, Timing(0.0, due=False))
        found.append(verdict)
    return found


@pytest.mark.parametrize("declared", [None, 0.01])
def test_labelled_pairs_that_were_not_equally_likely_do_not_stand_for_all_pairs(declared):
    """Where looks count no other pairs: of disagreements, which the candidate loses, one in a hundred is labelled. The
    policy says so, or the first of those labels."""
    gate = CostGate(replace(COSTS, inclusion_probability_min=declared), ALPHA, 0.01)
    rng, state = np.random.default_rng(1), gate.start()
    for number in range(1, 41):
        apart = rng.random(500) < 0.06
        pairs = tuple(
            pair("fraud", "fraud", "track", inclusion_probability=0.01) if one else pair("track", "track", "track")
            for one, luck in zip(apart, rng.random(500), strict=True)
            if luck < 0.01 or not one
        )
        if number == 1 and declared is None:
            pairs += (pair("fraud", "fraud", "track", inclusion_probability=0.01),)
        look = Look(number, Window(60.0 * (number - 1), 60.0 * number), 0.0, pairs=pairs, classes=CLASSES)
        state, verdict = gate.look(state, look, Timing(0.0, due=False))
        assert verdict.outcome is not Outcome.PASS, (number, verdict.reason)


def swapping(fraud_lost):
    """As accurate as stable: of disagreements, half are won; of the lost ones so many are frauds."""

    def draw(rng):
        if rng.random() > 0.06:
            return pair("track", "track", "track")
        if rng.random() < 0.5:
            return pair("track", "refund", "track")
        return pair("fraud", "fraud", "track") if rng.random() < fraud_lost else pair("track", "track", "refund")

    return draw


def test_swaps_that_cost_more_are_found_at_equal_accuracy():
    verdicts = watched(CostGate(COSTS, ALPHA, 0.01), swapping(0.6))
    assert verdicts[-1].outcome is Outcome.FAIL
    assert "Wrong answers cost more" in verdicts[-1].reason
    assert verdicts[-1].value == pytest.approx(100 * 0.06 * (0.5 * 0.6 * 1.0 + 0.5 * 0.4 * 0.1 - 0.5 * 0.1), abs=0.4)


def test_the_same_swaps_cost_nothing_where_all_mistakes_cost_the_same():
    even = CostGate(CostPolicy(), ALPHA, 0.01)
    outcomes = {verdict.outcome for verdict in watched(even, swapping(0.6))}
    assert Outcome.FAIL not in outcomes


def test_a_candidate_whose_mistakes_cost_no_more_passes():
    verdicts = watched(CostGate(COSTS, ALPHA, 0.01), swapping(0.0), looks=60)
    assert [verdict.outcome for verdict in verdicts[-2:]] == [Outcome.PASS] * 2
    assert "a rise of 1 points is excluded" in verdicts[-1].reason


def test_a_rise_of_the_margin_is_never_certified():
    assert Outcome.PASS not in {v.outcome for v in watched(CostGate(COSTS, 1e-300, 0.01), swapping(0.4), looks=60)}


def test_what_a_mistake_costs_is_the_most_exact_row():
    for truth, said, expected in (("fraud", "track", 1.0), ("fraud", "refund", 0.4), ("track", "refund", 0.1)):
        assert COSTS.change(truth, stable=truth, candidate=said) == pytest.approx(expected)
        assert COSTS.change(truth, stable=said, candidate=truth) == pytest.approx(-expected)


def test_labels_asked_for_by_disagreement_serve_too():
    """Of them alone, with the pairs counted: nothing else is labelled."""

    def draw(rng):
        return replace(
            pair("fraud", "fraud", "track") if rng.random() < 0.8 else pair("track", "refund", "track"), directed=True
        )

    rng, gate = np.random.default_rng(2), CostGate(COSTS, ALPHA, 0.01)
    state, verdict = gate.start(), None
    for number in range(1, 31):
        pairs = tuple(draw(rng) for _ in range(8))
        look = Look(number, Window(number - 1.0, number), 0.0, pairs=pairs, pairs_agreed=1000, pairs_disagreed=60)
        state, verdict = gate.look(state, look, Timing(0.0, due=False))
    assert verdict.outcome is Outcome.FAIL
    assert verdict.value == pytest.approx(100 * 60 / 1060 * (0.8 - 0.02), abs=0.8)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ((CostRow("fraud", 1.0), CostRow("fraud", 2.0)), "stands there twice"),
        ((CostRow("fraud", 1.0, answer="fraud"),), "is right, and costs nothing"),
    ],
)
def test_rows_that_contradict_are_refused(rows, message):
    with pytest.raises(ValueError, match=message):
        CostPolicy(rows=rows)
    with pytest.raises(ValueError, match="no mistake costs anything"):
        CostPolicy(wrong=0.0)


# --- floors -----------------------------------------------------------------------------------------------------------
RECALL = FloorPolicy("recall:fraud", at_least=0.9)
FALSE = FloorPolicy("false_positives:fraud", at_most=0.02)


def answering(stable, candidate, false_stable=0.005, false_candidate=0.005):
    """A tenth of the requests are frauds, of which the versions find these shares."""

    def draw(rng):
        luck = rng.random()
        if rng.random() < 0.1:
            return pair("fraud", "fraud" if luck < stable else "track", "fraud" if luck < candidate else "track")
        return pair(
            "track", "fraud" if luck < false_stable else "track", "fraud" if luck < false_candidate else "track"
        )

    return draw


@pytest.mark.parametrize(
    ("floor", "draw"), [(RECALL, answering(0.96, 0.78)), (FALSE, answering(0.95, 0.95, false_candidate=0.05))]
)
def test_a_floor_that_the_candidate_alone_misses_fails_it(floor, draw):
    last = watched(FloorGate(floor, ALPHA, 0.01), draw, looks=60)[-1]
    assert last.outcome is Outcome.FAIL
    assert "surely missed, and stable does better" in last.reason
    assert last.gate == floor.name


@pytest.mark.parametrize("floor", [RECALL, FALSE])
def test_a_floor_that_is_kept_passes_and_is_not_given_away(floor):
    kept = watched(FloorGate(floor, ALPHA, 0.01), answering(0.96, 0.97), looks=120)[-1]
    assert kept.outcome is Outcome.PASS
    assert kept.interval is not None
    few = watched(FloorGate(floor, ALPHA, 0.01), answering(0.96, 0.97), looks=1, labelled=60)[-1]
    assert few.outcome is Outcome.INCONCLUSIVE


def test_a_floor_that_stable_misses_just_as_much_blames_nobody():
    verdicts = watched(FloorGate(RECALL, ALPHA, 0.01), answering(0.75, 0.75), looks=80)
    assert {verdict.outcome for verdict in verdicts} == {Outcome.INCONCLUSIVE}
    assert "not more than by stable" in verdicts[-1].reason


def test_labels_not_equally_likely_are_weighed():
    """Found frauds are labelled ten times as often as missed ones: counted plainly the floor would seem kept."""

    def draw(rng):
        found = rng.random() < 0.965  # of the labels; of the requests 0.73
        said, chance = ("fraud", 1.0) if found else ("track", 0.1)
        return pair("fraud", said, said, inclusion_probability=chance)

    last = watched(FloorGate(RECALL, ALPHA, 0.01), draw, looks=60)[-1]
    assert last.outcome is Outcome.INCONCLUSIVE
    assert last.value == pytest.approx(0.73, abs=0.05)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"name": "precision:fraud", "at_least": 0.9}, "must be recall:CLASS or false_positives:CLASS"),
        ({"name": "recall:"}, "must be recall:CLASS"),
        ({"name": "recall:fraud", "at_most": 0.1}, "needs at_least"),
        ({"name": "false_positives:fraud", "at_least": 0.1}, "needs at_most"),
        ({"name": "recall:fraud", "at_least": 1.0}, "at_least must be above 0 and below 1"),
    ],
)
def test_floors_that_cannot_be_are_refused(values, message):
    with pytest.raises(ValueError, match=message):
        FloorPolicy(**values)


@pytest.mark.parametrize(
    ("policy", "gate"),
    [
        ({"costs": CostPolicy(rows=(CostRow("Fraud", 3.0),))}, "cost.shadow"),
        ({"floors": (FloorPolicy("recall:Fraud", at_least=0.9),)}, "recall:Fraud"),
    ],
)
def test_a_class_that_no_version_has_is_an_error_with_the_one_most_alike(policy, gate):
    """It blocks the promotion: whoever asks for a proof does not get one without it."""
    gate_set = GateSet(GatePolicy(**policy))
    assert gate in gate_set.names
    look = Look(1, Window(0.0, 60.0), 0.0, pairs=(pair("fraud", "fraud", "track"),), classes=CLASSES)
    _, verdicts = gate_set.look(gate_set.start(), look)
    (verdict,) = (one for one in verdicts if one.gate == gate)
    assert verdict.outcome is Outcome.ERROR
    assert not verdict.advisory
    assert "no version has a class 'Fraud' (perhaps 'fraud')" in verdict.reason


def test_versions_that_hardly_ever_disagree_cost_the_same_whatever_the_truth_is() -> None:
    """No label can tell of a mistake that only one of them makes, and none is needed."""
    gate = CostGate(CostPolicy(), alpha=0.003, promotion_alpha=0.01)
    state, verdict = gate.start(), None
    for number in range(1, 4):
        seen = Look(number, Window(60.0 * number, 60.0 * number + 60), 0.0, pairs_agreed=1_000, classes=("a", "b"))
        state, verdict = gate.look(state, seen, Timing(0.1, due=False))
    assert verdict is not None
    assert verdict.outcome is Outcome.PASS
    assert "whatever the truth is: they disagree on 0 % of 3,000 requests" in verdict.reason
