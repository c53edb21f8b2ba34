"""The controller's own metrics: of itself, and of the newest release of each model. Prometheus asks for them.

Times are told as unix times and never as ages: an age would stand still with whoever tells it.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from prometheus_client import generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from controller.api.callers import Refusals
from controller.api.http import Call, Raw
from controller.api.telemetry_champions import champion_families
from controller.api.telemetry_notices import notice_families
from controller.core.commands import ANY_MODEL
from controller.core.release import Release
from controller.core.traffic import HUNDRED_PCT, TrafficTable
from controller.errors import SerinError, UnreadableError
from controller.journal.codec import release_of
from controller.loop.champions import Told
from controller.loop.courier import Tally
from controller.ports.journal import Feed, Journal, ReleaseSummary
from controller.ports.notices import NoticeQueue
from controller.ports.people import Freezes
from serving import contract as names

TEXT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"


class Followed(Journal, Feed, Protocol):
    """The journal, also by positions."""


@dataclass(frozen=True, slots=True)
class Readings:
    """The places that the controller's metrics are read from, at each scrape. ``under_way`` gives releases as the loop
    knows them, without asking anybody; a controller that stands by has none."""

    journal: Followed
    freezes: Freezes
    leads: Callable[[], bool]
    last_round_s: Callable[[], float]  # unix time
    policy_faults: Callable[[], int]
    models: Callable[[], Collection[str]]
    under_way: Callable[[], Sequence[Release]]
    unreadable: Callable[[], Mapping[str, str]]  # by model, why its release in progress cannot be read
    tables: Callable[[], Iterable[TrafficTable]]
    champions: Callable[[], Mapping[str, Told]]  # by model, as the watch of this process found them last
    notices: NoticeQueue
    tallies: Mapping[str, Tally]  # by target, of this process
    database_bytes: Callable[[], int]
    disk_free_bytes: Callable[[], int]
    refusals: Refusals = field(default_factory=Refusals)


@dataclass(slots=True)
class Telemetry:
    """The page of metrics. What cannot be read is left out, and said by ``serin_controller_unreadable``; everything
    else is told."""

    readings: Readings
    _ended: dict[str, Release | None] = field(default_factory=dict)  # by release: they never change again

    def answer(self, _call: Call) -> Raw:
        """The page that a scrape gets."""
        return Raw(self.page(), TEXT_TYPE)

    def page(self) -> bytes:
        """All metrics, in the text format of Prometheus."""
        return generate_latest(self)  # of a registry, only `collect` is called

    def collect(self) -> Iterator[Metric]:
        """Yield each family of metrics."""
        unreadable = GaugeMetricFamily(names.UNREADABLE_METRIC, "1 for a part that cannot be read.", labels=("part",))
        parts: dict[str, Callable[[], Sequence[Metric]]] = {
            "controller": self._of_itself,
            "journal": self._of_the_journal,
            "freezes": self._of_freezes,
            "traffic": self._of_traffic,
            "notices": self._of_notices,
            "champions": self._of_champions,
            "releases": self._of_releases,
        }
        for part, told in parts.items():
            failed = 0.0
            try:
                yield from told()
            except (SerinError, OSError):
                failed = 1.0
            unreadable.add_metric((part,), failed)
        for model in self.readings.unreadable():
            unreadable.add_metric((f"release of {model}",), 1.0)
        yield unreadable

    def _of_itself(self) -> Sequence[Metric]:
        readings = self.readings
        refused, about = names.API_REFUSED_METRIC.removesuffix("_total"), "Requests to the interface that were refused."
        return (
            CounterMetricFamily(refused, about, value=readings.refusals.count, created=readings.refusals.since_s),
            _one(names.LEADS_METRIC, "1 where this controller leads, 0 where it stands by.", float(readings.leads())),
            _one(names.ROUND_TIME_METRIC, "When a round over all models last began.", readings.last_round_s()),
            _one(names.POLICY_FAULTS_METRIC, "Policy files that are not followed.", readings.policy_faults()),
            _one(names.DISK_FREE_METRIC, "Free bytes where the home is.", readings.disk_free_bytes()),
        )

    def _of_the_journal(self) -> Sequence[Metric]:
        reached = self.readings.journal.feed(after=0, limit=1, kinds=()).reached
        name = names.JOURNAL_ENTRIES_METRIC.removesuffix("_total")  # the library adds it
        return (
            CounterMetricFamily(name, "Entries of the journal, ever written.", value=reached),
            _one(names.DATABASE_METRIC, "Bytes of the journal, samples and labels.", self.readings.database_bytes()),
        )

    def _of_freezes(self) -> Sequence[Metric]:
        frozen = GaugeMetricFamily(names.FROZEN_METRIC, "Freezes that hold the model.", labels=(names.MODEL_LABEL,))
        in_force = self.readings.freezes.in_force()
        for model in sorted(self.readings.models()):
            frozen.add_metric((model,), sum(freeze.model in (model, ANY_MODEL) for freeze in in_force))
        return (frozen,)

    def _of_notices(self) -> Sequence[Metric]:
        return notice_families(self.readings.notices.standing(), self.readings.tallies)

    def _of_champions(self) -> Sequence[Metric]:
        return champion_families(self.readings.champions().values())

    def _of_traffic(self) -> Sequence[Metric]:
        weight = _of_versions(names.WEIGHT_METRIC, "The version's share of users' requests, as they are dealt.")
        for table in self.readings.tables():
            for version, pct in table.weights_pct.items():
                weight.add_metric((table.model, version), pct / HUNDRED_PCT)
        return (weight,)

    def _of_releases(self) -> Sequence[Metric]:
        page = _ReleasePage()
        known = {release.id: release for release in self.readings.under_way()}
        newest = self.readings.journal.current()
        for summary in newest:
            page.add_phase(summary)
            if (release := known.get(summary.release_id) or self._as_it_ended(summary)) is not None:
                page.add(release)
        self._ended = {one.release_id: self._ended[one.release_id] for one in newest if one.release_id in self._ended}
        return page.families()

    def _as_it_ended(self, summary: ReleaseSummary) -> Release | None:
        """The release that is over, read once. None while it goes on: then its leader tells of it; and where this
        version of Serin cannot read it: no other model's goes untold for it."""
        if not summary.active and summary.release_id not in self._ended:
            record = self.readings.journal.release(summary.release_id)
            try:
                self._ended[summary.release_id] = release_of(record) if record is not None else None
            except UnreadableError:
                self._ended[summary.release_id] = None
        return self._ended.get(summary.release_id)


class _ReleasePage:
    """The families that tell of releases, while they are filled in."""

    def __init__(self) -> None:
        gate = names.GATE_LABEL
        self._phase = _of_versions(
            names.PHASE_TIME_METRIC, "Since when a model's newest release is in its phase.", names.PHASE_LABEL
        )
        self._deadline = _of_versions(names.DEADLINE_METRIC, "When the release's phase has to be over.")
        self._look = _of_versions(names.LOOK_TIME_METRIC, "When the evidence was last looked at.")
        self._fault = _of_versions(
            names.FAULT_METRIC, "1 while a source of evidence cannot be read.", names.SOURCE_LABEL
        )
        self._blamed = _of_versions(names.BLAMED_METRIC, "1 for each gate that failed the release.", gate)
        self._outcome = _of_versions(names.GATE_METRIC, "1 for a gate's latest outcome.", gate, names.OUTCOME_LABEL)
        self._value = _of_versions(names.GATE_VALUE_METRIC, "The value that a gate measured, in its own unit.", gate)
        self._samples = _of_versions(names.GATE_SAMPLES_METRIC, "How many samples that value rests on.", gate)

        about = "1 where an objective is missed, and nothing tells by whose fault."
        self._breach = _of_versions(names.BREACH_METRIC, about, gate)

    def add_phase(self, summary: ReleaseSummary) -> None:
        """Tell where the release stands."""
        self._phase.add_metric((summary.model, summary.version, summary.phase), summary.phase_since_s)

    def add(self, release: Release) -> None:
        """Tell what the release knows."""
        own = (release.model, release.candidate.number)
        for gate in release.blamed:
            self._blamed.add_metric((*own, gate), 1)
        for gate, verdict in release.verdicts.items():
            self._outcome.add_metric((*own, gate, verdict.outcome), 1)
            self._samples.add_metric((*own, gate), verdict.samples)
            if verdict.value is not None:
                self._value.add_metric((*own, gate), verdict.value)
        if not release.active:
            return
        for gate, verdict in release.verdicts.items():
            if verdict.breach:
                self._breach.add_metric((*own, gate), 1)
        for source in release.faults:
            self._fault.add_metric((*own, source), 1)
        if release.deadline_at_s is not None:
            self._deadline.add_metric(own, release.deadline_at_s)
        if release.looked_at_s is not None:
            self._look.add_metric(own, release.looked_at_s)

    def families(self) -> Sequence[Metric]:
        """Every family."""
        gates = (self._blamed, self._outcome, self._value, self._samples, self._breach)
        return (self._phase, self._deadline, self._look, self._fault, *gates)


def _of_versions(name: str, about: str, *more: str) -> GaugeMetricFamily:
    """A gauge by model and version, and by which labels besides."""
    return GaugeMetricFamily(name, about, labels=(names.MODEL_LABEL, names.VERSION_LABEL, *more))


def _one(name: str, about: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, about, value=value)
