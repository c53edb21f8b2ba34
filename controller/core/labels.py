"""The names that labels may give, and the result of a batch of them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

Position = tuple[int, int]
"""The place up to which labels were read: the ids of the last labelled pair and of the last labelled answer."""
NOTHING_READ: Final[Position] = (0, 0)


@dataclass(frozen=True, slots=True)
class NamesRead:
    """The names by which the looks so far have read labels.

    ``aliases``: the last known meaning of each name, even if the name means nothing now: labels that were read with a
    name are never read again. ``away``: the names that used to mean a class and do not now, with the place up to which
    labels with that name were read: later ones wait until the name means a class again.
    """

    aliases: Mapping[str, str] = field(default_factory=dict)
    away: Mapping[str, Position] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LabelNames:
    """The names that a label may give: the classes of the versions, and the names that the policy's ``label_names``
    maps to classes (``aliases``).

    If the classes are not known, every name stands for itself.
    """

    classes: tuple[str, ...] = ()
    aliases: Mapping[str, str] = field(default_factory=dict)

    def truth(self, name: str) -> str | None:
        """Return the class that the name means; None if it means none. An alias comes before a class of that name."""
        meant = self.aliases.get(name, name)
        return meant if not self.classes or meant in self.classes else None

    def after(self, before: NamesRead | None, read: Position) -> NamesRead:
        """Return the names by which labels have been read, once a look has read them by these names. ``before``: the
        names of the earlier looks, which read as far as ``read``; None: there was no look."""
        if before is None:
            return NamesRead(dict(self.aliases))
        earlier = LabelNames(self.classes, before.aliases)
        aliases, away = dict(before.aliases), {}
        for name in sorted({*before.aliases, *self.aliases}):
            if self.truth(name) is not None or earlier.truth(name) is None:
                aliases[name] = self.aliases.get(name, name)
            else:
                away[name] = before.away.get(name, read)
        return NamesRead(aliases, away)

    def unread(self, before: NamesRead) -> dict[str, Position]:
        """Return the names that mean a class now and did not at the last look, sorted, each with the place up to which
        labels with that name were ever read."""
        earlier = LabelNames(self.classes, before.aliases)
        names = sorted(name for name in {*before.aliases, *self.aliases} if self.truth(name) is not None)
        return {
            name: before.away.get(name, NOTHING_READ)
            for name in names
            if name in before.away or earlier.truth(name) is None
        }


@dataclass(frozen=True, slots=True)
class RefusedLabel:
    """A label that contradicts what its source said earlier about the same request. The rest of its batch is
    accepted."""

    place: int  # in the batch, from 0
    request_id: str
    source: str
    before: str
    now: str


@dataclass(frozen=True, slots=True)
class UnknownName:
    """A name that is no class of the model: the number of labels that gave it, and the most similar class ("":
    none)."""

    name: str
    labels: int
    nearest: str = ""


@dataclass(frozen=True, slots=True)
class LabelsTaken:
    """The result of a batch of labels: each one was accepted, known already, only kept on record, or refused.

    The ``unknown_`` and ``unmatched_`` fields describe labels that were not refused.
    """

    taken: int = 0  # new, or corrected in time
    repeated: int = 0  # said before by the same source
    corrected_late: int = 0  # corrections of labels that were judged already: kept on record, without effect
    refused: tuple[RefusedLabel, ...] = ()
    unknown_classes: int = 0  # labels that name no class of their request's model
    unknown_names: tuple[UnknownName, ...] = ()  # the names in those labels, most frequent first, at most NAMES_TOLD
    unmatched_requests: int = 0  # labels of requests that have no sample, so far
    unmatched_ids: tuple[str, ...] = ()  # the ids of the first of those requests


NAMES_TOLD = 5
