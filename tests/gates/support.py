"""A small simulated world for the gates' tests: seeded traffic in which one thing at a time is wrong."""

from dataclasses import dataclass, replace

import numpy as np

from gates.evidence import Answer, ArmCounts, LabelCounts, LabelledPair, Look
from gates.gate_set import GateSet, GateSetState
from gates.policy import GatePolicy
from gates.verdict import Verdict, Window
from serving.contract import latency_edges_ms

EDGES_MS = latency_edges_ms((200.0, 500.0))  # the objectives of the default policy
NONE_TIMED = (0,) * (len(EDGES_MS) + 1)
LOOK_S = 60.0
JUDGING = GatePolicy(experiment=None, drift=None, limits=None)  # only the gates that can roll back


@dataclass(frozen=True)
class World:
    """Rates per second and probabilities; the defaults are an equal candidate."""

    requests_per_s: float = 20.0
    share: float = 0.05
    label_share: float = 0.1
    error: float = 0.001
    error_factor: float = 1.0
    slow: float = 1.0  # latency of the candidate, times stable's
    both_wrong: float = 0.05
    worse: float = 0.035
    better: float = 0.035
    overconfidence: float = 0.0
    shadow_looks: int = 30


def latencies(rng: np.random.Generator, requests: int, slow: float) -> tuple[int, ...]:
    """Log-normal answers around 40 ms, counted into buckets."""
    taken = rng.lognormal(np.log(40 * slow), 0.5, requests)
    places = np.searchsorted(EDGES_MS, taken)
    return tuple(int(count) for count in np.bincount(places, minlength=len(EDGES_MS) + 1))


def arm(rng: np.random.Generator, requests: int, error: float, slow: float = 1.0) -> ArmCounts:
    errors = int(rng.binomial(requests, error))
    return ArmCounts(requests, errors, latencies(rng, requests - errors, slow))


def answer(label: str, truth: str, confidence: float) -> Answer:
    miss = (label != truth) - (1 - confidence) if label != truth else 1 - confidence
    return Answer(label, confidence, 2 * miss * miss)


def pairs(rng: np.random.Generator, count: int, world: World) -> tuple[LabelledPair, ...]:
    """Two-class answers: both right, both wrong, or one of them, each with a confidence that is right on average."""
    kinds = rng.random(count)
    right = 1 - world.both_wrong - world.better
    confidences = np.clip(right + rng.normal(0, 0.03, count), 0.5, 1.0)
    found = []
    for kind, confidence in zip(kinds, confidences, strict=True):
        wrong = kind < world.both_wrong
        lost = world.both_wrong <= kind < world.both_wrong + world.worse
        won = world.both_wrong + world.worse <= kind < world.both_wrong + world.worse + world.better
        stable = "no" if wrong or won else "yes"
        candidate = "no" if wrong or lost else "yes"
        sure = min(confidence + world.overconfidence, 1.0)
        found.append(LabelledPair("yes", answer(stable, "yes", float(confidence)), answer(candidate, "yes", sure)))
    return tuple(found)


def look(rng: np.random.Generator, sequence: int, world: World) -> Look:
    """One minute: in shadow everything is mirrored, afterwards a share of the traffic is live too."""
    live = sequence > world.shadow_looks
    requests = int(rng.poisson(world.requests_per_s * LOOK_S))
    to_candidate = int(rng.binomial(requests, world.share)) if live else 0
    to_stable = requests - to_candidate
    error = world.error * world.error_factor
    labelled = int(rng.binomial(requests, world.label_share))
    seen = Look(
        sequence=sequence,
        window=Window(LOOK_S * (sequence - 1), LOOK_S * sequence),
        candidate_share=world.share if live else 0.0,
        latency_edges_ms=EDGES_MS,
        stable=arm(rng, to_stable, world.error),
        candidate=arm(rng, to_candidate, error, world.slow) if live else None,
        shadow=arm(rng, to_stable, error, world.slow),
        pairs=pairs(rng, labelled, world),
    )
    if not live:
        return seen
    wrong = world.both_wrong + world.better, world.both_wrong + world.worse
    counts = [int(rng.binomial(arm_requests, world.label_share)) for arm_requests in (to_stable, to_candidate)]
    labels = [LabelCounts(n, int(rng.binomial(n, p))) for n, p in zip(counts, wrong, strict=True)]
    return replace(seen, stable_labels=labels[0], candidate_labels=labels[1])


def run(
    gate_set: GateSet, state: GateSetState, world: World, looks: int, seed: int
) -> tuple[GateSetState, list[dict[str, Verdict]]]:
    """``looks`` looks in a row; each as verdicts by gate."""
    rng = np.random.default_rng(seed)
    history = []
    for sequence in range(1, looks + 1):
        state, verdicts = gate_set.look(state, look(rng, sequence, world))
        history.append({verdict.gate: verdict for verdict in verdicts})
    return state, history
