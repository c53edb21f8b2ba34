"""The simulated world and the rules of others are what the benchmark's page says they are."""

from dataclasses import replace

import numpy as np
import pytest

from tests.bench.world.answers import Skill, pool
from tests.bench.world.release import Ended, play
from tests.bench.world.rivals import (
    RULES,
    alarms,
    failed_checks,
    failed_in_a_row,
    failure_limit,
    mann_whitney,
    obrien_fleming,
    z_at_every_look,
)
from tests.bench.world.rows import EXPOSED, bars, work
from tests.bench.world.runs import Played, read_chunk, write_chunk
from tests.bench.world.scenarios import EQUAL, HALF_DIRECTED
from tests.bench.world.traffic import Both, Numbers, Traffic

CALM = Numbers(requests=60, errors=0, slow=3, p95_ms=100.0, p99_ms=130.0, labelled=6, wrong=0)
STABLE = Numbers(requests=1140, errors=1, slow=57, p95_ms=100.0, p99_ms=130.0, labelled=114, wrong=9)


def minutes(*candidates: Numbers) -> list[Both]:
    return [Both(candidate, STABLE, paired=120, lost=4, won=4) for candidate in candidates]


def test_an_equal_candidate_is_equal_to_the_last_digit():
    """Accuracy, confidence and Brier score: the pool holds every pair with its mirror image."""
    pairs = pool(Skill(), 2000).chance
    for field in ("label", "confidence", "brier"):
        assert sorted(getattr(p.stable, field) for p in pairs) == sorted(getattr(p.candidate, field) for p in pairs)


def test_a_pool_has_exactly_the_probabilities_asked_for():
    drawn = pool(Skill(both_wrong=0.055, lost=0.045, won=0.025), 2000)
    assert np.sum(drawn.change > 0) == 90
    assert np.sum(drawn.change < 0) == 50
    assert np.sum(drawn.stable_wrong) == 160


def test_sharper_confidence_at_equal_accuracy_is_overconfidence_beyond_the_margin():
    pairs = pool(Skill(sharpness=2.0)).chance
    gap = np.mean([pair.candidate.confidence - pair.stable.confidence for pair in pairs])
    assert 0.05 < gap < 0.07
    assert np.mean([p.candidate.label == p.truth for p in pairs]) == np.mean([p.stable.label == p.truth for p in pairs])


def test_labels_come_late_and_as_many_by_chance_as_by_both_ways():
    """Half of the labels where the versions disagree: the same number in all."""
    totals = []
    for labels in (EQUAL.labels, HALF_DIRECTED):
        traffic = Traffic(replace(EQUAL, labels=labels), np.random.default_rng(1))
        looks = [traffic.look(number, 0.05)[0] for number in range(1, 61)]
        assert not any(look.pairs for look in looks[:10])
        totals.append(sum(len(look.pairs) for look in looks[10:]))
    assert totals[0] == pytest.approx(totals[1], rel=0.05)


def test_the_fifth_failed_check_goes_back_whenever_it_comes():
    one_error = replace(CALM, errors=1)  # 98.3 % of success
    assert failed_checks(minutes(*[one_error, CALM] * 6))[0] == 9
    assert failed_in_a_row(minutes(*[one_error, CALM] * 6))[0] is None
    assert failed_in_a_row(minutes(CALM, one_error, one_error, one_error))[0] == 4


def test_a_failure_limit_of_three_takes_four_failures():
    worse = replace(CALM, errors=4)  # 93.3 %
    assert failure_limit(minutes(*[worse] * 3))[0] is None
    assert failure_limit(minutes(*[worse] * 4))[0] == 4


def test_alarms_go_back_after_two_periods_above_a_fixed_limit_whatever_stable_does():
    failing, calm = replace(CALM, errors=1), replace(CALM, requests=200)
    assert alarms(minutes(*[calm] * 10, *[failing] * 20, *[calm] * 90)) == (30, None, None)
    assert alarms(minutes(*[failing] * 10, *[calm] * 10, *[failing] * 10)) == (None, None, None)
    assert alarms(minutes(*[replace(CALM, wrong=1)] * 20)) == (None, None, 20)


def test_mann_whitney_sees_a_shift_but_not_errors_that_most_minutes_lack():
    """Sparse errors pass it: nearly every minute is the same zero."""
    rng = np.random.default_rng(2)
    slower = [replace(CALM, slow=int(n)) for n in rng.poisson(6, 120)]
    failing = [replace(CALM, errors=int(n)) for n in rng.binomial(60, 0.005, 120)]
    assert mann_whitney(minutes(*slower))[1] == 50
    assert mann_whitney(minutes(*failing))[0] is None


def test_a_z_test_at_every_look_alarms_several_times_as_often_as_its_level_and_obrien_fleming_does_not():
    rng = np.random.default_rng(3)
    alarms = {z_at_every_look: 0, obrien_fleming: 0}
    for _ in range(200):
        lost, won = rng.poisson(8, (2, 120))
        seen = [Both(CALM, STABLE, 120, int(a), int(b)) for a, b in zip(lost, won, strict=True)]
        for rule in alarms:
            alarms[rule] += rule(seen)[2] is not None
    assert alarms[z_at_every_look] > 0.2 * 200
    assert alarms[obrien_fleming] <= 0.02 * 200


def test_no_rule_stumbles_over_releases_without_traffic_labels_or_errors():
    silent = Numbers(0, 0, 0, 2.0, 2.0, 0, 0)
    seen = [Both(silent, silent, 0, 0, 0)] * 120
    assert {rule(seen) for rule in RULES.values()} == {(None, None, None)}


def test_results_are_read_back_as_they_were_written(tmp_path):
    ended, seen = play(replace(EQUAL, looks=12), np.random.default_rng(4))
    one = Played(ended, {name: rule(seen) for name, rule in RULES.items()})
    write_chunk(tmp_path / "runs" / "0.json", [one])
    assert read_chunk(tmp_path / "runs" / "0.json") == [one]


def test_a_page_of_what_was_played_so_far_says_so_and_tells_no_figure_that_it_has_not():
    from tests.bench.world import page  # draws

    ended, never = Ended(9, ("latency.p95",), 1, None, 10, 20, ()), dict.fromkeys(RULES, (None, None, None))
    results = {one.name: [] for one, _ in work(1)} | {
        EXPOSED["P95 +20 %"].name: [Played(replace(ended, failed_at=at), never) for at in (15, 16)],
        EQUAL.name: [Played(replace(ended, failed_at=None), never)] * 40,
    }
    text = "\n".join(page._lines(results, bars(results, (1.5, 2.25)), page.Origin("d1g357", "abc1234", 55_870)))
    assert "**What was played:** 42 releases, by the gates and worlds of commit abc1234 (digest d1g357)." in text
    assert "That is part of 55,870" in text
    assert "Not played: " in text
    assert "slow runs of 2" in text
    assert "| one look, all gates, after 10 million requests | 1.5 ms | <= 2 | yes |" in text
    assert "| one look of thirty classes and five tags | 2.25 ms |" in text
    assert "| equal, rolled back: equal | 0 % of 40 (0 to 8.81) | <= 0.5 | yes |" in text
    assert "| P95 +20 %, 5 %: median, after the warm-up | 12.5 min (12 to 13) | <= 12 | **no** |" in text
    assert "| P95 +20 %, 5 %: median | 15.5 min (15 to 16) |" in text
    assert "nan" not in text
