"""The proof that users keep their version: which version answers made-up values of a header through the gateway.

What the gateway says of itself is not enough. The same value, asked twice, must be answered by the same version; the
values must be split by the weights; and a value whose version has lost its share must be answered by another version.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import count, islice
from typing import Final

from controller.adapters.kubernetes.probe import Told
from controller.adapters.kubernetes.served import mismatch
from controller.core.traffic import TrafficTable

VALUES_MIN: Final = 200
"""How many values must be asked. With so many, a gateway that ignores weights of 25 % and 75 % passes with a chance of
less than 1 in 10,000."""

LED_THERE_MIN: Final = 3
"""How many values each version must answer. With fewer, it could be chance that both answers to each came from it."""

_AT_ONCE: Final = 25
_ANEW_AFTER: Final = 4 * VALUES_MIN  # then other values are asked: the gateway may have been repaired meanwhile
WAY_OUT: Final = "see docs/kubernetes.md, Users who stick, or leave out runtime.gateway.sticky_by and sticky_header"


@dataclass(slots=True)
class KeptUsers:
    """The values of ``header`` that were asked since one table was accepted, and the version that answered each.

    ``before``: the version that answered each value under earlier tables. ``first``: the number of the first value that
    is made up. It starts the same for each table, so that values are asked again that may have stuck to a version.
    """

    header: str
    before: Mapping[str, str] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    first: int = 0

    def look(self, ask: Callable[[str], Told], table: TrafficTable, *, tells_generation: bool) -> str:
        """Ask some more values. Return why it is not yet proved that users keep their versions; empty once it is.

        Raises:
            TransientError: the gateway does not answer.
        """
        times = 2 if len(table.weights_pct) > 1 else 1  # with one version there is nothing to keep
        for value in islice(self._values(table), _AT_ONCE):
            answers = [ask(value) for _ in range(times)]
            if tells_generation and any(told.generation != str(table.generation) for told in answers):
                self.versions.clear()
                return f"values of {self.header} are answered according to an older table"
            if problem := self._moved(answers, table):
                self.versions.clear()
                return problem
            self.versions[value] = str(answers[0].version)
        return self._not_by_weight(table) or self._missing(table)

    def _values(self, table: TrafficTable) -> Iterator[str]:
        """Yield values that were not asked yet: first those whose version no longer has a share."""
        yield from self._to_move(table)
        names = (f"serin-{number}" for number in count(self.first))
        yield from (name for name in names if name not in self.versions)

    def _moved(self, answers: list[Told], table: TrafficTable) -> str:
        found = sorted({told.version or "" for told in answers})
        if gone := [version for version in found if version not in table.weights_pct]:
            who = (
                f"version {gone[0]}, which has no share"
                if gone[0]
                else f"something that is not Serin's ({answers[0].status})"
            )
            said = "the gateway keeps users where they were, or does not know the new table yet"
            return f"RouteNotServed: a value of {self.header} is answered by {who}: {said}; {WAY_OUT}"
        if len(found) > 1:
            who = " and ".join(f"version {version}" for version in found)
            said = f"one value of {self.header}, asked twice, is answered by {who}"
            return f"RouteNotServed: users do not stay on their version: {said}; {WAY_OUT}"
        return ""

    def _not_by_weight(self, table: TrafficTable) -> str:
        counts = Counter(self.versions.values())
        if len(self.versions) < VALUES_MIN or (version := mismatch(counts, table)) is None:
            return ""
        got = f"{counts[version]} of {len(self.versions)} values of {self.header}"
        said = f"version {version} answers {got}, but its weight is {table.weights_pct[version]:g} %"
        if len(self.versions) >= _ANEW_AFTER:
            self.first += _ANEW_AFTER
            self.versions.clear()
        return f"RouteNotServed: users are not split by the weights: {said}; {WAY_OUT}"

    def _missing(self, table: TrafficTable) -> str:
        asked = len(self.versions)
        if asked < VALUES_MIN:
            return f"{asked} of {VALUES_MIN} values of {self.header} asked through the gateway"
        if left := self._to_move(table):
            return f"{asked} values of {self.header} asked through the gateway, of which {len(left)} still have to move"
        counts = Counter(self.versions.values())
        few = [version for version in table.weights_pct if counts[version] < LED_THERE_MIN]
        if not few:
            return ""
        led = f"{counts[few[0]]} of {LED_THERE_MIN} that version {few[0]} has to answer"
        return f"{asked} values of {self.header} asked through the gateway, of them {led}"

    def _to_move(self, table: TrafficTable) -> list[str]:
        """Return the values not asked yet whose version no longer has a share."""
        shares, asked = table.weights_pct, self.versions
        return [value for value, version in self.before.items() if version not in shares and value not in asked]

    def next(self) -> "KeptUsers":
        """Return the values to begin with under the next table."""
        return KeptUsers(self.header, {**self.before, **self.versions})
