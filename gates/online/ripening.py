"""Items that wait until their time counts, in a few parts by time, however many items come."""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Final, Generic, TypeVar

PartT = TypeVar("PartT")
ItemT = TypeVar("ItemT")
CELLS_MAX: Final = 6
CELLS_WITHIN: Final = 3  # cells in the time that items wait: a cell counts once its end does
_TIME: Final = itemgetter(0)


@dataclass(frozen=True, slots=True)
class Cells(Generic[PartT]):
    """Parts, oldest first. Each has the items of the times after the part before it, up to its own ``until_s``."""

    until_s: tuple[float, ...]
    parts: tuple[PartT, ...]

    def put(
        self,
        items: Iterable[tuple[float, ItemT]],
        width_s: float,
        part_of: Callable[[list[ItemT]], PartT],
        add: Callable[[PartT, PartT], PartT],
    ) -> "Cells[PartT]":
        """Return the cells with ``items``, each given with its time. A new cell is ``width_s`` wide; once there are
        ``CELLS_MAX``, the last one is widened instead. ``part_of`` makes a part of items, and ``add`` joins two
        parts."""
        ordered = sorted(items, key=_TIME)
        if not ordered:
            return self
        until_s, parts = list(self.until_s), list(self.parts)
        place = taken = 0
        while taken < len(ordered):
            first_s, last_s = ordered[taken][0], ordered[-1][0]
            while place < len(until_s) and until_s[place] < first_s:
                place += 1
            place = min(place, CELLS_MAX - 1)
            if place == len(until_s):
                until_s.append(first_s + width_s)
            if place == CELLS_MAX - 1:
                until_s[place] = max(until_s[place], last_s)
            end = len(ordered) if last_s <= until_s[place] else bisect_right(ordered, until_s[place], taken, key=_TIME)
            part = part_of([item for _, item in ordered[taken:end]])
            parts[place:] = [add(parts[place], part), *parts[place + 1 :]] if place < len(parts) else [part]
            taken = end
        return Cells(tuple(until_s), tuple(parts))

    def ripe(self, counted_s: float) -> "tuple[tuple[PartT, ...], Cells[PartT]]":
        """Return the parts all of whose times are at most ``counted_s``, and the cells that are left."""
        number = sum(until_s <= counted_s for until_s in self.until_s)
        if not number:
            return (), self
        return self.parts[:number], Cells(self.until_s[number:], self.parts[number:])


def by_time(
    items: Sequence[ItemT], times_s: Sequence[float], counted_s: float
) -> tuple[list[ItemT], list[tuple[float, ItemT]]]:
    """Return the items whose time is at most ``counted_s``, and the others with their times."""
    both = list(zip(times_s, items, strict=True))
    return [item for at_s, item in both if at_s <= counted_s], [one for one in both if one[0] > counted_s]
