"""What no test can do better, for the level of a gate; and the time that a look takes."""

import math
import statistics
import time
from dataclasses import replace
from typing import Any

import numpy as np
from scipy.optimize import minimize_scalar

from gates.gate_set import GateSet
from gates.online.latency.gate import OBJECTIVE_SHARE
from gates.policy import GatePolicy
from tests.bench.world import scenarios as s
from tests.bench.world.requests import Always, Kind, Labels
from tests.bench.world.scenarios import Candidate
from tests.bench.world.traffic import Traffic, slow_shares


def alpha_of(gate: str) -> float:
    """The rollback level of one gate of the default policy, as spent by watching on its comparison with stable."""
    policy = GatePolicy()
    judging: Any = next(judging for judging in GateSet(policy)._gates if judging.name == gate)
    if gate.startswith("latency"):  # it has no exact test at the deadline, and an objective
        return float(judging.alpha) * (1 - OBJECTIVE_SHARE)
    return float(judging.alpha) * (1 - policy.deadline_fraction)


def paired_bound(candidate: Candidate, alpha: float | None = None) -> float:
    """Least mean number of pairs of any e-process: ln(1/alpha) over the largest expected growth of a fixed bet."""
    lost, won = candidate.skill.lost, candidate.skill.won
    best = minimize_scalar(
        lambda bet: -(lost * math.log1p(bet) + won * math.log1p(-bet)), bounds=(0, 0.999), method="bounded"
    )
    return math.log(1 / (alpha or alpha_of("accuracy.shadow"))) / -float(best.fun)


def latency_bound_min(candidate: Candidate) -> float:
    """The same for slow answers at 5 % of 20 requests a second, in minutes: events of a look are worth the divergence
    of their division between the versions from the division of equal rates."""
    share, (stable, slow) = s.EQUAL.share, slow_shares(candidate.slow)
    ours, theirs = share * slow, (1 - share) * stable
    theta = ours / (ours + theirs)
    growth = ours * math.log(theta / share) + theirs * math.log((1 - theta) / (1 - share))
    return math.log(1 / alpha_of("latency.p95")) / (growth * 20 * 60)


def look_ms(kinds: int = 1) -> float:
    """Time of one processor for one look of the usual size after 10 million requests: the median of 120. ``kinds`` of
    requests have two classes each, and one of five tags."""
    rng = np.random.default_rng(1)
    others = [Kind(names=(f"{kind} yes", f"{kind} no"), tag=f"segment:{kind % 5}") for kind in range(1, kinds)]
    asked = replace(s.EQUAL, kinds=tuple(others), mix=Always((1 / kinds,) * kinds))
    crowded = replace(asked, look_s=10_000.0, labels=Labels(chance=0.001, delay_looks=0), looks=50)
    usual = Traffic(replace(asked, labels=Labels(delay_looks=0)), rng)
    busy, gate_set = Traffic(crowded, rng), GateSet(s.EQUAL.policy)
    state = gate_set.start(deadline_s=1e9)
    for number in range(1, crowded.looks + 1):
        state, _ = gate_set.look(state, busy.look(number, s.EQUAL.share)[0])
    assert state.end_s is not None
    took_ms = []
    for number in range(1, s.EQUAL.looks + 1):
        look, _ = usual.look(number, s.EQUAL.share)
        window = replace(look.window, start_s=look.window.start_s + state.end_s, end_s=look.window.end_s + state.end_s)
        look = replace(look, sequence=number + crowded.looks, window=window)
        began = time.process_time()
        gate_set.look(state, look)
        took_ms.append(1000 * (time.process_time() - began))
    return statistics.median(took_ms)
