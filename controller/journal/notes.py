"""Events outside of releases: what people and the installation do, in the streams of models and of the installation."""

from dataclasses import dataclass

from controller.core.champion import Asking
from controller.core.commands import ANY_MODEL
from controller.core.events import Reading
from controller.core.policy import ReleasePolicy
from controller.ports.journal import INSTALLATION, model_stream
from gates.evidence import Look
from gates.verdict import Verdict


@dataclass(frozen=True, slots=True)
class Frozen:
    """No model change of ``model`` from now on; ``silent``: and nobody is told of it. ``ends_at_s``: when it ends by
    itself, in unix seconds; None: not."""

    model: str
    reason: str
    by: str
    silent: bool = False
    ends_at_s: float | None = None


@dataclass(frozen=True, slots=True)
class FreezeLifted:
    """``freezes`` were in force until now, and none is any more."""

    model: str
    reason: str
    by: str
    freezes: int


@dataclass(frozen=True, slots=True)
class FreezeEnded:
    """The time of the freeze that was made ``by`` somebody for this ``reason`` is over. Others may hold the model."""

    model: str
    reason: str
    by: str


@dataclass(frozen=True, slots=True)
class CommandDiscarded:
    """A command came to nothing, and why. Those that a release answers stand in the release's stream."""

    command_id: str
    ask: str
    model: str
    version: str | None
    reason: str
    by: str
    asked_at_s: float
    outcome: str


@dataclass(frozen=True, slots=True)
class PolicyRead:
    """From now on releases of the model begin under this policy."""

    policy: ReleasePolicy


@dataclass(frozen=True, slots=True)
class PolicyGone:
    """No policy is for the model any more: nothing new begins."""

    model: str


@dataclass(frozen=True, slots=True)
class TokenMade:
    """Somebody may ask at the interface from now on. Never the token itself."""

    token_id: str
    name: str
    roles: tuple[str, ...]
    model: str | None  # the one that its holder may start or stop; None: any
    expires_at_s: float | None  # unix time; None: never
    by: str


@dataclass(frozen=True, slots=True)
class TokensRevoked:
    """These tokens let nobody in any more."""

    token_ids: tuple[str, ...]
    by: str


@dataclass(frozen=True, slots=True)
class DigestKeyForgotten:
    """Texts may be digested with another key from now on: digests of before and after match no more."""

    reason: str
    by: str


@dataclass(frozen=True, slots=True)
class LooksThinned:
    """``look`` stands for the looks that were entries ``first`` to ``last`` of the release, ``verdicts`` and
    ``readings`` are the last that each gate gave there. ``deadline_s``: of the gates, in unix time."""

    release_id: str
    first: int
    last: int
    look: Look
    verdicts: tuple[Verdict, ...]
    readings: dict[str, Reading]
    deadline_s: float | None

    @property
    def looks(self) -> int:
        """Return how many looks it stands for."""
        return self.last - self.first + 1


@dataclass(frozen=True, slots=True)
class SamplingSet:
    """From now on so large a share of the model's requests is sampled, and ``reason`` is why, in a part of a sentence.

    ``release_id``: the release that it is kept for until that ends; None: none. ``largest``: the largest share that was
    asked for since that release was looked at first. ``before``: the least that was asked for before, whose requests
    may be labelled while the release goes on.
    """

    model: str
    ratio: float
    reason: str
    release_id: str | None
    largest: float
    before: float


@dataclass(frozen=True, slots=True)
class CandidateRefused:
    """The alias ``candidate`` stands on a version that is never released, and why; "": it does so no more."""

    model: str
    version: str
    reason: str


@dataclass(frozen=True, slots=True)
class RetrainAsked:
    """The watch asks for a new version in the place of the one that serves everybody, and why; once a cause."""

    model: str
    version: str
    asking: Asking


Note = (
    Frozen
    | FreezeLifted
    | FreezeEnded
    | CommandDiscarded
    | PolicyRead
    | PolicyGone
    | TokenMade
    | TokensRevoked
    | DigestKeyForgotten
    | LooksThinned
    | SamplingSet
    | CandidateRefused
    | RetrainAsked
)


def stream_of(model: str) -> str:
    """The stream of what concerns the model; of what concerns any, that of the installation."""
    return INSTALLATION if model == ANY_MODEL else model_stream(model)
