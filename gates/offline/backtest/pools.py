"""Labelled pairs to draw from, as a candidate with a regression would have answered them."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from gates.evidence import Answer, LabelledPair
from gates.offline.backtest.injection import Injection, mean_confidence
from gates.offline.backtest.pairing import Pairing, differ

_ANOTHER_CLASS = "(another class)"


def draw(rng: np.random.Generator, pool: Sequence[LabelledPair], count: int) -> list[LabelledPair]:
    """Return ``count`` pairs drawn from the pool with replacement, all equally likely; none from an empty pool."""
    return [pool[place] for place in rng.integers(len(pool), size=count).tolist()] if pool and count else []


def _mirrored(pairs: Sequence[LabelledPair]) -> list[LabelledPair]:
    """Return the pairs and their mirror images, which makes the two versions exchangeable."""
    return [*pairs, *(replace(pair, stable=pair.candidate, candidate=pair.stable) for pair in pairs)]


@dataclass(frozen=True, slots=True)
class Pools:
    """Labelled pairs to draw from: those whose versions agree, those whose versions differ, and those whose candidate
    was made wrong."""

    agreeing: tuple[LabelledPair, ...]
    differing: tuple[LabelledPair, ...]
    lost: tuple[LabelledPair, ...]


def pools_of(pairing: Pairing, injection: Injection) -> Pools:
    """Return the pools. How often to draw from each follows from the counts of all pairs, labelled or not."""
    chance = _mirrored(pairing.chance_pairs)
    agreeing = [pair for pair in chance if not differ(pair)]
    differing = [pair for pair in chance if differ(pair)]
    differing = differing or [replace(pair, directed=False) for pair in _mirrored(pairing.directed_pairs)]
    both_right = [pair for pair in agreeing if pair.truth == pair.candidate.label]
    wrong = [pair.candidate for pair in chance if pair.candidate.label != pair.truth]
    lost = [_made_wrong(pair, wrong[turn % len(wrong)] if wrong else None) for turn, pair in enumerate(both_right)]
    lost = lost or [pair for pair in differing if pair.stable.label == pair.truth]
    surer = _surer(pairing, injection)
    return Pools(*(tuple(surer(pair) for pair in pool) for pool in (agreeing, differing, lost)))


@dataclass(frozen=True, slots=True)
class Rates:
    """The shares labelled by chance of the pairs whose versions agree, and of those that disagree; and the share of the
    latter's labels that are of pairs whose candidate was made wrong (``lost``)."""

    agreeing: float
    disagreeing: float
    lost: float


def rates_of(pairing: Pairing, pools: Pools, worse: float) -> Rates:
    """Return the rates, for a candidate that loses the share ``worse`` of all answers.

    Where some pairs were more likely to be labelled, a pool's rate is the mean chance of the pairs that it stands for,
    each labelled pair standing for one over its probability. A pool holds labelled pairs alone, so a pair drawn from it
    was chosen as in the record.
    """
    apart = pairing.disagreement + worse
    if len({pair.inclusion_probability for pair in pairing.chance_pairs}) < 2:
        return Rates(pairing.labelled, pairing.labelled, worse / apart if worse else 0.0)
    agreeing, differing, lost = (_mean_chance(pool) for pool in (pools.agreeing, pools.differing, pools.lost))
    overall = (1 - pairing.disagreement) * agreeing + pairing.disagreement * differing
    scale = pairing.labelled / overall if overall else 0.0
    of_apart = pairing.disagreement * differing + worse * lost
    return Rates(
        min(scale * agreeing, 1.0),
        min(scale * of_apart / apart, 1.0) if apart else 0.0,
        worse * lost / of_apart if of_apart else 0.0,
    )


def _mean_chance(labelled: Sequence[LabelledPair]) -> float:
    """Return the mean chance of being labelled, over all pairs that the labelled ones stand for."""
    weight = math.fsum(1 / pair.inclusion_probability for pair in labelled)
    return len(labelled) / weight if weight else 0.0


def _made_wrong(pair: LabelledPair, example: Answer | None) -> LabelledPair:
    """Return the pair with a wrong answer of the candidate, as sure as a wrong answer elsewhere (``example``), or
    without one as sure as here."""
    wrong = example or replace(pair.candidate, brier=2 * pair.candidate.confidence**2)
    return replace(pair, candidate=replace(wrong, label=_ANOTHER_CLASS))


def _surer(pairing: Pairing, injection: Injection) -> Callable[[LabelledPair], LabelledPair]:
    """Return a function that raises the candidate's confidence, on average by the gap: each answer's by the same part
    of what it lacks of 1."""
    if not injection.confidence_gap:
        return lambda pair: pair
    part = injection.confidence_gap / (1 - mean_confidence(pairing.chance_pairs))
    return lambda pair: replace(pair, candidate=_raised(pair.candidate, part, right=pair.candidate.label == pair.truth))


def _raised(answer: Answer, part: float, *, right: bool) -> Answer:
    """Return the answer with a confidence raised by ``part`` of what it lacks of 1; all other probabilities shrink
    alike. Where the answer is wrong, the probability of the truth follows from its Brier score."""
    confidence = answer.confidence + part * (1 - answer.confidence)
    if right:
        brier = answer.brier * (1 - part) ** 2
    else:
        missed = math.sqrt(min(max(answer.brier - answer.confidence**2, 0.0), 1.0))
        truth = min(1 - missed, 1 - answer.confidence) * (1 - part)
        brier = confidence**2 + (1 - truth) ** 2
    return Answer(answer.label, confidence, min(brier, 2.0))
