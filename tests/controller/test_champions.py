"""The watch goes on after a release: what it reads, keeps, tells and asks for."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from controller.adapters.sql.store import Store, open_store
from controller.core.champion import Cause
from controller.core.policy import ReleasePolicy, WatchPolicy
from controller.core.traffic import TrafficTable
from controller.errors import ConflictError, Source, TransientError
from controller.journal.codec import note_of
from controller.journal.notes import RetrainAsked
from controller.loop.champions import LOOK_EVERY_S, ChampionWatch, Told, WatchPorts
from controller.ports.journal import model_stream
from controller.ports.samples import Prediction
from tests.contracts.samples import live, shadow, truth
from tests.fakes.clock import FakeClock
from tests.fakes.metrics import FakeMetrics
from tests.fakes.traffic import MemoryTraffic
from tests.stores import new_store

STRICT = ReleasePolicy(model="intent", watch=WatchPolicy(accuracy_min=0.9))


class Watching:
    """A controller that watches the model intent, of which version 6 serves everybody, and its store."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.clock = FakeClock()
        self.traffic = MemoryTraffic()
        self.metrics = FakeMetrics()
        self.policies = {"intent": STRICT}
        self.aliases: dict[str, str] = {}
        self.fence: int | None = None
        self.serve("6")
        self.watch = self._new()

    @property
    def ports(self) -> WatchPorts:
        return WatchPorts(
            champions=self.store.champions,
            releases=self.store.journal,
            traffic=self.traffic,
            metrics=self.metrics,
            policies=lambda: self.policies,
            label_names=lambda _: self.aliases,
            clock=self.clock,
            fence=lambda: self.fence,
        )

    def _new(self) -> ChampionWatch:
        return ChampionWatch(self.ports, first_s=LOOK_EVERY_S)

    def restart(self) -> None:
        self.watch = self._new()

    def serve(self, version: str) -> None:
        before = self.traffic.read("intent")
        generation = before.generation + 1 if before is not None else 1
        self.traffic.write(TrafficTable("intent", {version: 100.0}, generation=generation))

    def look(self) -> Told:
        """What is known after the next look."""
        self.clock.pass_s(LOOK_EVERY_S)
        for _ in range(3):
            self.watch.catch_up()
        return self.watch.told["intent"]

    def answer(self, first: int, number: int, **changes: object) -> None:
        made = [live(f"r{place}", **changes) for place in range(first, first + number)]
        self.store.samples.add_predictions(made)

    def label(self, first: int, number: int, label: str, **changes: object) -> None:
        self.store.samples.add_labels([truth(f"r{place}", label, **changes) for place in range(first, first + number)])

    def asked(self) -> list[RetrainAsked]:
        found = self.store.journal.stream_page(model_stream("intent"), after=0, limit=100)
        notes = [note_of(one) for one in found]
        return [note for note in notes if isinstance(note, RetrainAsked)]


@pytest.fixture
def watching(tmp_path: Path) -> Iterator[Watching]:
    with closing(new_store(f"sqlite:///{tmp_path}/store.db")) as store:
        found = Watching(store)
        found.look()
        yield found


def test_answers_and_labels_are_read_once_each_also_over_a_restart(watching: Watching) -> None:
    """Of the version that serves; what was answered as a copy, or by another one, says nothing of it."""
    watching.answer(0, 10)
    watching.answer(10, 5, version="7")
    watching.store.samples.add_predictions([shadow("r0", version="6")])
    watching.label(0, 4, "refund")
    told = watching.look().watched.champion
    assert (told.version, told.answers, told.labels) == ("6", 10, 4)
    watching.label(4, 1, "invoice")
    watching.restart()
    told = watching.look().watched.champion
    assert (told.answers, told.labels) == (10, 5)
    accuracy = watching.watch.told["intent"].accuracy
    assert accuracy is not None
    assert (accuracy.value, accuracy.samples) == (0.8, 5)
    assert accuracy.low < 0.8 < accuracy.high


def test_what_was_there_before_the_watch_began_is_not_read(tmp_path: Path) -> None:
    with closing(new_store(f"sqlite:///{tmp_path}/store.db")) as store:
        watching = Watching(store)
        watching.answer(0, 10)
        assert watching.look().watched.champion.answers == 0
        watching.answer(10, 1)
        assert watching.look().watched.champion.answers == 1


def test_what_is_much_is_read_in_parts_one_after_the_other(watching: Watching, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("controller.loop.champions._IDS_MAX", 3)
    watching.answer(0, 10)
    watching.clock.pass_s(LOOK_EVERY_S)
    for _ in range(4):
        watching.watch.catch_up()
    assert watching.watch.told["intent"].watched.champion.answers == 10


def test_names_of_labels_are_those_of_the_policy_and_one_that_means_nothing_is_none(watching: Watching) -> None:
    watching.aliases = {"Rückerstattung": "refund"}
    watching.answer(0, 3)
    watching.label(0, 1, "Rückerstattung")
    watching.label(1, 1, "gibberish")
    accuracy = watching.look().accuracy
    assert accuracy is not None
    assert (accuracy.value, accuracy.samples) == (1.0, 1)


def test_labels_that_disagreements_were_chosen_by_say_nothing_of_all_answers(watching: Watching) -> None:
    watching.answer(0, 3)
    watching.label(0, 3, "invoice", directed=True)
    assert watching.look().watched.champion.labels == 0


def test_how_late_labels_come_is_told(watching: Watching) -> None:
    watching.answer(0, 3, at_s=50.0)
    watching.label(0, 3, "refund", received_at_s=90.0)
    assert watching.look().watched.champion.lag_s == 40.0


def test_retraining_is_asked_for_once_in_the_journal_and_counted(watching: Watching) -> None:
    """Also over a restart, and when it goes on being bad."""
    for first in range(0, 500, 50):
        watching.answer(first, 50)
        watching.label(first, 50, "invoice")
        told = watching.look()
        watching.restart()
    (note,) = watching.asked()
    assert (note.model, note.version, note.asking.cause) == ("intent", "6", Cause.ACCURACY)
    assert (note.asking.value, note.asking.limit) == (0.0, 0.9)
    assert told.watched.asked == {"accuracy": 1}


def test_what_is_asked_for_and_how_far_was_read_are_kept_together(watching: Watching) -> None:
    """A controller that leads no more has asked for nothing; who leads finds the same and asks once."""
    for first in range(0, 250, 50):
        watching.answer(first, 50)
        watching.label(first, 50, "invoice")
        if first < 100:
            watching.look()
    assert watching.asked() == []
    with watching.store.database.write(Source.JOURNAL) as connection:
        connection.exec_driver_sql("UPDATE journal_head SET fence = 9")
    watching.fence = 8
    with pytest.raises(ConflictError):
        watching.look()
    assert watching.asked() == []
    watching.fence = 9
    assert watching.look().watched.champion.labels == 250
    assert len(watching.asked()) == 1


def test_a_new_champion_begins_anew_and_one_that_comes_back_goes_on(watching: Watching) -> None:
    watching.answer(0, 5)
    watching.label(0, 5, "refund")
    watching.look()
    watching.serve("7")
    watching.answer(5, 2, version="7")
    told = watching.look().watched
    assert (told.champion.version, told.champion.answers, told.champion.labels) == ("7", 2, 0)
    watching.serve("6")
    watching.answer(7, 1)
    told = watching.look().watched
    assert (told.champion.version, told.champion.answers, told.champion.labels) == ("6", 6, 5)


def test_a_store_that_is_away_loses_nothing(watching: Watching, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: object, **__: object) -> None:
        raise TransientError(Source.LABELS, "away")

    watching.answer(0, 5)
    with monkeypatch.context() as broken:
        broken.setattr(watching.store.champions, "keep", away)
        with pytest.raises(TransientError):
            watching.look()
    assert watching.look().watched.champion.answers == 5


@pytest.mark.parametrize("restarts", [False, True])
def test_answers_and_labels_count_while_nobody_says_who_serves(watching: Watching, *, restarts: bool) -> None:
    """They are read once: what is passed over is lost for good."""
    watching.answer(9, 1)
    watching.look()
    if restarts:
        watching.restart()
    watching.answer(0, 5)
    watching.label(0, 3, "refund")
    watching.traffic.outage = TransientError(Source.TRAFFIC, "away")
    told = watching.look().watched.champion
    assert (told.version, told.answers, told.labels) == ("6", 6, 3)
    watching.traffic.outage = None
    watching.answer(5, 1)
    assert watching.look().watched.champion.answers == 7


def test_answers_and_labels_count_while_the_policy_is_not_there(watching: Watching) -> None:
    """By the rules it had; nobody is told of the model, and nothing is asked for it."""
    watching.policies = {}
    for first in range(0, 250, 50):
        watching.answer(first, 50)
        watching.label(first, 50, "invoice")
        with pytest.raises(KeyError):
            watching.look()
    assert watching.asked() == []
    watching.policies = {"intent": STRICT}
    told = watching.look().watched.champion
    assert (told.answers, told.labels) == (250, 250)
    assert len(watching.asked()) == 1


def test_users_figures_are_those_since_the_look_before(watching: Watching) -> None:
    priced = replace(STRICT.gates, limits=replace(STRICT.gates.limits, replica_hour_price=6.0))
    watching.policies = {"intent": replace(STRICT, gates=priced)}
    watching.metrics.serve("intent", "6", latencies_ms=[10.0] * 50)
    watching.look()
    watching.metrics.serve("intent", "6", latencies_ms=[10.0] * 90 + [300.0] * 10, codes={500: 5})
    figures = watching.look().figures
    assert figures is not None
    assert (figures.requests, figures.errors, figures.troubles) == (105, 5, ())
    assert figures.p95_ms is not None
    assert figures.p95_ms >= 300
    assert figures.cost_per_1000 == pytest.approx(1_000 * 6.0 / 12 / 105)
    assert set(figures.burns) == {3_600.0, 21_600.0, 259_200.0}


def test_a_source_that_does_not_answer_is_named_and_the_rest_is_told(watching: Watching) -> None:
    watching.answer(0, 5)
    watching.metrics.away = "Prometheus is away"
    told = watching.look()
    assert told.watched.champion.answers == 5
    assert told.figures is not None
    assert (told.figures.requests, told.figures.p95_ms) == (None, None)
    assert "Prometheus is away" in told.figures.troubles[0]


def test_between_two_looks_nothing_is_read(watching: Watching, monkeypatch: pytest.MonkeyPatch) -> None:
    """A look costs what came since the one before, and nothing in between."""
    monkeypatch.setattr(watching.store.champions, "seen", lambda *_, **__: pytest.fail("read"))
    watching.clock.pass_s(LOOK_EVERY_S / 2)
    for _ in range(5):
        watching.watch.catch_up()


def test_after_a_start_looks_come_soon_and_then_every_few_minutes(
    watching: Watching, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[float] = []
    seen = watching.store.champions.seen
    monkeypatch.setattr(
        watching.store.champions,
        "seen",
        lambda *given, **more: (looks.append(watching.clock.monotonic_s()), seen(*given, **more))[1],
    )
    watch, began_s = ChampionWatch(watching.ports), watching.clock.monotonic_s()
    for _ in range(130):
        for _ in range(3):
            watch.catch_up()
        watching.clock.pass_s(10.0)
    assert [at_s - began_s for at_s in looks] == [0, 10, 30, 70, 150, 310, 610, 910, 1_210]


def test_what_another_version_of_serin_kept_begins_anew(watching: Watching) -> None:
    watching.answer(0, 5)
    watching.look()
    with watching.store.database.write(Source.LABELS) as connection:
        connection.exec_driver_sql("""UPDATE champions SET state = '{"champion": "of the future"}'""")
    watching.restart()
    watching.answer(5, 1)
    assert watching.look().watched.champion.answers == 1


def test_answers_of_all_models_are_counted_in_their_own_mix(store_url: str) -> None:
    """On each kind of database."""
    with closing(open_store(store_url)) as store:
        before = store.champions.head()
        made: list[Prediction] = [live("a", confidence=0.75, tokens=3), live("b", "invoice", confidence=1.0, tokens=9)]
        store.samples.add_predictions([*made, live("c", model="tone", version="2", confidence=0.05)])
        seen = store.champions.seen(before, ids_max=100)
        assert seen.counts == {
            ("intent", "6"): {
                "classes": {"refund": 1, "invoice": 1},
                "confidence": {"7": 1, "9": 1},
                "tokens": {"0": 1, "2": 1},
            },
            ("tone", "2"): {"classes": {"refund": 1}, "confidence": {"0": 1}},
        }
        assert not seen.more


def test_a_step_of_a_clock_elsewhere_costs_the_figures_of_some_looks(watching: Watching) -> None:
    """Two processes seemed to answer; the look after counts from then on, and is not told of it again."""
    watching.metrics.doubted_s = watching.clock.now_s()
    told = watching.look()
    assert told.figures is not None
    assert ["ambiguous" in trouble for trouble in told.figures.troubles] == [True, True]
    watching.look()
    watching.metrics.serve("intent", "6", codes={200: 100})
    told = watching.look()
    assert told.figures is not None
    assert (told.figures.requests, told.figures.troubles) == (100, ())
