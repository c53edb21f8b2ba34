"""The gathering of one look from its sources. A source that does not answer becomes a fault of the look and keeps its
cursor."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from controller.core.abilities import load_ratio
from controller.core.actions import route_of
from controller.core.labels import LabelNames, NamesRead
from controller.core.release import Cursors, Phase, Release
from controller.core.traffic import HUNDRED_PCT, TrafficTable
from controller.errors import AmbiguousError, PermanentError, TransientError
from controller.loop import crosscheck, dealing, look_fields
from controller.loop.started_again import Users
from controller.ports.metrics import CounterCursor, GatewayCounts, MetricCounts, Metrics
from controller.ports.runtime import Deployments
from controller.ports.samples import AnswerCounts, SampleCursor, SampleEvidence, Samples
from gates.checks import GATEWAY, GATEWAY_TIMES, LABELS, METRICS, PREDICTIONS
from gates.evidence import Earlier, Fault, Look
from gates.online.accuracy_slices.choice import chosen
from gates.online.slices import unseen_classes
from gates.verdict import Window
from serving.package.artifact import TOKENIZER_FILE, Manifest

_IN_STEP = 3.0  # a look counts as on time up to this many intervals after the one before


@dataclass(frozen=True, slots=True)
class Sources:
    """The sources that a look is read from. ``captured``: the largest share of requests (0 to 1) at which the samples
    may have been taken. ``labelled``: the smallest share at which a request whose label comes may have been sampled."""

    metrics: Metrics
    samples: Samples
    deployments: Deployments
    captured: float = 1.0
    labelled: float = 1.0


def look_at(
    sources: Sources,
    release: Release,
    stable: Manifest | None,
    candidate: Manifest | None,
    *,
    now_s: float,
    label_names: Mapping[str, str] = MappingProxyType({}),
    users: Users = Users.COUNT,
    earlier: Sequence[Earlier] = (),
) -> tuple[Look, Cursors]:
    """Return the next look at the release, and the cursors for the look after it. The manifests give the classes and
    the tokenizer.

    ``label_names``: the current policy's, not the release's, so that a wrong name can be corrected during a release.
    ``earlier``: the findings of earlier releases, for the first looks. ``users``: how the gateway's counts are used. If
    they are left out, the next look does not count them either, because some of them are scraped late.

    The window starts where the counters were last read. After an outage of the metrics that is before the last look.

    Raises:
        PermanentError: the release has no stable version.
    """
    if release.stable is None:
        raise PermanentError(f"release {release.id} has no stable version to compare with")
    reading = _Reading(sources, release, now_s)
    counts = reading.metrics()
    got = reading.users(users)
    classes = look_fields.classes_of(stable, candidate)
    known = stable is not None and candidate is not None
    found = reading.samples(counts, LabelNames(classes, label_names)) if known else reading.no_classes()
    arms = (release.stable.number, release.candidate.number)
    route = route_of(release)
    table = TrafficTable(release.model, route.weights_pct, route.mirror) if route is not None else None
    share = table.share_of(arms[1]) if table is not None else 0.0
    both_ways = release.mirrors_both_ways
    mirrored = table is not None and _all_mirrored(table) and (both_ways or share == 0)
    reading.cross_check(counts, got, found, mirrored=mirrored)
    reading.dealt(got, share)
    window = Window(_start_s(release, counts), now_s)
    evidence = _evidence(reading, _Told(counts, got, found), table, window, classes, stable)
    look = Look(
        sequence=release.looks + 1,
        window=window,
        candidate_share=share,
        mirrors=release.mirrors,
        load_ratio=load_ratio(table, arms[1], both_ways=both_ways) if table is not None else 1.0,
        classes=classes,
        reference=tuple(look_fields.profile(None, block, classes) for block in reading.reference),
        tokenizer_pinned=candidate.files[TOKENIZER_FILE].sha256 if candidate is not None else "",
        tokens_max=candidate.max_tokens if candidate is not None else 0,
        faults=tuple(reading.faults),
        least_likely=reading.cursors.least_likely,
        warming=reading.warming,
        sticky=release.sticky,
        earlier=tuple(earlier),
        **evidence,
    )
    return look, reading.cursors


def _start_s(release: Release, counts: MetricCounts | None) -> float:
    """Return the unix time at which the counters were last read: after an outage of the metrics, before the last
    look."""
    if counts is not None and release.cursors.counters is not None:
        return release.cursors.counters_at_s
    return release.looked_at_s or release.phase_since_s


@dataclass(frozen=True, slots=True)
class _Told:
    """The answers of the sources; None for a source that did not answer."""

    counts: MetricCounts | None
    users: GatewayCounts | None
    samples: SampleEvidence | None


def _evidence(
    reading: "_Reading",
    told: _Told,
    table: TrafficTable | None,
    window: Window,
    classes: tuple[str, ...],
    stable: Manifest | None,
) -> dict[str, Any]:
    """Return the fields of the look that come from the sources' answers."""
    release, arms, counts, found = reading.release, reading.versions, told.counts, told.samples
    both_ways = release.mirrors_both_ways
    fields: dict[str, Any] = {}
    if counts is not None:
        fields |= look_fields.counted(counts, *arms)
        copied_back = release.copied_back_pct or (release.sticky and _copied_back(table, *arms, both_ways=both_ways))
        fields["former"] = counts.shadow.get(arms[0]) if copied_back else None
        fields |= look_fields.by_users(counts, arms[0]) if release.sticky else {}
    if told.users is not None:
        fields["users"] = look_fields.users_of(told.users, counts, *arms, copied_back=release.copied_back_pct > 0)
    if found is not None:
        fields |= look_fields.sampled(found, reading.labelled)
        fields["pair_profile"] = look_fields.pair_profile(found.pair_counts, classes)
        impossible = unseen_classes(reading.slices, stable.labels if stable is not None else ())
        unseen = (one for one in found.unseen_slices if one.slice in reading.slices)
        fields["unseen_slices"] = (*impossible, *unseen)
    answers = (found.stable_answers, found.candidate_answers) if found is not None else (None, None)
    for name, number, sampled in zip(("stable", "candidate"), arms, answers, strict=True):
        usage = counts.usage[number] if counts is not None else None
        fields[f"{name}_profile"] = look_fields.profile(usage, sampled, classes)
        if counts is not None and usage is not None:
            restarts = reading.restarts(number) if name == "candidate" else None
            fields[f"{name}_resources"] = look_fields.resources(release, counts, number, window, restarts)
    return fields


class _Reading:
    """The reading of one look: asks one source after the other, moves the cursors of those that answer, and collects
    the faults."""

    def __init__(self, sources: Sources, release: Release, now_s: float) -> None:
        if release.stable is None:
            raise PermanentError(f"release {release.id} has no stable version to compare with")
        self._sources = sources
        self.release = release
        self.versions = (release.stable.number, release.candidate.number)
        self._now_s = now_s
        self.cursors = release.cursors
        self.faults: list[Fault] = []
        self.reference: Sequence[AnswerCounts] = ()
        self.slices = [part.name for part in release.policy.gates.slices]
        self.labelled = sources.labelled

    def no_classes(self) -> SampleEvidence | None:
        """Note that no samples are read: each label is read only once, and the classes are not known yet."""
        reason = "the packages of both versions are not verified yet, so their classes are not known"
        self.faults += [Fault(LABELS, reason), Fault(PREDICTIONS, reason)]
        return None

    def metrics(self) -> MetricCounts | None:
        before = self.cursors
        cursor = CounterCursor(before.counters, before.counters_at_s) if before.counters is not None else None
        try:
            counts = self._sources.metrics.counts(self.release.model, self.versions, cursor, at_s=self._now_s)
        except TransientError as error:
            self.faults.append(Fault(METRICS, str(error)))
            if isinstance(error, AmbiguousError) and error.is_over(self._now_s):
                self.cursors = replace(before, counters=None)
            return None
        lost = counts.usage[self.versions[1]].worker_restarts
        self.cursors = replace(
            before,
            counters=dict(counts.cursor.values),
            counters_at_s=counts.cursor.at_s,
            worker_restarts=before.worker_restarts if lost is None else (before.worker_restarts or 0) + lost,
        )
        return counts

    def users(self, taken: Users) -> GatewayCounts | None:
        """Return what users got, as the gateway counted it; None if the counts are left out or not available. After
        they were left out, the next look begins to count afresh: missing answers were our doing."""
        before = self.cursors
        if taken is Users.LEFT_OUT:
            self.cursors = replace(before, gateway=None, started_again_s=self._now_s)
            reason = "Serin restarted versions: users' requests of that time do not count"
            self.faults.append(Fault(GATEWAY, reason))
            return None
        if taken is Users.LATER:
            self.faults.append(Fault(GATEWAY, "it is not known yet whether Serin restarted versions"))
            return None
        cursor = CounterCursor(before.gateway, before.gateway_at_s) if before.gateway is not None else None
        try:
            counts = self._sources.metrics.gateway(self.release.model, self.versions, cursor, at_s=self._now_s)
        except TransientError as error:
            self.faults.append(Fault(GATEWAY, str(error)))
            if isinstance(error, AmbiguousError) and error.is_over(self._now_s):
                self.cursors = replace(before, gateway=None)
            return None
        self.cursors = replace(before, gateway=dict(counts.cursor.values), gateway_at_s=counts.cursor.at_s)
        if counts.times_untold and self.release.policy.gates.latency is not None:
            self.faults.append(Fault(GATEWAY_TIMES, f"not reported by this gateway: {counts.times_untold}"))
        return counts

    def cross_check(
        self, counts: MetricCounts | None, users: GatewayCounts | None, found: SampleEvidence | None, *, mirrored: bool
    ) -> None:
        """Compare the sums of what the sources have reported so far, and add faults if they contradict each other.

        The sums begin at the first look at which every source answered. After a gap, in which the gateway may have
        restarted unseen, the sums of live requests begin again, because they would lack requests. The sums of pairs go
        on, because nothing is mirrored while a release is held. While Serin restarts versions, requests are mirrored
        but not counted, so all sums begin again.
        """
        if self.cursors.gateway is None or self.cursors.counters is None:
            self.cursors = replace(self.cursors, arrived={})
            return
        before = crosscheck.Arrived(self.release.cursors.arrived)
        now = before.plus(crosscheck.asked(users) if users is not None else {})
        now = now.plus(crosscheck.answered(counts) if counts is not None else {})
        now = now.plus(crosscheck.sampled(found, *self.versions) if found is not None else {})
        if not (before.begun and self._gateway_in_step):
            all_told = counts is not None and users is not None and found is not None
            kept = now.of_pairs() if before.sums else {}
            self.cursors = replace(self.cursors, arrived={**kept, **(crosscheck.BEGUN if all_told else {})})
            return
        now = now.on_pairs(before, mirrored=mirrored and self._in_step)
        self.cursors = replace(self.cursors, arrived=dict(now.sums))
        if found is not None:
            self.faults += crosscheck.unpaired(before, now, self.versions)
        if users is not None:
            policy, captured = self.release.policy, self._sources.captured
            copied = min(policy.mirror_pct, self.release.copied_back_pct or policy.mirror_pct) / 100
            self.faults += crosscheck.contradictions(before, now, self.versions, captured=captured, copied=copied)

    def dealt(self, users: GatewayCounts | None, share: float) -> None:
        """Check the shares that the gateway served against the written ones. A difference is a fault of the gateway,
        and says nothing about the candidate."""
        kept, faults = dealing.judged(self.release, dealing.dealt(self.release, users), share)
        self.cursors = replace(self.cursors, dealt=kept)
        self.faults += faults

    @property
    def warming(self) -> bool:
        """Return whether any answer that this look counts was given while a version warmed up. The counts of replicas
        and of the gateway may begin at different times."""
        warm_at_s = replace(self.release, cursors=self.cursors).warm_at_s
        before = self.release.cursors
        since_s = [self.release.looked_at_s or self.release.phase_since_s]
        since_s += [before.counters_at_s] if before.counters is not None else []
        since_s += [before.gateway_at_s] if before.gateway is not None else []
        return warm_at_s is not None and min(since_s) < warm_at_s

    @property
    def _in_step(self) -> bool:
        """Return whether the last look was taken on time. It was not if the release was held, when nothing is
        mirrored."""
        since_s = self.release.looked_at_s
        return since_s is not None and self._is_recent(since_s)

    @property
    def _gateway_in_step(self) -> bool:
        """Return whether the gateway was last read on time. After a longer time not every sample is there."""
        before = self.release.cursors
        return before.gateway is not None and self._is_recent(before.gateway_at_s)

    def _is_recent(self, at_s: float) -> bool:
        probation = self.release.phase is Phase.PROBATION
        return self._now_s - at_s < _IN_STEP * self.release.policy.written_every_s(probation=probation)

    def samples(self, counts: MetricCounts | None, names: LabelNames) -> SampleEvidence | None:
        """Return the samples since the last look; None if the store does not answer. The reference, answers from before
        the release, is read once, as soon as its bins are known."""
        before, samples, model = self.cursors, self._sources.samples, self.release.model
        settled_before_s = self._now_s - self.release.policy.gates.labels.unmatched_grace_s
        try:
            cursor = _sample_cursor(before, samples.latest())
            found = samples.since(
                model,
                *self.versions,
                cursor,
                slices=[*self.slices, *self._watched(samples)],
                names=names,
                settled_before_s=settled_before_s,
            )
            if counts is not None and counts.token_edges and names.classes and not before.reference_read:
                self.reference = self._reference(samples, cursor, counts.token_edges)
                self.cursors = replace(self.cursors, reference_read=True)
        except TransientError as error:
            self.faults += [Fault(LABELS, str(error)), Fault(PREDICTIONS, str(error))]
            return None
        self.cursors = replace(
            self.cursors,
            first_pair=found.cursor.first_pair,
            pair=found.cursor.pair,
            labelled_pair=found.cursor.labelled_pair,
            labelled_answer=found.cursor.labelled_answer,
            prediction=found.cursor.prediction,
            first_labelled_answer=found.cursor.first_labelled_answer,
            first_label=found.cursor.first_label,
            first_dispute=found.cursor.first_dispute,
            label_names=dict(found.cursor.names.aliases) if found.cursor.names is not None else None,
            least_likely=found.cursor.least_likely,
            label_names_away=dict(found.cursor.names.away) if found.cursor.names is not None else {},
        )
        return found

    def _watched(self, samples: Samples) -> tuple[str, ...]:
        """Return the slices that are watched although the policy does not name them; they are chosen once, from
        stable's recent answers."""
        policy = self.release.policy.gates.accuracy_slices
        if policy is None:
            return ()
        if self.cursors.watched_slices is None:
            found = chosen(samples.last_answers(self.release.model, self.versions[0]), policy, self.slices)
            self.cursors = replace(self.cursors, watched_slices=found)
        return self.cursors.watched_slices or ()

    def _reference(self, samples: Samples, cursor: SampleCursor, token_edges: Sequence[int]) -> Sequence[AnswerCounts]:
        drift = self.release.policy.gates.drift
        if drift is None:
            return ()
        since_s = self.release.started_at_s - drift.reference_s
        return samples.reference(self.release.model, self.versions[0], cursor, since_s=since_s, token_edges=token_edges)

    def restarts(self, number: str) -> int | None:
        """Return the number of restarts of the version's replicas and of their workers since the first look; None if it
        is not known."""
        try:
            status = self._sources.deployments.status(self.release.model).get(number)
        except TransientError:  # reported when the version is kept running; this look has no number
            return None
        restarts = status.restarts if status is not None else None
        if restarts is not None and self.cursors.restarts_before is None:
            self.cursors = replace(self.cursors, restarts_before=restarts)
        known = [self.cursors.worker_restarts]
        if restarts is not None:
            known.append(max(restarts - (self.cursors.restarts_before or 0), 0))
        numbers = [number for number in known if number is not None]
        return sum(numbers) if numbers else None


def _all_mirrored(table: TrafficTable) -> bool:
    """Return whether every live request is copied. A version that serves all requests alone has no other version to
    send copies to."""
    everything = table.mirror is not None and table.mirror.pct == HUNDRED_PCT
    return everything and all(table.copied_to(version) is not None for version in table.weights_pct)


def _copied_back(table: TrafficTable | None, stable: str, candidate: str, *, both_ways: bool) -> bool:
    """Return whether the candidate's live requests are copied to stable."""
    return both_ways and table is not None and table.share_of(candidate) > 0 and table.copied_to(candidate) == stable


def _sample_cursor(cursors: Cursors, latest: SampleCursor) -> SampleCursor:
    """Return the cursor to read samples from. Samples that no look has read yet are read from ``latest`` on."""
    if cursors.first_pair is None:
        return latest

    def known(value: int | None, otherwise: int) -> int:
        return otherwise if value is None else value

    return SampleCursor(
        cursors.pair,
        cursors.labelled_pair,
        cursors.labelled_answer,
        first_pair=cursors.first_pair,
        prediction=known(cursors.prediction, latest.prediction),
        first_labelled_answer=known(cursors.first_labelled_answer, latest.labelled_answer),
        first_label=known(cursors.first_label, latest.first_label),
        first_dispute=known(cursors.first_dispute, latest.first_dispute),
        names=NamesRead(cursors.label_names, cursors.label_names_away) if cursors.label_names is not None else None,
        least_likely=cursors.least_likely,
    )
