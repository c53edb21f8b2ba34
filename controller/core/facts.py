"""The facts: what performing the actions found out. They are the input of `decide`."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from controller.core.commands import Command, Freeze
from controller.core.condition import Condition
from controller.core.judging import Judgement
from controller.core.origin import Origin
from controller.core.release import Cursors, Version
from controller.core.traffic import Override
from controller.errors import Source
from gates.evidence import Look
from gates.suite_evidence import SuiteEvidence
from gates.verdict import Verdict

FactT = TypeVar("FactT")


@dataclass(frozen=True, slots=True)
class Serving:
    """The condition in which a version runs; ``detail`` says why it is not ready."""

    version: str
    condition: Condition
    detail: str = ""

    @property
    def ready(self) -> bool:
        return self.condition is Condition.READY


@dataclass(frozen=True, slots=True)
class Sighted:
    """The package of a version was read and matches its manifest. ``tagged``: the registry's tag confirms it."""

    version: Version
    tagged: bool


@dataclass(frozen=True, slots=True)
class Probed:
    """Preflight was judged on the running candidate. ``candidate`` holds its verified identity."""

    candidate: Version
    verdicts: tuple[Verdict, ...]
    origin: Origin | None = None


@dataclass(frozen=True, slots=True)
class SuitesRun:
    """Both versions answered every case. The verdicts were reached on exactly this evidence."""

    verdicts: tuple[Verdict, ...]
    evidence: SuiteEvidence


@dataclass(frozen=True, slots=True)
class LookTaken:
    """A look, the places up to which it read, and its judgement."""

    look: Look
    cursors: Cursors
    judgement: Judgement


@dataclass(frozen=True, slots=True)
class Routed:
    """The data plane shows that users are answered by the table that was written."""

    weights_pct: dict[str, float]
    generation: int


@dataclass(frozen=True, slots=True)
class Overridden:
    """A person moved the traffic without the controller."""

    override: Override


@dataclass(frozen=True, slots=True)
class EditReplaced:
    """A table that somebody had edited without Serin was replaced. ``by`` and ``what``: as in `core.traffic.Drift`."""

    by: str
    what: str


@dataclass(frozen=True, slots=True)
class TableGone:
    """The data plane has no table, although users were answered by one of this release: the data plane was rebuilt."""


@dataclass(frozen=True, slots=True)
class AliasAt:
    """The registry's champion alias was moved to the version, and read back there."""

    version: str


@dataclass(frozen=True, slots=True)
class AliasSurprise:
    """The champion alias was not where it should be: somebody else moves it."""

    message: str


@dataclass(frozen=True, slots=True)
class Unreachable:
    """A source did not answer this time."""

    source: Source
    reason: str


@dataclass(frozen=True, slots=True)
class Awaited:
    """A source was asked and has not answered yet; a later round takes up the answer."""

    source: Source


@dataclass(frozen=True, slots=True)
class Broken:
    """A failure that asking again will not mend."""

    reason: str
    verdict: Verdict | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    command: Command


@dataclass(frozen=True, slots=True)
class NewerCandidate:
    version: str


@dataclass(frozen=True, slots=True)
class FrozenBy:
    freeze: Freeze


@dataclass(frozen=True, slots=True)
class BudgetSpent:
    """No new version may begin now: the service burns its error budget too fast, or its burn rate is not known."""

    reason: str
    source: Source = Source.BUDGET


Fact = (
    Serving
    | Sighted
    | Probed
    | SuitesRun
    | LookTaken
    | Routed
    | Overridden
    | EditReplaced
    | TableGone
    | AliasAt
    | AliasSurprise
    | Unreachable
    | Awaited
    | Broken
    | Asked
    | NewerCandidate
    | FrozenBy
    | BudgetSpent
)


def only(facts: Sequence[Fact], kind: type[FactT]) -> list[FactT]:
    """Return the facts of one kind, in order."""
    return [fact for fact in facts if isinstance(fact, kind)]
