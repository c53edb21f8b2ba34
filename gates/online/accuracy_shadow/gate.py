"""accuracy.shadow: did the candidate answer more requests wrongly than the stable version, on the same requests?

One gate for all requests, and one for each slice of the policy.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from gates.checks import LABELS, PREDICTIONS
from gates.evidence import LabelledPair, Look
from gates.gate import LabelTimes, Timing, settle
from gates.online.accuracy_shadow.mix import Mix
from gates.online.accuracy_shadow.policy import PairedAccuracyPolicy
from gates.online.accuracy_shadow.words import Told, sentence
from gates.online.alike import expected, seen, with_times
from gates.online.labelling import times_of
from gates.online.pairing import Losses, loss_of, losses_of
from gates.online.ripening import CELLS_WITHIN, Cells, by_time
from gates.online.slices import no_such_slice
from gates.outcome import Outcome
from gates.stats.alike import Alike
from gates.stats.betting import Trinomial, divided, log_es_above_zero
from gates.stats.exact import upper_tail
from gates.stats.noise import Found
from gates.stats.numerics import log_mean_exp, samples_to_settle
from gates.stats.restarts import Late, Restarts
from gates.stats.share import ShareState, below
from gates.stats.uneven import declared
from gates.verdict import Interval, Limit, Rule, Stage, Verdict

AGREEMENT_WEIGHT = 0.1  # of the certificate's level: agreement needs no labels, so the smaller part is enough


@dataclass(frozen=True, slots=True)
class PairedAccuracyState:
    """``peak_harm`` and ``peak_safe``: the highest log evidence so far of a loss above 0, and of a loss below the
    margin."""

    losses: Losses = field(default_factory=Losses)
    disagreement: ShareState = field(default_factory=ShareState)  # among all pairs, labelled or not
    labels: int = 0
    peak_harm: float = 0.0
    peak_safe: float = 0.0
    restarts: Restarts = field(default_factory=Restarts)
    until_s: tuple[float, ...] = ()
    waiting: tuple[Losses, ...] = ()  # labelled pairs that do not count yet, by the times that end at ``until_s``
    mix: Mix = field(default_factory=Mix)
    alike: Alike = field(default_factory=Alike)  # D of the labelled disagreements

    @property
    def learnt(self) -> float:
        """The number of labelled disagreements that came together and count as one, for the next release to expect."""
        return self.alike.learnt

    @property
    def found(self) -> Found | None:
        """Return how labelled disagreements come together; None before the first."""
        return Found(self.learnt) if self.alike.count else None


@dataclass(frozen=True, slots=True)
class PairedAccuracyGate:
    """The betting test F2 (`gates.stats.betting`) on D, the loss on one pair (`gates.online.pairing`). It fails on
    ``E[D] > 0`` if the measured loss is at least the guard, and passes on ``E[D] < margin``.

    As the size of E[D] is at most the share of disagreements, few disagreements certify without any label. The evidence
    against "the margin or more" is the larger of that of labels and that of agreement, each by its weight. A label
    counts one over its inclusion probability. Directed labels without the number of agreeing pairs are an error: they
    cannot be weighted.
    """

    policy: PairedAccuracyPolicy
    alpha: float
    promotion_alpha: float
    slice: str | None = None
    incident_s: float = 0.0
    stage: Stage = Stage.SHADOW
    sources: frozenset[str] = frozenset({LABELS, PREDICTIONS})
    waits_itself: bool = True

    @property
    def name(self) -> str:
        return "accuracy.shadow" if self.slice is None else f"accuracy.shadow[{self.slice}]"

    @property
    def _margin(self) -> float:
        return self.policy.margin_points / 100

    @property
    def required(self) -> bool:
        return self.policy.required

    def start(self) -> PairedAccuracyState:
        return PairedAccuracyState(Losses(chances=declared(self.policy.inclusion_probability_min)))

    def look(self, state: PairedAccuracyState, look: Look, timing: Timing) -> tuple[PairedAccuracyState, Verdict]:
        unseen = next((one for one in look.unseen_slices if one.slice == self.slice), None)
        if unseen is not None:
            reason = no_such_slice(unseen)
            error = Verdict(
                self.name, self.stage, Outcome.ERROR, reason, window=look.window, advisory=not self.required
            )
            return state, error
        pairs, agreed, disagreed = self._of_slice(look)
        now, ripe, cells = self._due(state, pairs, look, timing.labels)
        due = sum(ripe, losses_of(now))
        losses = state.losses.joined(due, agreed, disagreed)
        alike = self._alike(state.alike, now, ripe, pairs, look)
        effect = alike.effect
        if not losses.counted and any(pair.directed for pair in pairs):
            reason = "pairs_agreed: labels asked for where the versions disagree need the number of agreeing pairs."
            return state, Verdict(self.name, self.stage, Outcome.ERROR, reason, window=look.window)
        hold = bool(timing.labels.hold)
        # Evidence of earlier looks is void if it rested on something else, or on labels that came first.
        kept = losses.basis == state.losses.basis and not hold
        disagreement = below(self._margin).add(state.disagreement, disagreed, agreed + disagreed)
        log_safe = self._log_safe(losses, disagreement, effect)
        by_labels = log_mean_exp(log_safe) if not hold else -math.inf
        by_agreement = disagreement.peak + math.log(AGREEMENT_WEIGHT)
        safe = float(max(by_labels + math.log1p(-AGREEMENT_WEIGHT - losses.share_weight), by_agreement))
        restarts = state.restarts.begin(look.window.start_s, state.losses.counts)
        restarts = restarts if kept else restarts.forgotten()
        found = self._harm(losses, restarts, effect)
        peaks = (alike.left(state.alike, peak) if kept else 0.0 for peak in (state.peak_harm, state.peak_safe))
        peak_harm, peak_safe = peaks
        harm = found.log_e if not hold else 0.0
        state = PairedAccuracyState(
            losses=losses,
            disagreement=disagreement,
            labels=losses.labels,
            peak_harm=alike.raised(state.alike, peak_harm, harm, self.alpha),
            peak_safe=max(peak_safe, safe),
            restarts=restarts,
            until_s=cells.until_s,
            waiting=cells.parts,
            mix=state.mix.add(look) if self.slice is None else state.mix,
            alike=alike,
        )
        return state, self._verdict(state, look, timing, found.since, log_safe)

    def _due(
        self, state: PairedAccuracyState, pairs: list[LabelledPair], look: Look, times: LabelTimes
    ) -> tuple[list[LabelledPair], tuple[Losses, ...], Cells[Losses]]:
        """Return the look's labelled pairs that count at once, the earlier ones that count from now on, and those that
        wait."""
        end_s = look.window.end_s
        now, later = by_time(pairs, times_of(pairs, end_s), times.counted_s)
        cells = Cells(state.until_s, state.waiting).put(
            later, max(times.lag_s / CELLS_WITHIN, look.window.length_s), losses_of, Losses.__add__
        )
        ripe, cells = cells.ripe(times.counted_s)
        return now, ripe, cells

    def _alike(
        self,
        alike: Alike,
        now: Sequence[LabelledPair],
        ripe: Sequence[Losses],
        pairs: Sequence[LabelledPair],
        look: Look,
    ) -> Alike:
        """Return ``alike`` with D of the labelled disagreements that count from this look on."""
        alike = expected(alike, look, self.name)
        for part in ripe:
            lost, won = part.counts.plus, part.counts.minus
            alike = alike.add(part.apart.count, lost - won, lost + won)
        apart = [pair for pair in now if pair.stable.label != pair.candidate.label]
        return with_times(
            seen(alike, list(map(loss_of, apart)), apart, look, self.incident_s), pairs, look, self.incident_s
        )

    def _harm(self, losses: Losses, restarts: Restarts, effect: float) -> Late:
        """Return the evidence of a loss, from the beginning and from later starts. Later starts need counts that can be
        told apart by when they came, which there are only of labels that were equally likely."""
        bets = self.policy.bets
        log_e = losses.log_harm(bets, effect)
        if not losses.even:
            return Late(log_e, None)
        return restarts.with_all(log_e, losses.counts, lambda every: log_es_above_zero(every, bets, effect))

    def _log_safe(self, losses: Losses, disagreement: ShareState, effect: float) -> list[float]:
        """Return the log evidence of each bet against a loss of the margin or more."""
        share_max = disagreement.interval(losses.share_weight * self.promotion_alpha)[1] if losses.share_weight else 1.0
        return divided(losses.log_safe(self._margin, self.policy.bets, share_max), effect)

    def _of_slice(self, look: Look) -> tuple[list[LabelledPair], int, int]:
        if self.slice is None:
            return list(look.pairs), look.pairs_agreed, look.pairs_disagreed
        pairs = [pair for pair in look.pairs if self.slice in pair.slices]
        counts = [part for part in look.slice_pairs if part.slice == self.slice]
        return pairs, sum(part.agreed for part in counts), sum(part.disagreed for part in counts)

    def _verdict(
        self, state: PairedAccuracyState, look: Look, timing: Timing, late: Trinomial | None, log_safe: list[float]
    ) -> Verdict:
        """Return the verdict. ``late``: the counts of D since the later start that most of the evidence of a loss is
        from; None: since the beginning. ``log_safe``: the log evidence of each bet for a pass."""
        policy, counts, hold = self.policy, state.losses.counts, timing.labels.hold
        points = 100 * state.losses.kept_mean(state.disagreement)
        every = 100 * state.losses.mean(state.disagreement)
        late = late if late is not None and late.total >= policy.pairs_min and 100 * late.mean > points else None
        lost = points if late is None else 100 * late.mean
        fired = not hold and timing.fires(self.alpha, state.peak_harm, lambda: self._p_value(state))
        certified = state.peak_safe >= math.log(1 / self.promotion_alpha) and max(points, every) < policy.margin_points
        at_worst = state.losses.mean_at_worst(state.disagreement, timing.labels.apart_times)
        hides = certified and 100 * at_worst >= policy.margin_points
        certified = certified and not hides
        another_mix = state.mix.differs(self.promotion_alpha)
        certified = certified and not another_mix and not state.mix.waits(policy.pairs_min)
        outcome = settle(
            failed=counts.total >= policy.pairs_min and fired and lost >= policy.guard_points,
            passed=max(counts.total, state.disagreement.total) >= policy.pairs_min and certified,
        )
        told = Told(
            losses=state.losses,
            differ=state.disagreement,
            points=lost if outcome is Outcome.FAIL else points,
            since=late,
            margin_points=policy.margin_points,
            needed=self._needed(state.labels, log_safe) if outcome is Outcome.INCONCLUSIVE else None,
            waiting=sum(part.labels for part in state.waiting),
            unlikely=look.least_likely,
            mix=state.mix,
            hidden_points=100 * at_worst if hides else 0.0,
        )
        hold = hold or (state.mix.difference if another_mix else "")
        return Verdict(
            self.name,
            self.stage,
            outcome,
            hold if hold and outcome is Outcome.INCONCLUSIVE else sentence(outcome, told),
            value=told.points if counts.total and state.losses.weighable else None,
            unit="points lost",
            interval=self._interval(state),
            threshold=policy.margin_points,
            samples=state.labels,
            samples_needed=told.needed,
            window=look.window,
            advisory=not self.required and outcome is not Outcome.FAIL,
            limits=(self._limit(outcome, told.points if counts.total and state.losses.weighable else None),),
        )

    def _limit(self, outcome: Outcome, points: float | None) -> Limit:
        if outcome is Outcome.FAIL:
            return Limit(Rule.GUARD, self.policy.guard_points, points, "points lost")
        return Limit(Rule.MARGIN, self.policy.margin_points, points, "points lost")

    def _p_value(self, state: PairedAccuracyState) -> float:
        """Return the p-value of the sign test; 1 where labels were not equally likely, since it is not exact then."""
        counts, effect = state.losses.counts, state.alike.effect
        lost, differing = math.floor(counts.plus / effect), (counts.plus + counts.minus) / effect
        return upper_tail(lost, differing, 0.5) if state.losses.even else 1.0

    def _interval(self, state: PairedAccuracyState) -> Interval:
        """Return the interval of the points lost: from the labels, and never wider than the share of disagreements.
        Each of the two has half of the level."""
        alpha = self.promotion_alpha
        narrowest, widest = state.disagreement.interval(alpha / 2) if state.disagreement.total else (0.0, 1.0)
        low, high = state.losses.bounds(self.policy.bets, alpha / 2, (narrowest, widest))
        return Interval(100 * max(low, -widest), 100 * min(high, widest), 1 - alpha)

    def _needed(self, labels: int, log_safe: list[float]) -> int | None:
        """Return about how many labels settle the gate at the rate at which evidence for a pass grew so far; None where
        it did not grow."""
        return samples_to_settle(labels, max(log_safe), math.log(len(self.policy.bets) / self.promotion_alpha))
