"""Resampled evidence: an equal candidate is equal, a regression is as large as it was asked for."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gates.checks import METRICS, problems
from gates.evidence import Answer, ArmCounts, Fault, LabelChance, LabelCounts, LabelledPair, Look, SlicePairs
from gates.offline.backtest.injection import EQUAL, Injection, impossible
from gates.offline.backtest.service import Moment, Service, observe
from gates.offline.backtest.simulation import Simulation, moments
from gates.verdict import Window
from tests.bench.world.answers import Skill, pool
from tests.gates.support import EDGES_MS, World, look

LOOKS = 60
BAD = World(share=0.2, worse=0.08, better=0.01, slow=2.0, error=0.004, error_factor=8.0, shadow_looks=20)


def recorded(world: World = BAD, looks: int = LOOKS) -> list[Look]:
    """An hour of a service, recorded at a candidate that is bad in every respect; pairs are counted."""
    rng = np.random.default_rng(3)
    found = []
    for sequence in range(1, looks + 1):
        seen = look(rng, sequence, world)
        assert seen.shadow is not None
        disagreed = int(rng.binomial(seen.shadow.requests, world.worse + world.better))
        agreed = seen.shadow.requests - disagreed
        found.append(replace(seen, pairs_agreed=agreed, pairs_disagreed=disagreed))
    return found


@pytest.fixture(scope="module")
def service() -> Service:
    return observe([recorded()])


def simulated(service: Service, injection: Injection, looks: int = 200, share: float = 0.5) -> list[Look]:
    rng = np.random.default_rng(5)
    simulation = Simulation(service, injection)
    found = []
    at_s = 0.0
    for sequence, moment in zip(range(1, looks + 1), moments(service, rng), strict=False):
        found.append(simulation.look(rng, moment, sequence=sequence, start_s=at_s, candidate_share=share))
        at_s = found[-1].window.end_s
    return found


def error_ratio(arms: list[ArmCounts | None]) -> float:
    known = [arm for arm in arms if arm is not None]
    return sum(arm.errors for arm in known) / sum(arm.requests for arm in known)


def percentile_ms(arms: list[ArmCounts | None], quantile: float) -> float:
    counts = np.sum([arm.latency_counts for arm in arms if arm is not None], axis=0)
    return float(np.interp(quantile, np.cumsum(counts / counts.sum())[:-1], EDGES_MS))


def mean_change(pairs: list[LabelledPair]) -> tuple[float, float]:
    """Mean loss in points, and the mean change of confidence."""
    lost = [100 * ((p.stable.label == p.truth) - (p.candidate.label == p.truth)) for p in pairs]
    return float(np.mean(lost)), float(np.mean([p.candidate.confidence - p.stable.confidence for p in pairs]))


def chance_pairs(looks: list[Look]) -> list[LabelledPair]:
    return [pair for seen in looks for pair in seen.pairs if not pair.directed]


# --- an equal candidate -----------------------------------------------------------------------------------------------
def test_an_equal_candidate_is_equal_whatever_was_recorded(service: Service) -> None:
    """The recorded candidate failed eight times as often, was twice as slow and lost seven points: none of it stays."""
    looks = simulated(service, EQUAL)
    stable, live, shadow = ([getattr(seen, arm) for seen in looks] for arm in ("stable", "candidate", "shadow"))
    assert error_ratio(live) == pytest.approx(error_ratio(stable), rel=0.15)
    assert error_ratio(shadow) == pytest.approx(error_ratio(stable), rel=0.15)
    assert percentile_ms(live, 0.95) == pytest.approx(percentile_ms(stable, 0.95), rel=0.02)
    lost, surer = mean_change(chance_pairs(looks))
    assert abs(lost) < 0.5
    assert abs(surer) < 0.001


def test_pairs_are_exchangeable_exactly(service: Service) -> None:
    """The pools that pairs are drawn from hold each pair with its mirror image: no loss at all, to the last digit."""
    pools = Simulation(service, EQUAL)._pools
    for kept in (pools.agreeing, pools.differing):
        assert mean_change(list(kept)) == (0.0, pytest.approx(0.0, abs=1e-12))
    assert len(pools.agreeing) + len(pools.differing) == 2 * len(service.pairing.chance_pairs)


def test_load_and_incidents_keep_their_place_in_time() -> None:
    """Moments come in blocks as recorded; errors of an incident stay in the moments of the incident, for both arms."""
    looks = recorded(replace(BAD, error=0.0))
    stormy = [replace(s, stable=replace(s.stable, errors=s.stable.requests // 2)) for s in looks[10:20] if s.stable]
    service = observe([[*looks[:10], *stormy, *looks[20:]]])
    drawn = [moment for moment, _ in zip(moments(service, np.random.default_rng(1)), range(400), strict=False)]
    places = [service.moments.index(moment) for moment in drawn]
    following = sum(after == (before + 1) % LOOKS for before, after in itertools.pairwise(places))
    assert following > 0.7 * len(places)
    for seen in simulated(service, EQUAL, 100):
        assert seen.stable is not None
        assert seen.candidate is not None
        share = seen.stable.errors / max(seen.stable.requests, 1)
        assert share == 0 or 0.3 < share < 0.7
        assert (seen.candidate.errors > 0) == (share > 0)


def test_the_same_seed_gives_the_same_looks(service: Service) -> None:
    assert simulated(service, EQUAL, 5) == simulated(service, EQUAL, 5)


# --- regressions ------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("points", [1.0, 2.0, 5.0])
def test_accuracy_is_lost_as_asked(service: Service, points: float) -> None:
    """Answers that both versions got right become wrong: disagreements grow by as much, in labels and in counts."""
    looks = simulated(service, Injection(accuracy_points=points))
    assert mean_change(chance_pairs(looks))[0] == pytest.approx(points, abs=0.5)
    pairs = sum(seen.pairs_agreed + seen.pairs_disagreed for seen in looks)
    apart = sum(seen.pairs_disagreed for seen in looks) / pairs
    assert apart == pytest.approx(service.pairing.disagreement + points / 100, abs=0.005)
    labels = [seen.candidate_labels for seen in looks if seen.candidate_labels]
    wrong = sum(one.wrong for one in labels) / sum(one.labelled for one in labels)
    assert wrong == pytest.approx(service.live_wrong + points / 100, abs=0.01)


def test_the_loss_is_as_asked_whichever_pairs_happened_to_be_labelled() -> None:
    """Few labels may show twice as many disagreements as there are; how many there are is told by the counts."""
    looks = recorded()
    few = [replace(s, pairs=tuple(p for p in s.pairs if p.stable.label != p.candidate.label)[:1]) for s in looks]
    more = [replace(s, pairs=(*s.pairs, *t.pairs)) for s, t in zip(looks, few, strict=True)]
    found = chance_pairs(simulated(observe([more]), Injection(accuracy_points=5.0)))
    apart = np.mean([pair.stable.label != pair.candidate.label for pair in found])
    assert apart == pytest.approx(0.09 + 0.05, abs=0.01)
    assert mean_change(found)[0] == pytest.approx(5.0, abs=0.6)


@pytest.mark.parametrize("points", [0.0, 5.0])
def test_the_loss_is_as_asked_where_labels_were_chosen_by_doubt(points: float) -> None:
    """Each label weighs one over its probability, in the simulation as in the record; and so does a live one."""
    rng, kinds = np.random.default_rng(8), pool(Skill())
    looks = []
    for seen in recorded():
        chosen = rng.integers(0, len(kinds.chance), 1000)
        asked, disagreed = rng.random(1000) < kinds.doubts[chosen], int(np.count_nonzero(kinds.change[chosen]))
        pairs = tuple(kinds.asked[place] for place in chosen[asked])
        labels = LabelCounts(60, 33, (LabelChance(0.1, 30, 3), LabelChance(1.0, 30, 30)))
        counted = replace(seen, pairs_agreed=1000 - disagreed, pairs_disagreed=disagreed)
        looks.append(replace(counted, pairs=pairs, stable_labels=labels))
    service = observe([looks])
    found = chance_pairs(simulated(service, Injection(accuracy_points=points)))
    weights = [1 / pair.inclusion_probability for pair in found]
    lost = [100.0 * ((p.stable.label == p.truth) - (p.candidate.label == p.truth)) for p in found]
    assert np.average(lost, weights=weights) == pytest.approx(points, abs=0.8)
    apart = np.average([pair.stable.label != pair.candidate.label for pair in found], weights=weights)
    assert apart == pytest.approx(0.07 + points / 100, abs=0.012)
    assert service.live_wrong == pytest.approx((30 + 30) / (300 + 30))


def test_latency_grows_as_asked_at_every_percentile(service: Service) -> None:
    looks = simulated(service, Injection(latency_ratio=1.2))
    for quantile in (0.5, 0.95, 0.99):
        slower = percentile_ms([seen.candidate for seen in looks], quantile)
        assert slower == pytest.approx(1.2 * percentile_ms([seen.stable for seen in looks], quantile), rel=0.03)


def test_errors_grow_as_asked(service: Service) -> None:
    looks = simulated(service, Injection(error_ratio=5.0))
    stable, live = error_ratio([seen.stable for seen in looks]), error_ratio([seen.candidate for seen in looks])
    assert live == pytest.approx(5 * stable, rel=0.15)


def test_confidence_grows_as_asked_at_equal_accuracy(service: Service) -> None:
    pools = Simulation(service, Injection(confidence_gap=0.05))._pools
    pool = [*pools.agreeing, *pools.differing]
    lost, surer = mean_change(pool)
    assert (lost, surer) == (0.0, pytest.approx(0.05, abs=1e-9))
    assert all(0 <= pair.candidate.confidence <= 1 and 0 <= pair.candidate.brier <= 2 for pair in pool)
    worse = np.mean([pair.candidate.brier - pair.stable.brier for pair in pool])
    assert worse > 0


def test_labels_of_disagreements_show_the_loss() -> None:
    """Directed labels resolve disagreements; of those, so many more are losses as the candidate is worse."""
    looks = recorded()
    asked = [
        replace(pair, directed=True)
        for pair in chance_pairs(looks)
        if pair.stable.label != pair.candidate.label and pair.truth in (pair.stable.label, pair.candidate.label)
    ]
    service = observe([[replace(s, pairs=tuple(asked[i::LOOKS])) for i, s in enumerate(looks)]])
    assert service.pairing.labelled == 0
    for points, expected in ((0.0, 0.0), (3.0, 3 / (9 + 3))):
        found = simulated(service, Injection(accuracy_points=points))
        pairs = [pair for seen in found for pair in seen.pairs]
        assert all(pair.directed and pair.stable.label != pair.candidate.label for pair in pairs)
        assert mean_change(pairs)[0] / 100 == pytest.approx(expected, abs=0.05)


def test_errors_that_come_together_stay_together() -> None:
    """Where clusters are counted, an arm gets a cluster whole: that is what breaks a comparison of single errors."""
    looks = [
        replace(s, stable=replace(s.stable, errors=20, error_clusters=4)) for s in recorded() if s.stable is not None
    ]
    arms = [seen.stable for seen in simulated(observe([looks]), EQUAL) if seen.stable is not None]
    assert sum(arm.errors for arm in arms) / sum(arm.error_clusters or 0 for arm in arms) == pytest.approx(5, rel=0.1)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (Injection(error_ratio=5.0), "no server error was recorded"),
        (Injection(accuracy_points=1.0), "no answer was labelled"),
        (Injection(confidence_gap=0.05), "no answer was labelled"),
        (Injection(latency_ratio=1.1), "no answer was timed"),
    ],
)
def test_what_cannot_be_put_into_the_evidence_is_said(change: Injection, why: str) -> None:
    """Five times no error is no error: such a scenario would be a miss that says nothing."""
    bare = Look(1, Window(0, 60), 0.0, stable=ArmCounts(1_000, 0, (0,)))
    service = observe([[bare]])
    assert impossible(service, EQUAL) is None
    assert why in (impossible(service, change) or "")
    with pytest.raises(ValueError, match=why):
        Simulation(service, change)


def test_confidence_without_room_cannot_rise(service: Service) -> None:
    assert "no room for 0.5 more: choose a smaller gap" in (impossible(service, Injection(confidence_gap=0.5)) or "")


# --- what a record tells of a service ---------------------------------------------------------------------------------
def test_a_service_is_known_by_its_rates(service: Service) -> None:
    assert service.looks == LOOKS
    assert service.seconds == 60 * LOOKS
    assert service.requests / service.seconds == pytest.approx(20, rel=0.03)
    assert service.mirrored == 1.0
    assert service.pairing.disagreement == pytest.approx(0.09, abs=0.005)
    assert service.errors / service.stable_requests == pytest.approx(0.004, rel=0.25)


def test_what_says_nothing_of_stable_is_left_out() -> None:
    """Looks in which the candidate had all traffic, impossible ones, and ones with other bucket edges."""
    looks = recorded(looks=12)
    looks[3] = replace(looks[3], candidate_share=1.0)
    looks[5] = replace(looks[5], stable=ArmCounts(10, 20, ()))
    looks[7] = replace(looks[7], latency_edges_ms=(10.0,), stable=ArmCounts(5, 0, (5, 0)), candidate=None, shadow=None)
    service = observe([looks])
    assert (service.looks, service.left_out, len(service.moments)) == (9, 3, 9)


def test_counts_that_came_late_belong_to_the_whole_time() -> None:
    """While metrics did not answer, the counters went on: the next look holds what both windows brought."""
    looks = recorded(looks=4)
    looks[1] = Look(2, looks[1].window, 0.0, faults=(Fault(METRICS, "no answer"),))
    service = observe([looks])
    assert [moment.seconds for moment in service.moments] == [60, 120, 60]


def test_looks_are_added_up_to_moments() -> None:
    service = observe([recorded(looks=10)], moment_s=180.0)
    assert [moment.seconds for moment in service.moments] == [180, 180, 180, 60]
    assert service.requests == observe([recorded(looks=10)]).requests


def test_labels_are_late_in_the_simulation_as_in_the_record() -> None:
    """No labelled pair before the delay that the record shows; what the last minutes lack does not count against it."""
    looks = recorded()
    late = [replace(s, pairs=looks[i - 10].pairs if i >= 10 else (), stable_labels=None) for i, s in enumerate(looks)]
    service, prompt = observe([late]), observe([looks])
    assert service.label_delay_s == 600
    assert service.pairing.labelled == pytest.approx(prompt.pairing.labelled, rel=0.05)
    found = simulated(service, EQUAL, 20)
    assert not any(seen.pairs for seen in found[:10])
    assert all(seen.pairs for seen in found[10:])


def test_labels_that_are_waited_for_unequally_long_come_when_nearly_all_have() -> None:
    """The quickest says nothing of when a time counts: of a mean of 25 s, the least was 10."""
    rng = np.random.default_rng(4)
    looks = [
        replace(seen, pairs=tuple(replace(pair, waited_s=10 + rng.exponential(15)) for pair in seen.pairs))
        for seen in recorded()
    ]
    assert observe([looks]).label_delay_s == pytest.approx(10 + 15 * 2.996, rel=0.1)
    again = [replace(s, pairs=tuple(replace(p, waited_s=9_000, replayed=True) for p in s.pairs)) for s in recorded()]
    both = [replace(one, pairs=one.pairs + other.pairs) for one, other in zip(looks, again, strict=True)]
    assert observe([both]).label_delay_s == observe([looks]).label_delay_s, "of requests of before, nobody waited"


def test_the_delay_of_labels_is_from_answers_and_not_from_the_start() -> None:
    """A release that waits for its first request, with labels of older answers coming in from its first look on."""
    looks = recorded()
    idle = ArmCounts(0, 0, (0,) * (len(EDGES_MS) + 1))
    late = [
        replace(
            seen,
            stable=seen.stable if i >= 5 else idle,
            shadow=seen.shadow if i >= 5 else idle,
            pairs=seen.pairs if i >= 8 else (),
            pairs_agreed=seen.pairs_agreed if i >= 5 else 0,
            pairs_disagreed=seen.pairs_disagreed if i >= 5 else 0,
            stable_labels=LabelCounts(10, 1),
        )
        for i, seen in enumerate(looks)
    ]
    assert observe([late]).label_delay_s == 180
    assert observe([late]).pairing.labelled == pytest.approx(observe([looks]).pairing.labelled, rel=0.05)


def test_a_record_shorter_than_the_delay_still_tells_that_there_are_labels() -> None:
    looks = [replace(seen, pairs=seen.pairs if i == 9 else ()) for i, seen in enumerate(recorded(looks=10))]
    assert observe([looks]).pairing.labelled > 0


def test_without_counts_of_pairs_every_mirrored_request_is_one() -> None:
    looks = [replace(s, pairs_agreed=0, pairs_disagreed=0) for s in recorded()]
    service = observe([looks])
    assert not service.pairing.counted
    assert service.pairing.disagreement == pytest.approx(0.09, abs=0.02)
    assert all(seen.pairs_agreed + seen.pairs_disagreed == 0 for seen in simulated(service, EQUAL, 5))


def test_slices_keep_their_share_and_their_disagreements() -> None:
    looks = [replace(s, slice_pairs=(SlicePairs("lang:en", 200, 50),)) for s in recorded()]
    found = simulated(observe([looks]), Injection(accuracy_points=5.0))
    agreed, apart = (sum(getattr(s.slice_pairs[0], field) for s in found) for field in ("agreed", "disagreed"))
    assert apart / (agreed + apart) == pytest.approx(0.25, abs=0.01)


@pytest.mark.parametrize("looks", [[], [Look(1, Window(0, 60), 0.0)]])
def test_a_record_without_stable_traffic_is_refused(looks: list[Look]) -> None:
    with pytest.raises(ValueError, match="stable version did on live traffic"):
        observe([looks])
    quiet = Look(1, Window(0, 60), 0.0, stable=ArmCounts(0, 0, (0,)))
    with pytest.raises(ValueError, match="no look shows a request"):
        observe([[*looks, replace(quiet, sequence=2, window=Window(60, 120))]])


# --- any evidence -----------------------------------------------------------------------------------------------------
COUNT = st.integers(0, 500)
ANSWER = st.builds(Answer, st.sampled_from("abc"), st.floats(0, 1), st.floats(0, 2))
PAIR = st.builds(LabelledPair, st.sampled_from("abc"), ANSWER, ANSWER)
PATTERN = st.tuples(COUNT, COUNT, COUNT, st.lists(PAIR, max_size=3), COUNT, COUNT, COUNT)
CHANGE = st.builds(
    Injection,
    accuracy_points=st.floats(0, 100),
    latency_ratio=st.floats(1, 50),
    error_ratio=st.floats(1, 1e6),
    confidence_gap=st.floats(0, 1),
)


@given(st.lists(PATTERN, min_size=1, max_size=5), CHANGE, st.floats(0, 1))
@settings(max_examples=80, deadline=None)
def test_simulated_evidence_is_always_evidence_that_gates_accept(
    pattern: list[tuple[int, int, int, list[LabelledPair], int, int, int]], change: Injection, share: float
) -> None:
    """However odd the record and however large the regression: no count is negative or larger than its whole."""
    looks = []
    for place, (timed, errors, shadow, pairs, agreed, apart, labelled) in enumerate(pattern):
        stable = ArmCounts(timed + errors, errors, (timed // 2, timed - timed // 2, 0), errors // 2 if place else None)
        looks.append(
            Look(
                place + 1,
                Window(10.0 * place, 10.0 * place + 10),
                0.0,
                (10.0, 20.0),
                stable,
                shadow=ArmCounts(shadow, 0, (shadow, 0, 0)),
                pairs=tuple(pairs),
                pairs_agreed=agreed,
                pairs_disagreed=apart,
                stable_labels=LabelCounts(labelled, labelled // 3),
            )
        )
    if not any(timed + errors for timed, errors, *_ in pattern):
        return
    service = observe([looks])
    if impossible(service, change) is not None:
        return
    for seen in simulated(service, change, 3, share):
        assert problems(seen, last_sequence=seen.sequence - 1, last_end_s=None) == ()


def test_moments_add_up() -> None:
    one = Moment(10, 100, 90, 2, 1, (80, 8))
    assert one + one == Moment(20, 200, 180, 4, 2, (160, 16))
    assert (one + replace(one, clusters=None)).clusters is None
