"""The gate of one floor of a class: the share of mistakes among labels given by chance, against a ceiling, by tests
that may be looked at at any time.

A floor alone would roll back an equal candidate of a service that already misses it. So a failure needs both: the floor
is surely missed, and the candidate surely makes more of these mistakes than stable does on the same requests. Where
stable misses the floor just as much, nobody is blamed and promotion waits. Texts that are alike are mistaken together,
so evidence is divided by how many of them count as one (`gates.stats.alike`).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from gates.checks import LABELS, PREDICTIONS
from gates.evidence import Answer, LabelledPair, Look
from gates.gate import Timing, bounds, settle
from gates.online.alike import expected, seen, with_times
from gates.online.costs.gate import unknown_class
from gates.online.floors.policy import FloorPolicy
from gates.outcome import Outcome
from gates.stats import betting, uneven
from gates.stats.alike import Alike
from gates.stats.betting import Trinomial
from gates.stats.numerics import log_mean_exp, samples_to_settle
from gates.stats.share import ShareState, above, below
from gates.stats.uneven import Chances, Span
from gates.stats.weighted import Drawn
from gates.verdict import Limit, Rule, Stage, Verdict
from gates.wording import more, of, weighed

_SHARE, _LOSS = Span(0.0, 1.0), Span(-1.0, 1.0)  # of a mistake, and of the candidate's minus stable's


@dataclass(frozen=True, slots=True)
class FloorState:
    """The labels that bear on the floor. ``mistakes``: the candidate's among them; ``stable``: the number of stable's;
    ``changes``: +1 where only the candidate made one, -1 where only stable did. Peaks are the highest log evidence so
    far."""

    mistakes: ShareState = field(default_factory=ShareState)
    stable: int = 0
    changes: Trinomial = field(default_factory=Trinomial)
    chances: Chances = field(default_factory=Chances)
    drawn: Drawn = field(default_factory=Drawn)  # of the candidate's mistakes
    changed: Drawn = field(default_factory=Drawn)
    peak_missed: float = 0.0
    peak_worse: float = 0.0
    log_kept: float = 0.0  # now, by all labels so far
    alike: Alike = field(default_factory=Alike)  # of the changes

    @property
    def learnt(self) -> float:
        """The number of labelled changes that came together and count as one, for the next release to expect."""
        return self.alike.learnt

    def add(
        self, own: Sequence[bool], others: Sequence[bool], probabilities: Sequence[float], changes: Sequence[float]
    ) -> "FloorState":
        """Return the state with one look's labels: whether the candidate (``own``) and stable (``others``) made the
        mistake on each, and the changes."""
        plus, minus = changes.count(1.0), changes.count(-1.0)
        counts = self.changes
        chances = self.chances.add(probabilities)
        kept = chances.least == self.chances.least or not self.mistakes.total
        return FloorState(
            ShareState(self.mistakes.events + sum(own), self.mistakes.total + len(own)),
            self.stable + sum(others),
            Trinomial(counts.plus + plus, counts.minus + minus, counts.zero + len(own) - plus - minus),
            chances,
            self.drawn.add_all([float(one) for one in own], probabilities),
            self.changed.add_all(changes, probabilities),
            *((self.peak_missed, self.peak_worse) if kept else (0.0, 0.0)),
            alike=self.alike,
        )

    @property
    def share(self) -> float:
        """The candidate's share of mistakes, over all requests that the labels stand for."""
        if not self.mistakes.total:
            return 0.0
        return self.mistakes.share if self.chances.even else self.drawn.mean


@dataclass(frozen=True, slots=True)
class FloorGate:
    policy: FloorPolicy
    alpha: float
    promotion_alpha: float
    incident_s: float = 0.0
    stage: Stage = Stage.SHADOW
    sources: frozenset[str] = frozenset({LABELS, PREDICTIONS})

    @property
    def name(self) -> str:
        return self.policy.name

    @property
    def required(self) -> bool:
        return self.policy.required

    def start(self) -> FloorState:
        return FloorState()

    def look(self, state: FloorState, look: Look, timing: Timing) -> tuple[FloorState, Verdict]:
        problem = unknown_class([self.policy.label], look, "floors")
        if problem is not None:
            advisory = not self.required
            return state, Verdict(self.name, self.stage, Outcome.ERROR, problem, window=look.window, advisory=advisory)
        pairs = [pair for pair in look.pairs if not pair.directed and self._bears(pair)]
        if pairs:
            own, others = ([self._is_mistake(answer) for answer in side] for side in _answers(pairs))
            changes = [float(one) - float(other) for one, other in zip(own, others, strict=True)]
            alike = seen(expected(state.alike, look, self.name), changes, pairs, look, self.incident_s)
            alike = with_times(alike, pairs, look, self.incident_s)
            counted = state.add(own, others, [pair.inclusion_probability for pair in pairs], changes)
            state = self._judged(counted, alike)
        hold = timing.labels.hold
        state = replace(state, peak_missed=0.0, peak_worse=0.0, log_kept=0.0) if hold else state
        return state, self._verdict(state, look, hold)

    def _bears(self, pair: LabelledPair) -> bool:
        return (pair.truth == self.policy.label) is self.policy.is_recall

    def _is_mistake(self, answer: Answer) -> bool:
        return (answer.label == self.policy.label) is not self.policy.is_recall

    def _judged(self, state: FloorState, alike: Alike) -> FloorState:
        """Return the state with its evidence, divided by how many texts that are alike count as one. Earlier looks'
        evidence is reduced to what is left of it by this divisor."""
        bets, ceiling, least = self.policy.bets, self.policy.ceiling, state.chances.least
        if state.chances.even:
            events, total = state.mistakes.events, state.mistakes.total
            missed, kept = self._missed(events, total), self._kept(events, total)
            worse = betting.log_capitals(state.changes, 0.0, bets)
        else:
            missed = uneven.log_capitals(state.drawn, least, ceiling, _SHARE, bets)
            kept = uneven.log_capitals(-state.drawn, least, -ceiling, _SHARE.mirrored, bets)
            worse = uneven.log_capitals(state.changed, least, 0.0, _LOSS, bets)
        log_missed, log_kept, log_worse = (
            log_mean_exp(betting.divided(logs, alike.effect)) for logs in (missed, kept, worse)
        )
        peak = alike.left(state.alike, state.peak_worse)
        return replace(
            state,
            peak_missed=max(alike.left(state.alike, state.peak_missed), log_missed),
            peak_worse=alike.raised(state.alike, peak, log_worse, self.alpha),
            log_kept=log_kept,
            alike=alike,
        )

    def _missed(self, events: int, total: int) -> list[float]:
        """Return the log evidence of each alternative against "the share is at most the ceiling"; 0 where the ceiling
        is so near 1 that there is no alternative."""
        found = above(self.policy.ceiling, self.policy.grid)
        return found.log_e(events, total) if found.alternatives else [0.0]

    def _kept(self, events: int, total: int) -> list[float]:
        return below(self.policy.ceiling).log_e(events, total)

    def _verdict(self, state: FloorState, look: Look, hold: str) -> Verdict:
        """Return the verdict. ``hold``: why nothing is concluded from any label now, as a sentence; empty where there
        is no reason."""
        policy, labels = self.policy, state.mistakes.total
        level, beyond = math.log(1 / self.alpha), state.share > policy.ceiling
        missed = state.peak_missed >= level and beyond
        outcome = settle(
            failed=labels >= policy.labels_min and missed and state.peak_worse >= level and state.changes.mean > 0,
            passed=labels >= policy.labels_min and state.log_kept >= math.log(1 / self.promotion_alpha) and not beyond,
        )
        needed = None
        if outcome is Outcome.INCONCLUSIVE and not missed and state.chances.even and labels:
            best = max(self._kept(state.mistakes.events, labels))
            needed = samples_to_settle(labels, best, math.log(3 / self.promotion_alpha))
        low, high = state.mistakes.interval(self.promotion_alpha) if labels and state.chances.even else (0.0, math.inf)
        if policy.is_recall:
            low, high = 1 - high, 1 - low
        share = self._told(state.share) if labels else None
        limit, rule = (policy.at_least, Rule.FLOOR) if policy.is_recall else (policy.at_most, Rule.CEILING)
        return Verdict(
            self.name,
            self.stage,
            outcome,
            hold or self._reason(outcome, state, needed, missed=missed),
            value=share,
            unit="share",
            interval=bounds(low, high, self.promotion_alpha),
            threshold=limit,
            samples=labels,
            samples_needed=needed,
            window=look.window,
            advisory=not self.required and outcome is not Outcome.FAIL,
            limits=() if limit is None else (Limit(rule, limit, share, "share", at_least=policy.is_recall),),
        )

    def _told(self, mistakes: float) -> float:
        return 1 - mistakes if self.policy.is_recall else mistakes

    def _reason(self, outcome: Outcome, state: FloorState, needed: int | None, *, missed: bool) -> str:
        policy, labels = self.policy, state.mistakes.total
        if not labels:
            whose = (
                f"requests of {policy.label!r}"
                if policy.is_recall
                else f"requests of other classes than {policy.label!r}"
            )
            return f"No label by chance of {whose} yet."
        right, stables = state.mistakes.events, state.stable
        counts = (labels - right, labels - stables) if policy.is_recall else (right, stables)
        what = f"labelled requests of {policy.label!r}" if policy.is_recall else "labelled requests of other classes"
        seen = f"{of(counts[0], labels, what)}, stable {counts[1]:,}"
        seen += "" if state.chances.even else f", {weighed(state.chances.least, state.chances.most)}"
        name = f"Recall of {policy.label!r}" if policy.is_recall else f"False positives of {policy.label!r}"
        limit = f"at least {policy.at_least:g}" if policy.is_recall else f"at most {policy.at_most:g}"
        seen = f"{name}: {seen}, {limit} is asked for"
        if outcome is Outcome.FAIL:
            return f"{seen}; that is surely missed, and stable does better on the same requests."
        if outcome is Outcome.PASS:
            return f"{seen}, and surely kept."
        if missed:
            return f"{seen}; that is surely missed, and not more than by stable: mend the floor or both versions."
        return f"{seen}; {more(needed, labels, 'labels of such requests')}."


def _answers(pairs: Sequence[LabelledPair]) -> tuple[list[Answer], list[Answer]]:
    return [pair.candidate for pair in pairs], [pair.stable for pair in pairs]
