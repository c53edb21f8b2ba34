"""Candidates whose worth is known, on a service's own recorded evidence: one equal to stable, and ones made worse.

What both versions have in common is taken from the record in blocks of consecutive moments, so that load, incidents
and errors keep their ups and downs (circular block bootstrap; the block's length is the cube root of the number of
moments: Hall, Horowitz & Jing 1995). Within a moment each version's requests are drawn anew from what *stable* did
then: an equal candidate is equal in law, whatever the recorded candidate was like. Pairs are drawn from all recorded
ones together with their mirror images, which makes the two versions exchangeable. A regression is then put in.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from gates.evidence import Answer, ArmCounts, LabelCounts, LabelledPair, Look, SlicePairs
from gates.kind import Regression
from gates.offline.backtest_service import Moment, Pairing, Service, SliceRate
from gates.verdict import Window

Shares = NDArray[np.float64]
_ANOTHER_CLASS = "(another class)"


@dataclass(frozen=True, slots=True)
class Injection:
    """How a candidate differs from the stable version; the default is: in nothing."""

    accuracy_points: float = 0.0  # of all answers, right in stable and wrong in the candidate
    latency_ratio: float = 1.0  # of every answer's time
    error_ratio: float = 1.0  # of the rate of server errors
    confidence_gap: float = 0.0  # confidence is so much higher on average, at equal accuracy

    @property
    def regressions(self) -> tuple[tuple[Regression, float], ...]:
        """What is worse, and by how much, measured as the margins of the gates are."""
        kinds = (
            (Regression.ACCURACY, self.accuracy_points, 0.0),
            (Regression.CONFIDENCE, self.confidence_gap, 0.0),
            (Regression.LATENCY, self.latency_ratio, 1.0),
            (Regression.ERRORS, self.error_ratio, 1.0),
        )
        return tuple((regression, size) for regression, size, none in kinds if size > none)


EQUAL = Injection()


def impossible(service: Service, injection: Injection) -> str | None:
    """Why this regression cannot be put into this evidence, in one sentence; ``None`` where it can."""
    pairing = service.pairing
    if injection.error_ratio != 1 and not service.errors:
        return "no server error was recorded, and any number of times none is none"
    if injection.latency_ratio != 1 and not sum(service.latency_counts):
        return "no answer was timed"
    pairs = (*pairing.chance_pairs, *pairing.directed_pairs)
    if (injection.accuracy_points or injection.confidence_gap) and not pairs and not service.live_labelled:
        return "no answer was labelled"
    if injection.confidence_gap and not pairing.chance_pairs:
        return "no pair was labelled by chance, and nothing else shows calibration"
    room = 1 - _mean_confidence(pairing.chance_pairs)
    if injection.confidence_gap >= room > 0:
        mean, more = f"{1 - room:.3f} on average", f"{injection.confidence_gap:g} more"
        return f"confidence is {mean} already and has no room for {more}: choose a smaller gap"
    return None


def moments(service: Service, rng: np.random.Generator) -> Iterator[Moment]:
    """Recorded moments without end, in blocks that begin at random."""
    total = len(service.moments)
    block = math.ceil(total ** (1 / 3))
    while True:
        first = int(rng.integers(total))
        for place in range(first, first + block):
            yield service.moments[place % total]


class Simulation:
    """Looks at one kind of candidate beside the stable version."""

    def __init__(self, service: Service, injection: Injection) -> None:
        """Raises ``ValueError`` where `impossible` says why."""
        reason = impossible(service, injection)
        if reason is not None:
            raise ValueError(reason)
        self._service = service
        self._injection = injection
        self._pools = _pools(service.pairing, injection)
        self._rates = _rates(service.pairing, self._pools, injection.accuracy_points / 100)
        self._later = _later(service.edges_ms, injection.latency_ratio)

    def look(
        self, rng: np.random.Generator, moment: Moment, *, sequence: int, start_s: float, candidate_share: float
    ) -> Look:
        """One moment, as it would have been with such a candidate at this share of the live traffic."""
        service = self._service
        live = int(rng.binomial(moment.requests, candidate_share))
        stable = moment.requests - live
        mirrored = int(rng.binomial(stable, service.mirrored))
        window = Window(start_s, start_s + moment.seconds)
        plain = Look(
            sequence,
            window,
            candidate_share,
            latency_edges_ms=service.edges_ms,
            stable=_arm(rng, moment, stable, EQUAL, _as_it_was),
            candidate=_arm(rng, moment, live, self._injection, self._later) if candidate_share else None,
            shadow=_arm(rng, moment, mirrored, self._injection, self._later) if service.mirrored else None,
        )
        return self._with_predictions(rng, plain, moment.requests, late=window.end_s <= service.label_delay_s)

    def _with_predictions(self, rng: np.random.Generator, look: Look, requests: int, *, late: bool) -> Look:
        """Pairs and labels; the first answers' labels are still to come (``late``)."""
        pairing, worse = self._service.pairing, self._injection.accuracy_points / 100
        completed = int(rng.binomial(requests, pairing.per_request))
        disagreed = int(rng.binomial(completed, min(pairing.disagreement + worse, 1.0)))
        slices = [_slice(rng, part, completed, worse) for part in pairing.slices]
        if pairing.counted:
            look = replace(
                look, pairs_agreed=completed - disagreed, pairs_disagreed=disagreed, slice_pairs=tuple(slices)
            )
        if late:
            return look
        rates = self._rates
        by_chance = int(rng.binomial(disagreed, rates.disagreeing)) if self._pools.agreeing else 0
        asked_for = int(rng.binomial(disagreed - by_chance, _of_the_rest(pairing.directed, rates.disagreeing)))
        agreeing = int(rng.binomial(completed - disagreed, rates.agreeing))
        pairs = (
            *_draw(rng, self._pools.agreeing, agreeing),
            *self._disagreeing(rng, by_chance),
            *(replace(pair, directed=True) for pair in self._disagreeing(rng, asked_for)),
        )
        return replace(
            look,
            pairs=pairs,
            stable_labels=self._live_labels(rng, look.stable, 0.0),
            candidate_labels=self._live_labels(rng, look.candidate, worse),
        )

    def _disagreeing(self, rng: np.random.Generator, count: int) -> list[LabelledPair]:
        """So many more of the disagreements are losses as the candidate is worse."""
        lost = int(rng.binomial(count, self._rates.lost)) if self._injection.accuracy_points else 0
        return [*_draw(rng, self._pools.lost, lost), *_draw(rng, self._pools.differing, count - lost)]

    def _live_labels(self, rng: np.random.Generator, arm: ArmCounts | None, worse: float) -> LabelCounts | None:
        if arm is None or not self._service.live_labelled:
            return None
        labelled = int(rng.binomial(arm.requests, self._service.live_labelled))
        return LabelCounts(labelled, int(rng.binomial(labelled, min(self._service.live_wrong + worse, 1.0))))


# --- counts -----------------------------------------------------------------------------------------------------------
def _as_it_was(shares: Shares) -> Shares:
    return shares


def _arm(
    rng: np.random.Generator, moment: Moment, requests: int, injection: Injection, later: Callable[[Shares], Shares]
) -> ArmCounts:
    """``requests`` drawn from what stable did in this moment. Errors that came together stay together."""
    base = max(moment.stable_requests, 1)
    clusters = None
    if moment.clusters is None:
        errors = int(rng.binomial(requests, min(moment.errors / base * injection.error_ratio, 1.0)))
    else:
        clusters = int(rng.binomial(requests, min(moment.clusters / base * injection.error_ratio, 1.0)))
        more = moment.errors / moment.clusters - 1 if moment.clusters else 0.0
        errors = min(clusters + int(rng.poisson(clusters * more)), requests)
    timed = sum(moment.latency_counts)
    if not timed:
        return ArmCounts(requests, errors, (0,) * len(moment.latency_counts), clusters)
    answered = min(timed / max(moment.stable_requests - moment.errors, 1), 1.0)
    slow = later(np.array(moment.latency_counts) / timed)
    counts = rng.multinomial(rng.binomial(requests - errors, answered), slow)
    return ArmCounts(requests, errors, tuple(counts.tolist()), clusters)


def _later(edges_ms: Sequence[float], ratio: float) -> Callable[[Shares], Shares]:
    """What shares by bucket become when every answer takes ``ratio`` times as long.

    Within a bucket times are taken to be spread evenly on the log scale; above the last edge they stay there.
    """
    if ratio == 1 or not edges_ms:
        return _as_it_was
    edges = np.log(np.array(edges_ms))
    step = edges[1] - edges[0] if len(edges) > 1 else math.log(2)
    known = np.concatenate(([edges[0] - step], edges))

    def moved(shares: Shares) -> Shares:
        below = np.concatenate(([0.0], np.cumsum(shares)[:-1]))
        after = np.interp(edges - math.log(ratio), known, below)
        return np.clip(np.diff(np.concatenate(([0.0], after, [1.0]))), 0.0, 1.0)

    return moved


def _of_the_rest(part: float, taken: float) -> float:
    """A share of all, as a share of what another share leaves."""
    return min(part / (1 - taken), 1.0) if taken < 1 else 0.0


def _slice(rng: np.random.Generator, part: SliceRate, completed: int, worse: float) -> SlicePairs:
    pairs = int(rng.binomial(completed, part.share))
    disagreed = int(rng.binomial(pairs, min(part.disagreement + worse, 1.0)))
    return SlicePairs(part.name, pairs - disagreed, disagreed)


# --- pairs ------------------------------------------------------------------------------------------------------------
def _draw(rng: np.random.Generator, pool: Sequence[LabelledPair], count: int) -> list[LabelledPair]:
    return [pool[place] for place in rng.integers(len(pool), size=count).tolist()] if pool and count else []


def _mirrored(pairs: Sequence[LabelledPair]) -> list[LabelledPair]:
    """The pairs and their mirror images: the two versions are exchangeable."""
    return [*pairs, *(replace(pair, stable=pair.candidate, candidate=pair.stable) for pair in pairs)]


@dataclass(frozen=True, slots=True)
class _Pools:
    """Labelled pairs to draw from: the versions predict the same, or not, or only the candidate was made wrong."""

    agreeing: tuple[LabelledPair, ...]
    differing: tuple[LabelledPair, ...]
    lost: tuple[LabelledPair, ...]


def _pools(pairing: Pairing, injection: Injection) -> _Pools:
    """How often each is drawn is told by the counts of all pairs, labelled or not: a pool only tells what they are."""
    chance = _mirrored(pairing.chance_pairs)
    agreeing = [pair for pair in chance if not _differ(pair)]
    differing = [pair for pair in chance if _differ(pair)]
    differing = differing or [replace(pair, directed=False) for pair in _mirrored(pairing.directed_pairs)]
    both_right = [pair for pair in agreeing if pair.truth == pair.candidate.label]
    wrong = [pair.candidate for pair in chance if pair.candidate.label != pair.truth]
    lost = [_made_wrong(pair, wrong[turn % len(wrong)] if wrong else None) for turn, pair in enumerate(both_right)]
    lost = lost or [pair for pair in differing if pair.stable.label == pair.truth]
    surer = _surer(pairing, injection)
    return _Pools(*(tuple(surer(pair) for pair in pool) for pool in (agreeing, differing, lost)))


@dataclass(frozen=True, slots=True)
class _Rates:
    """Shares that are labelled by chance, of pairs whose versions agree and disagree; and of the latter's labels, the
    share of those whose candidate was made wrong."""

    agreeing: float
    disagreeing: float
    lost: float


def _rates(pairing: Pairing, pools: _Pools, worse: float) -> _Rates:
    """Where some pairs were likelier to be labelled, a pool's share of labels is that of its pairs, each weighing one
    over its probability; a pool itself holds what was labelled, so that a pair drawn from it was chosen as it was."""
    apart = pairing.disagreement + worse
    if len({pair.inclusion_probability for pair in pairing.chance_pairs}) < 2:
        return _Rates(pairing.labelled, pairing.labelled, worse / apart if worse else 0.0)
    agreeing, differing, lost = (_mean_chance(pool) for pool in (pools.agreeing, pools.differing, pools.lost))
    overall = (1 - pairing.disagreement) * agreeing + pairing.disagreement * differing
    scale = pairing.labelled / overall if overall else 0.0
    of_apart = pairing.disagreement * differing + worse * lost
    return _Rates(
        min(scale * agreeing, 1.0),
        min(scale * of_apart / apart, 1.0) if apart else 0.0,
        worse * lost / of_apart if of_apart else 0.0,
    )


def _mean_chance(labelled: Sequence[LabelledPair]) -> float:
    """Of being labelled, over the pairs that such a sample stands for."""
    weight = math.fsum(1 / pair.inclusion_probability for pair in labelled)
    return len(labelled) / weight if weight else 0.0


def _made_wrong(pair: LabelledPair, example: Answer | None) -> LabelledPair:
    """The candidate answers as surely as it did elsewhere when it was wrong; or, if it never was, as surely as here."""
    wrong = example or replace(pair.candidate, brier=2 * pair.candidate.confidence**2)
    return replace(pair, candidate=replace(wrong, label=_ANOTHER_CLASS))


def _differ(pair: LabelledPair) -> bool:
    return pair.stable.label != pair.candidate.label


def _surer(pairing: Pairing, injection: Injection) -> Callable[[LabelledPair], LabelledPair]:
    """Makes the candidate's confidence rise by the gap on average, each by the same part of what it lacks."""
    if not injection.confidence_gap:
        return lambda pair: pair
    part = injection.confidence_gap / (1 - _mean_confidence(pairing.chance_pairs))
    return lambda pair: replace(pair, candidate=_raised(pair.candidate, part, right=pair.candidate.label == pair.truth))


def _raised(answer: Answer, part: float, *, right: bool) -> Answer:
    """All other probabilities shrink alike. Where the answer is wrong, the truth's is what its Brier score leaves."""
    confidence = answer.confidence + part * (1 - answer.confidence)
    if right:
        brier = answer.brier * (1 - part) ** 2
    else:
        missed = math.sqrt(min(max(answer.brier - answer.confidence**2, 0.0), 1.0))
        truth = min(1 - missed, 1 - answer.confidence) * (1 - part)
        brier = confidence**2 + (1 - truth) ** 2
    return Answer(answer.label, confidence, min(brier, 2.0))


def _mean_confidence(pairs: Sequence[LabelledPair]) -> float:
    """Of both versions."""
    total = sum(pair.stable.confidence + pair.candidate.confidence for pair in pairs)
    return total / (2 * len(pairs)) if pairs else 1.0
