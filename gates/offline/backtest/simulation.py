"""Simulated looks at a candidate whose worth is known, beside the stable version of recorded evidence."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from gates.evidence import ArmCounts, LabelCounts, LabelledPair, Look, SlicePairs
from gates.offline.backtest.injection import EQUAL, Injection, impossible
from gates.offline.backtest.pairing import SliceRate
from gates.offline.backtest.pools import draw, pools_of, rates_of
from gates.offline.backtest.service import Moment, Service
from gates.verdict import Window

Shares = NDArray[np.float64]


def moments(service: Service, rng: np.random.Generator) -> Iterator[Moment]:
    """Yield recorded moments without end, in blocks of consecutive ones that begin at random."""
    total = len(service.moments)
    block = math.ceil(total ** (1 / 3))
    while True:
        first = int(rng.integers(total))
        for place in range(first, first + block):
            yield service.moments[place % total]


class Simulation:
    """Looks at one kind of candidate beside the stable version."""

    def __init__(self, service: Service, injection: Injection) -> None:
        """Prepare to make looks.

        Raises:
            ValueError: this regression is `impossible` in this evidence.
        """
        reason = impossible(service, injection)
        if reason is not None:
            raise ValueError(reason)
        self._service = service
        self._injection = injection
        self._pools = pools_of(service.pairing, injection)
        self._rates = rates_of(service.pairing, self._pools, injection.accuracy_points / 100)
        self._later = _later(service.edges_ms, injection.latency_ratio)

    def look(
        self, rng: np.random.Generator, moment: Moment, *, sequence: int, start_s: float, candidate_share: float
    ) -> Look:
        """Return one moment as it would have been with such a candidate at this share of the live traffic."""
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
        """Return the look with pairs and labels. ``late``: there are no labels, because the first are still to come."""
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
            *draw(rng, self._pools.agreeing, agreeing),
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
        """Return ``count`` labelled pairs that disagree, among them the losses that make the candidate worse."""
        lost = int(rng.binomial(count, self._rates.lost)) if self._injection.accuracy_points else 0
        return [*draw(rng, self._pools.lost, lost), *draw(rng, self._pools.differing, count - lost)]

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
    """Return the counts of ``requests`` drawn from what stable did in this moment, made worse by the ``injection``.

    Errors that came together stay together. ``later``: moves the shares by latency bucket.
    """
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
    """Return a function of shares by latency bucket: what they become when every answer takes ``ratio`` times as long.

    Within a bucket times are taken to be spread evenly on the log scale; those above the last edge stay there.
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
    """Return ``part``, a share of all, as a share of what ``taken`` leaves; at most 1."""
    return min(part / (1 - taken), 1.0) if taken < 1 else 0.0


def _slice(rng: np.random.Generator, part: SliceRate, completed: int, worse: float) -> SlicePairs:
    pairs = int(rng.binomial(completed, part.share))
    disagreed = int(rng.binomial(pairs, min(part.disagreement + worse, 1.0)))
    return SlicePairs(part.name, pairs - disagreed, disagreed)
