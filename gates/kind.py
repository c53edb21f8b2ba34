"""A kind of gate, described in one place: the gate set, the levels, the forecasts, the remedies, the backtest and the
documents read the description, and know no gate by name.

A gate is its own module or folder in `gates.online`: the keys of its section of the policy, its state, the gate, its
forecast, and one `GateKind` that puts them together. The table of all kinds is `gates.policy.GatePolicy`.
"""

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import Field, dataclass, field, fields, replace
from enum import StrEnum
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from gates.gate import Gate

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    from gates.forecast.candidate import Candidate
    from gates.forecast.race import Race
    from gates.forecast.traffic import Traffic

_KINDS: Final = "gates"
SectionT = TypeVar("SectionT")
OtherT = TypeVar("OtherT")


@dataclass(frozen=True, slots=True)
class Levels:
    """The levels of one gate: ``rollback_alpha`` for all its claims that the candidate is worse, ``promotion_alpha``
    for its claim that the candidate is safe."""

    rollback_alpha: float
    promotion_alpha: float
    deadline_fraction: float  # of ``rollback_alpha``, kept for an exact test at the deadline
    incident_s: float = 0.0  # an incident up to this long decides nothing alone

    def safe(self, parts: float = 1.0) -> float:
        """Return the log evidence that passes, where the level is divided into ``parts``."""
        return math.log(parts / self.promotion_alpha)

    def harm(self, parts: float = 1.0) -> float:
        """Return the log evidence that fails, where all of the level is spent by watching."""
        return math.log(parts / self.rollback_alpha)

    def harm_before_deadline(self, parts: float = 1.0) -> float:
        """Return the log evidence that fails, where a part of the level is kept for an exact test at the deadline."""
        return self.harm(parts / (1 - self.deadline_fraction))


@dataclass(frozen=True, slots=True)
class Asked(Generic[SectionT]):
    """The section and the levels that a gate and its forecast are made from. ``others``: all sections of the policy."""

    section: SectionT
    levels: Levels
    others: tuple[object, ...] = ()

    def other(self, kind: type[OtherT]) -> OtherT | None:
        """Return the section of this type; None where the policy has none."""
        return next((one for one in self.others if isinstance(one, kind)), None)


class Lever(StrEnum):
    """A lever that somebody can pull, beside margins and the deadline, so that a gate settles sooner."""

    DIRECTED_LABELS = "directed_labels"  # of pairs that disagree
    LABELS = "labels"  # of pairs, by chance
    LIVE_LABELS = "live_labels"
    MIRROR = "mirror"
    REPLAY = "replay"  # of recorded requests
    SHARE = "share"  # of live traffic


class Regression(StrEnum):
    """Kinds of worse candidates that a backtest puts in, in the unit of the gates' margins."""

    ACCURACY = "accuracy"  # points lost
    CONFIDENCE = "confidence"  # growth of the gap between confidence and accuracy
    LATENCY = "latency"  # times as long
    ERRORS = "errors"  # times as many


@dataclass(frozen=True, slots=True)
class Promise:
    """The regression that the gate keeps out: one as large as the value of the section's key ``margin``.

    ``ceiling``: the key of an absolute objective that lets a candidate pass as well, however it compares with stable.
    """

    regression: Regression
    margin: str
    ceiling: str = ""


@dataclass(frozen=True, slots=True)
class Doc:
    """A row of ``docs/gates.md``. ``gates``: their names in the row, where not the kind's name."""

    judged_on: str
    rolls_back: str
    passes: str = ""
    gates: str = ""


@dataclass(frozen=True, slots=True)
class GateKind(Generic[SectionT]):
    """One kind of gate. ``make`` returns the gates for one section of the policy, as a rule one.

    ``alpha_share``: the section's key for the kind's part of the rollback level; a kind without one never claims by a
    test that the candidate is worse, and its gates begin anew where a state lacks them. ``margins``: keys that may be
    widened, and ``levers`` that may be pulled, so that an equal candidate passes sooner. ``finds``: the events of a
    forecast's traffic (``error``, ``slow``, ``wrong`` or ``pair``) whose clustering the kind's state estimates.
    """

    name: str
    section: type[SectionT]
    state: tuple[type, ...]  # what its gates remember
    make: Callable[[Asked[SectionT]], Iterable[Gate[Any]]]
    doc: Doc
    alpha_share: str = ""
    forecast: "Callable[[Asked[SectionT], Traffic, Candidate], Race] | None" = None
    margins: tuple[str, ...] = ()
    levers: frozenset[Lever] = field(default_factory=frozenset)
    promise: Promise | None = None
    finds: str = ""

    def share(self, section: object) -> float:
        """Return the kind's share of the rollback level, by the section; 0 where the kind takes none."""
        return float(value_of(section, self.alpha_share)) if self.alpha_share else 0.0


def value_of(section: object, key: str) -> Any:
    """Return the value of a key; ``accuracy.margin_points`` is a key of a part of the section."""
    for name in key.split("."):
        section = getattr(section, name)
    return section


def with_value(section: Any, key: str, value: object) -> Any:
    """Return the section with another value of a key.

    Raises:
        ValueError: the section does not allow this value.
    """
    name, _, rest = key.partition(".")
    return replace(section, **{name: with_value(getattr(section, name), rest, value) if rest else value})


def section(of: type[SectionT], module: str) -> SectionT:
    """Return a policy's field for a section that is judged by default; ``KINDS`` of ``module`` has its gates."""
    return field(default_factory=of, metadata={_KINDS: (of, module)})


def unasked(of: type[SectionT], module: str) -> SectionT | None:
    """Return a policy's field for a section that is judged only where a policy has it."""
    return field(default=None, metadata={_KINDS: (of, module)})


def several(of: type[SectionT], module: str) -> tuple[SectionT, ...]:
    """Return a policy's field for any number of sections, by default none, each judged by itself."""
    return field(default_factory=tuple, metadata={_KINDS: (of, module)})


def kinds_of(one: "Field[Any]") -> tuple[GateKind[Any], ...]:
    """Return the kinds of gates that judge by this field of a policy. Their module is imported only now, with all that
    it computes with: commands that only read a policy do without."""
    if _KINDS not in one.metadata:
        return ()
    return _kinds(*one.metadata[_KINDS])


@cache
def _kinds(of: type, module: str) -> tuple[GateKind[Any], ...]:
    return tuple(kind for kind in import_module(module).KINDS if kind.section is of)


@dataclass(frozen=True, slots=True)
class Part:
    """One section of a policy and the kinds that judge by it. ``place``: its index, where the field is a tuple."""

    field: str
    place: int | None
    value: Any
    judged_by: tuple[GateKind[Any], ...]


def sections(policy: "DataclassInstance") -> Iterator[Part]:
    """Yield the sections that are judged, in the order of the fields."""
    for one in fields(policy):
        judged_by, value = kinds_of(one), getattr(policy, one.name)
        if judged_by and isinstance(value, tuple):
            yield from (Part(one.name, place, part, judged_by) for place, part in enumerate(value))
        elif judged_by and value is not None:
            yield Part(one.name, None, value, judged_by)
