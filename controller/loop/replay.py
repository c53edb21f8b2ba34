"""The replay of recorded requests: both versions answer them one by one, never faster than the policy allows.

The answers are stored every few requests, so that a controller that was killed, or another one, goes on from there.
"""

import itertools
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from controller.core.release import Phase
from controller.errors import ConflictError, RefusedRequestError, SerinError, Source, TransientError
from controller.ports.clock import Clock
from controller.ports.journal import ReleaseLists
from controller.ports.recordings import AskedAgain, Outcome, Recorded, Recordings, ReplayOrder, Scores

log = logging.getLogger(__name__)

KEPT_AT_ONCE: Final = 16  # requests whose answers are stored together; after a kill these are asked again
CHECKED: Final = 32  # recorded answers of stable that are compared with new ones before the others are reused
_SAME: Final = 0.02  # difference of a class's probability that counts as none: another batch size makes less
_FAILURES_MAX: Final = 3  # failures of the candidate in a row; after more, the texts are not to blame


@dataclass(frozen=True, slots=True)
class Asked:
    """The addresses of the two versions' replicas; neither list is empty."""

    stable: Sequence[str]
    candidate: Sequence[str]


class Asks(Protocol):
    """The part of the port ``Replicas`` that is needed here."""

    def probabilities(self, url: str, texts: Sequence[str]) -> Sequence[Scores]: ...

    def fingerprint(self, url: str) -> str: ...


class Replays(Protocol):
    def go_on(self, order: ReplayOrder, asked: Asked, *, for_s: float, inclusion_probability: float) -> bool:
        """Replay for ``for_s`` seconds, and return whether requests may be left. A trouble is stored for people and is
        no fault of the release, which is judged on live requests all the same. ``inclusion_probability``: as of the
        samples of live requests. Never raises SerinError."""


class NoReplays:
    """Implements ``Replays`` for an installation without recorded requests."""

    def go_on(
        self,
        order: ReplayOrder,  # noqa: ARG002
        asked: Asked,  # noqa: ARG002
        *,
        for_s: float,  # noqa: ARG002
        inclusion_probability: float,  # noqa: ARG002
    ) -> bool:
        return False


class RecordedReplays:
    """Implements ``Replays``."""

    def __init__(
        self,
        recordings: Recordings,
        replicas: Asks,
        clock: Clock,
        pause: Callable[[float], None],
        *,
        in_shadow: Callable[[str], bool],
        fence: Callable[[], int | None],
    ) -> None:
        """``pause``: waits for a number of seconds. ``in_shadow``: whether the release of this id is in shadow, by the
        journal. ``fence``: returns the leader's fence; raises ConflictError if this controller no longer leads."""
        self._recordings = recordings
        self._replicas = replicas
        self._clock = clock
        self._pause = pause
        self._in_shadow = in_shadow
        self._fence = fence

    def go_on(self, order: ReplayOrder, asked: Asked, *, for_s: float, inclusion_probability: float) -> bool:
        try:
            before = self._recordings.choose(order, now_s=self._clock.now_s(), fence=self._fence())
            if before.is_over:
                if not before.chosen:
                    log.warning("release %s: nothing is replayed: %s", order.release_id, before.trouble)
                return False
            stretch = _Stretch(self._replicas, asked, reuses=before.reuses, checked=before.checked)
            trouble = self._asked_again(order, stretch, for_s, inclusion_probability)
            now = (trouble, stretch.reuses, stretch.checked)
            if now != (before.trouble, before.reuses, before.checked):
                self._recordings.note(
                    order.release_id,
                    trouble=trouble,
                    reuses=stretch.reuses,
                    checked=stretch.checked,
                    fence=self._fence(),
                )
        except TransientError as error:
            log.warning("release %s: the replay waits: %s", order.release_id, error)
        except ConflictError as error:
            log.info("release %s: the replay is given up: %s", order.release_id, error)
        return True

    def _fence_of(self, order: ReplayOrder) -> int | None:
        """Return the fence with which to go on.

        Raises:
            ConflictError: this controller no longer leads, or the release has left shadow.
        """
        fence = self._fence()
        if not self._in_shadow(order.release_id):
            raise ConflictError(Source.JOURNAL, f"release {order.release_id} is not in shadow any more")
        return fence

    def _asked_again(self, order: ReplayOrder, stretch: "_Stretch", for_s: float, chance: float) -> str:
        """Replay one stretch, and return why it had to stop; empty if its time is over or no request is left.

        Raises:
            ConflictError: this controller may no longer go on; answers that are not stored yet are dropped.
        """
        began_s = self._clock.monotonic_s()
        due_s = began_s
        while due_s - began_s < for_s:
            found: list[AskedAgain] = []
            waiting = self._recordings.waiting(order, KEPT_AT_ONCE)
            try:
                for one in waiting:
                    if due_s - began_s >= for_s:  # by then the release may have left shadow
                        break
                    self._pause(max(due_s - self._clock.monotonic_s(), 0.0))
                    due_s = max(due_s, self._clock.monotonic_s()) + 1 / order.policy.requests_per_s_max
                    self._fence_of(order)
                    found.append(stretch.ask(one))
            except ConflictError:
                found.clear()
                raise
            except SerinError as error:
                return str(error)
            finally:
                if found:
                    fence, now_s = self._fence_of(order), self._clock.now_s()
                    self._recordings.asked(order, found, now_s=now_s, inclusion_probability=chance, fence=fence)
            if not waiting:
                break
        return ""


def is_in_shadow(journal: ReleaseLists, release_id: str) -> bool:
    """Return whether the release is in shadow, by the journal. Raises TransientError if the journal does not answer."""
    found = journal.summary(release_id)
    return found is not None and found.phase == Phase.SHADOW


class _Stretch:
    """The questions to both versions in one stretch of time."""

    def __init__(self, replicas: Asks, asked: Asked, *, reuses: bool | None, checked: int) -> None:
        self.reuses = reuses
        self.checked = checked
        self._replicas = replicas
        self._candidates: Iterator[str] = itertools.cycle(asked.candidate)
        self._stables: Iterator[str] = itertools.cycle(asked.stable)
        self._failures = 0

    def ask(self, one: Recorded) -> AskedAgain:
        """Ask both versions, and return the outcome.

        Raises:
            SerinError: a version does not answer any text.
        """
        if one.text is None:
            return AskedAgain(one, Outcome.UNREADABLE)
        try:
            stable = self._stable(one, one.text)
        except RefusedRequestError:
            return AskedAgain(one, Outcome.UNREADABLE)
        try:
            candidate = self._candidate(one.text)
        except RefusedRequestError:
            return AskedAgain(one, Outcome.REFUSED)
        if candidate is None:
            return AskedAgain(one, Outcome.FAILED)
        return AskedAgain(one, Outcome.ANSWERED, candidate, stable)

    def _stable(self, one: Recorded, text: str) -> Scores | None:
        """Return stable's answer; None if its recorded answer is reused.

        Recorded answers are reused once the first few have proved equal to stable's new answers: with other settings
        than at that time stable may answer otherwise.
        """
        if one.known is not None and self.reuses:
            return None
        (scores,) = self._replicas.probabilities(next(self._stables), [text])
        if one.known is not None and self.reuses is None:
            self.checked += 1
            if not _alike(one.known, scores):
                self.reuses = False
            elif self.checked >= CHECKED:
                self.reuses = True
        return scores

    def _candidate(self, text: str) -> Scores | None:
        """Return the candidate's answer; None if it fails on this text, although it still runs.

        Raises:
            TransientError: the candidate does not answer at all, or failed on too many texts in a row.
        """
        url = next(self._candidates)
        for _ in range(2):
            try:
                (scores,) = self._replicas.probabilities(url, [text])
            except TransientError:
                self._replicas.fingerprint(url)  # raises if the candidate answers nothing at all
                continue
            self._failures = 0
            return scores
        self._failures += 1
        if self._failures > _FAILURES_MAX:
            raise TransientError(
                Source.DEPLOYMENTS, f"the candidate at {url} failed on {self._failures} texts in a row"
            )
        return None


def _alike(one: Scores, other: Scores) -> bool:
    return one.keys() == other.keys() and all(abs(one[name] - other[name]) <= _SAME for name in one)
