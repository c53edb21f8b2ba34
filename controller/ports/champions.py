"""The samples that the watch of champions reads, and the store of its state."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from controller.core.champion import Asking, Champion

VersionOf = tuple[str, str]
"""A model and the number of a version."""


@dataclass(frozen=True, slots=True)
class WatchCursor:
    """The place up to which samples were read: the ids of the last answer and of the last labelled answer."""

    answer: int = 0
    labelled: int = 0


@dataclass(frozen=True, slots=True)
class LabelledAnswer:
    """A live answer with its label. ``truth``: a class, or a name that the label source uses for one. ``probability``:
    of being sampled and labelled. ``confidence``: None if the answer is no longer kept. ``waited_s``: seconds from the
    answer to its label; None: not known."""

    answer: str
    truth: str
    probability: float
    confidence: float | None
    waited_s: float | None


@dataclass(frozen=True, slots=True)
class Seen:
    """The samples since a cursor, by version. ``counts``: of sampled live answers, by mix (`core.champion.MIXES`) and
    by name in the mix. ``labelled``: the answers labelled by chance. ``more``: there are more samples after
    ``cursor``."""

    cursor: WatchCursor
    counts: Mapping[VersionOf, Mapping[str, Mapping[str, int]]] = field(default_factory=dict)
    labelled: Mapping[VersionOf, Sequence[LabelledAnswer]] = field(default_factory=dict)
    classes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # model -> the classes of its labelled answers
    more: bool = False


@dataclass(frozen=True, slots=True)
class Watched:
    """The state of the watch for one model. ``former``: the champion before this one, which may come back. ``asked``:
    how often retraining was asked for, by cause."""

    champion: Champion
    former: Champion | None = None
    asked: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Asked:
    """A request for retraining, for one version. ``at_s``: unix time."""

    model: str
    version: str
    asking: Asking
    at_s: float


class Champions(Protocol):
    """The samples of all models, and the state of the watch. Every method raises TransientError if the store does not
    answer."""

    def head(self) -> WatchCursor:
        """Return the cursor of the newest samples, for a watch that begins now."""

    def seen(self, after: WatchCursor, *, ids_max: int) -> Seen:
        """Return the samples after the cursor, from ``ids_max`` ids at most. Each sample is read once."""

    def kept(self) -> tuple[WatchCursor | None, Mapping[str, Watched]]:
        """Return the stored cursor (None: there is none) and the state by model. State that this version of Serin
        cannot read is left out."""

    def keep(
        self, cursor: WatchCursor, changed: Mapping[str, Watched], asked: Sequence[Asked] = (), *, fence: int | None
    ) -> None:
        """Store the cursor and the changed state, and record the requests for retraining in the journal, in one
        transaction.

        Raises:
            ConflictError: a later leader than ``fence`` has written since.
        """
