"""Recorded requests that both versions are asked again, one after the other and never faster than the policy says.

A part of the work at a time: what was answered is kept after every few, so that a controller that is killed, or
another one, goes on where this one had come to.
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

KEPT_AT_ONCE: Final = 16  # requests; so many are asked again after a kill
CHECKED: Final = 32  # recorded answers of stable that it is asked for anew, before the others are believed
_SAME: Final = 0.02  # between two probabilities of a class: a batch of another size moves them by less
_FAILURES_MAX: Final = 3  # in a row; more say that the candidate, or we, have another trouble than a text


@dataclass(frozen=True, slots=True)
class Asked:
    """The replicas of the two versions that questions are asked of, by their addresses; none is empty."""

    stable: Sequence[str]
    candidate: Sequence[str]


class Asks(Protocol):
    """The part of the port ``Replicas`` that is needed here."""

    def probabilities(self, url: str, texts: Sequence[str]) -> Sequence[Scores]: ...

    def fingerprint(self, url: str) -> str: ...


class Replays(Protocol):
    def go_on(self, order: ReplayOrder, asked: Asked, *, for_s: float, inclusion_probability: float) -> bool:
        """Ask again for so long, and return whether there is more to ask. What keeps it from going on is noted for
        people, and no fault of the release's: it is judged on live requests all the same. Never raises SerinError."""


class NoReplays:
    """Implements ``Replays`` where nothing is recorded."""

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
        """``pause``: waits for so many seconds. ``in_shadow``: whether the release is, as it is recorded. ``fence`` is
        the leader's, or raises ConflictError where this controller leads no more."""
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
        """The fence to go on with.

        Raises:
            ConflictError: this controller leads no more, or the release is elsewhere by now.
        """
        fence = self._fence()
        if not self._in_shadow(order.release_id):
            raise ConflictError(Source.JOURNAL, f"release {order.release_id} is not in shadow any more")
        return fence

    def _asked_again(self, order: ReplayOrder, stretch: "_Stretch", for_s: float, chance: float) -> str:
        """Return why the replay had to stop; empty where its time was over, or all is asked.

        Raises:
            ConflictError: it is no longer for this controller to go on; what was answered meanwhile is dropped.
        """
        began_s = self._clock.monotonic_s()
        due_s = began_s
        while due_s - began_s < for_s:
            found: list[AskedAgain] = []
            waiting = self._recordings.waiting(order, KEPT_AT_ONCE)
            try:
                for one in waiting:
                    if due_s - began_s >= for_s:  # the release may be elsewhere by then
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
    """Return whether the release is in shadow, as it is recorded. Raises TransientError where nobody says."""
    found = journal.summary(release_id)
    return found is not None and found.phase == Phase.SHADOW


class _Stretch:
    """The questions of one stretch of time."""

    def __init__(self, replicas: Asks, asked: Asked, *, reuses: bool | None, checked: int) -> None:
        self.reuses = reuses
        self.checked = checked
        self._replicas = replicas
        self._candidates: Iterator[str] = itertools.cycle(asked.candidate)
        self._stables: Iterator[str] = itertools.cycle(asked.stable)
        self._failures = 0

    def ask(self, one: Recorded) -> AskedAgain:
        """
        Raises:
            SerinError: a version does not answer, whatever it is asked.
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
        """Return its answer; None where what is recorded of it stands.

        What is recorded is believed once it was found to be what stable answers now, in the first few: with other
        settings than then it may answer otherwise.
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
        """Return its answer; None where it fails on this text, and answers others."""
        url = next(self._candidates)
        for _ in range(2):
            try:
                (scores,) = self._replicas.probabilities(url, [text])
            except TransientError:
                self._replicas.fingerprint(url)  # raises where it answers nothing at all
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
