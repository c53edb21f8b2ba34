"""The watch over the version that serves everybody: what its labels and answers say about it, and when to ask for
retraining. Pure. It keeps only sums, so its size does not grow with the traffic.

Labels are counted in windows, whose bounds hold at every look at once (`gates.stats.share`; `gates.stats.uneven` if
labels were not equally likely). Later labels are compared with the first window. Equally likely labels are also tested
for harm that begins at any time (`gates.stats.watch`), so that good months before do not hide it. For other labels only
the windows count: each one starts afresh and has its own part of the level.

Answers are compared in whole cycles (a day), because people ask other things at night, although nothing has drifted
(`gates.stats.moved`).
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final

from controller.core.policy import WatchPolicy
from gates.stats.moved import distance, error, spent_by
from gates.stats.uneven import Chances, Span, mean_bounds
from gates.stats.watch import ShareWatch, WatchState, cap_of
from gates.stats.weighted import Drawn
from gates.wording import pct

DAY_S: Final = 86_400.0
CLASSES, CONFIDENCE, TOKENS = "classes", "confidence", "tokens"
MIXES: Final = (CLASSES, CONFIDENCE, TOKENS)
BINS_MAX: Final = 50  # classes that are counted separately; the rarer ones are counted together
OTHERS: Final = "others"
_LATEST: Final = 80.0  # wrong answers from which the test learns its bet; many, because small losses must show
_BETS: Final = (0.1, 0.2, 0.4, 0.8)
_SHARE, _GAP = Span(0.0, 1.0), Span(-1.0, 1.0)


class Cause(StrEnum):
    """The cause for which retraining is asked."""

    ACCURACY = "accuracy"
    DRIFT = "drift"
    AGE = "age"


@dataclass(frozen=True, slots=True)
class Labelled:
    """A live answer whose true label has arrived. ``confidence``: 0 to 1; None if it is no longer kept."""

    right: bool
    confidence: float | None
    probability: float = 1.0  # of being sampled and labelled, by design


@dataclass(frozen=True, slots=True)
class Bounds:
    """A value, with bounds that hold at every look at once. ``samples``: the number of samples behind the value."""

    value: float
    low: float
    high: float
    samples: int


@dataclass(frozen=True, slots=True)
class Window:
    """The sums of one window. ``wrong``: of wrong answers (1) and right ones (0). ``gap``: of confidence minus
    correctness."""

    number: int = 1
    wrong: Drawn = field(default_factory=Drawn)
    gap: Drawn = field(default_factory=Drawn)
    chances: Chances = field(default_factory=Chances)
    wrongs: int = 0  # the number of wrong answers, unweighted

    def add(self, labels: Sequence[Labelled]) -> "Window":
        probabilities = [one.probability for one in labels]
        told = [one for one in labels if one.confidence is not None]
        gaps = [(one.confidence or 0.0) - one.right for one in told]
        return replace(
            self,
            wrong=self.wrong.add_all([0.0 if one.right else 1.0 for one in labels], probabilities),
            gap=self.gap.add_all(gaps, [one.probability for one in told]),
            chances=self.chances.add(probabilities),
            wrongs=self.wrongs + sum(not one.right for one in labels),
        )

    def wrong_at_most(self, alpha: float) -> float:
        """Return the upper bound on the share of wrong answers in a full window. It need not hold before that look."""
        if self.chances.even:
            from gates.stats.exact import share_bounds  # imports scipy, which code that only reads a state can spare

            return share_bounds(self.wrongs, self.wrong.count, 2 * alpha)[1]
        return self.wrong_bounds(2 * alpha)[1]

    def wrong_bounds(self, alpha: float) -> tuple[float, float]:
        """Return bounds on the share of wrong answers that hold at every look at once."""
        if self.chances.even:
            from gates.stats.share import ShareState

            return ShareState(self.wrongs, self.wrong.count).interval(alpha)
        return mean_bounds(self.wrong, self.chances.least, _SHARE, _BETS, alpha)


@dataclass(frozen=True, slots=True)
class Quality:
    """The quality by the labels so far. ``window``: the current window. ``full``: the last full window, which is shown
    while the current one has few labels. ``wrong_most``: the upper bound on the share of wrong answers in the first
    window; None until that is full. ``watch``: the evidence that too many answers are wrong, used while all labels are
    equally likely."""

    window: Window = field(default_factory=Window)
    full: Window | None = None
    wrong_most: float | None = None
    chances: Chances = field(default_factory=Chances)
    watch: WatchState = field(default_factory=WatchState)

    def add(self, labels: Sequence[Labelled], policy: WatchPolicy) -> "Quality":
        """Return the quality with the labels of one look added."""
        if not labels:
            return self
        chances, watch = self.chances.add([one.probability for one in labels]), self.watch
        limit = self.wrong_limit(policy)
        if limit is not None and chances.even:
            wrong = sum(not one.right for one in labels)
            test = ShareWatch(limit, cap_of(_of_watch(policy)), _LATEST)
            watch = test.add(watch, wrong, len(labels))
        state, rest = replace(self, chances=chances, watch=watch), list(labels)
        while rest:
            size = policy.reference_labels if state.window.number == 1 else policy.window_labels
            room = max(size - state.window.wrong.count, 1)
            window, rest = state.window.add(rest[:room]), rest[room:]
            if window.wrong.count < size or not rest:
                state = replace(state, window=window)
                continue
            most = window.wrong_at_most(policy.alpha / 2) if window.number == 1 else state.wrong_most
            state = replace(state, window=Window(window.number + 1), full=window, wrong_most=most)
        return state

    def wrong_limit(self, policy: WatchPolicy) -> float | None:
        """Return the share of wrong answers above which retraining is asked for; None: not known yet."""
        limits = [1 - policy.accuracy_min] if policy.accuracy_min is not None else []
        limits += [self.wrong_most + policy.accuracy_drop_points / 100] if self.wrong_most is not None else []
        limit = min(limits, default=1.0)
        return limit if limit < 1 else None

    def accuracy(self, policy: WatchPolicy) -> Bounds | None:
        """Return the share of right answers in the most informative recent window; None: no label has arrived."""
        window = self._shown
        if window is None:
            return None
        low, high = window.wrong_bounds(spent_by(window.number, policy.alpha))
        return Bounds(1 - window.wrong.mean, 1 - high, 1 - low, window.wrong.count)

    def overconfidence(self, policy: WatchPolicy) -> Bounds | None:
        """Return mean confidence minus accuracy in the same window; None: no confidence is known."""
        window = self._shown
        if window is None or not window.gap.count:
            return None
        alpha = spent_by(window.number, policy.alpha)
        low, high = mean_bounds(window.gap, window.chances.least, _GAP, _BETS, alpha)
        return Bounds(window.gap.mean, low, high, window.gap.count)

    @property
    def _shown(self) -> Window | None:
        if self.full is not None and self.window.wrong.count < self.full.wrong.count / 4:
            return self.full
        return self.window if self.window.wrong.count else None

    def fell(self, policy: WatchPolicy) -> tuple[float, float] | None:
        """Return the recent accuracy, and the value below which it provably is; None: nothing is proven."""
        limit, shown = self.wrong_limit(policy), self._shown
        if limit is None or shown is None:
            return None
        if self.chances.even:
            sure = self.watch.peak >= -math.log(_of_watch(policy))
        else:
            low, _ = shown.wrong_bounds(spent_by(shown.number, policy.alpha / 4))
            sure = low > limit
        return (1 - shown.wrong.mean, 1 - limit) if sure else None


def _of_watch(policy: WatchPolicy) -> float:
    """Return the part of the level (probability of a false alarm) for the test of equally likely labels."""
    return policy.alpha / 4


@dataclass(frozen=True, slots=True)
class Mix:
    """The counts by class, confidence or length: in the first cycle (``reference``) and in the current one (``now``).
    ``names``: the number of different names in the first cycle, plus one. ``moved``: the distance of the last whole
    cycle from the first, 0 to 1, and its lower bound."""

    since_s: float
    reference: Mapping[str, int] = field(default_factory=dict)
    names: int = 0  # 0: the reference is being gathered
    now: Mapping[str, int] = field(default_factory=dict)
    cycles: int = 0
    moved: tuple[float, float] | None = None

    def add(self, counts: Mapping[str, int], at_s: float, policy: WatchPolicy, alpha: float) -> "Mix":
        """Return the mix with one look's counts added. ``alpha``: the level of this mix over its whole life."""
        gathered = dict(Counter(self.now) + Counter(counts))
        state = replace(self, now=_known(gathered, self.reference) if self.names else gathered)
        samples = sum(state.now.values())
        if at_s - self.since_s < policy.cycle_s or samples < policy.samples_min:
            return state
        if not self.names:
            most = dict(Counter(gathered).most_common(BINS_MAX - 1))
            rest = samples - sum(most.values())
            reference = {**most, OTHERS: most.get(OTHERS, 0) + rest}  # a class may have the name OTHERS itself
            return Mix(at_s, reference, names=len(gathered) + 1)
        cycles, found = self.cycles + 1, distance(state.now, self.reference)
        reach = error(samples, len(self.reference), spent_by(cycles, alpha / 2))
        reach += error(sum(self.reference.values()), self.names, alpha / 2)
        return Mix(at_s, self.reference, self.names, {}, cycles, (found, max(found - reach, 0.0)))


def _known(counts: Mapping[str, int], reference: Mapping[str, int]) -> dict[str, int]:
    found = {name: number for name, number in counts.items() if name in reference}
    rest = sum(counts.values()) - sum(found.values())
    return {**found, OTHERS: found.get(OTHERS, 0) + rest} if rest else found


@dataclass(frozen=True, slots=True)
class Champion:
    """One version while it serves everybody. ``since_s``: unix time. ``lag_s``: the time in seconds from answer to
    label at the last look that had labels. ``asked``: the causes for which retraining was asked, each once."""

    model: str
    version: str
    since_s: float
    quality: Quality = field(default_factory=Quality)
    mixes: Mapping[str, Mix] = field(default_factory=dict)
    labels: int = 0
    answers: int = 0
    lag_s: float | None = None
    asked: tuple[Cause, ...] = ()

    def labelled(self, labels: Sequence[Labelled], policy: WatchPolicy) -> "Champion":
        """Return the champion with new labels added."""
        return replace(self, quality=self.quality.add(labels, policy), labels=self.labels + len(labels))

    def answered(self, counts: Mapping[str, Mapping[str, int]], at_s: float, policy: WatchPolicy) -> "Champion":
        """Return the champion with the counts of sampled answers added: by mix, and by name in the mix."""
        alpha = policy.alpha / len(MIXES)
        mixes = {name: self.mixes.get(name, Mix(at_s)).add(counts.get(name, {}), at_s, policy, alpha) for name in MIXES}
        return replace(self, mixes=mixes, answers=self.answers + sum(counts.get(CLASSES, {}).values()))


@dataclass(frozen=True, slots=True)
class Asking:
    """One request for retraining. ``reason`` is a sentence. ``value`` and ``limit``: the accuracy, the distance, or the
    age in days, with its limit."""

    cause: Cause
    reason: str
    value: float
    limit: float


def askings(champion: Champion, policy: WatchPolicy, now_s: float) -> tuple[Asking, ...]:
    """Return the requests for retraining that are due now, without those whose cause was reported before."""
    found = (_accuracy(champion, policy), _drift(champion, policy), _age(champion, policy, now_s))
    return tuple(one for one in found if one is not None and one.cause not in champion.asked)


def _accuracy(champion: Champion, policy: WatchPolicy) -> Asking | None:
    fell = champion.quality.fell(policy)
    if fell is None:
        return None
    value, least = fell
    reason = (
        f"Of its recent labelled answers {pct(value, 1)} were right; its accuracy is provably below {pct(least, 1)}."
    )
    return Asking(Cause.ACCURACY, reason, value, least)


_WHAT: Final = {CLASSES: "The mix of its answers", CONFIDENCE: "Its confidence", TOKENS: "The length of texts"}


def _drift(champion: Champion, policy: WatchPolicy) -> Asking | None:
    limit = policy.drift_distance
    sure = [(name, mix.moved) for name, mix in champion.mixes.items() if mix.moved is not None and mix.moved[1] > limit]
    if not sure:
        return None
    name, (value, least) = max(sure, key=lambda one: one[1][1])
    reason = (
        f"{_WHAT[name]} has drifted from its first days: by a distance of {value:.2f} (0: same, 1: "
        f"disjoint), provably at least {least:.2f}."
    )
    return Asking(Cause.DRIFT, reason, value, limit)


def _age(champion: Champion, policy: WatchPolicy, now_s: float) -> Asking | None:
    days = (now_s - champion.since_s) / DAY_S
    if policy.retrain_after_days is None or days < policy.retrain_after_days:
        return None
    reason = f"It has served for {days:.0f} days; the policy asks for retraining after {policy.retrain_after_days:g}."
    return Asking(Cause.AGE, reason, days, policy.retrain_after_days)


def told_of(champion: Champion, policy: WatchPolicy) -> str:
    """Return what is known about the champion, in one line."""
    parts = []
    if (accuracy := champion.quality.accuracy(policy)) is not None:
        parts.append(
            f"right in {pct(accuracy.value, 1)} of {accuracy.samples:,} labelled answers "
            f"({pct(accuracy.low, 1)} to {pct(accuracy.high, 1)})"
        )
    else:
        parts.append("no labels for its answers yet")
    moved = [mix.moved[0] for mix in champion.mixes.values() if mix.moved is not None]
    parts += [f"drift since its first days at most {max(moved):.2f} (0: same, 1: disjoint)"] if moved else []
    parts += [f"retraining asked for: {', '.join(champion.asked)}"] if champion.asked else []
    return f"version {champion.version}: {'; '.join(parts)}"
