"""The controller's own metrics: what a scrape gets, from whom, and what is left out when something cannot be read."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import pytest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from controller.api.telemetry import Readings, Telemetry
from controller.core.champion import Bounds, Champion, Mix
from controller.core.commands import ANY_MODEL, Freeze
from controller.core.release import Phase, Release
from controller.core.traffic import TrafficTable
from controller.errors import Source, TransientError
from controller.journal.codec import record_of
from controller.loop.champion_figures import Figures
from controller.loop.champions import Told as Watching
from controller.loop.courier import Tally
from controller.ports.champions import Watched
from controller.ports.journal import Entry
from controller.roles import Role
from gates.outcome import Outcome
from gates.verdict import Stage
from serving import contract as names
from tests.contracts.notices import ROLLED_BACK
from tests.controller.api_support import World
from tests.controller.releases import NOW_S, release_in, verdict
from tests.fakes.notices import FakeNotices


@dataclass
class Told:
    """A controller of the models intent and tone, and its page."""

    world: World = field(default_factory=World)
    under_way: list[Release] = field(default_factory=list)
    unreadable: dict[str, str] = field(default_factory=dict)
    leads: bool = True
    database_answers: bool = True
    champions: dict[str, Watching] = field(default_factory=dict)
    notices: FakeNotices = field(default_factory=FakeNotices)
    tallies: dict[str, Tally] = field(default_factory=dict)

    def __post_init__(self) -> None:
        table = TrafficTable("intent", {"6": 95.0, "7": 5.0}, known_good="6", generation=3)
        self.telemetry = Telemetry(
            Readings(
                journal=self.world.journal,
                freezes=self.world.freezes,
                leads=lambda: self.leads,
                last_round_s=lambda: NOW_S,
                policy_faults=lambda: 1,
                models=lambda: {"intent", "tone"},
                under_way=lambda: self.under_way,
                unreadable=lambda: self.unreadable,
                tables=lambda: [table],
                champions=lambda: self.champions,
                notices=self.notices,
                tallies=self.tallies,
                database_bytes=self._bytes,
                disk_free_bytes=lambda: 5_000_000,
            )
        )

    def _bytes(self) -> int:
        if not self.database_answers:
            raise TransientError(Source.STORE, "away")
        return 4096

    def keep(self, release: Release) -> None:
        """The release stands in the journal; one that is over is under way no more."""
        standing = self.world.journal.release(release.id)
        sequence = standing.sequence + 1 if standing is not None else 1
        self.world.journal.append(record_of(release, sequence), [Entry("event", NOW_S, {})])
        self.under_way = [release] if release.active else []

    def samples(self) -> Sequence[Sample]:
        families = text_string_to_metric_families(self.telemetry.page().decode())
        return [sample for family in families for sample in family.samples]

    def of(self, name: str) -> dict[tuple[str, ...], float]:
        """The metric's samples, by the values of their labels: model and version first."""
        order = (
            "model",
            "model_version",
            "phase",
            "gate",
            "source",
            "outcome",
            "part",
            "target",
            "cause",
            "mix",
            "window_s",
            "bound",
        )
        found = [one for one in self.samples() if one.name == name]
        return {tuple(one.labels[label] for label in order if label in one.labels): one.value for one in found}


@pytest.fixture
def told() -> Told:
    return Told()


def test_a_release_is_told_with_its_times_and_what_its_gates_say(told: Told) -> None:
    outcome = replace(verdict("drift.classes", Outcome.FAIL, Stage.LIVE, advisory=True), value=0.25, samples=400)
    release = release_in(
        Phase.CANARY, verdicts={"drift.classes": outcome}, looked_at_s=NOW_S + 5, faults={"gateway": "away"}
    )
    told.keep(release)
    own = ("intent", "7")
    assert told.of(names.PHASE_TIME_METRIC) == {(*own, "canary"): NOW_S}
    assert told.of(names.DEADLINE_METRIC) == {own: NOW_S + 3_600}
    assert told.of(names.LOOK_TIME_METRIC) == {own: NOW_S + 5}
    assert told.of(names.FAULT_METRIC) == {(*own, "gateway"): 1}
    assert told.of(names.GATE_METRIC) == {(*own, "drift.classes", "fail"): 1}
    assert told.of(names.GATE_VALUE_METRIC) == {(*own, "drift.classes"): 0.25}
    assert told.of(names.GATE_SAMPLES_METRIC) == {(*own, "drift.classes"): 400}


def test_a_breach_that_blames_nobody_is_told_while_the_release_goes_on(told: Told) -> None:
    breach = replace(verdict("budget.burn", Outcome.INCONCLUSIVE, Stage.LIVE, advisory=True), breach=True)
    verdicts = {"budget.burn": breach, "errors.live": verdict("errors.live", stage=Stage.LIVE)}
    told.keep(release_in(Phase.PROBATION, verdicts=verdicts))
    assert told.of(names.BREACH_METRIC) == {("intent", "7", "budget.burn"): 1}
    told.keep(release_in(Phase.PROMOTED, verdicts=verdicts))
    assert told.of(names.BREACH_METRIC) == {}


def test_a_release_that_is_over_says_whom_it_blamed_and_has_no_deadline(told: Told) -> None:
    """What ended stays the newest of its model until the next one begins: with its end, and what it was for."""
    told.keep(release_in(Phase.CANARY))
    told.keep(release_in(Phase.ROLLED_BACK, blamed=("accuracy.live",)))
    assert told.of(names.PHASE_TIME_METRIC) == {("intent", "7", "rolled_back"): NOW_S}
    assert told.of(names.BLAMED_METRIC) == {("intent", "7", "accuracy.live"): 1}
    assert told.of(names.DEADLINE_METRIC) == {}


def test_who_stands_by_tells_where_releases_stand_and_no_more(told: Told) -> None:
    """It judges nothing; what it knew of looks would be old."""
    told.keep(release_in(Phase.CANARY, looked_at_s=NOW_S))
    told.under_way, told.leads = [], False
    assert told.of(names.LEADS_METRIC) == {(): 0}
    assert told.of(names.PHASE_TIME_METRIC) == {("intent", "7", "canary"): NOW_S}
    assert told.of(names.LOOK_TIME_METRIC) == {}


def test_the_controller_tells_of_itself(told: Told) -> None:
    told.keep(release_in(Phase.CANARY))
    assert told.of(names.LEADS_METRIC) == {(): 1}
    assert told.of(names.ROUND_TIME_METRIC) == {(): NOW_S}
    assert told.of(names.POLICY_FAULTS_METRIC) == {(): 1}
    assert told.of(names.JOURNAL_ENTRIES_METRIC) == {(): 1}
    assert told.of(names.DATABASE_METRIC) == {(): 4096}
    assert told.of(names.DISK_FREE_METRIC) == {(): 5_000_000}
    assert told.of(names.WEIGHT_METRIC) == {("intent", "6"): 0.95, ("intent", "7"): 0.05}


def test_a_freeze_of_all_holds_each_model(told: Told) -> None:
    """One that names no model is told of each, so that alerts are held back by the model's label."""
    told.world.freezes.freeze(Freeze("intent", "incident", "ada", NOW_S))
    told.world.freezes.freeze(Freeze(ANY_MODEL, "holidays", "ada", NOW_S))
    assert told.of(names.FROZEN_METRIC) == {("intent",): 2, ("tone",): 1}


def test_a_part_that_cannot_be_read_is_said_and_the_rest_is_told(told: Told) -> None:
    """A database that is away is no controller that is down: its page still answers."""
    told.keep(release_in(Phase.CANARY))
    told.database_answers = False
    unreadable = told.of(names.UNREADABLE_METRIC)
    assert {part for (part,), value in unreadable.items() if value} == {"journal"}
    assert told.of(names.DATABASE_METRIC) == {}
    assert told.of(names.PHASE_TIME_METRIC)


def test_notices_on_their_way_are_told_by_target(told: Told) -> None:
    """Of a target to which nothing is on its way, zero."""
    told.notices.put(ROLLED_BACK, ["pager"], due_at_s=0.0)
    told.tallies.update({"pager": Tally(delivered=3, failed=2), "chat": Tally()})
    assert told.of(names.NOTICES_WAITING_METRIC) == {("pager",): 1, ("chat",): 0}
    assert told.of(names.NOTICES_OLDEST_METRIC) == {("pager",): ROLLED_BACK.at_s}
    assert told.of(names.NOTICES_GIVEN_UP_METRIC) == {("pager",): 0, ("chat",): 0}
    assert told.of(names.NOTICES_DELIVERED_METRIC) == {("pager",): 3, ("chat",): 0}
    assert told.of(names.NOTICES_FAILED_METRIC) == {("pager",): 2, ("chat",): 0}


def test_the_version_that_serves_is_told_as_the_watch_found_it(told: Told) -> None:
    """What is not known is left out, and a cause that nothing was asked for by is zero."""
    champion = Champion("intent", "6", NOW_S, labels=40, lag_s=90.0, mixes={"classes": Mix(NOW_S, moved=(0.2, 0.1))})
    figures = Figures(NOW_S + 5, requests=100, errors=2, burns={3_600.0: 1.5})
    bounds = Bounds(0.9, 0.8, 0.95, 40)
    told.champions = {"intent": Watching(Watched(champion, asked={"drift": 1}), bounds, None, figures)}
    own = ("intent", "6")
    assert told.of(names.CHAMPION_ACCURACY_METRIC) == {
        (*own, "value"): 0.9,
        (*own, "low"): 0.8,
        (*own, "high"): 0.95,
    }
    assert told.of(names.CHAMPION_OVERCONFIDENCE_METRIC) == {}
    assert told.of(names.CHAMPION_DISTANCE_METRIC) == {(*own, "classes", "value"): 0.2, (*own, "classes", "low"): 0.1}
    assert told.of(names.CHAMPION_BURN_METRIC) == {(*own, "3600"): 1.5}
    assert told.of(names.CHAMPION_ERRORS_METRIC) == {own: 2}
    assert told.of(names.CHAMPION_P95_METRIC) == {}
    assert told.of(names.CHAMPION_LAG_METRIC) == {own: 90}
    assert told.of(names.CHAMPION_SINCE_METRIC) == {own: NOW_S}
    assert told.of(names.CHAMPION_LOOK_METRIC) == {own: NOW_S + 5}
    assert told.of(names.RETRAIN_ASKED_METRIC) == {
        ("intent", "drift"): 1,
        ("intent", "accuracy"): 0,
        ("intent", "age"): 0,
    }
    known = {value for name, value in vars(names).items() if name.endswith("_METRIC")}
    assert {sample.name for sample in told.samples()} <= known


def test_the_page_is_read_as_releases_are(told: Told) -> None:
    """It names models and versions: open while reading is, and then for whoever may view."""
    world = told.world
    world.telemetry = told.telemetry
    page = world.client(Role.VIEW, open_reading=False).get(names.METRICS_ROUTE)
    assert (page.status_code, page.headers["content-type"].partition(";")[0]) == (200, "text/plain")
    assert names.LEADS_METRIC in page.text
    assert world.client(open_reading=False).stranger().get(names.METRICS_ROUTE).status_code == 401
    assert world.client().stranger().get(names.METRICS_ROUTE).status_code == 200


def test_every_metric_of_the_controller_has_a_name_of_the_contract(told: Told) -> None:
    told.keep(release_in(Phase.ROLLED_BACK, blamed=("accuracy.live",)))
    known = {value for name, value in vars(names).items() if name.endswith("_METRIC")}
    assert {sample.name for sample in told.samples()} <= known


def test_one_release_that_cannot_be_read_leaves_all_others_told_and_is_named(told: Told) -> None:
    tone = replace(release_in(Phase.PROMOTED), id="tone-v7-1", model="tone")
    told.world.journal.append(replace(record_of(tone, 1), state="{}"), [Entry("event", NOW_S, {})])
    told.keep(release_in(Phase.CANARY))
    told.unreadable = {"topic": "it was recorded by another version"}
    assert {key[:2] for key in told.of(names.GATE_METRIC)} == {("intent", "7")}
    assert ("tone", "7", "promoted") in told.of(names.PHASE_TIME_METRIC)
    assert told.of(names.UNREADABLE_METRIC)["release of topic",] == 1
    assert told.of(names.UNREADABLE_METRIC)["releases",] == 0
