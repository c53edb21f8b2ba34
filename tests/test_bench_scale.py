"""The simulation of a service at scale, held against what theory knows of its parts."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

from tests.bench.scaled import day, figures, page, queue, sporadic
from tests.bench.scaled.figures import Encoder, Figures

ENCODER = Encoder("DistilBERT int8", 66, (10.0, 30.0), 20.0, 1.1, 200.0)
FED = Figures(
    "a processor", (ENCODER, Encoder("BERT fp32", 109, (500.0,), 500.0, 2.0, 500.0)), 300, 70, 6.5, 400.0, 14_500.0
)


def test_one_replica_waits_as_a_queue_of_one_server_does() -> None:
    """M/D/1: a mean wait of load / (2 (1 - load)) = 2 services (Pollaczek, Khinchine): 30 ms in all on average."""
    calm = queue.play(1, 0.05, (0.01,), texts=20_000, seed=1)
    busy = queue.play(1, 0.8, (0.01,), texts=200_000, seed=1)
    assert calm.p50_ms == pytest.approx(10, rel=1e-6)
    assert 18 < busy.p50_ms < 30 < busy.p95_ms < 100


def test_many_replicas_may_be_busier_than_one() -> None:
    loads = [queue.greatest_load(count, (0.02, 0.04), p95_ms=100, texts=20_000, seed=2) for count in (1, 20)]
    assert 0 < loads[0] < loads[1] <= 0.95


def test_an_objective_that_a_text_alone_exceeds_is_met_at_no_load() -> None:
    assert queue.greatest_load(10, (0.2,), p95_ms=180, texts=1_000, seed=1) == 0.0


@pytest.mark.parametrize("load", [0.0, 1.0, -1.0])
def test_a_load_that_no_queue_survives_is_refused(load: float) -> None:
    with pytest.raises(ValueError, match="load is a share"):
        queue.play(1, load, (0.01,), texts=10, seed=1)


def test_steady_traffic_takes_the_replicas_that_it_needs() -> None:
    steady = np.full(7_200, 100.0)
    found = day.play(steady, replica_per_s=10, target_load=0.5, start_s=5)
    assert found.most == found.least == 20
    assert found.replica_hours == pytest.approx(40)
    assert found.late_ratio == 0
    assert found.per_1000(0.04) == pytest.approx(1000 * 40 * 0.04 / 720_000)


def test_a_burst_finds_too_few_replicas_for_as_long_as_others_start() -> None:
    traffic = np.concatenate([np.full(600, 100.0), np.full(600, 300.0)])
    late = [day.play(traffic, replica_per_s=10, target_load=0.8, start_s=start_s).late_ratio for start_s in (1, 60)]
    assert 0 < late[0] < late[1]


def test_a_canary_stands_beside_the_others_all_day() -> None:
    steady = np.full(3_600, 100.0)
    plain, canary = (day.play(steady, replica_per_s=10, target_load=0.5, start_s=5, extra=extra) for extra in (0, 3))
    assert canary.replica_hours - plain.replica_hours == pytest.approx(3)


@pytest.mark.parametrize("calls_per_h", [5, 60, 600])
def test_the_price_of_a_call_is_what_playing_calls_gives(calls_per_h: int) -> None:
    told = sporadic.per_call(calls_per_h, start_s=3, idle_s=60, answer_s=0.02)
    gaps_s = np.random.default_rng(3).exponential(3600 / calls_per_h, 400_000)
    cold = gaps_s > 60
    assert told.cold_ratio == pytest.approx(cold.mean(), abs=0.003)
    assert told.billed_s == pytest.approx((np.minimum(gaps_s, 60) + 3 * cold).mean() + 0.02, rel=0.02)


def test_figures_are_kept_and_read_again(tmp_path: Path) -> None:
    figures.write(FED, tmp_path / "figures.json")
    assert figures.read(tmp_path / "figures.json") == FED


def test_an_encoder_is_busy_for_what_serving_takes_of_it() -> None:
    assert ENCODER.service_s == pytest.approx((0.01, 0.03))
    assert math.fsum(ENCODER.service_s) / 2 * 1000 == pytest.approx(ENCODER.served_cpu_ms)


def test_the_page_says_which_encoder_cannot_meet_the_objective(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "TEXTS", 4_000)
    monkeypatch.setattr(day, "DAY_S", 3_600)
    text = "\n".join(page.lines(FED, {0.01: 0.25}))
    assert "| BERT fp32 | its longest texts alone take longer" in text
    assert "| DistilBERT int8 | 0." in text


def test_the_committed_figures_are_of_both_encoders_in_both_precisions() -> None:
    kept = json.loads(figures.FIGURES.read_text(encoding="utf-8"))
    assert [encoder["name"] for encoder in kept["encoders"]] == [
        "DistilBERT int8", "DistilBERT fp32", "BERT int8", "BERT fp32",
    ]  # fmt: skip
    assert all(encoder["served_cpu_ms"] > 0 for encoder in kept["encoders"])
