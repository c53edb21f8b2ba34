"""accuracy.slices: what loses accuracy where nobody looked is found, and a part that only looks bad fails nothing."""

import json
import time
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from gates.evidence import Answer, LabelledPair, Look, SlicePairs
from gates.gate import Timing
from gates.gate_set import GateSet, state_from_json, state_to_json
from gates.online.accuracy_slices.choice import ANSWERS_MIN, chosen
from gates.online.accuracy_slices.gate import Watched, WatchedSlicesGate
from gates.online.slices import Attributes
from gates.outcome import Outcome
from gates.policy import GatePolicy, SlicePolicy, WatchedSlicesPolicy
from gates.verdict import Window

POLICY = WatchedSlicesPolicy()
ALPHA = 0.01 * POLICY.alpha_share / GatePolicy().alpha_shares
RIGHT, WRONG = Answer("yes", 0.9, 0.02), Answer("no", 0.9, 1.62)
TAG, CLASSES = "channel:app", tuple(f"class:{number}" for number in range(12))
PAIRS = 1_140  # of a look: 19 requests a second of stable's are mirrored


class Service:
    """Pairs of a look a minute: 7 % disagree, as many lost as won, but for ``points`` more lost in the tag."""

    def __init__(self, seed, *, points=0.0, tag_share=0.05, labelled=0.1, directed=0.7):
        self._rng = np.random.default_rng(seed)
        self._points, self._share, self._labelled, self._directed = points / 100, tag_share, labelled, directed

    def look(self, number):
        rng = self._rng
        tagged = rng.random(PAIRS) < self._share
        lost = rng.random(PAIRS) < 0.035 + self._points * tagged
        won = ~lost & (rng.random(PAIRS) < 0.035)
        classes = rng.integers(0, len(CLASSES), PAIRS)
        apart, counts, pairs = lost | won, Counter(), []
        by_chance = rng.random(PAIRS) < self._labelled
        asked = apart & ~by_chance & (rng.random(PAIRS) < self._directed)
        for place in range(PAIRS):
            slices = (CLASSES[classes[place]], *((TAG,) if tagged[place] else ()))
            counts.update((name, bool(apart[place])) for name in slices)
            if by_chance[place] or asked[place]:
                answers = (RIGHT, WRONG) if lost[place] else (WRONG, RIGHT) if won[place] else (RIGHT, RIGHT)
                pairs.append(LabelledPair("yes", *answers, directed=bool(asked[place]), slices=slices))
        counted = tuple(SlicePairs(name, counts[name, False], counts[name, True]) for name in (*CLASSES, TAG))
        window = Window(60.0 * (number - 1), 60.0 * number)
        agreed = PAIRS - int(apart.sum())
        return Look(
            number, window, 0.0, pairs=tuple(pairs), pairs_agreed=agreed, pairs_disagreed=PAIRS - agreed,
            slice_pairs=counted,
        )  # fmt: skip


def watched(service, looks, gate=WatchedSlicesGate(POLICY, ALPHA)):  # noqa: B008 - frozen
    state, verdict = gate.start(), None
    for number in range(1, looks + 1):
        state, verdict = gate.look(state, service.look(number), Timing(0.0, due=False))
        if verdict.outcome is Outcome.FAIL:
            return number, verdict
    return None, verdict


def test_a_tag_of_one_request_in_twenty_that_loses_ten_points_does_not_hide():
    """Half a point of all requests, which accuracy.shadow lets pass: found within the time that a promotion takes."""
    ends = [watched(Service(seed, points=10.0), 60) for seed in range(5)]
    assert all(number is not None for number, _ in ends)
    assert np.median([number for number, _ in ends]) <= 40
    verdict = ends[0][1]
    assert verdict.reason.startswith(f"Accuracy fell in {TAG} by ")
    assert "answers got worse" in verdict.reason
    assert not verdict.advisory
    assert POLICY.guard_points < verdict.value < 20


def test_slices_of_an_equal_candidate_fail_nothing_and_hold_nothing():
    for seed in range(3):
        number, verdict = watched(Service(seed), 60)
        assert number is None
        assert (verdict.outcome, verdict.advisory) == (Outcome.INCONCLUSIVE, True)
    assert "13 slices and 1 true class are watched, and none surely lost accuracy" in verdict.reason
    assert not WatchedSlicesGate(POLICY, ALPHA).required


RARE = tuple(f"class {number}" for number in range(30))


def of_a_rare_class(seed, looks, *, lost, policy=POLICY):
    """Thirty classes, in shares that fall by a fifth from one to the next, of which stable finds 36 % of one of the
    last and the candidate ``lost`` less of it: a part of a point of all requests. Equal numbers change elsewhere."""
    rng, gate = np.random.default_rng(seed), WatchedSlicesGate(policy, ALPHA)
    shares = np.array([0.8**place for place in range(len(RARE))])
    rare, state, verdict = RARE[12], gate.start(), None
    for number in range(1, looks + 1):
        pairs = []
        for truth in rng.choice(RARE, 200, p=shares / shares.sum()):
            other = RARE[0] if truth != RARE[0] else RARE[1]
            if truth == rare:
                first, second = rng.random() < 0.36, rng.random() < 0.36
                second = second and rng.random() < 1 - lost
            else:
                first = rng.random() < 0.9
                second = first if rng.random() < 0.95 else rng.random() < 0.9
            said = [Answer(str(truth) if right else other, 0.8, 0.1) for right in (first, second)]
            pairs.append(LabelledPair(str(truth), *said))
        look = Look(number, Window(60.0 * (number - 1), 60.0 * number), 0.0, pairs=tuple(pairs))
        state, verdict = gate.look(state, look, Timing(0.0, due=False))
        if verdict.outcome is Outcome.FAIL:
            return number, verdict
    return None, verdict


def test_a_class_that_stable_seldom_predicts_is_not_lost_unseen():
    """Found by its labels: no slice of it has 2 % of the requests, and of all requests it is half a point."""
    ends = [of_a_rare_class(seed, 60, lost=1.0) for seed in range(5)]
    assert all(number is not None for number, _ in ends)
    assert all(verdict.reason.startswith(f"Accuracy fell in truth:{RARE[12]} by ") for _, verdict in ends)
    assert all(25 < verdict.value < 50 for _, verdict in ends)


def test_thirty_classes_of_an_equal_candidate_fail_nothing():
    assert all(of_a_rare_class(seed, 60, lost=0.0)[0] is None for seed in range(20))


def test_a_policy_that_watches_no_true_classes_finds_none_and_has_its_whole_level_for_slices():
    none = replace(POLICY, truths_max=0)
    number, verdict = of_a_rare_class(0, 60, lost=1.0, policy=none)
    assert (number, verdict.reason[:24]) == (None, "No slice is watched yet:")
    assert none.slices_level == 1 / none.slices_max
    assert POLICY.slices_level * POLICY.slices_max + POLICY.truths_level * POLICY.truths_max == pytest.approx(1)


def test_directed_labels_say_as_much_of_a_class_as_labels_by_chance():
    """The loss is of all its texts, of which people saw most of those where the versions differ."""
    agreed = [LabelledPair("yes", RIGHT, RIGHT)] * 60
    apart = [LabelledPair("yes", RIGHT, WRONG)] * 15
    asked = [LabelledPair("yes", RIGHT, WRONG, directed=True)] * 60
    look = Look(1, Window(0.0, 60.0), 0.0, pairs=(*agreed, *apart, *asked))
    gate = WatchedSlicesGate(POLICY, ALPHA)
    _, verdict = gate.look(gate.start(), look, Timing(0.0, due=False))
    assert verdict.outcome is Outcome.FAIL
    assert verdict.value == pytest.approx(20)
    assert "disagree on 20 % of its 75 labelled requests" in verdict.reason


def test_a_loss_below_the_guard_fails_nothing_however_sure():
    policy = replace(POLICY, guard_points=30.0)
    assert watched(Service(1, points=20.0), 40, WatchedSlicesGate(policy, ALPHA))[0] is None
    assert watched(Service(1, points=20.0), 40)[0] is not None


def pairs_of(lost, won, **chances):
    pairs = [LabelledPair("yes", RIGHT, WRONG, slices=(TAG,), **chances)] * lost
    return tuple(pairs + [LabelledPair("yes", WRONG, RIGHT, slices=(TAG,), **chances)] * won)


def after_looks(*parts, agreed=2):
    """The verdict after a look of each: labelled pairs of the tag that differ, and for each so many that agree."""
    gate = WatchedSlicesGate(POLICY, ALPHA)
    state = gate.start()
    for number, pairs in enumerate(parts, 1):
        counted = (SlicePairs(TAG, agreed * len(pairs), len(pairs)),)
        alike = (LabelledPair("yes", RIGHT, RIGHT, pairs[0].inclusion_probability, slices=(TAG,)),) * counted[0].agreed
        look = Look(number, Window(number - 1.0, number), 0.0, pairs=(*pairs, *alike), slice_pairs=counted)
        state, verdict = gate.look(state, look, Timing(0.0, due=False))
    return verdict


def test_while_a_slice_is_suspected_the_release_waits_until_it_is_settled():
    verdict = after_looks(pairs_of(20, 6))
    assert (verdict.outcome, verdict.advisory) == (Outcome.INCONCLUSIVE, False)
    assert verdict.reason.startswith(f"Accuracy may have fallen in a slice, not settled yet: {TAG} by 17.9 points")
    assert after_looks(pairs_of(20, 6), pairs_of(6, 14)).advisory  # it was chance
    assert after_looks(*[pairs_of(20, 6)] * 4).outcome is Outcome.FAIL  # it was not


def test_a_loss_that_shows_by_half_is_suspected():
    """Of ten points lost, chance often shows fewer than the guard of five."""
    assert not after_looks(pairs_of(24, 10), agreed=9).advisory  # 4.1 points
    assert after_looks(pairs_of(24, 10), agreed=19).advisory  # 2.1 points


def test_a_suspicion_weighs_labels_that_were_not_equally_likely():
    """As many lost as won, of which the lost ones are labelled four times as often: nothing is suspected."""
    often, seldom = pairs_of(40, 0, inclusion_probability=0.8), pairs_of(0, 10, inclusion_probability=0.2)
    assert after_looks((*often, *seldom)).advisory
    assert not after_looks((*often, *seldom[:4])).advisory


@pytest.mark.parametrize("factor", [1.0, 0.5])
def test_labels_that_were_not_equally_likely_are_weighed(factor):
    """Lost answers are labelled four times as often as won ones, and say so: as many are lost as won."""
    gate, rng, state, failed = WatchedSlicesGate(POLICY, ALPHA), np.random.default_rng(3), None, False
    state = gate.start()
    for number in range(1, 200):
        lost, won = int(rng.binomial(40, 0.8)), int(rng.binomial(40, 0.2 * factor))
        pairs = [LabelledPair("yes", RIGHT, WRONG, inclusion_probability=0.8, slices=(TAG,))] * lost
        pairs += [LabelledPair("yes", WRONG, RIGHT, inclusion_probability=0.2, slices=(TAG,))] * won
        look = Look(
            number, Window(number - 1.0, number), 0.0, pairs=tuple(pairs), slice_pairs=(SlicePairs(TAG, 20, 80),)
        )
        state, verdict = gate.look(state, look, Timing(0.0, due=False))
        failed = failed or verdict.outcome is Outcome.FAIL
    assert failed is (factor < 1)  # half as many won: now more are lost


def test_labels_that_were_equally_likely_at_first_are_weighed_once_others_come():
    """What was only counted until then is what it would be, had each been weighed from the first."""
    often = [LabelledPair("yes", RIGHT, WRONG, inclusion_probability=0.5)] * 30
    seldom = [LabelledPair("yes", WRONG, RIGHT, inclusion_probability=0.1)] * 4
    one = Watched(TAG, agreed=100, disagreed=34)
    in_turn = one.add(often, POLICY.bets, weighable=True).add(seldom, POLICY.bets, weighable=True)
    at_once = one.add([*often, *seldom], POLICY.bets, weighable=True)
    assert in_turn.points == pytest.approx(at_once.points) == pytest.approx(100 * (60 - 40) / 100 * 34 / 134)
    assert in_turn.peak == pytest.approx(at_once.peak)
    assert one.add(often, POLICY.bets, weighable=True).peak > in_turn.peak  # what only counting showed is forgotten


def test_slices_that_have_gates_of_their_own_and_those_beyond_the_bound_are_left_out():
    policy = GatePolicy(slices=(SlicePolicy(TAG),), accuracy_slices=WatchedSlicesPolicy(classes_max=2, tags_max=0))
    (gate,) = (one for one in GateSet(policy)._gates if one.name == "accuracy.slices")
    state, _ = gate.look(gate.start(), Service(1).look(1), Timing(0.0, due=False))
    assert [one.name for one in state.watched] == list(CLASSES[:5])


def test_its_memory_is_stored_and_judges_on_alike():
    gate_set = GateSet(replace(GatePolicy(), experiment=None, drift=None, limits=None))
    service, state = Service(4, points=10.0), gate_set.start()
    for number in range(1, 4):
        state, _ = gate_set.look(state, service.look(number))
    stored = state_from_json(json.loads(json.dumps(state_to_json(state))))
    assert stored == state
    following = service.look(4)
    assert gate_set.look(stored, following) == gate_set.look(state, following)


def test_a_look_costs_little_however_many_slices_there_are():
    """Of the two milliseconds that all gates have: measured in processor time, with room for a slow machine."""
    gate, service = WatchedSlicesGate(POLICY, ALPHA), Service(5, points=3.0)
    looks, state, took_ms = [service.look(number) for number in range(1, 21)], gate.start(), []
    for look in looks:
        began = time.process_time()
        state, _ = gate.look(state, look, Timing(0.0, due=False))
        took_ms.append(1000 * (time.process_time() - began))
    assert np.median(took_ms) < 5


# --- which slices -----------------------------------------------------------------------------------------------------
def seen(count=450):
    tags = [{"lang": "en" if place % 10 else "de", "user": f"u{place}", "all": "x"} for place in range(count)]
    return [Attributes(f"c{min(place % 20, 11)}", tokens=place % 90, tags=one) for place, one in enumerate(tags)]


def test_the_slices_are_what_stable_lately_answered():
    """Classes with traffic, thirds of the lengths, values of tags; none that is all of it, no tag of one request."""
    found = chosen(seen(), POLICY)
    assert found[0] == "class:c11"  # the most frequent
    assert sorted(found[:12]) == sorted(f"class:c{number}" for number in range(12))
    assert found[12:15] == ("tokens:0-29", "tokens:30-59", "tokens:60-")
    assert found[15:] == ("lang:en", "lang:de")


def test_hundreds_of_classes_are_bounded_and_a_few_answers_choose_nothing():
    many = [Attributes(f"c{place % 300}") for place in range(900)]
    assert chosen(many, POLICY) == ()
    assert len(chosen(many, replace(POLICY, share_min=0.001))) == POLICY.classes_max
    assert chosen(seen()[: ANSWERS_MIN - 1], POLICY) is None


def test_those_that_the_policy_names_are_not_chosen_again_and_odd_names_are_left_out():
    odd = [replace(one, tags={"Lang": "en", "x": ""}) for one in seen()]
    assert [name for name in chosen(odd, POLICY, named=["class:c11"]) if not name.startswith("tokens")] == [
        name for name in chosen(odd, POLICY) if name.startswith("class:") and name != "class:c11"
    ]
    assert len(set(chosen([replace(one, tokens=7) for one in seen()], POLICY))) == 14  # all of one length: no thirds
