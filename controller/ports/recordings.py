"""Recorded requests that both versions of a release answer again in shadow."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from controller.core.policy import ReplayPolicy

Scores = Mapping[str, float]
"""Class probabilities, by label."""


class Outcome(StrEnum):
    """The outcome of replaying a recorded request."""

    WAITING = "waiting"
    ANSWERED = "answered"  # by both versions
    REFUSED = "refused"  # the candidate refuses a text that stable accepts
    FAILED = "failed"  # only the candidate failed
    UNREADABLE = "unreadable"  # the text is gone, or stable refuses it


@dataclass(frozen=True, slots=True)
class ReplayOrder:
    """The replay of one release, which began at ``began_at_s``; only earlier requests are replayed. ``judged``: the
    suites that judge the release, whose texts are left out so that they do not count twice."""

    release_id: str
    model: str
    stable: str
    candidate: str
    began_at_s: float
    policy: ReplayPolicy
    chosen_ratio_max: float  # as in `gates.online.label_sources.LabelPolicy`, for labels from before the release
    judged: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class KnownText:
    """A labelled text from production that no version was trained on. ``source``: the file that holds the text."""

    text: str
    truth: str
    source: str
    tags: Mapping[str, str]


class KnownTexts(Protocol):
    def __call__(self, suites: Sequence[str]) -> Sequence[KnownText]:
        """Return the texts of these files. Raises TransientError if one cannot be read."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """A request to be replayed. ``text``: as kept; None if it can no longer be read. ``known``: stable's recorded
    answer to exactly this text; None if another version answered, or if redaction changed the text."""

    place: int
    request_id: str
    text: str | None
    known: Scores | None


@dataclass(frozen=True, slots=True)
class AskedAgain:
    """A request that was replayed. ``stable``: stable's new answer; None: the recorded one counts."""

    recorded: Recorded
    outcome: Outcome
    candidate: Scores | None = None
    stable: Scores | None = None


@dataclass(frozen=True, slots=True)
class ReplayProgress:
    """The progress of a replay of ``chosen`` requests, by outcome. ``reuses``: whether stable's recorded answers are
    used, because stable still gives them (None: not known yet). ``checked``: recorded answers that were compared with
    new ones. ``trouble``: why the replay does not go on; if nothing was chosen, it never will."""

    chosen: int
    answered: int = 0
    refused: int = 0
    failed: int = 0
    unreadable: int = 0
    reuses: bool | None = None
    trouble: str = ""
    checked: int = 0

    @property
    def asked(self) -> int:
        return self.answered + self.refused + self.failed + self.unreadable

    @property
    def is_over(self) -> bool:
        return self.asked >= self.chosen


class Recordings(Protocol):
    """The recorded requests and the outcomes of replays. Every method raises TransientError if they cannot be read.

    ``fence`` is the fence of the leader who writes. Writing methods raise ConflictError if a later leader has written.
    """

    def choose(self, order: ReplayOrder, *, now_s: float, fence: int | None = None) -> ReplayProgress:
        """Choose the requests of a replay, unless they were chosen before, and return its progress. If there are none
        to choose, none is chosen later either, and ``trouble`` says what to do for the next release.

        For each text the newest request is chosen, in the order of the texts' digests, which is random. Requests that
        were ever mirrored or replayed are left out: labels were asked for those on which two versions disagreed, so the
        others are no fair sample.

        In addition, each text of the policy's replay suites that no release has asked yet is chosen. Its known label
        counts once both versions have answered.
        """

    def waiting(self, order: ReplayOrder, limit: int) -> Sequence[Recorded]:
        """Return the requests to be replayed next, ``limit`` at most."""

    def asked(
        self,
        order: ReplayOrder,
        found: Sequence[AskedAgain],
        *,
        now_s: float,
        inclusion_probability: float,
        fence: int | None = None,
    ) -> None:
        """Store the answers as pairs of the release. Repeating the call changes nothing."""

    def note(
        self, release_id: str, *, trouble: str, reuses: bool | None, checked: int, fence: int | None = None
    ) -> None:
        """Store why a replay does not go on (empty: it does), whether stable's recorded answers are used, and how many
        of them were checked."""

    def progress(self, release_id: str) -> ReplayProgress | None:
        """Return the progress of the release's replay; None if it has none."""
