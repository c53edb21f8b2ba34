"""The parts that the worlds of the gates' bench are made of: equal is equal, and each differs in what it says."""

from dataclasses import replace

import numpy as np
import pytest

from gates.gate_set import GateSet
from tests.bench.world import errors, latency, texts
from tests.bench.world.demand import Crowd, Sticky
from tests.bench.world.latency import STABLE_P95, law
from tests.bench.world.release import play
from tests.bench.world.scenarios import EQUAL, RELEASED
from tests.bench.world.traffic import COPIED_BACK, REPLAYED_PER_S, Traffic
from tests.bench.world.weather import REQUESTS_PER_S, incident, steady
from tests.bench.world.worlds import EQUAL_WORLDS, LATE_FAULTS, ONSET, SCARCE, UNDECLARED, WORSE_WORLDS

USUAL = ((1.0, 1.0),)
BY_NAME = {one.name: one for one in (*EQUAL_WORLDS, *WORSE_WORLDS, *UNDECLARED, *LATE_FAULTS, *SCARCE)}


def slow_of(way, looks=1500, answered=60, speeds=USUAL, share=0.05):
    """How many answers of each look are slower than stable's P95 edge."""
    return np.array([way.counts(answered, speeds, share)[STABLE_P95 + 1 :].sum() for _ in range(looks)])


def looks_of(scenario, shares, seed=1):
    traffic = Traffic(scenario, np.random.default_rng(seed))
    return [traffic.look(number, share)[0] for number, share in enumerate(shares, 1)]


@pytest.mark.parametrize(("mean", "least"), [(2, 1.6), (10, 8.0)])
def test_runs_have_the_law_of_independent_answers_and_come_together(mean, least):
    """A geometric number of so many in the mean: those in runs spread by twice the mean less one."""
    expected = 60 * float(law(USUAL)[STABLE_P95 + 1 :].sum())
    alone = slow_of(latency.Independent(np.random.default_rng(1)))
    together = slow_of(latency.Runs(np.random.default_rng(2), mean))
    assert alone.mean() == pytest.approx(expected, rel=0.05)
    assert together.mean() == pytest.approx(expected, rel=0.15)
    assert alone.var() / alone.mean() < 1.1
    assert together.var() / together.mean() > least


def test_latency_that_wanders_has_the_usual_law_over_time():
    wandering = slow_of(latency.Wander(np.random.default_rng(3)), looks=2000)
    assert wandering.mean() == pytest.approx(60 * float(law(USUAL)[STABLE_P95 + 1 :].sum()), rel=0.12)
    assert wandering.var() / wandering.mean() > 1.5


def test_a_small_arm_is_slower_until_it_has_half_of_the_traffic():
    small, large = (
        slow_of(latency.SmallArm(np.random.default_rng(4), 1.2), 500, 600, share=share).mean() for share in (0.2, 0.5)
    )
    assert small > 1.5 * large


def test_cold_caches_are_cold_for_some_looks_at_each_new_share():
    cold = latency.Cold(np.random.default_rng(5))
    slow = [slow_of(cold, 1, 20_000, share=share)[0] for share in (0.05,) * 4 + (0.2,) * 4]
    usual = 20_000 * float(law(USUAL)[STABLE_P95 + 1 :].sum())
    assert [count > 1.5 * usual for count in slow] == [True, True, True, False] * 2
    assert slow[2] < 0.75 * slow[1]  # half of the third look is warm


def test_clusters_have_the_rate_of_independent_errors_and_fewer_causes():
    clustered = errors.Clusters(np.random.default_rng(6), 1, mean=5.0)
    found = [clustered.failed(20_000, 0.001) for _ in range(2000)]
    assert np.mean([one.errors for one in found]) == pytest.approx(20, rel=0.05)
    assert np.mean([one.causes for one in found]) == pytest.approx(4, rel=0.05)


def test_a_replica_is_lost_once_with_all_that_it_answers():
    lost = errors.LostReplica(np.random.default_rng(7), 60)
    hits = [lost.mishap(look, 60, 1140) for look in range(1, 61)]
    assert [sum(hit) for hit in hits if any(hit)] == [10]


def test_a_crowd_keeps_to_its_versions_and_few_of_it_send_most():
    rng = np.random.default_rng(8)
    users = Sticky(rng, steady(rng, 200), 60.0, Crowd())
    seen = np.array([[version.requests for version in users.look(place, 0.05)] for place in range(200)])
    assert seen.sum() / 200 == pytest.approx(60 * REQUESTS_PER_S, rel=0.25)
    # Of users dealt by chance a share of a twentieth; of requests much more or less, from look to look.
    assert seen[:, 1].var() / seen[:, 1].mean() > 5


@pytest.mark.parametrize("declared", [True, False])
def test_labels_by_doubt_say_how_likely_they_were_or_all_the_same(declared):
    scenario = BY_NAME["-2 points by stable's doubt" if declared else "-2 points by stable's doubt undeclared"]
    pairs = [pair for look in looks_of(scenario, [0.05] * 14) for pair in look.pairs]
    said = {pair.inclusion_probability for pair in pairs}
    assert (len(said) > 2) is declared
    assert np.mean([pair.stable.confidence for pair in pairs]) < 0.85  # of all texts it is 0.92
    if declared:  # and weighed by what they say they stand for all
        weights = [1 / pair.inclusion_probability for pair in pairs]
        weighed = np.average([pair.stable.confidence for pair in pairs], weights=weights)
        assert weighed == pytest.approx(0.92, abs=0.015)


def test_what_begins_after_forty_minutes_does():
    looks = looks_of(BY_NAME["errors x10 from minute 40"], [0.05] * 60)
    before, after = looks[: ONSET - 1], looks[ONSET - 1 :]
    rates = [sum(look.shadow.errors for look in part) / len(part) for part in (before, after)]
    assert rates[1] > 6 * rates[0]


def test_a_tag_has_its_share_of_the_pairs_and_loses_alone():
    looks = looks_of(BY_NAME["-10 points of a tag of 5 %"], [0.05] * 60)
    tagged = [part for look in looks for part in look.slice_pairs if part.slice == "segment:new"]
    pairs = sum(part.agreed + part.disagreed for part in tagged)
    assert pairs / sum(look.pairs_agreed + look.pairs_disagreed for look in looks) == pytest.approx(0.05, abs=0.004)
    assert sum(part.disagreed for part in tagged) / pairs == pytest.approx(0.15, abs=0.02)


def test_recorded_requests_are_asked_again_in_shadow_each_once():
    """A look says how many, and how many of their pairs agreed; they are among all pairs and mirrored requests."""
    scenario = replace(BY_NAME["2 requests/s replayed"], replayed=1_500)
    looks = looks_of(scenario, [0.0] * 4 + [0.01])
    again = [look.replayed.requests if look.replayed else 0 for look in looks]
    assert again == [int(60 * REPLAYED_PER_S), int(60 * REPLAYED_PER_S), 1_500 - 2 * int(60 * REPLAYED_PER_S), 0, 0]
    for look in looks[:3]:
        assert look.replayed.agreed + look.replayed.disagreed == look.replayed.requests
        assert look.shadow.requests == look.stable.requests + look.replayed.requests
        assert look.pairs_agreed + look.pairs_disagreed == look.shadow.requests
    later = looks_of(scenario, [0.0] * 14)
    marked = [pair for look in later for pair in look.pairs if pair.replayed]
    assert marked
    assert all(pair.directed or pair.inclusion_probability for pair in marked)


def test_in_probation_some_of_what_is_served_is_copied_to_the_former_version():
    traffic = Traffic(replace(RELEASED, probation=incident), np.random.default_rng(9))
    assert traffic.look(1, 0.5)[0].former is None
    traffic.promoted(2, incident)
    look = traffic.look(2, 1.0)[0]
    assert look.stable.requests == 0
    assert look.former.requests == pytest.approx(COPIED_BACK * look.candidate.requests, rel=0.35)


def test_a_release_ends_as_soon_as_nothing_more_can_be_learnt_of_it():
    """A failure ends it, and with ``watch_on`` all numbers are there that another rule would have seen."""
    failing = replace(EQUAL, candidate=replace(EQUAL.candidate, error_factor=60.0), looks=12)
    ended, seen = play(failing, np.random.default_rng(10))
    assert (ended.blamed, ended.promoted_at) == (("errors.shadow",), None)
    assert ended.failed_at <= 6
    assert len(seen) == 12
    again, seen = play(replace(failing, watch_on=False), np.random.default_rng(10))
    assert again == ended
    assert len(seen) == ended.failed_at


@pytest.mark.parametrize("way", [lambda rng: texts.Alike(rng, 5), lambda rng: texts.AlikeForLong(rng, 5, looks=10)])
def test_texts_that_are_alike_have_the_law_of_single_ones_and_come_together(way):
    """A tenth of all is lost, as of single texts; how many of a look spreads by far more, or lasts."""
    of_groups, alone = way(np.random.default_rng(1)), texts.OneByOne(np.random.default_rng(2))
    lost, single = (
        np.array([np.count_nonzero(one.draw(1_000, 500) < 100) for _ in range(2_000)]) for one in (of_groups, alone)
    )
    assert lost.mean() == pytest.approx(50, rel=0.05)
    assert single.var() / 45 == pytest.approx(1, abs=0.15)
    blocks = lost.reshape(-1, 10).sum(axis=1)
    assert blocks.var() / 450 > 4


def test_no_texts_are_drawn_of_no_requests():
    rng = np.random.default_rng(3)
    assert not any(len(one.draw(10, 0)) for one in (texts.Alike(rng, 5), texts.AlikeForLong(rng, 5, looks=10)))


def test_a_replica_that_came_is_slow_for_a_minute():
    slow = slow_of(latency.Scaled(np.random.default_rng(4), every_looks=10), answered=600)
    usual = 600 * float(law(USUAL)[STABLE_P95 + 1 :].sum())
    assert np.median(slow) == pytest.approx(usual, rel=0.1)
    assert (slow > 3 * usual).mean() == pytest.approx(0.1, abs=0.03)


def test_looks_that_nobody_takes_are_in_the_next_one(monkeypatch):
    seen = []
    monkeypatch.setattr(
        GateSet, "look", lambda self, state, look, real=GateSet.look: seen.append(look) or real(self, state, look)
    )
    play(replace(EQUAL, looks=12, away=range(4, 9)), np.random.default_rng(5))
    assert [one.sequence for one in seen] == [1, 2, 3, 9, 10, 11, 12]
    assert [one.window.start_s for one in seen[:5]] == [0.0, 60.0, 120.0, 180.0, 540.0]
    assert seen[3].stable.requests > 4 * seen[2].stable.requests
