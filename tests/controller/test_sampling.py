"""How large a share of the requests is sampled: decided once a release, and kept until it ends, whatever happens."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from controller.core.policy import ReleasePolicy
from controller.core.release import Phase, Purpose, Release
from controller.core.sampling import ALL, Labelled, Need, Seen, kept_between
from controller.errors import ConflictError, Source, TransientError
from controller.journal.codec import note_of
from controller.journal.notes import SamplingSet
from controller.loop.jobs import InlineJobs
from controller.loop.sampling import HEARD_WITHIN_S, LOOKED_AT_EVERY_S, Everything, Needs, SampledAsNeeded
from controller.ports.journal import Entry
from tests.controller.releases import POLICY, release_in
from tests.controller.service import GOOD
from tests.controller.world import World
from tests.fakes.clock import FakeClock
from tests.fakes.journal import FakeJournal
from tests.fakes.metrics import FakeMetrics

MODEL = POLICY.model
BEGINS = release_in(Phase.PREFLIGHT)


class Full(FakeJournal):
    """A journal that may refuse what is written to it."""

    refuses = False

    def note(self, stream: str, entries: "list[Entry]", *, fence: int | None = None) -> None:  # type: ignore[override]
        if self.refuses:
            raise TransientError(Source.JOURNAL, "the disk is full")
        super().note(stream, entries, fence=fence)


@dataclass
class Labels:
    """Implements ``LabelArrivals``."""

    found: Labelled | None = None

    def labelled(self, model: str) -> Labelled | None:
        del model
        return self.found


@dataclass
class Setting:
    """One model's sampling, and everything that it depends on. ``needed`` may be changed while it goes on."""

    needed: float = 0.25
    needed_between: float = ALL
    fixed: float | None = None
    journal: Full = field(default_factory=Full)
    clock: FakeClock = field(default_factory=FakeClock)
    metrics: FakeMetrics = field(default_factory=FakeMetrics)
    seen: list[Seen] = field(default_factory=list)
    leads: bool = True

    def __post_init__(self) -> None:
        self.metrics.burning = (0, 864_000)  # in the hour, and in the day
        self.sampling = self.started()

    def started(self) -> SampledAsNeeded:
        """As a controller starts it that finds the journal as it stands."""

        def in_release(_: ReleasePolicy, seen: Seen) -> Need:
            self.seen.append(seen)
            return Need(self.needed, "its gates need no more")

        def between(_: ReleasePolicy, seen: Seen) -> Need:
            self.seen.append(seen)
            return Need(self.needed_between, "no more is compared with")

        def fence() -> int:
            if not self.leads:
                raise ConflictError(Source.LEADERSHIP, "another one leads")
            return 1

        return SampledAsNeeded(
            Needs(in_release, between),
            self.metrics,
            Labels(Labelled(0.1, 600.0)),
            self.journal,
            self.clock,
            InlineJobs(),
            fence,
            fixed=self.fixed,
        )

    def minds(self, release: Release | None) -> float | None:
        """The share that replicas are told after a turn of the model."""
        self.sampling.mind(POLICY, release)
        return self.sampling.ratio_of(MODEL)

    @property
    def notes(self) -> list[SamplingSet]:
        found = [note_of(entry) for entry in self.journal.stream_page(f"model:{MODEL}", after=0, limit=100)]
        return [note for note in found if isinstance(note, SamplingSet)]


@pytest.fixture
def it() -> Setting:
    return Setting()


def test_before_anything_is_known_all_are_sampled(it: Setting) -> None:
    assert it.sampling.ratio_of(MODEL) == ALL
    assert it.notes == []


def test_a_release_is_given_what_its_gates_need_by_the_traffic_and_the_labels_seen(it: Setting) -> None:
    assert it.minds(BEGINS) == 0.25
    assert it.seen == [Seen(240.0, 10.0, Labelled(0.1, 600.0))]
    assert it.notes == [SamplingSet(MODEL, 0.25, "its gates need no more", BEGINS.id, 0.25, ALL)]
    assert (it.sampling.largest(BEGINS), it.sampling.least(BEGINS)) == (0.25, 0.25)


@pytest.mark.parametrize("phase", [Phase.PREFLIGHT, Phase.SHADOW, Phase.CANARY, Phase.HELD, Phase.PROBATION])
@pytest.mark.parametrize("needed", [0.125, ALL])
def test_it_is_kept_until_the_release_ends(it: Setting, phase: Phase, needed: float) -> None:
    """Whatever the traffic is like later: labels of two shares would not be equally likely."""
    it.minds(BEGINS)
    it.needed = it.needed_between = needed
    it.metrics.burning = (0, 10)
    for _ in range(5):
        it.clock.pass_s(LOOKED_AT_EVERY_S)
        assert it.minds(release_in(phase, looks=40)) == 0.25
    assert len(it.notes) == 1


def test_a_controller_that_starts_again_keeps_it(it: Setting) -> None:
    it.minds(BEGINS)
    it.needed = it.needed_between = ALL
    it.metrics.away = "not up yet"
    for release in (BEGINS, release_in(Phase.SHADOW, looks=3), release_in(Phase.CANARY, looks=9)):
        it.sampling = it.started()
        assert it.sampling.ratio_of(MODEL) == 0.25, "replicas ask before the first turn"
        assert it.minds(release) == 0.25
        assert it.sampling.largest(release) == 0.25
    assert len(it.notes) == 1


def test_what_is_not_known_is_waited_for_until_evidence_is_due(it: Setting) -> None:
    it.metrics.away = "Prometheus is not up yet"
    assert it.minds(release_in(Phase.PENDING)) == ALL
    assert it.notes == []
    assert not it.sampling.is_settled(release_in(Phase.PENDING))
    it.metrics.away = None
    assert it.minds(release_in(Phase.SUITE)) == 0.25


def test_what_is_not_known_in_time_needs_all(it: Setting) -> None:
    it.metrics.away = "Prometheus hangs"
    assert it.minds(release_in(Phase.SHADOW)) == ALL
    assert "Prometheus hangs" in it.notes[-1].reason
    it.metrics.away = None
    assert it.minds(release_in(Phase.SHADOW)) == ALL, "it is not lowered in the midst of it"


def test_a_release_that_had_begun_before_anything_was_decided_needs_all(it: Setting) -> None:
    """By an earlier version of Serin, whose replicas sampled all."""
    assert it.minds(release_in(Phase.CANARY, looks=20)) == ALL
    assert it.notes[-1].release_id == BEGINS.id


@pytest.mark.parametrize("release", [release_in(purpose=Purpose.RESTORE), release_in(stable=None)], ids=str)
def test_a_release_that_compares_nothing_changes_nothing(it: Setting, release: Release) -> None:
    assert it.minds(release) == ALL
    assert it.notes == []
    assert it.sampling.is_settled(release)


# --- the evidence begins once everybody goes by it --------------------------------------------------------------------
def test_a_greater_share_is_heard_of_before_the_first_look(it: Setting) -> None:
    it.needed_between, it.needed = 0.125, 0.5
    assert it.minds(None) == 0.125
    assert it.minds(BEGINS) == 0.5
    assert it.sampling.least(BEGINS) == 0.125, "labels of requests of before may come"
    it.clock.pass_s(HEARD_WITHIN_S - 1)
    assert not it.sampling.is_settled(BEGINS)
    it.clock.pass_s(1)
    assert it.sampling.is_settled(BEGINS)


def test_a_smaller_share_is_waited_for_by_nobody(it: Setting) -> None:
    """Whoever has not heard of it samples more, and that is thinned out."""
    assert it.minds(BEGINS) == 0.25
    assert it.sampling.is_settled(BEGINS)


def test_nothing_is_settled_before_it_is_decided(it: Setting) -> None:
    assert not it.sampling.is_settled(BEGINS)
    it.minds(BEGINS)
    assert not it.sampling.is_settled(replace(BEGINS, id="another"))
    assert it.sampling.is_settled(replace(BEGINS, id="another", looks=1)), "one that was looked at goes on"


def test_a_step_of_the_wall_clock_changes_nothing(it: Setting) -> None:
    it.needed_between, it.needed = 0.125, 0.5
    it.minds(None)
    it.minds(BEGINS)
    it.clock.step(-86_400.0)
    assert not it.sampling.is_settled(BEGINS)
    it.clock.step(10 * 86_400.0)
    assert not it.sampling.is_settled(BEGINS)
    assert it.minds(None) == 0.5, "and the next look between releases is no sooner due"


# --- between releases -------------------------------------------------------------------------------------------------
def test_between_releases_less_is_sampled_and_it_is_said_once(it: Setting) -> None:
    it.needed_between = 0.03125
    for _ in range(20):
        assert it.minds(None) == 0.03125
        it.clock.pass_s(60.0)
    assert it.notes == [SamplingSet(MODEL, 0.03125, "no more is compared with", None, 0.03125, ALL)]
    assert len(it.seen) == 2, "it is looked at now and then"


def test_traffic_that_comes_and_goes_changes_nothing(it: Setting) -> None:
    """Nor does a controller that starts again and again."""
    told = []
    for needed in (0.25, 0.125, 0.25, 0.125, 0.25, 0.125):
        it.needed_between = needed
        it.sampling = it.started()
        told.append(it.minds(None))
    assert told == [0.25] * 6
    assert len(it.notes) == 1


@pytest.mark.parametrize(
    ("present", "needed", "kept"),
    [
        (ALL, ALL, ALL),
        (ALL, 0.5, ALL),
        (ALL, 0.25, 0.25),
        (0.25, 0.5, 0.5),
        (0.25, 0.125, 0.25),
        (0.25, 0.0625, 0.0625),
    ],
)
def test_more_at_once_and_less_where_much_less_will_do(present: float, needed: float, kept: float) -> None:
    assert kept_between(present, needed) == kept


@pytest.mark.parametrize("away", [True, False])
def test_where_nobody_knows_the_traffic_the_share_stays(it: Setting, away: bool) -> None:
    it.needed_between = 0.03125
    it.metrics.away = "not up" if away else None
    it.metrics.burning = (0, 0)
    assert it.minds(None) == ALL
    assert it.notes == []


def test_after_a_release_the_time_between_is_seen_to_again(it: Setting) -> None:
    it.minds(BEGINS)
    it.needed_between = 0.03125
    assert it.minds(None) == 0.03125
    assert it.minds(replace(BEGINS, id="the next")) == 0.25


# --- what a person says -----------------------------------------------------------------------------------------------
def test_a_number_that_a_person_gave_stays() -> None:
    it = Setting(fixed=0.2, needed_between=0.03125)
    for release in (None, BEGINS, release_in(Phase.SHADOW, looks=3), None):
        it.clock.pass_s(LOOKED_AT_EVERY_S)
        assert it.minds(release) == 0.2
    assert it.seen == []
    assert it.sampling.largest(BEGINS) == 0.2


def test_a_number_that_a_person_gives_in_the_midst_of_a_release_counts(it: Setting) -> None:
    """Samples of the share before are among those of the release: so many may come."""
    it.minds(BEGINS)
    seen = release_in(Phase.CANARY, looks=20)
    for fixed, largest, least in ((0.5, 0.5, 0.25), (0.125, 0.5, 0.125), (0.25, 0.5, 0.125)):
        it.fixed = fixed
        it.sampling = it.started()
        assert it.minds(seen) == fixed
        assert (it.sampling.largest(seen), it.sampling.least(seen)) == (largest, least)


# --- when parts fail --------------------------------------------------------------------------------------------------
def test_a_journal_that_cannot_be_written_is_written_later(it: Setting) -> None:
    it.journal.refuses = True
    assert it.minds(BEGINS) == 0.25
    assert it.sampling.is_settled(BEGINS)
    it.journal.refuses = False
    assert it.minds(BEGINS) == 0.25
    assert [note.ratio for note in it.notes] == [0.25]


def test_who_does_not_lead_says_nothing(it: Setting) -> None:
    it.minds(BEGINS)
    it.leads = False
    assert it.sampling.ratio_of(MODEL) is None
    it.needed = ALL
    it.minds(replace(BEGINS, id="the next"))
    assert len(it.notes) == 1


def test_where_everything_is_sampled_there_is_nothing_to_see_to() -> None:
    every = Everything()
    every.mind(POLICY, BEGINS)
    assert (every.is_settled(BEGINS), every.largest(BEGINS), every.least(BEGINS)) == (True, ALL, ALL)


# --- a whole release --------------------------------------------------------------------------------------------------
@pytest.fixture
def needs() -> Callable[[float, float], Needs]:
    return lambda in_release, between: Needs(
        lambda *_: Need(in_release, "gates need it"), lambda *_: Need(between, "no more is compared with")
    )


def test_a_release_waits_for_its_share_and_goes_its_way(tmp_path: Path, needs: Callable[[float, float], Needs]) -> None:
    """Restarted in the midst of it: one decision for the release, one before and one after it."""
    world = World(tmp_path)
    world.needs = needs(0.5, 0.125)
    world.restart()
    world.given(candidate=None).when_time_passes(LOOKED_AT_EVERY_S + 60)
    world.given_candidate("v7", GOOD).when_phase(Phase.SHADOW)
    began_s = world.release.started_at_s
    world.when(lambda: world.release.looks == 1)
    first_s = world.release.looked_at_s
    assert first_s is not None
    assert first_s - began_s >= HEARD_WITHIN_S
    world.restart()
    world.when_settled()
    world.restart()
    world.when_phase(Phase.PROMOTED)
    world.when_time_passes(LOOKED_AT_EVERY_S)
    found = [note_of(entry) for entry in world.journal.stream_page("model:intent", after=0, limit=100)]
    told = [(note.ratio, note.release_id) for note in found if isinstance(note, SamplingSet)]
    assert told == [(0.125, None), (0.5, world.release.id), (0.125, None)]
