"""The watch of the version that serves everybody: when it asks for retraining, and when it must not."""

import random
from collections.abc import Sequence
from dataclasses import replace

from controller.core.champion import DAY_S, Asking, Cause, Champion, Labelled, askings
from controller.core.policy import ReleasePolicy, WatchPolicy
from controller.overview import watched_in
from controller.ports.champions import Watched

POLICY = WatchPolicy()
NEW = Champion("intent", "7", 0.0)


def labels(chance: random.Random, number: int, wrong: float) -> list[Labelled]:
    return [Labelled(chance.random() >= wrong, 0.9) for _ in range(number)]


def watched(champion: Champion, looks: Sequence[list[Labelled]], policy: WatchPolicy = POLICY) -> tuple[Champion, int]:
    """The champion after these looks, and how many of them asked for retraining, each cause once."""
    asked = 0
    for look in looks:
        champion = champion.labelled(look, policy)
        found = askings(champion, policy, 0.0)
        asked += bool(found)
        champion = replace(champion, asked=(*champion.asked, *(one.cause for one in found)))
    return champion, asked


def asked_of(champion: Champion, policy: WatchPolicy = POLICY, now_s: float = 0.0) -> Sequence[Asking]:
    return askings(champion, policy, now_s)


def test_a_champion_that_stays_as_good_as_it_was_is_never_asked_to_be_retrained() -> None:
    """Watched at every look, for thousands of labels."""
    chance = random.Random(1)
    for _ in range(20):
        _, asked = watched(NEW, [labels(chance, 50, 0.1) for _ in range(60)])
        assert asked == 0


def test_a_loss_that_begins_after_months_is_found() -> None:
    """However many good labels came before; and it is asked for once."""
    chance = random.Random(2)
    champion, asked = watched(NEW, [labels(chance, 100, 0.05) for _ in range(80)])
    assert asked == 0
    champion, asked = watched(champion, [labels(chance, 100, 0.2) for _ in range(15)])
    assert asked == 1
    assert champion.asked == (Cause.ACCURACY,)


def test_the_reason_tells_the_value_and_what_it_is_surely_below() -> None:
    chance = random.Random(3)
    champion = NEW
    for wrong in [0.05] * 11 + [0.3] * 9:
        champion = champion.labelled(labels(chance, 100, wrong), POLICY)
    (asking,) = asked_of(champion)
    assert asking.cause is Cause.ACCURACY
    assert asking.value < asking.limit < 0.95
    assert "its accuracy is provably below" in asking.reason


def test_a_smallest_accuracy_needs_no_first_labels_to_be_held_against() -> None:
    policy = WatchPolicy(accuracy_min=0.9)
    chance = random.Random(4)
    assert not asked_of(NEW.labelled(labels(chance, 20, 0.3), policy), policy), "a few labels settle nothing"
    champion = NEW
    for _ in range(5):
        champion = champion.labelled(labels(chance, 50, 0.3), policy)
    (asking,) = asked_of(champion, policy)
    assert (asking.cause, asking.limit) == (Cause.ACCURACY, 0.9)


def test_labels_that_were_likelier_where_it_is_wrong_count_as_fewer() -> None:
    """Doubtful answers are wrong in half and always labelled, the others in one of fifty and one in ten is: of the
    labels a fifth is wrong, of the answers one in fourteen."""
    chance = random.Random(5)

    def drawn(number: int) -> list[Labelled]:
        found: list[Labelled] = []
        while len(found) < number:
            doubtful = chance.random() < 0.1
            probability = 1.0 if doubtful else 0.1
            if chance.random() < probability:
                found.append(Labelled(chance.random() >= (0.5 if doubtful else 0.02), 0.8, probability))
        return found

    policy = WatchPolicy(accuracy_min=0.85)
    _, asked = watched(NEW, [drawn(100) for _ in range(30)], policy)
    assert asked == 0
    even = [[replace(one, probability=1.0) for one in drawn(100)] for _ in range(30)]
    assert watched(NEW, even, policy)[1] == 1, "taken as they come they would say otherwise"


def test_one_look_alone_asks_for_nothing() -> None:
    """However many labels it has: they may be of one afternoon's odd batch."""
    policy = WatchPolicy(accuracy_min=0.9)
    assert not asked_of(NEW.labelled([Labelled(right=False, confidence=0.9)] * 500, policy), policy)


def test_bounds_hold_the_truth_and_narrow() -> None:
    chance = random.Random(6)
    few, many = (NEW.labelled(labels(chance, number, 0.1), POLICY).quality for number in (50, 290))
    first, later = few.accuracy(POLICY), many.accuracy(POLICY)
    assert first is not None
    assert later is not None
    assert first.low < 0.9 < first.high
    assert later.low < 0.9 < later.high
    assert later.high - later.low < first.high - first.low
    gap = many.overconfidence(POLICY)
    assert gap is not None
    assert gap.low < 0.0 < gap.high, "as sure as it is right"
    assert NEW.quality.accuracy(POLICY) is None


def answers(hour: int, *, moved: float = 0.0) -> dict[str, dict[str, int]]:
    """An hour's answers: by night mostly one class, by day another; and from a share of the first on, a third."""
    night = hour % 24 < 8
    first, second = (400, 100) if night else (100, 400)
    third = int(moved * (first + second))
    return {
        "classes": {"refund": int(first * (1 - moved)), "invoice": int(second * (1 - moved)), "new": third},
        "confidence": {"9": 500},
        "tokens": {"3": 500},
    }


def days(champion: Champion, first: int, number: int, *, moved: float = 0.0) -> Champion:
    for hour in range(24 * first, 24 * (first + number)):
        champion = champion.answered(answers(hour, moved=moved), 3_600.0 * hour, POLICY)
    return champion


def test_nights_that_differ_from_days_are_no_drift() -> None:
    champion = days(NEW, 0, 30)
    assert not asked_of(champion)
    moved = champion.mixes["classes"].moved
    assert moved is not None
    assert moved[1] == 0


def test_what_moved_for_a_whole_day_is_drift() -> None:
    champion = days(days(NEW, 0, 10), 10, 3, moved=0.4)
    (asking,) = asked_of(champion)
    assert asking.cause is Cause.DRIFT
    assert asking.value > 0.35
    assert "The mix of its answers has drifted" in asking.reason


def test_a_small_move_is_none_however_long_it_lasts() -> None:
    assert not asked_of(days(days(NEW, 0, 10), 10, 60, moved=0.05))


def test_few_answers_are_gathered_until_they_are_enough() -> None:
    champion = NEW
    for day in range(39):
        champion = champion.answered({"classes": {"a": 30, "b": 20}}, DAY_S * day, POLICY)
    assert champion.mixes["classes"].names == 0, "2,000 answers take 40 days"
    champion = champion.answered({"classes": {"a": 30, "b": 20}}, DAY_S * 39, POLICY)
    assert champion.mixes["classes"].names == 3


def test_what_is_kept_does_not_grow_with_what_was_seen() -> None:
    """However many classes somebody's model names, and however long it serves."""
    champion = NEW
    for day in range(20):
        counts = {f"class {number}": 5 for number in range(100 * day, 100 * day + 500)}
        champion = champion.answered({"classes": counts}, DAY_S * day, POLICY)
        champion = champion.labelled([Labelled(right=True, confidence=0.9)] * 500, POLICY)
    mix = champion.mixes["classes"]
    assert len(mix.reference) <= 50
    assert len(mix.now) <= 50
    assert champion.labels == 10_000
    assert champion.quality.window.wrong.count <= POLICY.window_labels


def test_age_asks_where_the_policy_says_so() -> None:
    policy = WatchPolicy(retrain_after_days=90.0)
    assert not asked_of(NEW, policy, 89 * DAY_S)
    (asking,) = asked_of(NEW, policy, 90 * DAY_S)
    assert (asking.cause, asking.value, asking.limit) == (Cause.AGE, 90.0, 90.0)
    assert not asked_of(NEW, POLICY, 1_000 * DAY_S)
    assert not asked_of(replace(NEW, asked=(Cause.AGE,)), policy, 91 * DAY_S)


def test_the_overview_tells_of_the_version_that_serves_and_not_of_the_former_one() -> None:
    """The watch knows the former one until it looks again."""
    policies = {"intent": ReleasePolicy("intent")}
    found = {"intent": Watched(NEW)}
    assert "version 7" in watched_in({"intent": "7"}, policies, lambda: found)["intent"]
    assert watched_in({"intent": "8"}, policies, lambda: found) == {}
    assert watched_in({}, policies, lambda: found) == {}
