"""What both versions answer to the same request: a pool of pairs with exactly the probabilities that were asked for.

Pairs are drawn from the pool with replacement, so the pool *is* the law: an equal candidate is equal to the last digit,
because its pool holds every pair together with its mirror image.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr
from scipy.stats import beta

from gates.evidence import Answer, LabelledPair

POOL = 20_000
DOUBTS = ((0.0, 1.0), (0.6, 0.5), (0.75, 0.2), (0.9, 0.04))
"""How likely people are asked where a version's confidence is at least so high: a tenth of all, most where unsure."""
TRUTH, OTHER = "yes", "no"
LENGTHS = ("tokens:0-15", "tokens:16-40", "tokens:41-")
_CONCENTRATION = 10.0  # of the confidences: how much they differ between requests
_COUPLING = 0.7  # rank correlation of the two versions' confidences, as of a Gaussian copula


@dataclass(frozen=True, slots=True)
class Skill:
    """Probabilities of the outcomes of a pair; the rest is that both are right.

    ``sharpness`` is what the candidate's log odds are multiplied by: above 1 it is overconfident, at equal accuracy.
    """

    both_wrong: float = 0.045
    lost: float = 0.035  # stable right, candidate wrong
    won: float = 0.035
    sharpness: float = 1.0

    @property
    def stable_wrong(self) -> float:
        return self.both_wrong + self.won

    @property
    def candidate_wrong(self) -> float:
        return self.both_wrong + self.lost

    @property
    def equal(self) -> bool:
        return self.lost == self.won and self.sharpness == 1.0


@dataclass(frozen=True, slots=True)
class Pool:
    """Pairs to draw from. ``change`` is +1 where the candidate lost, -1 where it won, 0 where both did alike."""

    chance: tuple[LabelledPair, ...]
    change: NDArray[np.int64]
    stable_wrong: NDArray[np.bool_]
    candidate_wrong: NDArray[np.bool_]
    doubts: NDArray[np.float64]  # of a pair: how likely it is labelled where people are asked by stable's doubt
    candidate_doubts: NDArray[np.float64]  # where they are asked by the candidate's
    asked: tuple[LabelledPair, ...]  # the pairs as labelled by stable's doubt


def labelled(pairs: Sequence[LabelledPair], chances: NDArray[np.float64]) -> tuple[LabelledPair, ...]:
    """The pairs, each with the probability that it was labelled."""
    both = zip(pairs, chances.tolist(), strict=True)
    return tuple(replace(pair, inclusion_probability=chance) for pair, chance in both)


@cache
def pool(skill: Skill, size: int = POOL, *, names: tuple[str, str] = (TRUTH, OTHER), tag: str = "") -> Pool:
    """The same pool for the same arguments. ``names``: of the two classes, each true of half of the requests.

    A pair belongs to the slices that are watched by default: stable's class, the third by length, and the tag. An equal
    candidate is so in each of them.
    """
    rng = np.random.default_rng(1)
    base = _pairs(rng, skill, size // 2 if skill.equal else size, names)
    mirrored = [replace(pair, stable=pair.candidate, candidate=pair.stable) for pair in base if skill.equal]
    pairs = [
        replace(pair, slices=(f"class:{pair.stable.label}", LENGTHS[place % len(LENGTHS)], *((tag,) if tag else ())))
        for half in (base, mirrored)
        for place, pair in enumerate(half)
    ]
    stable_wrong = np.array([pair.stable.label != pair.truth for pair in pairs])
    candidate_wrong = np.array([pair.candidate.label != pair.truth for pair in pairs])
    doubts = _doubts(np.array([pair.stable.confidence for pair in pairs]))
    return Pool(
        chance=tuple(pairs),
        change=candidate_wrong.astype(int) - stable_wrong,
        stable_wrong=stable_wrong,
        candidate_wrong=candidate_wrong,
        doubts=doubts,
        candidate_doubts=_doubts(np.array([pair.candidate.confidence for pair in pairs])),
        asked=labelled(pairs, doubts),
    )


def _doubts(confidences: NDArray[np.float64]) -> NDArray[np.float64]:
    levels, chances = (np.array(column) for column in zip(*DOUBTS, strict=True))
    found: NDArray[np.float64] = chances[np.searchsorted(levels, confidences, side="right") - 1]
    return found


def _pairs(rng: np.random.Generator, skill: Skill, size: int, names: tuple[str, str]) -> list[LabelledPair]:
    counts = [round(size * share) for share in (skill.both_wrong, skill.lost, skill.won)]
    kinds = np.repeat(np.arange(4), [*counts, size - sum(counts)])
    stable_right, candidate_right = np.isin(kinds, (1, 3)), np.isin(kinds, (2, 3))
    common = rng.standard_normal(size)
    stable = _confidences(rng, common, stable_right, 1 - skill.stable_wrong)
    candidate = _sharpen(_confidences(rng, common, candidate_right, 1 - skill.candidate_wrong), skill.sharpness)
    rows = zip(stable_right, stable, candidate_right, candidate, strict=True)
    pairs = []
    for place, row in enumerate(rows):
        of = names if place // len(LENGTHS) % 2 else names[::-1]
        pairs.append(LabelledPair(of[0], _answer(of, *row[:2]), _answer(of, *row[2:])))
    return pairs


def _confidences(
    rng: np.random.Generator, common: NDArray[np.float64], right: NDArray[np.bool_], accuracy: float
) -> NDArray[np.float64]:
    """Of a perfectly calibrated version: a beta law with the accuracy as its mean, given whether it was right."""
    ranks = ndtr(_COUPLING * common + np.sqrt(1 - _COUPLING**2) * rng.standard_normal(len(common)))
    a, b = _CONCENTRATION * accuracy, _CONCENTRATION * (1 - accuracy)
    drawn: NDArray[np.float64] = np.where(right, beta.ppf(ranks, a + 1, b), beta.ppf(ranks, a, b + 1))
    return drawn.clip(1e-6, 1 - 1e-6)


def _sharpen(confidence: NDArray[np.float64], sharpness: float) -> NDArray[np.float64]:
    odds: NDArray[np.float64] = (confidence / (1 - confidence)) ** sharpness
    return odds / (1 + odds)


def _answer(names: tuple[str, ...], right: bool, confidence: float) -> Answer:
    """With the Brier score of two classes: ``confidence`` of the one that was predicted, the rest of the other."""
    miss = float(1 - confidence if right else confidence)
    return Answer(names[0] if right else names[1], float(confidence), 2 * miss * miss)
