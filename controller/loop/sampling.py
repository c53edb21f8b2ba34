"""The share of each model's requests that is sampled. It is decided when a release begins and kept until the release
ends, so that all its evidence is of one share. Between releases the share is reviewed from time to time.

If the share changed during a release, its labels would not be equally likely. That would cost evidence, and all of it
if labels are directed (`gates.online.pairing`). So the first look waits until every replica knows of an increased
share, and samples that were taken at a larger share are thinned out as they arrive (`controller.api.samples`).

Each decision is recorded in the model's stream of the journal, where the next controller finds it.
"""

import logging
import math
from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace
from typing import Final, Protocol

from controller.core.policy import ReleasePolicy
from controller.core.release import Phase, Purpose, Release
from controller.core.sampling import ALL, Need, Seen, kept_between
from controller.errors import ConflictError, SerinError, TransientError
from controller.journal.codec import entry_of
from controller.journal.notes import SamplingSet
from controller.journal.sampled import last_set
from controller.loop.jobs import PATIENCE_S, Jobs, Running
from controller.ports.clock import Clock
from controller.ports.journal import Journal, model_stream
from controller.ports.metrics import Metrics
from controller.ports.samples import LabelArrivals
from serving.contract import ASKS_EVERY_S

log = logging.getLogger(__name__)

LOOKED_AT_EVERY_S: Final = 600.0
HEARD_WITHIN_S: Final = 1.5 * ASKS_EVERY_S
"""The seconds within which every replica that reaches the controller has asked for its share and uses it."""
_HOUR_S: Final = 3_600.0
_DAY_S: Final = 86_400.0
_MAY_WAIT: Final = frozenset({Phase.PENDING, Phase.PREFLIGHT, Phase.SUITE})


class Sampling(Protocol):
    """The sampling of requests, as the rounds use it."""

    def mind(self, policy: ReleasePolicy, release: Release | None) -> None:
        """Decide and record the model's share, given the release in progress (None: there is none). Never raises
        `SerinError`."""

    def is_settled(self, release: Release) -> bool:
        """Return whether the release's evidence may begin."""

    def largest(self, release: Release) -> float:
        """Return the largest share (0 to 1) at which any of the release's samples was taken."""

    def least(self, release: Release) -> float:
        """Return the smallest share (0 to 1) at which a request was sampled whose label may come during the release."""


class Everything:
    """Implements `Sampling` by sampling all requests."""

    def mind(self, policy: ReleasePolicy, release: Release | None) -> None:
        """Do nothing: the share never changes."""

    def is_settled(self, release: Release) -> bool:  # noqa: ARG002
        return True

    def largest(self, release: Release) -> float:  # noqa: ARG002
        return ALL

    def least(self, release: Release) -> float:  # noqa: ARG002
        return ALL


@dataclass(frozen=True, slots=True)
class Needs:
    """The functions that compute the share that a release under the policy needs, and the share needed between
    releases."""

    in_release: Callable[[ReleasePolicy, Seen], Need]
    between: Callable[[ReleasePolicy, Seen], Need]


@dataclass(frozen=True, slots=True)
class _Told:
    """The share that a model's replicas are told. ``since_s``: when it last increased, by the monotonic clock.
    ``written``: whether the journal has it."""

    note: SamplingSet
    since_s: float
    written: bool = True


class SampledAsNeeded:
    """Implements `Sampling`. ``fixed``: the share that a person set; None: the share that the gates need."""

    def __init__(
        self,
        needs: Needs,
        metrics: Metrics,
        labels: LabelArrivals,
        journal: Journal,
        clock: Clock,
        jobs: Jobs,
        fence: Callable[[], int | None] = lambda: None,
        *,
        fixed: float | None = None,
    ) -> None:
        """``fence``: returns the leader's fence; raises ConflictError if this controller does not lead."""
        self._needs = needs
        self._metrics = metrics
        self._labels = labels
        self._journal = journal
        self._clock = clock
        self._jobs = jobs
        self._fence = fence
        self._fixed = fixed
        self._told: dict[str, _Told] = {}
        self._looked_s: dict[str, float] = {}  # by model: when the share between releases was last reviewed

    def ratio_of(self, model: str) -> float | None:
        """Return the share, 0 to 1, that the model's replicas are to sample; None if it is not known or this controller
        does not lead. Any thread may call."""
        try:
            self._fence()
            return self._known(model).note.ratio
        except SerinError:
            return None

    def mind(self, policy: ReleasePolicy, release: Release | None) -> None:
        try:
            told = self._known(policy.model)
            need = self._between(policy, told) if release is None else self._in_release(release, told)
            if need is not None:
                told = self._told[policy.model] = self._after(told, need, release)
                log.info(
                    "model %s: %.4g %% of the requests are sampled: %s", policy.model, 100 * need.ratio, need.reason
                )
            if not told.written:
                self._write(told)
        except ConflictError:
            log.debug("model %s: another controller says how much is sampled", policy.model)
        except SerinError as error:
            log.warning("model %s: how much has to be sampled is decided later: %s", policy.model, error)

    def is_settled(self, release: Release) -> bool:
        """Return whether the release's evidence may begin. A release that has had a look goes on in any case."""
        if release.looks:
            return True
        told = self._told.get(release.model)
        if told is None or (told.note.release_id != release.id and _needs_pairs(release)):
            return False
        return self._clock.monotonic_s() - told.since_s >= HEARD_WITHIN_S

    def largest(self, release: Release) -> float:
        note = self._note_of(release)
        return note.largest if note is not None else ALL

    def least(self, release: Release) -> float:
        note = self._note_of(release)
        return min(note.ratio, note.before) if note is not None else ALL

    def _note_of(self, release: Release) -> SamplingSet | None:
        """Return the share in force for the release's model; None if none was read or decided yet."""
        told = self._told.get(release.model)
        return told.note if told is not None else None

    # --- what is needed ------------------------------------------------------------------------------------------
    def _in_release(self, release: Release, told: _Told) -> Need | None:
        """Return the share that the release needs, if it must change; None if it stays, or is not known yet."""
        kept = told.note.release_id == release.id or not _needs_pairs(release)
        if self._fixed is not None:
            same = kept and told.note.ratio == self._fixed
            return None if same else Need(self._fixed, "capture_ratio says so")
        if kept:
            return None
        if release.looks:
            return Need(ALL, "the release began before it was known how much it needs")
        try:
            seen = self._seen(release.model, ("release", release.id), self._ask_all, patience_s=PATIENCE_S)
        except TransientError as error:
            return None if release.phase in _MAY_WAIT else Need(ALL, f"how many requests arrive is not known: {error}")
        if seen is None:
            return None if release.phase in _MAY_WAIT else Need(ALL, "how many requests arrive was not known in time")
        return self._needs.in_release(release.policy, seen)

    def _between(self, policy: ReleasePolicy, told: _Told) -> Need | None:
        if self._fixed is not None:
            return None if told.note.ratio == self._fixed else Need(self._fixed, "capture_ratio says so")
        now_s = self._clock.monotonic_s()
        if now_s - self._looked_s.get(policy.model, -math.inf) < LOOKED_AT_EVERY_S:
            return None
        try:
            seen = self._seen(policy.model, "between", self._ask_traffic, patience_s=0.0)
        except TransientError as error:
            log.debug("model %s: %s", policy.model, error)
            seen = Seen(0.0, 0.0)
        if seen is None:
            return None
        self._looked_s[policy.model] = now_s
        if not seen.day_per_s:  # no requests, or their rate is not known: the share stays
            return None
        need = self._needs.between(policy, seen)
        ratio = kept_between(told.note.ratio, need.ratio)
        return None if ratio == told.note.ratio else replace(need, ratio=ratio)

    def _seen(self, model: str, purpose: Hashable, ask: Callable[[str], Seen], *, patience_s: float) -> Seen | None:
        """Return what is known about the model's traffic; None: the answer is not there yet."""
        found = self._jobs.ask("sampling", model, purpose, lambda: ask(model), patience_s=patience_s)
        return None if isinstance(found, Running) else found

    def _ask_traffic(self, model: str) -> Seen:
        counts = self._metrics.service_errors(model, (_HOUR_S, _DAY_S), at_s=self._clock.now_s())
        hour_per_s, day_per_s = (counts[window_s][1] / window_s for window_s in (_HOUR_S, _DAY_S))
        return Seen(hour_per_s, day_per_s)

    def _ask_all(self, model: str) -> Seen:
        return replace(self._ask_traffic(model), labels=self._labels.labelled(model))

    # --- what is told --------------------------------------------------------------------------------------------
    def _after(self, told: _Told, need: Need, release: Release | None) -> _Told:
        """Return the share after the change. A release that has had a look has samples at the earlier share too."""
        before, now_s = told.note, self._clock.monotonic_s()
        same = release is not None and before.release_id == release.id
        looked_at = release is not None and release.looks > 0
        note = SamplingSet(
            model=before.model,
            ratio=need.ratio,
            reason=need.reason,
            release_id=release.id if release is not None else None,
            largest=max(need.ratio, before.ratio, before.largest if same else 0.0) if looked_at else need.ratio,
            before=min(before.ratio, before.before) if same else before.ratio,
        )
        return _Told(note, now_s if need.ratio > before.ratio else told.since_s, written=False)

    def _write(self, told: _Told) -> None:
        """Record the share in the journal. A share that cannot be recorded is in force all the same, and is recorded
        later."""
        model = told.note.model
        self._journal.note(model_stream(model), [entry_of(told.note, self._clock.now_s())], fence=self._fence())
        self._told[model] = replace(told, written=True)

    def _known(self, model: str) -> _Told:
        """Return the share in force: this controller's, or the last one in the journal, or else the share with which
        replicas begin."""
        if (told := self._told.get(model)) is not None:
            return told
        note = last_set(self._journal, model)
        begun = self._fixed if self._fixed is not None else ALL
        if note is None:
            found = _Told(SamplingSet(model, begun, "nothing is known yet", None, begun, begun), -math.inf)
        else:
            found = _Told(note, self._clock.monotonic_s())
        return self._told.setdefault(model, found)


def _needs_pairs(release: Release) -> bool:
    """Return whether the release compares two versions by samples; a restore or a first version does not."""
    return release.purpose is not Purpose.RESTORE and release.stable is not None
