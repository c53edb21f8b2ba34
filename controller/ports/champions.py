"""The samples that the watch of champions reads, and the place where it keeps what it knows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from controller.core.champion import Asking, Champion

VersionOf = tuple[str, str]
"""A model and the number of a version."""


@dataclass(frozen=True, slots=True)
class WatchCursor:
    """The place up to which samples were read: ids of the last answer and of the last labelled one."""

    answer: int = 0
    labelled: int = 0


@dataclass(frozen=True, slots=True)
class LabelledAnswer:
    """A live answer, what its source named as the truth (a class, or a name for one), and how late that came.
    ``confidence``: None where the answer is not kept any more."""

    answer: str
    truth: str
    probability: float
    confidence: float | None
    waited_s: float | None


@dataclass(frozen=True, slots=True)
class Seen:
    """All that came since a cursor, by version: counts of sampled live answers by mix (`core.champion.MIXES`) and by
    name in it, and those that were labelled by chance. ``more``: there is more, after ``cursor``."""

    cursor: WatchCursor
    counts: Mapping[VersionOf, Mapping[str, Mapping[str, int]]] = field(default_factory=dict)
    labelled: Mapping[VersionOf, Sequence[LabelledAnswer]] = field(default_factory=dict)
    classes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # by model, of its labelled answers
    more: bool = False


@dataclass(frozen=True, slots=True)
class Watched:
    """The knowledge of a model: its champion, the one before it (which may come back), and how often retraining was
    asked for, by cause."""

    champion: Champion
    former: Champion | None = None
    asked: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Asked:
    """Retraining is asked for, of a version; ``at_s`` in unix time."""

    model: str
    version: str
    asking: Asking
    at_s: float


class Champions(Protocol):
    """The samples of all models, and what is known of their champions. Every method raises TransientError where the
    store does not answer."""

    def head(self) -> WatchCursor:
        """Return where things stand now: what a watch that never was begins from."""

    def seen(self, after: WatchCursor, *, ids_max: int) -> Seen:
        """Return what came after the cursor, of so many ids at most: each is read once, whatever came before."""

    def kept(self) -> tuple[WatchCursor | None, Mapping[str, Watched]]:
        """Return how far was read (None: never), and what is known, by model; what this version of Serin cannot read is
        left out."""

    def keep(
        self, cursor: WatchCursor, changed: Mapping[str, Watched], asked: Sequence[Asked] = (), *, fence: int | None
    ) -> None:
        """Keep how far was read with what it led to, and tell the journal of what was asked for: all of it or nothing.

        Raises:
            ConflictError: a later leader than ``fence`` has written since.
        """
