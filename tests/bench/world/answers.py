"""What both versions answer to the same request: a pool of pairs with exactly the probabilities that were asked for.

Pairs are drawn from the pool with replacement, so the pool *is* the law: an equal candidate is equal to the last digit,
because its pool holds every pair together with its mirror image.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr
from scipy.stats import beta

from gates.evidence import Answer, LabelledPair

POOL = 20_000
DOUBTS = ((0.0, 1.0), (0.6, 0.5), (0.75, 0.2), (0.9, 0.04))
"""How likely people are asked where stable's confidence is at least so high: a tenth of all, most where unsure."""
TRUTH, OTHER = "yes", "no"
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
    directed: tuple[LabelledPair, ...]  # the discordant ones, as labels asked for by disagreement
    change: NDArray[np.int64]
    directed_change: NDArray[np.int64]
    stable_wrong: NDArray[np.bool_]
    disagree: float
    doubts: NDArray[np.float64]  # of a pair: how likely it is labelled where people are asked by stable's doubt
    asked: tuple[LabelledPair, ...]  # the pairs as labelled so
    asked_before: NDArray[np.float64]  # of the pairs up to each: the share of those that are asked about

    @property
    def candidate_wrong(self) -> NDArray[np.bool_]:
        wrong: NDArray[np.bool_] = self.change + self.stable_wrong > 0
        return wrong

    @property
    def doubted(self) -> float:
        """The share of requests that people are asked about."""
        return float(self.doubts.mean())

    @property
    def disagree_unasked(self) -> float:
        """The share of disagreements among the requests that nobody is asked about."""
        apart = self.change != 0
        return float(((1 - self.doubts) * apart).mean() / (1 - self.doubted))


def pool(skill: Skill, size: int = POOL) -> Pool:
    """The same pool for the same arguments."""
    rng = np.random.default_rng(1)
    base = _pairs(rng, skill, size // 2 if skill.equal else size)
    pairs = [*base, *(replace(pair, stable=pair.candidate, candidate=pair.stable) for pair in base if skill.equal)]
    stable_wrong = np.array([pair.stable.label != TRUTH for pair in pairs])
    change = np.array([pair.candidate.label != TRUTH for pair in pairs]).astype(int) - stable_wrong
    differing = np.flatnonzero(change)
    doubts = _doubts(pairs)
    return Pool(
        chance=tuple(pairs),
        directed=tuple(replace(pairs[place], directed=True) for place in differing),
        change=change,
        directed_change=change[differing],
        stable_wrong=stable_wrong,
        disagree=len(differing) / len(pairs),
        doubts=doubts,
        asked=tuple(
            replace(pair, inclusion_probability=chance) for pair, chance in zip(pairs, doubts.tolist(), strict=True)
        ),
        asked_before=np.cumsum(doubts) / doubts.sum(),
    )


def _doubts(pairs: list[LabelledPair]) -> NDArray[np.float64]:
    levels, chances = (np.array(column) for column in zip(*DOUBTS, strict=True))
    confidences = np.array([pair.stable.confidence for pair in pairs])
    found: NDArray[np.float64] = chances[np.searchsorted(levels, confidences, side="right") - 1]
    return found


def _pairs(rng: np.random.Generator, skill: Skill, size: int) -> list[LabelledPair]:
    counts = [round(size * share) for share in (skill.both_wrong, skill.lost, skill.won)]
    kinds = np.repeat(np.arange(4), [*counts, size - sum(counts)])
    stable_right, candidate_right = np.isin(kinds, (1, 3)), np.isin(kinds, (2, 3))
    common = rng.standard_normal(size)
    stable = _confidences(rng, common, stable_right, 1 - skill.stable_wrong)
    candidate = _sharpen(_confidences(rng, common, candidate_right, 1 - skill.candidate_wrong), skill.sharpness)
    rows = zip(stable_right, stable, candidate_right, candidate, strict=True)
    return [LabelledPair(TRUTH, _answer(*row[:2]), _answer(*row[2:])) for row in rows]


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


def _answer(right: bool, confidence: float) -> Answer:
    """With the Brier score of two classes: ``confidence`` of the one that was predicted, the rest of the other."""
    miss = float(1 - confidence if right else confidence)
    return Answer(TRUTH if right else OTHER, float(confidence), 2 * miss * miss)
