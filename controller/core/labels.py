"""The names that labels may give, and the result of a batch of them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

Position = tuple[int, int]
"""How far labels were read: the ids of the last labelled pair and of the last labelled answer."""
NOTHING_READ: Final[Position] = (0, 0)


@dataclass(frozen=True, slots=True)
class NamesRead:
    """The names by which the looks so far have read labels.

    ``aliases``: what each name was last taken for while it was known, also where it is not any more: labels that were
    read by it are never read again. ``away``: the names that were known and are not, and how far labels were read by
    them: those that came later wait until the name is known again.
    """

    aliases: Mapping[str, str] = field(default_factory=dict)
    away: Mapping[str, Position] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LabelNames:
    """The names that a label may give: the classes of the versions, and what the policy's ``label_names`` say of other
    names.

    Where the versions have no classes, every name stands for itself.
    """

    classes: tuple[str, ...] = ()
    aliases: Mapping[str, str] = field(default_factory=dict)

    def truth(self, name: str) -> str | None:
        """The class that a label means by the name; None where it is none. What a person said of a name counts more
        than the name itself."""
        meant = self.aliases.get(name, name)
        return meant if not self.classes or meant in self.classes else None

    def after(self, before: NamesRead | None, read: Position) -> NamesRead:
        """By what names labels were read once a look read by these. ``before``: this, of the looks before it, which
        read as far as ``read``; None: there were none."""
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
        """The names that are known now and were not at the look before, each with how far labels were read by it ever;
        sorted."""
        earlier = LabelNames(self.classes, before.aliases)
        names = sorted(name for name in {*before.aliases, *self.aliases} if self.truth(name) is not None)
        return {
            name: before.away.get(name, NOTHING_READ)
            for name in names
            if name in before.away or earlier.truth(name) is None
        }


@dataclass(frozen=True, slots=True)
class RefusedLabel:
    """A label that contradicts what its source said earlier about the same request; the others are accepted."""

    place: int  # in the batch, from 0
    request_id: str
    source: str
    before: str
    now: str


@dataclass(frozen=True, slots=True)
class UnknownName:
    """A name that is not a class of its requests' model: how many labels gave it, and the most similar class ("":
    none)."""

    name: str
    labels: int
    nearest: str = ""


@dataclass(frozen=True, slots=True)
class LabelsTaken:
    """The result of a batch of labels: each was accepted, known already, only kept on record, or refused.

    The last three describe labels that were not refused.
    """

    taken: int = 0  # new, or corrected in time
    repeated: int = 0  # said before by the same source
    corrected_late: int = 0  # corrections of labels that were judged already: on record, and changing nothing
    refused: tuple[RefusedLabel, ...] = ()
    unknown_classes: int = 0  # labels that name no class of their request's model
    unknown_names: tuple[UnknownName, ...] = ()  # the most frequent of those, most frequent first
    unmatched_requests: int = 0  # labels of requests of which there is no sample, so far
    unmatched_ids: tuple[str, ...] = ()  # of the first of those requests


NAMES_TOLD = 5
