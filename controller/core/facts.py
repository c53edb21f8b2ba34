"""The facts that were found when the world was asked: the input of `decide`, made by whoever performed the actions."""

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
    """The package of a version was read and is what it has to be. ``tagged``: as the registry's own tag says."""

    version: Version
    tagged: bool


@dataclass(frozen=True, slots=True)
class Probed:
    """Preflight was judged on the running candidate, whose verified identity this is."""

    candidate: Version
    verdicts: tuple[Verdict, ...]
    origin: Origin | None = None


@dataclass(frozen=True, slots=True)
class SuitesRun:
    """Both versions were asked every case; the verdicts are of just this evidence."""

    verdicts: tuple[Verdict, ...]
    evidence: SuiteEvidence


@dataclass(frozen=True, slots=True)
class LookTaken:
    """A look, how far it read, and what was made of it."""

    look: Look
    cursors: Cursors
    judgement: Judgement


@dataclass(frozen=True, slots=True)
class Routed:
    """Users are answered by the table that was asked for, as the data plane shows."""

    weights_pct: dict[str, float]
    generation: int


@dataclass(frozen=True, slots=True)
class Overridden:
    """A person moved the traffic past the controller."""

    override: Override


@dataclass(frozen=True, slots=True)
class EditReplaced:
    """The table that somebody had edited past the controller was replaced. ``what``: as `core.traffic.Drift`."""

    by: str
    what: str


@dataclass(frozen=True, slots=True)
class TableGone:
    """Users were answered by a table of this release, and the data plane has none, nor ever had, as far as it knows: it
    was built anew."""


@dataclass(frozen=True, slots=True)
class AliasAt:
    """The registry's champion alias was moved, and read back, at the version."""

    version: str


@dataclass(frozen=True, slots=True)
class AliasSurprise:
    """The alias was not where it had to be: somebody else moves it."""

    message: str


@dataclass(frozen=True, slots=True)
class Unreachable:
    """A source did not answer this time."""

    source: Source
    reason: str


@dataclass(frozen=True, slots=True)
class Awaited:
    """A source was asked and has not answered yet; a later round takes its answer up."""

    source: Source


@dataclass(frozen=True, slots=True)
class Broken:
    """Something that asking again will not mend."""

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
    """No new version may come now: the service burns its error budget too fast, or nobody can tell that it does not."""

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
    """The facts of one kind, in order."""
    return [fact for fact in facts if isinstance(fact, kind)]
