"""Recorded requests that are asked again for a release, before any user."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from controller.core.policy import ReplayPolicy

Scores = Mapping[str, float]
"""Class probabilities, by label."""


class Outcome(StrEnum):
    """The end of asking a recorded request again."""

    WAITING = "waiting"
    ANSWERED = "answered"  # by both versions
    REFUSED = "refused"  # the candidate does not take a text that stable takes
    FAILED = "failed"  # the candidate failed, and it alone
    UNREADABLE = "unreadable"  # its text is gone, or stable does not take it


@dataclass(frozen=True, slots=True)
class ReplayOrder:
    """The replay that a release asks for. What was recorded after it began is no recording. ``judged``: the suites that
    the release is judged by otherwise, whose texts would count twice."""

    release_id: str
    model: str
    stable: str
    candidate: str
    began_at_s: float
    policy: ReplayPolicy
    chosen_ratio_max: float  # as of `gates.online.label_sources.LabelPolicy`: of labels from before the release
    judged: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class KnownText:
    """A labelled text of production that no version was trained on. ``source``: the file that it stands in."""

    text: str
    truth: str
    source: str
    tags: Mapping[str, str]


class KnownTexts(Protocol):
    def __call__(self, suites: Sequence[str]) -> Sequence[KnownText]:
        """Return the texts of these files. Raises TransientError where one cannot be read."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """A request as it is to be asked: ``text`` as it was kept, None where it cannot be read any more; ``known`` is what
    stable answered to this very text, None where it was another version, or the text was changed by redaction."""

    place: int
    request_id: str
    text: str | None
    known: Scores | None


@dataclass(frozen=True, slots=True)
class AskedAgain:
    """A request that was asked again. ``stable``: its new answer; None: what is recorded of it stands."""

    recorded: Recorded
    outcome: Outcome
    candidate: Scores | None = None
    stable: Scores | None = None


@dataclass(frozen=True, slots=True)
class ReplayProgress:
    """The progress of a replay: of ``chosen`` requests those that were asked, by how that ended. ``reuses``: what is
    recorded of stable is what it answers now (None: not yet known, by ``checked`` answers that were asked for anew).
    ``trouble``: why it does not go on; where nothing is chosen, it never will."""

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
    """The recorded requests and what became of them. Every method raises TransientError where they cannot be read.

    ``fence`` is the token of the leader who writes: what writes raises ConflictError where a later leader has written.
    """

    def choose(self, order: ReplayOrder, *, now_s: float, fence: int | None = None) -> ReplayProgress:
        """Choose the requests of a replay, unless that was done, and return how far it is. Where there were none to
        choose, there are none later either, and ``trouble`` says what to do for the next release.

        Of each text one request, and of those the newest; none that had an answer of another kind than a live one, be
        it a copy's or a replay's: labels of such requests were asked for because two versions disagreed, so that what
        is left of them is no fair sample. In the order of the texts' digests, which is as good as chance.

        And of the policy's suites each text that no release has asked, whose label is known: that becomes a label of
        its pair, once there is one.
        """

    def waiting(self, order: ReplayOrder, limit: int) -> Sequence[Recorded]:
        """Return those to be asked next."""

    def asked(
        self,
        order: ReplayOrder,
        found: Sequence[AskedAgain],
        *,
        now_s: float,
        inclusion_probability: float,
        fence: int | None = None,
    ) -> None:
        """Keep what was answered, as pairs of the release. Repeating it changes nothing."""

    def note(
        self, release_id: str, *, trouble: str, reuses: bool | None, checked: int, fence: int | None = None
    ) -> None:
        """Keep why a replay does not go on (empty: it does), whether stable's recorded answers are used, and how many
        of them were asked for anew."""

    def progress(self, release_id: str) -> ReplayProgress | None:
        """Return how far the release's replay is; None where it has none."""
