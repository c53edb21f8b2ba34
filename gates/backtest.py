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

from gates.backtest_service import Moment, Pairing, Service, SliceRate
from gates.evidence import Answer, ArmCounts, LabelCounts, LabelledPair, Look, SlicePairs
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
        self._chance, flipped = _chance_pool(service.pairing, injection)
        self._directed = _directed_pool(service.pairing, injection)
        self._lost = _lost_pool(flipped, self._directed)
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
        return replace(
            look,
            pairs=(*self._by_chance(rng, completed), *self._asked_for(rng, disagreed)),
            stable_labels=self._live_labels(rng, look.stable, 0.0),
            candidate_labels=self._live_labels(rng, look.candidate, worse),
        )

    def _by_chance(self, rng: np.random.Generator, completed: int) -> list[LabelledPair]:
        count = int(rng.binomial(completed, self._service.pairing.labelled)) if self._chance else 0
        return _draw(rng, self._chance, count)

    def _asked_for(self, rng: np.random.Generator, disagreed: int) -> list[LabelledPair]:
        """Of the disagreements, so many more are losses as the candidate is worse."""
        pairing, worse = self._service.pairing, self._injection.accuracy_points / 100
        if not pairing.directed or not disagreed:
            return []
        count = int(rng.binomial(disagreed, pairing.directed))
        lost = int(rng.binomial(count, worse / (pairing.disagreement + worse))) if worse else 0
        return [*_draw(rng, self._lost, lost), *_draw(rng, self._directed, count - lost)]

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


def _chance_pool(pairing: Pairing, injection: Injection) -> tuple[tuple[LabelledPair, ...], tuple[LabelledPair, ...]]:
    """All pairs labelled by chance, with the regression in them; and those that were made wrong for it."""
    pool = _mirrored(pairing.chance_pairs)
    both_right = [place for place, pair in enumerate(pool) if pair.stable.label == pair.candidate.label == pair.truth]
    wanted = min(round(injection.accuracy_points / 100 * len(pool)), len(both_right))
    wrong = [pair.candidate for pair in pool if pair.candidate.label != pair.truth]
    flipped = [both_right[place] for place in np.linspace(0, len(both_right) - 1, wanted).astype(int).tolist()]
    for turn, place in enumerate(flipped):
        answer = wrong[turn % len(wrong)] if wrong else _two_class_miss(pool[place].candidate)
        pool[place] = replace(pool[place], candidate=replace(answer, label=_ANOTHER_CLASS))
    surer = _surer(pairing, injection)
    made = tuple(surer(pair) for pair in pool)
    return made, tuple(made[place] for place in flipped)


def _directed_pool(pairing: Pairing, injection: Injection) -> tuple[LabelledPair, ...]:
    """All labelled disagreements, as labels that were asked for."""
    differing = [pair for pair in pairing.chance_pairs if pair.stable.label != pair.candidate.label]
    surer = _surer(pairing, injection)
    pool = _mirrored([*differing, *pairing.directed_pairs])
    return tuple(surer(replace(pair, directed=True)) for pair in pool)


def _lost_pool(flipped: Sequence[LabelledPair], directed: Sequence[LabelledPair]) -> tuple[LabelledPair, ...]:
    """Answers that only the stable version gets right."""
    if flipped:
        return tuple(replace(pair, directed=True) for pair in flipped)
    return tuple(pair for pair in directed if pair.stable.label == pair.truth)


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


def _two_class_miss(answer: Answer) -> Answer:
    return replace(answer, brier=2 * answer.confidence**2)


def _mean_confidence(pairs: Sequence[LabelledPair]) -> float:
    """Of both versions."""
    total = sum(pair.stable.confidence + pair.candidate.confidence for pair in pairs)
    return total / (2 * len(pairs)) if pairs else 1.0
