"""What labels may name, and what becomes of a batch of them."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class LabelNames:
    """What a label may name: the classes of the versions, and what the policy's ``label_names`` say of other names.

    Where the versions have no classes, every name stands for itself.
    """

    classes: tuple[str, ...] = ()
    aliases: Mapping[str, str] = field(default_factory=dict)

    def truth(self, name: str) -> str | None:
        """The class that a label means by the name; None where it is none. What a person said of a name counts more
        than the name itself."""
        meant = self.aliases.get(name, name)
        return meant if not self.classes or meant in self.classes else None

    def ever(self, before: Mapping[str, str] | None) -> dict[str, str]:
        """What each name was taken for when it last was known, also where it is not any more: labels that were read
        by it are never read again. ``before``: this, of the looks before; None: there were none."""
        if before is None:
            return dict(self.aliases)
        earlier = LabelNames(self.classes, before)
        ever = dict(before)
        for name in {*before, *self.aliases}:
            if self.truth(name) is not None or earlier.truth(name) is None:
                ever[name] = self.aliases.get(name, name)
        return ever

    def newly_known(self, before: Mapping[str, str]) -> list[str]:
        """The names that are known now and were not at any look ``before``, as `ever` tells them; sorted."""
        earlier = LabelNames(self.classes, before)
        names = {*before, *self.aliases}
        return sorted(name for name in names if earlier.truth(name) is None and self.truth(name) is not None)


@dataclass(frozen=True, slots=True)
class RefusedLabel:
    """A label that contradicts what its source said of the same request before; the others are taken."""

    place: int  # in the batch, from 0
    request_id: str
    source: str
    before: str
    now: str


@dataclass(frozen=True, slots=True)
class UnknownName:
    """A name that is no class of its requests' model: how many labels gave it, and the class most alike ("": none)."""

    name: str
    labels: int
    nearest: str = ""


@dataclass(frozen=True, slots=True)
class LabelsTaken:
    """What became of a batch of labels: each was taken, known before, only kept on record, or refused.

    The last three tell of those that were not refused.
    """

    taken: int = 0  # new, or corrected in time
    repeated: int = 0  # said before by the same source
    corrected_late: int = 0  # corrections of labels that were judged already: on record, and changing nothing
    refused: tuple[RefusedLabel, ...] = ()
    unknown_classes: int = 0  # labels that name no class of their request's model
    unknown_names: tuple[UnknownName, ...] = ()  # the most frequent of those, most frequent first
    unmatched_requests: int = 0  # labels of requests of which there is no sample, so far


NAMES_TOLD = 5
