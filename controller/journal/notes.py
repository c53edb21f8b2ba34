"""The events outside releases: what people and the installation do, in the streams of models and the installation."""

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
    """A freeze of ``model`` begins. ``silent``: no notices about the model are sent. ``ends_at_s``: unix time at which
    the freeze ends by itself; None: it does not."""

    model: str
    reason: str
    by: str
    silent: bool = False
    ends_at_s: float | None = None


@dataclass(frozen=True, slots=True)
class FreezeLifted:
    """A person lifted all freezes of the model: ``freezes`` of them."""

    model: str
    reason: str
    by: str
    freezes: int


@dataclass(frozen=True, slots=True)
class FreezeEnded:
    """The freeze that ``by`` made for ``reason`` ended by itself. Other freezes may still hold the model."""

    model: str
    reason: str
    by: str


@dataclass(frozen=True, slots=True)
class CommandDiscarded:
    """A command led to nothing; ``outcome`` says why. Commands that a release answers are in the release's stream."""

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
    """The model's policy was read: releases that begin from now on proceed by it."""

    policy: ReleasePolicy


@dataclass(frozen=True, slots=True)
class PolicyGone:
    """The model has no policy any more: no new release begins."""

    model: str


@dataclass(frozen=True, slots=True)
class TokenMade:
    """A token for the controller's interface was made. The note never holds the token itself."""

    token_id: str
    name: str
    roles: tuple[str, ...]
    model: str | None  # the only model that its holder may change; None: any model
    expires_at_s: float | None  # unix time; None: never
    by: str


@dataclass(frozen=True, slots=True)
class TokensRevoked:
    """These tokens are no longer valid."""

    token_ids: tuple[str, ...]
    by: str


@dataclass(frozen=True, slots=True)
class DigestKeyForgotten:
    """The key of text digests was deleted: digests of the same text from before and after do not match."""

    reason: str
    by: str


@dataclass(frozen=True, slots=True)
class LooksThinned:
    """``look`` stands for the looks in entries ``first`` to ``last`` of the release. ``verdicts`` and ``readings`` are
    the last of each gate in those entries. ``deadline_s``: the gates' deadline in unix time."""

    release_id: str
    first: int
    last: int
    look: Look
    verdicts: tuple[Verdict, ...]
    readings: dict[str, Reading]
    deadline_s: float | None

    @property
    def looks(self) -> int:
        """Return the number of looks that it stands for."""
        return self.last - self.first + 1


@dataclass(frozen=True, slots=True)
class SamplingSet:
    """From now on the share ``ratio`` (0 to 1) of the model's requests is sampled. ``reason``: a part of a sentence.

    ``release_id``: the release for which the share is kept until it ends; None: no release. ``largest``: the largest
    share since that release's first look. ``before``: the smallest share before, because requests that were sampled at
    it may get their labels during the release.
    """

    model: str
    ratio: float
    reason: str
    release_id: str | None
    largest: float
    before: float


@dataclass(frozen=True, slots=True)
class CandidateRefused:
    """The alias ``candidate`` points at a version that cannot be released; ``reason`` says why. An empty reason: it no
    longer does."""

    model: str
    version: str
    reason: str


@dataclass(frozen=True, slots=True)
class RetrainAsked:
    """The watch asks for retraining of the version that serves everybody; once for each cause."""

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
    """Return the name of the model's stream; for `ANY_MODEL`, that of the installation."""
    return INSTALLATION if model == ANY_MODEL else model_stream(model)
