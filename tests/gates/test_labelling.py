"""When labels come, and of which requests: labels that come first, and labels that were chosen, are not like all."""

import bisect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pytest

from gates.evidence import PAIR_CONFIDENCE_EDGES, Answer, LabelledPair, Look, PairProfile
from gates.gate_set import GateSet, GateSetState, state_from_json, state_to_json
from gates.online.label_sources import LabelPolicy
from gates.online.pairing import Losses
from gates.outcome import Outcome
from gates.policy import GatePolicy, PairedAccuracyPolicy
from gates.stats.chosen import Bins, Strata
from gates.stats.lags import EDGES_S, Lags
from gates.stats.share import ShareState, below
from gates.verdict import Verdict, Window
from tests.gates.support import JUDGING, LOOK_S, World, pairs

LABELLED = 60  # pairs a look; ten times as many are completed
SOON_S, LATE_S = 10 * LOOK_S, 30 * LOOK_S
PICKED = "not those that chance"

Waits = Callable[[int, LabelledPair], float | None]  # None: never labelled


@dataclass(frozen=True)
class Played:
    """Verdicts of accuracy.shadow at each look, and the last state."""

    verdicts: list[Verdict]
    state: GateSetState

    def at(self, look: int) -> Verdict:
        return self.verdicts[look - 1]

    @property
    def outcomes(self) -> set[Outcome]:
        return {verdict.outcome for verdict in self.verdicts}


Names = dict[str, str]
OF_THEIR_OWN: Names = {"yes": "late", "no": "rare"}  # two classes: "late" and what it is taken for
TURNED: Names = {"yes": "no", "no": "yes"}


def two_halves(rng: np.random.Generator, fast: World, slow: World, names: Names) -> list[LabelledPair]:
    """Half of them of classes with these names."""
    other = [
        replace(
            pair,
            truth=names[pair.truth],
            stable=replace(pair.stable, label=names[pair.stable.label]),
            candidate=replace(pair.candidate, label=names[pair.candidate.label]),
        )
        for pair in pairs(rng, LABELLED // 2, slow)
    ]
    return [*pairs(rng, LABELLED // 2, fast), *other]


def profile(every: Sequence[LabelledPair], classes: Sequence[str]) -> PairProfile:
    """Of ten times as many pairs as these."""

    def bins(side: str, some: Sequence[LabelledPair]) -> tuple[int, ...]:
        found = [0] * (len(PAIR_CONFIDENCE_EDGES) + 1)
        for pair in some:
            found[bisect.bisect_right(PAIR_CONFIDENCE_EDGES, getattr(pair, side).confidence)] += 10
        return tuple(found)

    def by_class(side: str) -> tuple[int, ...]:
        parts = ([pair for pair in every if pair.stable.label == name] for name in classes)
        return tuple(count for part in parts for count in bins(side, part))

    of_classes = tuple(10 * sum(pair.stable.label == name for pair in every) for name in classes)
    alike = [pair.stable.label for pair in every if pair.stable.label == pair.candidate.label]
    return PairProfile(
        bins("stable", every),
        bins("candidate", every),
        of_classes,
        by_class("stable"),
        by_class("candidate"),
        tuple(10 * alike.count(name) for name in classes),
    )


def play(
    waits: Waits,
    looks: int,
    fast: World,
    slow: World | None = None,
    *,
    policy: GatePolicy = JUDGING,
    seed: int = 1,
    names: Names = OF_THEIR_OWN,
    profile_of: Callable[[Sequence[LabelledPair], Sequence[str]], PairProfile] = profile,
) -> Played:
    rng = np.random.default_rng(seed)
    gate_set, classes = GateSet(policy), ("late", "no", "rare", "yes")
    state, verdicts = gate_set.start(deadline_s=1e6), []
    to_come: dict[int, list[LabelledPair]] = {}
    for number in range(1, looks + 1):
        every = two_halves(rng, fast, slow, names) if slow else list(pairs(rng, LABELLED, fast))
        for pair in every:
            waited_s = waits(number, pair)
            if waited_s is not None:
                to_come.setdefault(number + int(waited_s // LOOK_S), []).append(replace(pair, waited_s=waited_s))
        apart = 10 * sum(pair.stable.label != pair.candidate.label for pair in every)
        look = Look(
            number,
            Window(LOOK_S * (number - 1), LOOK_S * number),
            candidate_share=0.0,
            pairs=tuple(to_come.pop(number, ())),
            pairs_agreed=10 * len(every) - apart,
            pairs_disagreed=apart,
            classes=classes,
            pair_profile=profile_of(every, classes),
        )
        state, found = gate_set.look(state, look)
        verdicts += [verdict for verdict in found if verdict.gate == "accuracy.shadow"]
    return Played(verdicts, state)


BETTER, WORSE = World(worse=0.02, better=0.08), World(worse=0.08, better=0.02)


def late_half(_: int, pair: LabelledPair) -> float:
    return LATE_S if pair.truth == "late" else SOON_S


# --- when -------------------------------------------------------------------------------------------------------------
def test_nothing_waits_where_every_request_waits_equally_long():
    """However long that is: a label that comes counts at once."""
    found = play(lambda *_: SOON_S, 14, World())
    assert [found.at(look).samples for look in (10, 11, 14)] == [0, LABELLED, 4 * LABELLED]
    assert not found.state.labelling.waiting or found.state.labelling.counted_s == 4 * LOOK_S


def test_nothing_waits_where_labels_come_in_files():
    """All of an hour at once, some an hour old and some new."""
    found = play(lambda number, _: LOOK_S * (-number % 20), 60, World())
    assert [found.at(look).samples for look in (20, 40, 60)] == [LABELLED * n for n in (20, 40, 60)]


@pytest.mark.parametrize(("fast", "slow"), [(WORSE, BETTER), (BETTER, WORSE)], ids=["worse first", "better first"])
def test_a_class_that_is_not_labelled_yet_holds_both_verdicts_and_is_named(fast, slow):
    """Six points lost by the half that is labelled first, and won by the other: an equal candidate. Or the other way
    round, which would be promoted. Until the others come, and have had time to come, nothing is concluded."""
    found = play(late_half, 75, fast, slow)
    assert {found.at(look).outcome for look in range(1, 54)} == {Outcome.INCONCLUSIVE}
    assert "takes for 'late', 'rare' (50 % of all) have not come yet" in found.at(28).reason
    assert "nothing is concluded" in found.at(45).reason  # they came, and not yet of all times that count
    assert abs(found.at(75).value) < 3.0
    assert Outcome.FAIL not in found.outcomes


def test_without_the_classes_a_slow_half_is_found_once_it_comes():
    """What was evidence before is forgotten: it was of those that came first."""
    rng = np.random.default_rng(3)

    def by_outcome(_: int, pair: LabelledPair) -> float:
        """Losses are learnt late."""
        lost = pair.stable.label == pair.truth != pair.candidate.label
        return LATE_S if lost or rng.random() < 0.3 else SOON_S

    found = play(by_outcome, 60, World(worse=0.05, better=0.05))
    before, after = found.at(30), found.at(45)
    assert before.value < -3  # it looks better
    assert "nothing is concluded until the others have had time to come" in after.reason
    assert abs(found.at(60).value) < 2.5


def test_labels_of_a_time_count_once_nearly_all_of_them_have_come():
    """Each request waits another time: the newest ones wait in parts, few of them, however many labels come."""
    rng = np.random.default_rng(4)
    found = play(lambda *_: float(rng.exponential(SOON_S)), 60, World())
    last = found.at(60)
    assert "more count once others of their time have come too" in last.reason
    assert 0.3 * 60 * LABELLED < last.samples < 0.8 * 60 * LABELLED
    assert len(dict(found.state.gates)["accuracy.shadow"].waiting) <= 6
    assert state_from_json(state_to_json(found.state)) == found.state


def test_a_maturity_that_the_policy_names_is_waited_for():
    policy = replace(JUDGING, labels=LabelPolicy(maturity_s=LATE_S))
    found = play(lambda *_: SOON_S, 40, World(), policy=policy)
    assert found.at(30).samples == 0
    assert 5 * LABELLED <= found.at(40).samples <= 10 * LABELLED
    with pytest.raises(ValueError, match="maturity_s must be a time"):
        LabelPolicy(maturity_s=-1.0)


def test_gates_that_count_labels_as_they_come_wait_for_a_maturity_too():
    """Until labels are of five times as long: of so many times all have come."""
    gate_set = GateSet(replace(JUDGING, labels=LabelPolicy(maturity_s=4 * LOOK_S)))
    rng, state, outcomes = np.random.default_rng(15), gate_set.start(), []
    for number in range(1, 31):
        window = Window(LOOK_S * (number - 1), LOOK_S * number)
        come = tuple(pairs(rng, LABELLED, World(overconfidence=0.2)))
        state, verdicts = gate_set.look(state, Look(number, window, 0.0, pairs=come))
        outcomes.append(next(one for one in verdicts if one.gate == "calibration.shadow"))
    assert {one.outcome for one in outcomes[:20]} == {Outcome.INCONCLUSIVE}
    assert "come up to 4 min apart" in outcomes[10].reason
    assert outcomes[-1].outcome is Outcome.FAIL


def test_labels_of_recorded_requests_are_not_what_others_are_waited_for_by():
    """They come at once, being of long ago: labels of today's requests, ten minutes late, count at once as before."""
    rng = np.random.default_rng(9)
    gate_set = GateSet(JUDGING)
    state, samples = gate_set.start(), []
    for number in range(1, 31):
        recorded = tuple(replace(pair, replayed=True) for pair in pairs(rng, LABELLED, World()))
        today = tuple(replace(pair, waited_s=SOON_S) for pair in pairs(rng, LABELLED, World())) if number > 10 else ()
        look = Look(number, Window(LOOK_S * (number - 1), LOOK_S * number), 0.0, pairs=recorded + today)
        state, verdicts = gate_set.look(state, look)
        samples.append(verdicts[0].samples)
    assert samples[:10] == [LABELLED * n for n in range(1, 11)]
    assert samples[29] == LABELLED * 50


def test_gates_that_count_labels_as_they_come_wait_while_many_are_still_to_come():
    """What they found is forgotten, and found again once most labels of all times are there."""
    gate_set, rng = GateSet(JUDGING), np.random.default_rng(10)
    state, to_come, outcomes = gate_set.start(), dict[int, list[LabelledPair]](), []
    for number in range(1, 101):
        for pair in pairs(rng, LABELLED, World(overconfidence=0.08)):
            waited_s = float(rng.exponential(4 * LOOK_S))
            to_come.setdefault(number + int(waited_s // LOOK_S), []).append(replace(pair, waited_s=waited_s))
        window = Window(LOOK_S * (number - 1), LOOK_S * number)
        state, verdicts = gate_set.look(state, Look(number, window, 0.0, pairs=tuple(to_come.pop(number, ()))))
        outcomes.append(next(one for one in verdicts if one.gate == "calibration.shadow"))
    assert "labels of the same time come up to" in outcomes[30].reason
    assert {one.outcome for one in outcomes[:40]} == {Outcome.INCONCLUSIVE}
    assert outcomes[-1].outcome is Outcome.FAIL


def test_agreement_needs_no_label_and_waits_for_none():
    """Where the versions hardly disagree, a loss is excluded whatever labels say later."""
    alike = World(both_wrong=0.05, worse=0.0005, better=0.0005)
    found = play(late_half, 28, alike, alike)
    assert found.at(28).outcome is Outcome.PASS


def test_harm_is_found_as_fast_as_before_where_nothing_waits():
    policy = replace(JUDGING, accuracy_shadow=PairedAccuracyPolicy(guard_points=0.5))
    waited = play(lambda *_: SOON_S, 30, World(worse=0.1, better=0.03), policy=policy)
    at_once = play(lambda *_: 0.0, 20, World(worse=0.1, better=0.03), policy=policy)
    failed = [[v.outcome for v in one.verdicts].index(Outcome.FAIL) for one in (waited, at_once)]
    assert failed[0] == failed[1] + 10


# --- which ------------------------------------------------------------------------------------------------------------
def unsure(_: int, pair: LabelledPair) -> float | None:
    """Labelled where the candidate is less sure than most."""
    return SOON_S if pair.candidate.confidence < 0.9 else None


def test_labels_chosen_by_doubt_are_an_error_that_names_the_way_out():
    found = play(unsure, 30, World())
    last = found.at(30)
    assert last.outcome is Outcome.ERROR
    assert PICKED in last.reason
    assert "send each label's inclusion_probability" in last.reason
    assert not {Outcome.PASS, Outcome.FAIL} & found.outcomes


def by_class(chance_of_slow: float, waits: Waits) -> Waits:
    """Texts that stable takes for one of the slow half's classes are labelled by so small a chance."""
    rng = np.random.default_rng(11)

    def told(number: int, pair: LabelledPair) -> float | None:
        slow = pair.stable.label in ("late", "rare")
        return waits(number, pair) if not slow or rng.random() < chance_of_slow else None

    return told


def test_labels_chosen_by_doubt_are_found_where_classes_are_labelled_unequally_too():
    """As many of the labelled texts would have to be of other classes as of other confidences: that explains nothing
    within a class."""
    rng = np.random.default_rng(14)

    def rather_unsure(_: int, pair: LabelledPair) -> float | None:
        return SOON_S if pair.candidate.confidence < 0.9 or rng.random() < 0.4 else None

    found = play(by_class(0.1, rather_unsure), 30, World(), World())
    seen = found.state.labelling.seen
    assert seen.classes.distance > seen.candidate.distance  # which used to let it pass
    last = found.at(30)
    assert last.outcome is Outcome.ERROR
    assert "than of all texts of the same classes" in last.reason
    assert not {Outcome.PASS, Outcome.FAIL} & found.outcomes


def test_classes_that_are_labelled_unequally_are_not_taken_for_doubt():
    """Though the candidate is less sure of one half, so that the labelled texts are those it is surer of."""
    sure, unsure_of = World(overconfidence=0.09), World(overconfidence=-0.2)
    found = play(by_class(0.2, lambda *_: SOON_S), 30, sure, unsure_of)
    assert found.state.labelling.seen.candidate.log_e > np.log(1e4)
    assert all(PICKED not in verdict.reason for verdict in found.verdicts)


def test_a_look_that_does_not_tell_confidences_by_class_is_judged_as_it_was():
    """Recorded by a former version: classes that are labelled unequally explain as much of it."""
    rng, gate_set, classes = np.random.default_rng(12), GateSet(JUDGING), ("no", "yes")
    state = gate_set.start()
    for number in range(1, 31):
        every = list(pairs(rng, LABELLED, World()))
        asked = tuple(pair for pair in every if unsure(number, pair) is not None)
        told = replace(profile(every, classes), stable_by_class=(), candidate_by_class=())
        window = Window(LOOK_S * (number - 1), LOOK_S * number)
        state, verdicts = gate_set.look(
            state, Look(number, window, 0.0, pairs=asked, classes=classes, pair_profile=told)
        )
    assert "than of all texts (" in verdicts[0].reason


def test_labels_that_say_how_likely_they_were_may_be_chosen_by_doubt():
    rng = np.random.default_rng(5)

    def chance(pair: LabelledPair) -> float:
        return 1.0 if pair.candidate.confidence < 0.9 else 0.25

    def told(_: int, pair: LabelledPair) -> float | None:
        return SOON_S if rng.random() < chance(pair) else None

    held = play(told, 40, World())
    assert PICKED in held.at(40).reason

    gate_set = GateSet(JUDGING)
    state, draw = gate_set.start(), np.random.default_rng(6)
    for number in range(1, 31):
        every = pairs(draw, LABELLED, World())
        asked = [pair for pair in every if draw.random() < chance(pair)]
        weighed = tuple(replace(pair, inclusion_probability=chance(pair)) for pair in asked)
        window = Window(LOOK_S * (number - 1), LOOK_S * number)
        look = Look(number, window, 0.0, pairs=weighed, pair_profile=profile(every, ()))
        state, verdicts = gate_set.look(state, look)
    assert all(PICKED not in verdict.reason for verdict in verdicts)


def complaining(rng: np.random.Generator, share: float, chance: float = 0.5) -> Waits:
    """Some of all pairs by chance; of the others, where stable's answer is wrong, this share: users complain of it."""

    def waits(_: int, pair: LabelledPair) -> float | None:
        wrong = pair.stable.label != pair.truth
        return SOON_S if rng.random() < (chance + (1 - chance) * share if wrong else chance) else None

    return waits


def test_labels_of_complaints_among_those_by_chance_hold_a_worse_version() -> None:
    """Stable's mistakes are what they are of, so that the candidate seems to lose nothing."""
    losing = World(worse=0.06, better=0.04)
    told = play(complaining(np.random.default_rng(2), 0.2, 0.1), 200, losing, losing, names=TURNED, seed=2)
    assert Outcome.PASS not in told.outcomes
    assert {one.outcome for one in told.verdicts[80:]} == {Outcome.ERROR}
    assert PICKED in told.verdicts[-1].reason
    assert "complained about" in told.verdicts[-1].reason
    honest = play(complaining(np.random.default_rng(2), 0.0, 0.1), 200, losing, losing, names=TURNED, seed=2)
    assert Outcome.ERROR not in honest.outcomes


def test_a_pass_waits_where_too_many_labelled_disagreements_would_hide_a_loss() -> None:
    """Before it is sure that they are no chance."""
    losing = World(worse=0.05, better=0.03)
    told = play(complaining(np.random.default_rng(5), 0.1, 0.1), 400, losing, losing, names=TURNED, seed=5)
    waiting = [one for one in told.verdicts if "would hide a loss" in one.reason]
    assert waiting
    assert {one.outcome for one in waiting} == {Outcome.INCONCLUSIVE}


def test_what_may_be_hidden_is_what_was_labelled_because_it_was_won() -> None:
    """10 % disagree, of which the candidate lost 6; by chance a tenth is labelled, and half of what it won."""
    yes, no = Answer("yes", 0.9, 0.02), Answer("no", 0.9, 1.62)
    both = (
        (LabelledPair("yes", yes, no), 60),
        (LabelledPair("yes", no, yes), 200),
        (LabelledPair("yes", yes, yes), 900),
    )
    losses = Losses().add([pair for pair, number in both for _ in range(number)], 9_000, 1_000)
    differ = below(0.01).add(ShareState(), 1_000, 10_000)
    times = (260 / 1_160) / 0.1
    assert losses.mean(differ) == pytest.approx(0.1 * -140 / 260)
    assert losses.mean_at_worst(differ, times) == pytest.approx(2 * 60 / 1_160 - 0.1)
    assert losses.mean_at_worst(differ, 1.0) == losses.mean(differ)


def test_without_the_number_of_pairs_that_agree_complaints_are_not_looked_for() -> None:
    """As in looks of a former version."""

    def untold(every: Sequence[LabelledPair], classes: Sequence[str]) -> PairProfile:
        return replace(profile(every, classes), stable_agreed=())

    losing, rng = World(worse=0.06, better=0.04), np.random.default_rng(3)
    told = play(complaining(rng, 1.0), 150, losing, losing, names=TURNED, profile_of=untold)
    assert Outcome.ERROR not in told.outcomes


def test_a_class_on_which_the_versions_disagree_more_may_be_labelled_more_often() -> None:
    rng = np.random.default_rng(5)

    def waits(_: int, pair: LabelledPair) -> float | None:
        return SOON_S if rng.random() < (0.9 if pair.stable.label in {"late", "rare"} else 0.3) else None

    told = play(waits, 150, World(worse=0.01, better=0.01), World(worse=0.08, better=0.08))
    assert Outcome.ERROR not in told.outcomes
    counts = told.state.labelling.seen.apart
    assert counts.log_e_more_than(counts.every) > 10  # of all texts together it would be a choice


def test_chance_rarely_labels_too_many_disagreements() -> None:
    """At no look of a release, by the evidence that a hundred times as many would be."""
    rng, beyond = np.random.default_rng(8), 0
    for _ in range(400):
        apart, labelled = rng.random((60, 500)) < 0.07, rng.random((60, 500)) < 0.1
        every, drawn = np.cumsum(apart.sum(1)), np.cumsum((apart & labelled).sum(1))
        of, chosen = 500 * np.arange(1, 61), np.cumsum(labelled.sum(1))
        bins = [
            Bins((int(n - a), int(a)), (float(c - d), float(d)), float(c))
            for n, a, c, d in zip(of, every, chosen, drawn, strict=True)
        ]
        beyond += any(one.log_e_more_than(one.every) >= np.log(100) for one in bins)
    assert beyond <= 4


def test_labels_that_were_asked_for_by_disagreement_are_not_taken_for_chosen_ones():
    rng = np.random.default_rng(7)
    gate_set = GateSet(JUDGING)
    state = gate_set.start()
    for number in range(1, 31):
        every = pairs(rng, LABELLED, World())
        directed = tuple(replace(pair, directed=True) for pair in every if pair.stable.label != pair.candidate.label)
        by_chance = tuple(pair for pair in every if rng.random() < 0.2 and pair.stable.label == pair.candidate.label)
        window = Window(LOOK_S * (number - 1), LOOK_S * number)
        look = Look(
            number, window, 0.0, pairs=directed + by_chance, pairs_agreed=50, pairs_disagreed=5,
            pair_profile=profile(every, ()),
        )  # fmt: skip
        state, verdicts = gate_set.look(state, look)
    assert all(PICKED not in verdict.reason for verdict in verdicts)


@pytest.mark.parametrize("of_suite", [True, False])
def test_texts_of_a_suite_are_no_choice_of_labels(of_suite: bool) -> None:
    """All of them are labelled and none is among all pairs that are told of, however sure both versions are of them."""
    rng, gate_set, verdicts = np.random.default_rng(8), GateSet(JUDGING), ()
    state = gate_set.start()
    for number in range(1, 31):
        every = pairs(rng, LABELLED, World())
        known = [pair for pair in pairs(rng, LABELLED, World()) if unsure(number, pair) is not None]
        suite = tuple(replace(pair, replayed=True, of_suite=of_suite) for pair in known)
        by_chance = tuple(pair for pair in every if rng.random() < 0.5)
        window = Window(LOOK_S * (number - 1), LOOK_S * number)
        look = Look(number, window, 0.0, pairs=suite + by_chance, pair_profile=profile(every, ()))
        state, verdicts = gate_set.look(state, look)
    assert any(PICKED in verdict.reason for verdict in verdicts) == (not of_suite)


# --- the parts --------------------------------------------------------------------------------------------------------
def test_lags_that_came_lately_count_most():
    quick = Lags().add([0.0] * 1_000, half_life=300)
    assert quick.quantile(0.95) == 0.0
    slower = quick.add([3_600.0] * 60, half_life=300)
    assert 3_600.0 <= slower.quantile(0.95) < 3_600.0 * 1.3
    assert slower.add([0.0] * 2_000, half_life=300).quantile(0.95) == 0.0
    assert Lags().quantile(0.95) == 0.0
    assert Lags().add([1e9], half_life=300).quantile(0.95) == EDGES_S[-1]


def test_a_part_that_chance_drew_is_rarely_taken_for_chosen():
    """At most once in 10,000 by its evidence; a part that was chosen is."""
    rng = np.random.default_rng(8)
    every = (300, 200, 100, 400)

    def drawn(chances: Sequence[float]) -> Bins:
        counts = [float(rng.binomial(count, chance)) for count, chance in zip(every, chances, strict=True)]
        return Bins().add(every, counts, sum(counts))

    assert max(drawn([0.1] * 4).log_e for _ in range(300)) < np.log(1e3)
    assert min(drawn([0.05, 0.1, 0.6, 0.05]).log_e for _ in range(20)) > np.log(1e4)


def test_a_part_that_chance_drew_of_each_stratum_is_rarely_taken_for_chosen():
    """However unequally strata are drawn from, and however unlike their bins are; one chosen within them is."""
    rng = np.random.default_rng(13)
    every = np.array([rng.multinomial(2_000, share) for share in rng.dirichlet(np.ones(4), size=10)])
    strata = Strata() + every.ravel().tolist()

    def drawn(chances: np.ndarray) -> tuple[Bins, tuple[float, ...]]:
        counts = rng.binomial(every, chances)
        expected = strata.by_chance(counts.sum(axis=1).tolist(), 4)
        bins = Bins().add(every.sum(axis=0).tolist(), counts.sum(axis=0).astype(float).tolist(), float(counts.sum()))
        return bins, expected

    by_stratum = np.linspace(0.01, 0.5, 10)[:, None]
    chance = [bins.log_e_against(expected) for bins, expected in (drawn(by_stratum) for _ in range(300))]
    assert max(chance) < np.log(1e3)
    chosen = [drawn(by_stratum * np.array([1.0, 0.5, 0.5, 0.2])) for _ in range(20)]
    assert min(bins.log_e_against(expected) for bins, expected in chosen) > np.log(1e4)


def test_units_of_a_stratum_that_is_not_known_would_lie_as_all_do():
    strata = Strata((1, 3, 4, 0))
    assert strata.by_chance((2.0, 1.0), 2) == (1.5, 1.5)
    assert strata.by_chance((0.0, 0.0, 8.0), 2) == (5.0, 3.0)
    assert Strata((0, 0, 1, 3)).by_chance((4.0,), 2) == (1.0, 3.0)
    assert Strata().by_chance((1.0,), 2) == strata.by_chance((0.0,), 2) == ()


def test_weighed_units_tell_as_much_as_fewer_equal_ones():
    """A tenth of the first bin and all of the second, weighed, are as the whole is."""
    bins = Bins().add((1000, 100), (1000.0, 100.0), 100 * 10.0**2 + 100)
    assert bins.distance == 0.0
    assert bins.effective == pytest.approx(1100**2 / 10_100)
    assert bins.log_e < 0


def test_confidences_that_drift_while_labels_are_awaited_are_not_taken_for_a_choice():
    """Labels come an hour late, by chance, and texts become harder meanwhile."""
    rng, gate_set, classes = np.random.default_rng(16), GateSet(JUDGING), ("no", "yes")
    state, to_come, said = gate_set.start(), {}, []
    for number in range(1, 151):
        every = list(pairs(rng, LABELLED, World(overconfidence=0.09 if number <= 60 else -0.2)))
        to_come[number + 60] = [replace(pair, waited_s=60 * LOOK_S) for pair in every]
        window = Window(LOOK_S * (number - 1), LOOK_S * number)
        asked, told = tuple(to_come.pop(number, ())), profile(every, classes)
        state, verdicts = gate_set.look(
            state, Look(number, window, 0.0, pairs=asked, classes=classes, pair_profile=told)
        )
        said += [verdict.reason for verdict in verdicts if PICKED in verdict.reason]
    assert not said
