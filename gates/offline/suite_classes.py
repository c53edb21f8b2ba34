"""The comparison with stable class by class: a rare class may be lost whole while all cases lose less than a point.

Per class, the exact sign test (McNemar) counts the cases that one version finds and the other does not. Of many classes
a few lose by chance, so the level is divided, but only among the classes that have enough such cases to fail at all
(Tarone 1990, Biometrics 46): thirty classes, of which most are rare, cost the frequent ones little.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from gates.offline.findings import Finding
from gates.offline.suite_cases import SuiteResult
from gates.outcome import Outcome
from gates.stats.exact import upper_tail
from gates.verdict import Limit, Rule
from gates.wording import changed

Pair = tuple[SuiteResult, SuiteResult]
"""Stable's answer and the candidate's to one case."""


@dataclass(frozen=True, slots=True)
class _OfClass:
    """The cases of one class, with the number that stable alone finds (``lost``) or the candidate alone (``won``)."""

    name: str
    pairs: Sequence[Pair]
    lost: int
    won: int

    @property
    def p_value(self) -> float:
        return upper_tail(self.lost, self.lost + self.won, 0.5)

    @property
    def least_p_value(self) -> float:
        """Return the p-value if all ``lost + won`` cases were lost, the smallest that so many can give."""
        return 0.5 ** (self.lost + self.won)

    def found_pct(self, side: int) -> float:
        """Return the percentage of cases that a side (0: stable, 1: candidate) finds, each case counting one over its
        inclusion probability."""
        weights = [1 / stable.inclusion_probability for stable, _ in self.pairs]
        right = sum(weight for weight, pair in zip(weights, self.pairs, strict=True) if pair[side].correct)
        return 100 * right / sum(weights)


def classes_lost(pairs: Sequence[Pair], alpha: float, guard_points: float) -> Iterator[Finding]:
    """Yield a failure for each class of which the candidate surely finds fewer cases than stable, by ``guard_points``
    or more; the class that lost most points comes first."""
    seen = list(_by_class(pairs))
    level = alpha / _tests(seen, alpha)
    lost = [(one, one.found_pct(0), one.found_pct(1)) for one in seen if one.p_value <= level]
    for one, before, after in sorted(lost, key=lambda found: found[2] - found[1]):
        if before - after >= guard_points:
            classes = one.pairs[0][1].classes
            missing = ", which has no such class," if classes and one.name not in classes else ""
            yield Finding(
                Outcome.FAIL,
                f"of class {one.name} the candidate{missing} finds {after:.0f} % where stable finds {before:.0f} %: "
                f"{changed(one.lost, one.won)} in {len(one.pairs):,} cases",
                (Limit(Rule.GUARD, guard_points, before - after, f"points lost of class {one.name}"),),
            )


def _by_class(pairs: Sequence[Pair]) -> Iterator[_OfClass]:
    members: defaultdict[str, list[Pair]] = defaultdict(list)
    for pair in pairs:
        members[pair[0].truth].append(pair)
    for name, found in sorted(members.items()):
        lost = sum(stable.correct and not candidate.correct for stable, candidate in found)
        won = sum(candidate.correct and not stable.correct for stable, candidate in found)
        yield _OfClass(name, found, lost, won)


def _tests(seen: Sequence[_OfClass], alpha: float) -> int:
    """Return the number of tests that the level is divided among: the least ``k`` such that at most ``k`` classes can
    reach ``alpha / k``."""
    return next(
        number for number in range(1, len(seen) + 1) if sum(c.least_p_value <= alpha / number for c in seen) <= number
    )
