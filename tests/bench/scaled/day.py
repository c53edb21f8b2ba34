"""A day of traffic with its hours and its bursts, and an autoscaler that follows it as Kubernetes' does."""

import math
from collections import deque
from dataclasses import dataclass
from typing import Final

import numpy as np

DAY_S: Final = 86_400
SYNC_S: Final = 15  # the HPA looks so often (kube-controller-manager's default)
TOLERANCE_RATIO: Final = 0.1  # and lets be what is this near (its default)
CALM_S: Final = 300  # it takes replicas away by the most that it wanted within so long (its default)
NIGHT_RATIO: Final = 0.3  # of the peak's traffic
BURST_S: Final = 120
BURSTS: Final = 12  # a day, each half as much again


@dataclass(frozen=True, slots=True)
class Day:
    """What a day took. ``late_ratio``: the share of requests that came while more was asked than replicas could
    answer, so that they waited for a replica that was still starting."""

    requests: float
    replica_hours: float
    most: int
    least: int
    late_ratio: float

    def per_1000(self, replica_hour_price: float) -> float:
        """Return the price of 1,000 requests, in the currency of ``replica_hour_price``."""
        return 1000 * self.replica_hours * replica_hour_price / self.requests


def traffic_per_s(peak_per_s: float, *, seed: int) -> np.ndarray:
    """Requests in each second [86,400]: a wave between night and noon, bursts at moments by chance, and chance."""
    draw = np.random.default_rng(seed)
    at = np.arange(DAY_S)
    wave = (1 + NIGHT_RATIO) / 2 - (1 - NIGHT_RATIO) / 2 * np.cos(2 * math.pi * at / DAY_S)
    for start in draw.integers(0, DAY_S - BURST_S, BURSTS):
        wave[start : start + BURST_S] *= 1.5
    return draw.poisson(peak_per_s * np.minimum(wave, 1.0)).astype(float)


def play(
    traffic: np.ndarray, *, replica_per_s: float, target_load: float, start_s: float, least: int = 2, extra: int = 0
) -> Day:
    """Return what the day takes where a replica answers at most ``replica_per_s``, is to be busy for ``target_load`` of
    its time, and answers ``start_s`` after it was asked for. ``extra`` replicas stand beside them all day: a canary."""
    ready = max(least, math.ceil(traffic[:SYNC_S].mean() / (replica_per_s * target_load)))
    starting: deque[tuple[float, int]] = deque()
    wanted: deque[tuple[int, int]] = deque()
    hours = late = backlog = 0.0
    most = fewest = ready
    for second, arrived in enumerate(traffic):
        while starting and starting[0][0] <= second:
            ready += starting.popleft()[1]
        due = backlog + arrived
        answered = min(due, ready * replica_per_s)
        late += min(arrived, due - answered)
        backlog = due - answered
        there = ready + sum(count for _, count in starting)
        hours += (there + extra) / 3600
        most, fewest = max(most, there), min(fewest, there)
        if second % SYNC_S == 0:
            busy = min(1.0, answered / (ready * replica_per_s)) if not backlog else 1.0
            asked = there
            if abs(busy / target_load - 1) > TOLERANCE_RATIO:
                asked = max(least, math.ceil(ready * busy / target_load))
            wanted.append((second, asked))
            while wanted[0][0] < second - CALM_S:
                wanted.popleft()
            if asked > there:
                starting.append((second + start_s, asked - there))
            elif (calm := max(count for _, count in wanted)) < there and not starting:
                ready = calm
    return Day(float(traffic.sum()), hours, most + extra, fewest + extra, late / float(traffic.sum()))
