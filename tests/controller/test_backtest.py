"""`serin backtest`: what a policy would do on a service's own recorded traffic."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from controller.cli.app import app
from controller.core.policy import OnDeadline, Step
from controller.errors import UsageError
from controller.offline.backtest import (
    Backtest,
    End,
    Found,
    Plays,
    as_document,
    backtest,
    play,
    service_of,
)
from controller.offline.evidence_file import RecordedLook
from controller.offline.forecast.release import forecast
from controller.offline.forecast.traffic import traffic_known
from controller.offline.scenarios import Sizes, scenarios
from gates.evidence import Look
from gates.offline.backtest.injection import EQUAL, Injection
from gates.offline.backtest.service import Service
from gates.offline.backtest.simulation import Simulation
from gates.policy import CalibrationPolicy
from gates.verdict import Window
from tests.controller import report_support as support
from tests.controller.evidence_support import recorded, write_evidence, write_policy
from tests.controller.report_support import POLICY

RUNS = 8
FEW = Sizes(accuracy_points=(0.5, 5.0), latency_pct=(40.0,), error_times=(20.0,), confidence_gap=(0.5,))


@pytest.fixture(scope="module")
def looks() -> tuple[RecordedLook, ...]:
    """Two minutes of a service, recorded at a candidate that fails fifty times as many requests."""
    scene = replace(support.PROMOTED, error=0.01, stop_after_s=150.0)
    return recorded(support.play(scene))


@pytest.fixture(scope="module")
def service(looks: tuple[RecordedLook, ...]) -> Service:
    return service_of(POLICY, looks)


@pytest.fixture(scope="module")
def found(service: Service) -> Backtest:
    return backtest(POLICY, service, Plays(RUNS, seed=1, sizes=FEW))


def row(found: Backtest, name: str) -> Found:
    return next(one for one in found.found if one.scenario.name.startswith(name))


# --- what becomes of candidates ---------------------------------------------------------------------------------------
def test_an_equal_candidate_is_promoted_though_the_recorded_one_failed(found: Backtest) -> None:
    equal = row(found, "equal")
    assert (equal.promoted.hits, equal.rolled_back.hits) == (RUNS, 0)
    assert equal.blamed == ()


@pytest.mark.parametrize(
    ("name", "gate"), [("accuracy \N{MINUS SIGN}5", "accuracy.shadow"), ("latency +40", "latency.p95")]
)
def test_a_regression_is_caught_by_the_gate_that_is_for_it(name: str, gate: str, found: Backtest) -> None:
    """Nothing is missed, and the gates that failed it are counted."""
    caught = row(found, name)
    assert (caught.promoted.hits, caught.rolled_back.hits) == (0, RUNS)
    assert caught.blamed[0][0] == gate


def test_a_larger_regression_is_found_sooner(service: Service) -> None:
    sizes = Sizes((2.0, 10.0), (), (), ())
    slow, quick = backtest(POLICY, service, Plays(RUNS, sizes=sizes)).found[1:]
    assert slow.seconds_to_decide is not None
    assert quick.seconds_to_decide is not None
    assert quick.seconds_to_decide[1] < slow.seconds_to_decide[1]


def test_the_steps_of_the_policy_are_gone(service: Service) -> None:
    """The controller's own decision plays: no promotion before every step had its time, however good the evidence."""
    slow = replace(POLICY, steps=(Step(5.0, min_s=600), Step(50.0, min_s=900)))
    ended = play(slow, service, Simulation(service, EQUAL), np.random.default_rng(1))
    assert ended.end is End.PROMOTED
    assert ended.seconds >= 1_500


@pytest.mark.parametrize("on_deadline", OnDeadline)
def test_what_is_not_proven_by_the_deadline_is_no_false_alarm(service: Service, on_deadline: OnDeadline) -> None:
    """Held or rolled back, as the policy says: no gate failed, so it is told apart from a gate's failure."""
    short = replace(POLICY, deadline_s=20.0, on_deadline=on_deadline)
    result = backtest(short, service, Plays(3, sizes=Sizes((), (), (), ()))).found[0]
    assert (result.promoted.hits, result.rolled_back.hits, result.not_proven.hits) == (0, 0, 3)
    assert result.seconds_to_decide is None


# --- what counts as a miss --------------------------------------------------------------------------------------------
def test_what_the_policy_tolerates_is_no_miss(service: Service) -> None:
    told = {s.name: s for s in scenarios(POLICY, service, replace(FEW, latency_pct=(5.0,), error_times=(2.0, 4.0)))}
    assert not told["equal"].harmful
    assert told["accuracy \N{MINUS SIGN}0.5 points"].tolerated == "within the margin of accuracy.shadow"
    assert told["accuracy \N{MINUS SIGN}5 points"].harmful
    assert told["latency +5 %"].tolerated == "within the margin of latency.p95"
    assert told["errors \N{MULTIPLICATION SIGN}2"].tolerated == "within the margin of errors.live"
    assert "meets the objective of errors.live" in told["errors \N{MULTIPLICATION SIGN}4"].tolerated


def test_a_gate_that_is_not_configured_misses_nothing(service: Service) -> None:
    open_policy = replace(POLICY, gates=replace(POLICY.gates, accuracy_shadow=None, latency=None, errors_live=None))
    assert not any(scenario.harmful for scenario in scenarios(open_policy, service, Sizes(confidence_gap=())))


def test_a_regression_that_cannot_be_put_in_is_told_and_not_played(found: Backtest) -> None:
    skipped = row(found, "confidence +0.5")
    assert "no room for 0.5 more" in skipped.scenario.skipped
    assert skipped.promoted.runs == 0


def test_intervals_are_clopper_pearson(found: Backtest) -> None:
    """None of eight still allows for one in three."""
    rate = row(found, "equal").rolled_back
    assert (rate.low, rate.high) == (0.0, pytest.approx(1 - 0.025 ** (1 / RUNS)))


def test_json_names_the_two_rates(found: Backtest) -> None:
    document = json.loads(json.dumps(as_document(found)))
    assert document["schema"] == "serin.backtest/v1"
    rows = {one["name"]: one for one in document["scenarios"]}
    assert rows["equal"]["false_alarm_rate"]["runs"] == RUNS
    assert rows["equal"]["miss_rate"] is None
    assert rows["accuracy \N{MINUS SIGN}5 points"]["miss_rate"]["hits"] == 0
    assert rows["accuracy \N{MINUS SIGN}0.5 points"]["miss_rate"] is None
    assert rows["confidence +0.5"]["miss_rate"] is None


# --- the same answer, and progress ------------------------------------------------------------------------------------
def test_a_seed_fixes_the_answer(service: Service) -> None:
    sizes = Sizes((5.0,), (), (), ())
    first, again, other = (backtest(POLICY, service, Plays(3, seed, sizes=sizes)) for seed in (1, 1, 2))
    assert again == first
    assert other.found != first.found


@pytest.mark.integration
def test_processes_change_nothing_but_the_time(service: Service) -> None:
    """Each run has randomness of its own, whichever process plays it."""
    sizes = Sizes((5.0,), (), (), ())
    assert backtest(POLICY, service, Plays(4, jobs=2, sizes=sizes)) == backtest(POLICY, service, Plays(4, sizes=sizes))


def test_progress_counts_every_release(service: Service) -> None:
    """Those that need not be played as well: the bar ends where it should."""
    told: list[int] = []
    sizes = Sizes((20.0,), (), (), (0.5,))
    backtest(POLICY, service, Plays(3, sizes=sizes), told.append)
    assert sum(told) == 3 * sizes.scenarios


def test_looks_of_several_releases_are_one_service(looks: tuple[RecordedLook, ...]) -> None:
    both = [*looks, *(replace(line, release="intent-v8-1") for line in looks)]
    assert service_of(POLICY, both).releases == 2
    assert service_of(POLICY, both).requests == 2 * service_of(POLICY, looks).requests


def test_evidence_that_shows_no_traffic_cannot_be_resampled() -> None:
    with pytest.raises(UsageError, match="the evidence shows no service: no look tells"):
        service_of(POLICY, [RecordedLook(Look(1, Window(0, 10), 0.0))])


def test_the_plan_agrees_with_the_backtest(found: Backtest, service: Service) -> None:
    """Forecast and simulation are two ways to the same time: within a factor of two of each other."""
    promoted_s = forecast(POLICY, traffic_known(POLICY, {}, service)[0]).promoted_s
    times = row(found, "equal").seconds_to_decide
    assert times is not None
    assert promoted_s is not None
    assert times[1] / 2 < promoted_s < times[1] * 2


# --- the command ------------------------------------------------------------------------------------------------------
def test_the_command_tells_a_person(looks: tuple[RecordedLook, ...], tmp_path: Path) -> None:
    """Rates with their intervals, what was tolerated and what could not be played, in words."""
    file, policy = write_evidence(tmp_path / "e.jsonl", looks), write_policy(tmp_path / "p.yaml", POLICY)
    options = ["--runs", "4", "--jobs", "1", "--accuracy-points", "5", "--latency-pct", "5", "--confidence-gap", "0.5"]
    arguments = ["backtest", "--policy", str(policy), "--evidence", str(file), "--error-times", "30", *options]
    result = CliRunner().invoke(app, arguments, env={"COLUMNS": "100"})
    text = " ".join(result.stdout.split())
    assert result.exit_code == 0
    assert "False alarms: 0 of 4 (95 % interval 0 % to 60.2 %) equal candidates rolled back; the policy allows" in text
    assert "Missed, accuracy \N{MINUS SIGN}5 points: 0 of 4" in text
    assert "No miss if promoted, latency +5 %: within the margin of latency.p95." in text
    assert "Not played, confidence +0.5: confidence is" in text
    assert max(map(len, result.stdout.splitlines())) <= 100


def test_the_command_prints_json_and_nothing_else(looks: tuple[RecordedLook, ...], tmp_path: Path) -> None:
    file, policy = write_evidence(tmp_path / "e.jsonl", looks), write_policy(tmp_path / "p.yaml", POLICY)
    sizes = ["--accuracy-points", "20", "--latency-pct", "90", "--error-times", "90", "--confidence-gap", "0.9"]
    common = ["--evidence", str(file), "--runs", "2", "--jobs", "1", "--json", *sizes]
    first, second = (CliRunner().invoke(app, ["backtest", "--policy", str(policy), *common]) for _ in range(2))
    assert json.loads(first.stdout)["runs"] == 2
    assert first.stdout == second.stdout


def test_calibration_is_missed_where_the_margin_is_wide(service: Service) -> None:
    """A policy that promises little is seen to catch little: what a backtest is for."""
    change = Injection(confidence_gap=0.03)
    wide = CalibrationPolicy(margin_gap=0.5, margin_brier=0.5, guard_gap=0.4)
    lax = replace(POLICY, gates=replace(POLICY.gates, calibration_shadow=wide))
    ends = [
        play(policy, service, Simulation(service, change), np.random.default_rng(1)).end for policy in (POLICY, lax)
    ]
    assert ends == [End.ROLLED_BACK, End.PROMOTED]
