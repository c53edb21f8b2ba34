"""Things that wait until their time counts: parts by time, few of them, whatever comes."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from operator import itemgetter
from typing import Final, Generic, TypeVar

PartT = TypeVar("PartT")
ItemT = TypeVar("ItemT")
CELLS_MAX: Final = 6
CELLS_WITHIN: Final = 3  # of what has to be waited for: a cell is so much of it, and counts as late as its end


@dataclass(frozen=True, slots=True)
class Cells(Generic[PartT]):
    """Parts, oldest first; each of all times up to its ``until_s`` that no part before it has."""

    until_s: tuple[float, ...]
    parts: tuple[PartT, ...]

    def put(
        self,
        items: Iterable[tuple[float, ItemT]],
        width_s: float,
        part_of: Callable[[list[ItemT]], PartT],
        add: Callable[[PartT, PartT], PartT],
    ) -> "Cells[PartT]":
        """With items, each with its time. A new cell is so wide; where there are enough the last one is widened."""
        until_s, groups, place = list(self.until_s), dict[int, list[ItemT]](), 0
        for at_s, item in sorted(items, key=itemgetter(0)):
            while place < len(until_s) and until_s[place] < at_s:
                place += 1
            if place == len(until_s) and place < CELLS_MAX:
                until_s.append(at_s + width_s)
            elif place == len(until_s):
                place, until_s[-1] = place - 1, at_s
            groups.setdefault(place, []).append(item)
        parts = list(self.parts)
        for place, group in groups.items():
            part = part_of(group)
            parts[place:] = [add(parts[place], part), *parts[place + 1 :]] if place < len(parts) else [part]
        return Cells(tuple(until_s), tuple(parts))

    def ripe(self, counted_s: float) -> "tuple[tuple[PartT, ...], Cells[PartT]]":
        """Return the parts of which all times count, and what is left."""
        number = sum(until_s <= counted_s for until_s in self.until_s)
        return self.parts[:number], Cells(self.until_s[number:], self.parts[number:])


def by_time(items: Iterable[tuple[float, ItemT]], counted_s: float) -> tuple[list[ItemT], list[tuple[float, ItemT]]]:
    """Return the items whose time counts, and the others with their times."""
    ripe, others = [], []
    for at_s, item in items:
        if at_s <= counted_s:
            ripe.append(item)
        else:
            others.append((at_s, item))
    return ripe, others
