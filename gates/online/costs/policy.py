"""The keys of cost.shadow."""

from dataclasses import dataclass
from typing import Annotated

from gates.keys import AlphaShare, InclusionProbabilityMin, Required, require


@dataclass(frozen=True, slots=True)
class CostRow:
    """The cost of one mistake."""

    truth: Annotated[str, "the true class"]
    cost: Annotated[float, "of this wrong answer, in any unit that all rows share; 0: it does no harm"]
    answer: Annotated[str | None, "the class that was answered; null: any wrong one that no other row names"] = None


@dataclass(frozen=True, slots=True)
class CostPolicy:
    """cost.shadow: the cost of wrong answers, candidate minus stable, on pairs. A point is a hundredth of the most
    expensive mistake, on each request. It finds an equally accurate candidate that swaps cheap mistakes for expensive
    ones."""

    rows: Annotated[tuple[CostRow, ...], "what mistakes cost, in any order"] = ()
    wrong: Annotated[float, "the cost of any wrong answer that no row names"] = 1.0
    alpha_share: AlphaShare = 2.0
    guard_points: Annotated[float, "never roll back for a smaller rise of the cost, in points"] = 0.5
    margin_points: Annotated[float, "promote only when a rise of the cost this large is excluded, in points"] = 1.0
    pairs_min: Annotated[int, "pairs, labelled or not, needed to conclude anything"] = 100
    required: Required = True
    inclusion_probability_min: InclusionProbabilityMin = None
    bets: Annotated[tuple[float, ...], "on the mean change of a pair's cost"] = (0.1, 0.25, 0.5, 0.8)

    def __post_init__(self) -> None:
        require(self, "alpha_share")
        require(self, "margin_points", below=100.0)
        require(self, "bets", "inclusion_probability_min", below=1.0)
        if self.dearest <= 0:
            raise ValueError("rows: no mistake costs anything; give wrong or the cost of a row above 0")
        names = [(row.truth, row.answer) for row in self.rows]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise ValueError(f"rows: truth {twice[0]!r} with answer {twice[1]!r} stands there twice")
        right = next((row.truth for row in self.rows if row.truth == row.answer), None)
        if right is not None:
            raise ValueError(f"rows: {right!r} answered for {right!r} is right, and costs nothing")

    @property
    def dearest(self) -> float:
        """Return the largest cost that a mistake can have."""
        return max([self.wrong, *(row.cost for row in self.rows)])

    def change(self, truth: str, stable: str, candidate: str) -> float:
        """Return the cost of the candidate's answer minus that of stable's, over the cost of the dearest mistake: from
        -1 to 1."""
        return (self._cost(truth, candidate) - self._cost(truth, stable)) / self.dearest

    def _cost(self, truth: str, answer: str) -> float:
        if answer == truth:
            return 0.0
        rows = {row.answer: row.cost for row in self.rows if row.truth == truth}
        return rows.get(answer, rows.get(None, self.wrong))

    @property
    def classes(self) -> tuple[str, ...]:
        """Return the classes that the rows name, each once."""
        named = (name for row in self.rows for name in (row.truth, row.answer) if name is not None)
        return tuple(dict.fromkeys(named))
