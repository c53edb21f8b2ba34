"""Failures of a DistilBERT service, each injected into a real server, and the metric that shows it.

F2 and F6 (a model that is worse, or too sure of itself) are the demonstration's; F9 (access without a token) stands in
``test_access_replica``.
"""

import itertools
import json
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx
import pytest

from gates.evidence import ArmCounts, Look
from gates.gate_set import GateSet
from gates.outcome import Outcome
from gates.policy import GatePolicy
from gates.verdict import Window
from serving.contract import (
    BATCH_SIZE_METRIC,
    COLD_REQUESTS_METRIC,
    DURATION_METRIC,
    EXIT_REFUSED,
    FAILURES_METRIC,
    PREDICT_ROUTE,
    QUEUE_DEPTH_METRIC,
    REQUESTS_METRIC,
    RESIDENT_MEMORY_METRIC,
    TOKENS_METRIC,
    UNKNOWN_TOKENS_METRIC,
    WORKER_RESTARTS_METRIC,
    WORKERS_METRIC,
)
from serving.package.artifact import MANIFEST_FILE, TOKENIZER_FILE, file_record
from tests.bench._load import Plan, Stream, load
from tests.patience import PATIENCE_S
from tests.serving.replica import REPOSITORY, Replica, Samples, replica, total, until

pytestmark = pytest.mark.integration

TEXTS = ["where is my order", "refund please " * 6, "cancel it " * 12, "my card does not work"]


def loaded(running: Replica, connections: int, requests: int, texts: Sequence[str | Sequence[str]] = TEXTS) -> None:
    """So many requests over so many connections, each asking again as soon as it is answered."""
    with load(Plan(running.url + PREDICT_ROUTE, [Stream(connections, texts)], 60.0, requests)) as it:
        assert {answer.status for answer in it.result().answers} == {200}


def mean_ms(before: Samples, after: Samples) -> float:
    """Of the requests between two scrapes, by the histogram alone."""
    spent, count = (
        total(after, f"{DURATION_METRIC}_{part}") - total(before, f"{DURATION_METRIC}_{part}")
        for part in ("sum", "count")
    )
    return 1000 * spent / count


def test_f1_saturation_shows_in_latency_and_queue_depth(built_package: Path) -> None:
    """More is asked than can be computed: requests wait, which the gauge shows, and so take longer."""
    with replica(built_package) as running, ThreadPoolExecutor(1) as pool:
        start = running.samples()
        loaded(running, connections=1, requests=200)
        calm = running.samples()
        busy = pool.submit(loaded, running, 64, 2000)
        until(lambda: running.total(QUEUE_DEPTH_METRIC) >= 16, "requests queue")
        busy.result()
        end = running.samples()
    assert mean_ms(calm, end) > 3 * mean_ms(start, calm)
    assert total(end, QUEUE_DEPTH_METRIC) == 0


def test_f3_an_out_of_memory_kill_shows_in_restarts_and_errors(built_package: Path) -> None:
    """The kernel ends the largest process by SIGKILL; what it had is answered with errors, and nothing else is lost."""
    with replica(built_package) as running, ThreadPoolExecutor(4) as pool:
        before = running.samples()
        worker = running.family()[2]
        assert total(before, RESIDENT_MEMORY_METRIC) > worker.memory_full_info().uss > 0
        worker.suspend()
        body = {"text": "where is my order"}
        answers = [
            pool.submit(httpx.post, running.url + PREDICT_ROUTE, json=body, trust_env=False, timeout=30)
            for _ in range(4)
        ]
        until(lambda: running.total(QUEUE_DEPTH_METRIC) == 4, "the worker has requests")
        worker.kill()
        assert [answer.result().status_code for answer in answers] == [500] * 4
        until(running.is_healthy, "another worker is ready")
        after = running.samples()
    assert (total(before, WORKER_RESTARTS_METRIC), total(after, WORKER_RESTARTS_METRIC)) == (0, 1)
    assert total(after, WORKERS_METRIC) == 1
    assert total(after, REQUESTS_METRIC, code="500") == 4
    assert total(after, FAILURES_METRIC) == 1


def test_f4_a_tokenizer_that_does_not_match_is_refused_at_the_start(package: Path) -> None:
    """Its file is what the manifest says, so no digest shows it; the golden texts do, before anybody is answered."""
    path = package / TOKENIZER_FILE
    tokenizer = json.loads(path.read_bytes())
    vocabulary = tokenizer["model"]["vocab"]
    vocabulary["order"], vocabulary["refund"] = vocabulary["refund"], vocabulary["order"]
    path.write_text(json.dumps(tokenizer))
    manifest = json.loads((package / MANIFEST_FILE).read_bytes())
    record = file_record(path)
    manifest["files"][TOKENIZER_FILE] = {"sha256": record.sha256, "size_bytes": record.size_bytes}
    (package / MANIFEST_FILE).write_text(json.dumps(manifest))
    command = [sys.executable, "-m", "serving", "--artifact", str(package), "--model", "m", "--version", "1"]
    done = subprocess.run(
        [*command, "--port", "0"], cwd=REPOSITORY, capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )
    assert done.returncode == EXIT_REFUSED
    assert "tokenizer.json: gives other token ids for golden text" in done.stderr


def test_f4_texts_of_another_language_show_in_unknown_tokens(built_package: Path) -> None:
    with replica(built_package) as running:
        shares = []
        for text in ("where is my order", "gdzie jest moje zamówienie"):
            before = running.samples()
            loaded(running, 1, 20, [text])
            after = running.samples()
            unknown, tokens = (
                total(after, name) - total(before, name) for name in (UNKNOWN_TOKENS_METRIC, f"{TOKENS_METRIC}_sum")
            )
            shares.append(unknown / tokens)
    assert shares[0] == 0
    assert shares[1] > 0.3


def test_f5_cold_starts_show_in_their_share_of_requests(built_package: Path) -> None:
    """Who comes before the warm-up is over waits for it, is answered, and is counted."""
    with replica(built_package) as running:
        loaded(running, 1, 20)
        assert running.total(COLD_REQUESTS_METRIC) == 0, "a replica that is healthy is warm"
        with httpx.Client(base_url=running.url, trust_env=False, timeout=30) as client:
            running.family()[2].kill()
            until(lambda: not running.is_healthy(), "it is cold")
            assert client.post(PREDICT_ROUTE, json={"text": "refund"}).status_code == 200
            assert running.is_healthy()
            assert client.post(PREDICT_ROUTE, json={"text": "refund"}).status_code == 200
        assert running.total(COLD_REQUESTS_METRIC) == 1
        assert running.total(REQUESTS_METRIC) == 22


AT_A_TIME: Final = 16
BURST: Final = 50  # requests, so that a third of them meet a neighbour's turn


@contextmanager
def turn_of_a_neighbour(arms: Sequence[Replica], turn_s: float) -> Iterator[None]:
    """The workers stand still from before the block until all that may be asked at a time has waited for so long."""
    workers = [arm.family()[2] for arm in arms]
    for worker in workers:
        worker.suspend()
    try:
        yield
        for arm in arms:
            until(lambda: arm.total(QUEUE_DEPTH_METRIC) == AT_A_TIME, "requests wait")  # noqa: B023 - at once
        threading.Event().wait(turn_s)
    finally:
        for worker in workers:
            worker.resume()


@dataclass(frozen=True)
class Arms:
    """Stable and candidate, on one machine."""

    stable: Replica
    candidate: Replica

    def between(self, requests: int, turn_s: float = 0.0) -> tuple[ArmCounts, ArmCounts]:
        """What their metrics count while both are asked so often.

        With ``turn_s`` somebody on the machine has the processor for so long in each `BURST`: what an exceeded quota
        looks like, too.
        """
        arms = self.stable, self.candidate
        before, asked = [arm.samples() for arm in arms], BURST if turn_s else requests
        with ThreadPoolExecutor(2) as pool:
            for _ in range(requests // asked):
                with turn_of_a_neighbour(arms, turn_s) if turn_s else nullcontext():
                    bursts = [pool.submit(loaded, arm, AT_A_TIME, asked) for arm in arms]
                for done in bursts:
                    done.result()
        stable, candidate = (counts(earlier, arm.samples()) for earlier, arm in zip(before, arms, strict=True))
        return stable, candidate


def edges_ms(samples: Samples) -> tuple[float, ...]:
    edges = {dict(labels)["le"] for name, labels in samples if name == f"{DURATION_METRIC}_bucket"} - {"+Inf"}
    return tuple(sorted(1000 * float(edge) for edge in edges))


def counts(before: Samples, after: Samples) -> ArmCounts:
    """An arm's evidence, as the controller takes it from two scrapes."""
    cumulative = [
        total(after, f"{DURATION_METRIC}_bucket", le=edge, traffic="live")
        - total(before, f"{DURATION_METRIC}_bucket", le=edge, traffic="live")
        for edge in [*(str(edge / 1000) for edge in edges_ms(after)), "+Inf"]
    ]
    single = tuple(int(now - less) for now, less in zip(cumulative, [0.0, *cumulative], strict=False))
    assert sum(single) == cumulative[-1]
    return ArmCounts(requests=sum(single), errors=0, latency_counts=single)


def failed(edges: tuple[float, ...], looks: Sequence[tuple[ArmCounts, ArmCounts]]) -> set[str]:
    """The gates on latency that blame the candidate."""
    gate_set = GateSet(GatePolicy())
    state, blamed = gate_set.start(), set()
    for number, (stable, candidate) in enumerate(looks, start=1):
        window = Window(60.0 * (number - 1), 60.0 * number)
        look = Look(number, window, 0.5, latency_edges_ms=edges, stable=stable, candidate=candidate)
        state, verdicts = gate_set.look(state, look)
        blamed |= {verdict.gate for verdict in verdicts if verdict.outcome is Outcome.FAIL}
    return {gate for gate in blamed if gate.startswith("latency")}


def test_f7_a_noisy_neighbour_slows_both_versions_and_the_candidate_is_not_blamed(built_package: Path) -> None:
    """Versions are compared in the same minutes: what slows both says nothing about one of them."""
    with replica(built_package) as stable, replica(built_package, version="2") as candidate:
        arms = Arms(stable, candidate)
        edges = edges_ms(stable.samples())
        arms.between(100)
        calm = [arms.between(250) for _ in range(3)]
        # Where the machine is busy the slowest of all requests wait as long without it.
        at = max(slow_from([look[arm] for look in calm]) for arm in (0, 1))
        turn_s = max(0.1, 3 * edges[min(at, len(edges) - 1)] / 1000)
        noisy = [arms.between(250, turn_s) for _ in range(3)]
    slower = [slow_share([look[arm] for look in noisy], [look[arm] for look in calm]) for arm in (0, 1)]
    assert min(slower) > 0.15, "the neighbour slows both: 5 % of them were so slow before"
    assert failed(edges, [*calm, *noisy]) == set()
    against_the_past = [(before[0], after[1]) for before, after in zip(calm, noisy, strict=True)]
    # One look says only so much: as if it had been noisy for three times as long.
    assert failed(edges, [*calm, *against_the_past * 3]), "compared with calmer minutes, it would be"


def slow_from(looks: Sequence[ArmCounts]) -> int:
    """The first of the counts that none of the quickest 95 % of the requests is in."""
    summed = [sum(part) for part in zip(*(look.latency_counts for look in looks), strict=True)]
    return next(at for at, within in enumerate(itertools.accumulate(summed), 1) if within >= 0.95 * sum(summed))


def slow_share(arm: Sequence[ArmCounts], reference: Sequence[ArmCounts]) -> float:
    """Which part of the arm's requests took longer than 95 % of the reference's."""
    slow = sum(sum(look.latency_counts[slow_from(reference) :]) for look in arm)
    return slow / sum(look.requests for look in arm)


@pytest.mark.parametrize(
    ("flags", "texts_max"),
    [(("--max-batch-size", "4"), 4), (("--max-batch-size", "64", "--objective-ms", "0.1"), None)],
    ids=["by count", "by time"],
)
def test_f8_batches_that_would_make_all_late_are_cut(
    built_package: Path, flags: Sequence[str], texts_max: int | None
) -> None:
    """The histogram of batch sizes shows what the limits leave of them."""
    lists = [[text] * 32 for text in TEXTS]
    sizes = []
    for limits in (flags, ("--max-batch-size", "64")):
        with replica(built_package, *limits) as running:
            loaded(running, 4, 40, lists)
            samples = running.samples()
        calls = total(samples, f"{BATCH_SIZE_METRIC}_count")
        sizes.append(total(samples, f"{BATCH_SIZE_METRIC}_sum") / calls)
        if texts_max is not None and limits == flags:
            assert total(samples, f"{BATCH_SIZE_METRIC}_bucket", le=f"{texts_max:.1f}") == calls
    limited, unlimited = sizes
    assert limited < 0.5 * unlimited
