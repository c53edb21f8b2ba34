"""What is asked: kinds of requests, which of them come when, and which of them get a label."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cache

import numpy as np
from numpy.typing import NDArray

from gates.evidence import PAIR_CONFIDENCE_EDGES, LabelledPair
from tests.bench.world.answers import OTHER, TRUTH, Pool, Skill, labelled, pool

Shares = NDArray[np.float64]  # of the kinds of requests: a row for each look
Mix = Callable[[np.random.Generator, int], Shares]
_HARD = 3.0  # how much more often both versions err on the harder kind


@dataclass(frozen=True, slots=True)
class Kind:
    """Requests that both versions answer with the same skill. ``names``: of the two classes."""

    skill: Skill = field(default_factory=Skill)
    names: tuple[str, str] = (TRUTH, OTHER)
    tag: str = ""
    label_delay_looks: int = 0  # beyond that of other kinds


def harder(skill: Skill) -> Kind:
    """Both versions err three times as often."""
    return Kind(
        replace(skill, both_wrong=_HARD * skill.both_wrong, lost=_HARD * skill.lost, won=_HARD * skill.won)
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Always:
    """The same shares at each look."""

    shares: tuple[float, ...]

    def __call__(self, _: np.random.Generator, looks: int) -> Shares:
        return np.tile(self.shares, (looks, 1))


@dataclass(frozen=True, slots=True)
class Later:
    """Other shares from look ``onset`` (of 1, 2, ...) on."""

    onset: int
    before: tuple[float, ...]
    after: tuple[float, ...]

    def __call__(self, _: np.random.Generator, looks: int) -> Shares:
        begun = np.arange(1, looks + 1) >= self.onset
        return np.where(begun[:, None], self.after, self.before)


ALIKE = Always((1.0,))


def changing(rng: np.random.Generator, looks: int) -> Shares:
    """From some minute on half of the requests are of the second kind."""
    return Later(int(rng.integers(10, looks - 10)) + 1, (1.0, 0.0), (0.5, 0.5))(rng, looks)


class By(StrEnum):
    """Which requests people are asked about."""

    CHANCE = "chance"
    STABLE = "stable's doubt"  # `answers.DOUBTS`
    CANDIDATE = "the candidate's doubt"
    LIVE = "the live answer's doubt"


@dataclass(frozen=True, slots=True)
class Labels:
    """Shares of the requests whose truth is learnt, and how many looks later.

    ``declared``: each label says how likely it was; otherwise all say the mean of it. ``complained``: of stable's wrong
    answers, as users complain about them; such labels come as if chance had chosen them.
    """

    chance: float = 0.1
    directed: float = 0.0  # of the disagreements that were not chosen anyway
    delay_looks: int = 10
    by: By = By.CHANCE
    declared: bool = True
    complained: float = 0.0


@dataclass(frozen=True, slots=True)
class Asked:
    """A pool, and of each of its pairs how likely it is labelled, for pairs and for the candidate's live answers."""

    pool: Pool
    chances: NDArray[np.float64]
    live_chances: NDArray[np.float64]
    told: tuple[LabelledPair, ...]  # by chance or doubt
    directed: tuple[LabelledPair, ...]
    said: NDArray[np.float64]  # what the labels of the pairs say: how likely each was
    live_said: NDArray[np.float64]
    stable_bins: NDArray[np.int64]  # of confidences (`PAIR_CONFIDENCE_EDGES`)
    candidate_bins: NDArray[np.int64]
    stable_says_first: NDArray[np.bool_]  # of the two classes
    slices: tuple[tuple[str, ...], ...]  # that some pair belongs to, all that one does
    part: NDArray[np.int64]  # which of ``slices`` are a pair's, and whether the versions differ: 2 i, or 2 i + 1


@cache
def asked(kind: Kind, labels: Labels, look_s: float = 60.0) -> Asked:
    """What is answered to requests of a kind, and labelled. A label comes as late as its kind's, in looks."""
    kinds = pool(kind.skill, names=kind.names, tag=kind.tag)
    size = len(kinds.chance)
    chances, live = {
        By.CHANCE: (np.full(size, labels.chance), np.full(size, labels.chance)),
        By.STABLE: (kinds.doubts, kinds.doubts),
        By.CANDIDATE: (kinds.candidate_doubts, kinds.candidate_doubts),
        By.LIVE: (kinds.doubts, kinds.candidate_doubts),  # stable serves what is mirrored
    }[labels.by]
    said, live_said = (_said(labels, every) for every in (chances, live))
    told = kinds.chance if labels.by is By.CHANCE else labelled(kinds.chance, said)
    waited_s = look_s * (labels.delay_looks + kind.label_delay_looks)
    told = tuple(replace(pair, waited_s=waited_s) for pair in told)
    both = zip(told, (kinds.change != 0) & (labels.directed > 0), strict=True)
    directed = tuple(replace(pair, directed=True) if apart else pair for pair, apart in both)
    bins = [
        np.searchsorted(PAIR_CONFIDENCE_EDGES, [answer.confidence for answer in answers], side="right")
        for answers in ([pair.stable for pair in told], [pair.candidate for pair in told])
    ]
    slices = tuple(sorted({pair.slices for pair in told}))
    place = {of: number for number, of in enumerate(slices)}
    part = 2 * np.array([place[pair.slices] for pair in told]) + (kinds.change != 0)
    first = np.array([pair.stable.label == kind.names[0] for pair in told])
    return Asked(
        kinds, chances, live, told, directed, said, live_said, *bins, first, slices, part
    )  # fmt: skip


def _said(labels: Labels, chances: NDArray[np.float64]) -> NDArray[np.float64]:
    if labels.by is By.CHANCE:  # all alike, and nobody says how likely
        return np.ones(len(chances))
    return chances if labels.declared else np.full(len(chances), chances.mean())
