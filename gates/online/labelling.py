"""The times and the choice of labels: when labels count as evidence, and whether they were chosen.

**When.** Labels that come first are not like all labels: a fraud is known months after a purchase. So labels are taken
by the time of their *requests*, oldest first, and the labels of a time count once nearly all of them have come. How
long that takes (the lag) is learnt from how far the requests of new labels lie behind the newest labelled request. The
lag is 0 where every request waits equally long, or where all labels of a day come in one file; then nothing waits.
Which labels count depends on when labels came and not on what they say, so the tests stay valid. A label that comes
even later still counts.

A longer lag may show itself late: labels come that lie much further behind than any before, so the labels that counted
so far were only the quick ones. Then nothing is concluded until the newest requests whose labels count are old enough,
and earlier evidence is forgotten. If far fewer labels came for a class that stable predicts than for the others, the
verdicts wait from the beginning.

**Which.** If the labelled pairs were chosen by chance, or are weighted by the probabilities that they state, their
confidences are those of all pairs for which stable predicts the same class. This is checked without reading any label
(`gates.stats.chosen`), and does not depend on how often, or how late, each class is labelled. Nor do the versions then
disagree more often on the labelled pairs than on all pairs of the same class. With complaints they do: users complain
mostly about stable's mistakes, which the candidate then seems to mend.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import compress
from typing import Final

from gates.evidence import PAIR_CONFIDENCE_EDGES, LabelledPair, Look, PairProfile
from gates.gate import LabelTimes
from gates.online.label_sources import LabelPolicy
from gates.online.ripening import CELLS_MAX, Cells
from gates.quick import quick
from gates.stats.chosen import Bins, Strata
from gates.stats.lags import Lags
from gates.wording import pct, quoted_name, span

MOST: Final = 0.95  # of the labels of a time: the part that must have come before they count
_HALF_LIFE: Final = 300.0  # labels, after which a lag weighs half
_HALF_LIFE_APART: Final = 100.0  # the same for pairs on which the versions disagree: these decide, and are few
_LOOKS_IN_STEP: Final = 2.0  # looks: a request at most this far behind the newest labelled one counts as level with it
_LATE: Final = 0.5  # of the labels that a class would have if it were labelled as the others are
LOG_EVIDENCE: Final = math.log(1e4)  # that labels were chosen by confidence, or that those of a class are late
_LOG_EVIDENCE_APART: Final = math.log(1e2)  # that labels were chosen, by disagreements: these are few
_HIDDEN_RATIO_MAX: Final = 0.0025  # of accuracy, as a share: the loss that too many disagreements may hide
_CLASS_SHARE_MIN: Final = 0.01  # of the pairs: labels of a rarer class are not waited for
_NAMES_TOLD: Final = 3  # classes that one sentence names


@quick
@dataclass(frozen=True, slots=True)
class Seen:
    """The pairs of some time, in bins: all of them, and those labelled by chance.

    ``stable`` and ``candidate`` are bins of the version's confidence, ``classes`` of stable's class. ``..._by_chance``:
    the bins that the labelled pairs would be in if chance had chosen them among all pairs of the same classes of
    stable; empty where that is not known.
    """

    stable: Bins = field(default_factory=Bins)
    candidate: Bins = field(default_factory=Bins)
    classes: Bins = field(default_factory=Bins)
    stable_by_chance: tuple[float, ...] = ()
    candidate_by_chance: tuple[float, ...] = ()
    apart: Bins = field(default_factory=Bins)  # two: the pairs that agree, and those that do not
    apart_by_chance: tuple[float, ...] = ()

    def __add__(self, other: "Seen") -> "Seen":
        return Seen(
            self.stable + other.stable,
            self.candidate + other.candidate,
            self.classes + other.classes,
            _plus(self.stable_by_chance, other.stable_by_chance),
            _plus(self.candidate_by_chance, other.candidate_by_chance),
            self.apart + other.apart,
            _plus(self.apart_by_chance, other.apart_by_chance),
        )

    @property
    def shares_apart(self) -> tuple[float, float]:
        """Return the share of the labelled pairs on which the versions disagree, and the largest share that chance
        explains; 0 where nothing is known."""
        by_chance = max(map(_share_apart, self._expected_apart), default=0.0)
        return _share_apart(self.apart.drawn), by_chance

    @property
    def apart_times(self) -> float:
        """Return how many times as often the versions disagree on the labelled pairs as chance explains; at least 1."""
        labelled, by_chance = self.shares_apart
        return max(labelled / by_chance, 1.0) if by_chance else 1.0

    @property
    def log_e_apart(self) -> float:
        """Return the log evidence that the versions disagree more often on the labelled pairs than chance explains."""
        return min((self.apart.log_e_more_than(one) for one in self._expected_apart), default=0.0)

    @property
    def _expected_apart(self) -> Sequence[Sequence[float]]:
        """Return the pairs that agree and that do not, as chance would label them: as among all pairs of the same
        times; and as within stable's classes, of all pairs up to now. Either is left out where it is not known."""
        return [one for one in (self.apart.every, self.apart_by_chance) if one]


@quick
@dataclass(frozen=True, slots=True)
class Labelling:
    """The labels of a release, as far as they are known. Times are those of requests, in unix seconds. Labels of
    requests up to ``counted_s`` count; None before the first label."""

    newest_s: float | None = None
    first_s: float = 0.0
    counted_s: float | None = None
    lags: Lags = field(default_factory=Lags)
    lags_apart: Lags = field(default_factory=Lags)
    ripening: bool = False
    seen: Seen = field(default_factory=Seen)
    until_s: tuple[float, ...] = ()
    waiting: tuple[Seen, ...] = ()  # pairs that do not count yet, by the times that end at ``until_s``
    stable_strata: Strata = field(default_factory=Strata)  # confidences of all pairs so far, by stable's classes
    candidate_strata: Strata = field(default_factory=Strata)
    apart_strata: Strata = field(default_factory=Strata)  # the pairs that agree and that do not, by stable's classes

    @property
    def lag_s(self) -> float:
        """Return the lag in seconds: nearly all labels are of requests at most this far behind the newest labelled
        one."""
        return max(self.lags.quantile(MOST), self.lags_apart.quantile(MOST))

    def add(self, look: Look, policy: LabelPolicy) -> "Labelling":
        return _profiled(_timed(self, look, policy), look)

    def times(self, classes: Sequence[str], policy: LabelPolicy) -> LabelTimes:
        """Return which labels count now, for the gates that read labels. ``classes``: the look's."""
        if self.newest_s is None or self.counted_s is None:
            return LabelTimes()
        lag_s, span_s = self.lag_s, self.newest_s - self.first_s
        apart_s = max(lag_s, policy.maturity_s or 0.0)
        unripe = min(apart_s / span_s, 1.0) if span_s > 0 else float(apart_s > 0)
        hold = self._late(classes) or self._ripening
        return LabelTimes(self.counted_s, lag_s, apart_s, unripe, hold, self.seen.apart_times)

    def chosen(self, distance_max: float) -> str | None:
        """Return the sentence that says why the labelled pairs were not chosen by chance, or as they say; None where
        nothing shows it. ``distance_max``: the share of them that may differ from what chance would choose."""
        return self._doubtful(distance_max) or self._complained_about(distance_max)

    def _doubtful(self, distance_max: float) -> str | None:
        """Return that sentence by how sure the versions are of the labelled texts; None where this shows nothing."""
        seen = self.seen
        sides = (
            ("stable", seen.stable, seen.stable_by_chance),
            ("the candidate", seen.candidate, seen.candidate_by_chance),
        )
        by_class = all(by_chance for *_, by_chance in sides)
        # Also against all texts of the same times: confidences by class are of all texts up to now, and labels lag.
        expected = [
            (who, bins, (bins.every, by_chance) if by_class else (bins.every,)) for who, bins, by_chance in sides
        ]
        found = [
            (min(bins.distance_from(one) for one in others), who)
            for who, bins, others in expected
            if all(bins.log_e_against(one) >= LOG_EVIDENCE for one in others)
        ]
        if not found:
            return None
        distance, who = max(found)
        # Without confidences by class, classes that are labelled later or less often explain a distance this large.
        if distance < max(distance_max, 0.0 if by_class else seen.classes.distance):
            return None
        whom = "all texts of the same classes" if by_class else "all texts"
        return (
            f"the labelled texts are not those that chance, or what their labels say, would choose: {who} is surer or "
            f"less sure of them than of {whom} ({pct(distance)} of them would have to be others); where texts were "
            "chosen by doubt, send each label's inclusion_probability, and start the release again"
        )

    def _complained_about(self, distance_max: float) -> str | None:
        """Return that sentence by how often the versions disagree on the labelled texts: each disagreement in excess
        may hide a loss. None where this shows nothing."""
        labelled, by_chance = self.seen.shares_apart
        too_many = 1 - 1 / self.seen.apart_times
        if too_many < distance_max or too_many * by_chance < _HIDDEN_RATIO_MAX:
            return None
        if self.seen.log_e_apart < _LOG_EVIDENCE_APART:
            return None
        return (
            f"the labelled texts are not those that chance, or what their labels say, would choose: the versions "
            f"disagree on {pct(labelled)} of them, and on {pct(by_chance)} of all texts of the same classes; leave out "
            "labels of what users complained about, where mistakes are what is told of; where texts were chosen "
            "otherwise, send each label's inclusion_probability; and start the release again"
        )

    @property
    def _ripening(self) -> str:
        if not self.ripening or self.newest_s is None or self.counted_s is None:
            return ""
        left_s = self.lag_s - (self.newest_s - self.counted_s)
        return (
            f"Some labels come up to {span(self.lag_s)} later than others of the same time, and those that came first "
            f"are not like all: nothing is concluded until the others have had time to come, in about {span(left_s)}."
        )

    def _late(self, classes: Sequence[str]) -> str:
        late = list(self._late_classes(classes))
        if not late:
            return ""
        names = ", ".join(quoted_name(name) for _, name in late[:_NAMES_TOLD])
        names += " and others" if len(late) > _NAMES_TOLD else ""
        share = sum(part for part, _ in late)
        return (
            f"Labels of texts that stable takes for {names} ({pct(share)} of all) have not come yet, or far fewer than "
            "of the others: nothing is concluded from the others alone. If they are asked for less often, send each "
            "label's inclusion_probability."
        )

    def _late_classes(self, classes: Sequence[str]) -> Iterator[tuple[float, str]]:
        """Yield the classes of stable for which far fewer labels came: the share of all pairs and the name, largest
        share first."""
        bins = self.seen.classes
        total, labelled = sum(bins.every), bins.effective
        if not labelled or len(bins.every) != len(classes):
            return
        of_class = zip(bins.every, bins.equal, classes, strict=True)
        for every, drawn, name in sorted(of_class, reverse=True):
            if every < _CLASS_SHARE_MIN * total or every == total:
                continue
            due = every * (labelled - drawn) / (total - every)
            short = due - drawn + (drawn * math.log(drawn / due) if drawn and due else 0.0)
            if drawn < _LATE * due and short >= LOG_EVIDENCE:
                yield every / total, name


def times_of(pairs: Sequence[LabelledPair], end_s: float) -> list[float]:
    """Return the times of the pairs' requests, in unix seconds, for a look that ends at ``end_s``. A replayed request
    is of long ago (minus infinity): no more labels of its time will come."""
    return [-math.inf if pair.replayed else end_s - pair.waited_s for pair in pairs]


def _timed(known: Labelling, look: Look, policy: LabelPolicy) -> Labelling:
    """Return what is known with the times of the look's labels."""
    pairs = [pair for pair in look.pairs if not pair.replayed]
    if not pairs and (policy.maturity_s is None or known.newest_s is None):
        return known
    end_s, in_step_s = look.window.end_s, _LOOKS_IN_STEP * look.window.length_s
    times = [end_s - pair.waited_s for pair in pairs]
    before = known.newest_s if known.newest_s is not None else -math.inf
    lags = [before - at_s if before - at_s > in_step_s else 0.0 for at_s in times]
    apart = compress(lags, [pair.stable.label != pair.candidate.label for pair in pairs])
    newest = max([before, *times])
    now = replace(
        known,
        newest_s=newest,
        first_s=min([known.first_s if known.newest_s is not None else math.inf, *times]),
        lags=known.lags.add(lags, _HALF_LIFE),
        lags_apart=known.lags_apart.add(list(apart), _HALF_LIFE_APART),
    )
    ripe_s = newest - now.lag_s
    if policy.maturity_s is not None:
        ripe_s = min(ripe_s, end_s - policy.maturity_s)
    counted = known.counted_s if known.counted_s is not None else ripe_s
    ripening = newest - counted < (now.lag_s if known.ripening else now.lag_s / 2)
    return replace(now, ripening=ripening, counted_s=counted if ripening else max(counted, ripe_s))


def _profiled(known: Labelling, look: Look) -> Labelling:
    """Return what is known with the pairs of the look: all of them, and the labelled ones."""
    profile = look.pair_profile
    if profile is None:
        return known
    strata = known.stable_strata + profile.stable_by_class, known.candidate_strata + profile.candidate_by_class
    apart_strata = known.apart_strata + _apart_by_class(profile)
    end_s, length_s = look.window.end_s, look.window.length_s
    counted_s = known.counted_s if known.counted_s is not None else -math.inf
    wide_s = (end_s - known.counted_s if known.counted_s is not None else length_s) / (CELLS_MAX - 2)
    by_chance = [pair for pair in look.pairs if not (pair.directed or pair.of_suite)]
    chosen = zip(times_of(by_chance, end_s), by_chance, strict=True)
    cells = Cells(known.until_s, known.waiting)
    width_s, classes = max(wide_s, length_s), look.classes
    # Labels of a time count together with all pairs of that time: else drift in the traffic would look like a choice.
    cells = cells.put(chosen, width_s, lambda pairs: _labelled(pairs, classes, *strata, apart_strata), Seen.__add__)
    cells = cells.put([(end_s, profile)], width_s, lambda profiles: _every(*profiles), Seen.__add__)
    counted, cells = cells.ripe(counted_s)
    seen = known.seen
    for part in counted:
        seen = seen + part
    return replace(
        known,
        seen=seen,
        until_s=cells.until_s,
        waiting=cells.parts,
        stable_strata=strata[0],
        candidate_strata=strata[1],
        apart_strata=apart_strata,
    )


def _every(profile: PairProfile) -> Seen:
    by_class = _apart_by_class(profile)
    apart = (sum(by_class[::2]), sum(by_class[1::2])) if by_class else ()
    sides = profile.stable_confidence, profile.candidate_confidence, profile.stable_classes, apart
    stable, candidate, classes, of_apart = (Bins(counts, (0.0,) * len(counts)) for counts in sides)
    return Seen(stable, candidate, classes, apart=of_apart)


def _apart_by_class(profile: PairProfile) -> tuple[int, ...]:
    """Return the numbers of pairs on which the versions agree, and disagree, for each of stable's classes in turn;
    empty where the look does not tell."""
    both = zip(profile.stable_classes, profile.stable_agreed, strict=False)
    return tuple(count for every, agreed in both for count in (agreed, every - agreed))


def _share_apart(counts: Sequence[float]) -> float:
    return counts[1] / sum(counts) if sum(counts) else 0.0


def _labelled(
    pairs: Sequence[LabelledPair], classes: Sequence[str], stable: Strata, candidate: Strata, apart: Strata
) -> Seen:
    """Return the labelled pairs, each counted one over its inclusion probability. ``stable``, ``candidate``: the
    confidences of all pairs, by stable's class; ``apart``: the pairs that agree and that do not, likewise."""
    import numpy as np  # imported late: a program that only reads verdicts, such as `serin status`, starts sooner

    bins = len(PAIR_CONFIDENCE_EDGES) + 1
    place_of = {name: place for place, name in enumerate(classes)}
    places = [place_of.get(pair.stable.label, len(classes)) for pair in pairs]
    weights = [1 / pair.inclusion_probability for pair in pairs]
    of_places = np.bincount(places, weights, len(classes) + 1).tolist()
    confidences = [[pair.stable.confidence for pair in pairs], [pair.candidate.confidence for pair in pairs]]
    reached = np.searchsorted(PAIR_CONFIDENCE_EDGES, confidences, side="right")
    said = [np.bincount(bins_of_side, weights, bins).tolist() for bins_of_side in reached]
    squares = sum(weight * weight for weight in weights)
    differ = np.bincount([pair.stable.label != pair.candidate.label for pair in pairs], weights, 2).tolist()
    sides = (*map(tuple, said), tuple(of_places[:-1]), tuple(differ))
    of_stable, of_candidate, of_classes, of_apart = (Bins((0,) * len(side), side, squares) for side in sides)
    chance = [strata.by_chance(of_places, size) for strata, size in ((stable, bins), (candidate, bins), (apart, 2))]
    return Seen(of_stable, of_candidate, of_classes, chance[0], chance[1], of_apart, chance[2])


def _plus(one: tuple[float, ...], two: tuple[float, ...]) -> tuple[float, ...]:
    return tuple(map(float.__add__, one, two)) if one and two else one or two
