"""Replicas that answer one text after the other, behind a gateway that asks the less loaded of two: how long users
wait."""

import heapq
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

_WARM_RATIO: Final = 0.2  # of the time played, left out at its beginning, while queues fill
_STEPS: Final = 7  # of the search for the load: to less than a hundredth of a core


@dataclass(frozen=True, slots=True)
class Waited:
    """What became of requests. Percentiles are of the time from a request's arrival to its answer, in milliseconds."""

    p50_ms: float
    p95_ms: float
    p99_ms: float
    answered: int


def play(replicas: int, load: float, service_s: Sequence[float], *, texts: int, seed: int) -> Waited:
    """Return how long ``texts`` requests take, that arrive at random moments (Poisson) at a rate which keeps each of
    the replicas busy for the share ``load`` of its time. The gateway asks the one of two replicas, drawn by chance, at
    which fewer requests are (Envoy's ``LEAST_REQUEST`` with its default of two choices)."""
    if not 0 < load < 1:
        raise ValueError(f"load is a share of a replica's time between 0 and 1, not {load:g}")
    draw = np.random.default_rng(seed)
    gaps_s = draw.exponential(float(np.mean(service_s)) / (load * replicas), texts)
    needs_s = draw.choice(np.asarray(service_s), texts).tolist()
    choices = draw.integers(0, replicas, (texts, 2)).tolist()
    present = [0] * replicas
    free_at_s = [0.0] * replicas
    leaving: list[tuple[float, int]] = []
    took_s: deque[float] = deque()
    now_s = 0.0
    for gap_s, need_s, (one, other) in zip(gaps_s.tolist(), needs_s, choices, strict=True):
        now_s += gap_s
        while leaving and leaving[0][0] <= now_s:
            present[heapq.heappop(leaving)[1]] -= 1
        asked = one if present[one] <= present[other] else other
        done_s = max(now_s, free_at_s[asked]) + need_s
        free_at_s[asked] = done_s
        present[asked] += 1
        heapq.heappush(leaving, (done_s, asked))
        took_s.append(done_s - now_s)
    warm = np.array(took_s)[int(_WARM_RATIO * texts) :] * 1000
    p50_ms, p95_ms, p99_ms = np.percentile(warm, (50, 95, 99))
    return Waited(float(p50_ms), float(p95_ms), float(p99_ms), len(warm))


def greatest_load(replicas: int, service_s: Sequence[float], *, p95_ms: float, texts: int, seed: int) -> float:
    """Return the greatest share of its time for which a replica can be busy with P95 kept below ``p95_ms``.

    0 where a text alone takes longer than that; at most 0.95, above which a queue's length is a matter of luck.
    """
    low, high = 0.0, 0.95
    if float(np.percentile(np.asarray(service_s), 95)) * 1000 > p95_ms:
        return 0.0
    if play(replicas, high, service_s, texts=texts, seed=seed).p95_ms <= p95_ms:
        return high
    for _ in range(_STEPS):
        middle = (low + high) / 2
        holds = play(replicas, middle, service_s, texts=texts, seed=seed).p95_ms <= p95_ms
        low, high = (middle, high) if holds else (low, middle)
    return low
