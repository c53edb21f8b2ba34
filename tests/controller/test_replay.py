"""Recorded requests asked again before any user: which, by whom, how fast, and what becomes of their answers."""

import base64
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from controller.adapters.sql.recorded import recorded as recorded_before
from controller.adapters.sql.store import Store, open_store
from controller.adapters.sql.texts import SealedTexts
from controller.core.policy import LabelsBefore, ReplayPolicy
from controller.core.release import Phase
from controller.errors import ConflictError, RefusedRequestError, Source, TransientError
from controller.journal.codec import record_of
from controller.loop.replay import CHECKED, Asked, RecordedReplays, is_in_shadow
from controller.ports.journal import Entry
from controller.ports.recordings import ReplayOrder, ReplayProgress
from controller.ports.samples import BY_CHANCE_BELOW, Prediction, SampleCursor
from gates.evidence import Replayed
from tests.contracts.samples import evidence, live, shadow, truth
from tests.controller.releases import release_in
from tests.fakes.clock import FakeClock

KEY = base64.urlsafe_b64encode(b"k" * 32).decode()
BEGAN_S = 1_000.0
REQUESTS = 60
ORDER = ReplayOrder("intent-v7-1", "intent", "6", "7", BEGAN_S, ReplayPolicy(requests_max=20_000), 0.1)
ASKED = Asked(("http://six",), ("http://seven",))
LONG_S = 3_600.0


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def text_of(number: int) -> str:
    return f"text {number}"


def classes(label: str, confidence: float = 0.75) -> dict[str, float]:
    return {"refund": confidence, "invoice": 1 - confidence} if label == "refund" else classes_of_invoice(confidence)


def classes_of_invoice(confidence: float) -> dict[str, float]:
    return {"refund": 1 - confidence, "invoice": confidence}


def disagrees(text: str) -> bool:
    """The candidate says otherwise on one text of six."""
    return digest(text)[0] in "01" or text.endswith("5")


class Answering:
    """Implements ``Asks``: stable says refund to everything."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        self.stable: Callable[[str], Mapping[str, float]] = lambda _: classes("refund")
        self.failing: set[str] = set()
        self.refusing: set[tuple[str, str]] = set()
        self.away = False

    def probabilities(self, url: str, texts: Sequence[str]) -> Sequence[Mapping[str, float]]:
        (text,) = texts
        self.asked.append((url, text))
        if (url, text) in self.refusing:
            raise RefusedRequestError("too long")
        if url == ASKED.candidate[0] and (self.away or text in self.failing):
            raise TransientError("deployments", f"{url} did not answer")
        if url == ASKED.stable[0]:
            return [self.stable(text)]
        return [classes("invoice" if disagrees(text) else "refund")]

    def fingerprint(self, url: str) -> str:
        if self.away:
            raise TransientError("deployments", f"{url} did not answer")
        return "f" * 64

    def of(self, url: str) -> list[str]:
        return [text for asked, text in self.asked if asked == url]


def recorded(number: int, text: str | None = None, **changes: object) -> Prediction:
    """Stable's live answer of before the release, with its text."""
    kept = text_of(number) if text is None else text
    values: dict[str, object] = {"text": kept, "text_digest": digest(kept), "at_s": 10.0 + number}
    return live(f"r{number}", **{**values, **changes})


class Place:
    """A store with recorded requests, the replicas, and the replay on them."""

    def __init__(self, store: Store) -> None:
        self.store, self.replicas, self.clock = store, Answering(), FakeClock(now_s=BEGAN_S + 60)
        self.in_shadow, self.fence = True, 7
        self.replays = self.started()

    def started(self) -> RecordedReplays:
        """Those of a controller that starts."""
        return RecordedReplays(
            self.store.recordings,
            self.replicas,
            self.clock,
            self.clock.pass_s,
            in_shadow=lambda _: self.in_shadow,
            fence=lambda: self.fence,
        )

    def record(self, *more: Prediction, requests: int = REQUESTS) -> None:
        self.store.samples.add_predictions([recorded(number) for number in range(requests)] + list(more))

    def go_on(self, order: ReplayOrder = ORDER, for_s: float = LONG_S, chance: float = 1.0) -> bool:
        return self.replays.go_on(order, ASKED, for_s=for_s, inclusion_probability=chance)

    @property
    def progress(self) -> ReplayProgress:
        found = self.store.recordings.progress(ORDER.release_id)
        assert found is not None
        return found


@pytest.fixture
def place(store_url: str) -> Iterator[Place]:
    store = open_store(store_url, SealedTexts(KEY), digest=digest)
    yield Place(store)
    store.close()


def test_recorded_requests_become_pairs_of_the_release_and_are_told_apart(place: Place) -> None:
    """Both answers stand for the request as a mirrored one's do; the gateway's copies are counted without them."""
    place.record()
    place.store.samples.add_predictions([live("now", at_s=BEGAN_S + 1), shadow("now", at_s=BEGAN_S + 1)])
    place.go_on()
    found = evidence(place.store.samples)
    apart = sum(disagrees(text_of(number)) for number in range(REQUESTS))
    assert 0 < apart < REQUESTS
    assert (found.pairs_agreed, found.pairs_disagreed) == (1 + REQUESTS - apart, apart)
    assert found.replayed == Replayed(REQUESTS, REQUESTS - apart, apart)
    assert found.paired == 1
    assert place.progress == ReplayProgress(REQUESTS, answered=REQUESTS, reuses=True, checked=CHECKED)
    assert place.go_on() is False


def test_no_answer_of_the_replay_counts_as_live(place: Place) -> None:
    """Of drift, and of how labels come, only what users were answered tells."""
    place.record()
    before = place.store.samples.latest()
    place.go_on()
    found = place.store.samples.since("intent", "6", "7", replace(SampleCursor(), prediction=before.prediction))
    assert (dict(found.stable_answers.classes), dict(found.candidate_answers.classes)) == ({}, {})


def test_labels_of_before_count_only_where_they_were_held_out(place: Place) -> None:
    """A candidate that was trained on them would look better than it is; one that comes later counts in either case."""
    place.record()
    labelled = [truth(f"r{number}", received_at_s=BEGAN_S - 1) for number in range(0, REQUESTS, 7)]
    place.store.samples.add_labels(labelled)
    place.go_on()
    later = next(number for number in range(REQUESTS) if number % 7 and disagrees(text_of(number)))
    place.store.samples.add_labels([truth(f"r{later}", received_at_s=BEGAN_S + 90, directed=True)])
    (pair,) = evidence(place.store.samples).pairs
    assert (pair.stable.label, pair.candidate.label, pair.directed, pair.replayed) == ("refund", "invoice", True, True)


def test_labels_that_were_held_out_come_with_the_pairs(place: Place) -> None:
    place.record()
    place.store.samples.add_labels([truth(f"r{number}", received_at_s=BEGAN_S - 1) for number in range(9)])
    place.go_on(replace(ORDER, policy=replace(ORDER.policy, labels_before=LabelsBefore.HELD_OUT)))
    pairs = evidence(place.store.samples).pairs
    assert len(pairs) == 9
    assert all(pair.replayed and not pair.directed for pair in pairs)


def test_where_labels_of_before_were_chosen_by_doubt_nothing_is_replayed_without_them(place: Place) -> None:
    """What is left of the requests then is what stable was sure of: no loss shows there."""
    doubted = [recorded(100 + number, confidence=0.51) for number in range(30)]
    place.record(*doubted)
    place.store.samples.add_labels([truth(one.request_id, received_at_s=BEGAN_S - 1) for one in doubted])
    place.go_on()
    assert "chosen by doubt" in place.progress.trouble
    assert place.replicas.asked == []
    held_out = replace(ORDER.policy, labels_before=LabelsBefore.HELD_OUT)
    place.go_on(replace(ORDER, release_id="intent-v7-2", policy=held_out))
    assert len(place.replicas.of(ASKED.candidate[0])) == REQUESTS + 30


def test_labels_of_before_that_chance_chose_are_no_doubt_however_unequal_classes_are(place: Place) -> None:
    """Of one class, of which stable is less sure, four times as many texts were labelled."""
    others = [recorded(1_000 + n, label="invoice", confidence=0.6, at_s=20.0) for n in range(200)]
    place.record(*others, requests=200)
    asked = [f"r{n}" for n in range(0, 200, 10)] + [one.request_id for one in others[::2]]
    place.store.samples.add_labels([truth(request_id, received_at_s=BEGAN_S - 1) for request_id in asked])
    place.go_on()
    assert (place.progress.trouble, place.progress.chosen) == ("", 400)


def test_labels_of_before_that_were_chosen_within_classes_are_found_where_the_mean_tells_nothing(place: Place) -> None:
    """Both the surest and the least sure were labelled."""
    sides = [recorded(n, confidence=(0.55, 0.81, 0.999)[n % 3]) for n in range(300)]
    place.record(*sides, requests=0)
    asked = [one.request_id for one in sides if one.confidence != 0.81]
    place.store.samples.add_labels([truth(request_id, received_at_s=BEGAN_S - 1) for request_id in asked])
    place.go_on()
    assert "chosen by doubt" in place.progress.trouble


def test_what_stable_answered_is_asked_again_only_to_see_that_it_still_says_so(place: Place) -> None:
    place.record()
    place.go_on()
    assert len(place.replicas.of(ASKED.stable[0])) == CHECKED
    assert len(place.replicas.of(ASKED.candidate[0])) == REQUESTS


def test_it_is_seen_over_several_stretches_that_stable_still_says_so(place: Place) -> None:
    """However few answers one has time for."""
    place.record()
    for _ in range(REQUESTS):
        place.go_on(for_s=0.5)
    assert place.progress.answered == REQUESTS
    assert len(place.replicas.of(ASKED.stable[0])) == CHECKED


def test_a_stable_that_answers_otherwise_than_recorded_is_asked_of_all(place: Place) -> None:
    """With other settings than then its recorded answers are no longer its own."""
    place.record()
    place.replicas.stable = lambda _: classes("invoice")
    place.go_on()
    assert sorted(place.replicas.of(ASKED.stable[0])) == sorted(map(text_of, range(REQUESTS)))
    found = evidence(place.store.samples)
    assert found.pairs_agreed == sum(disagrees(text_of(number)) for number in range(REQUESTS))
    assert place.progress.reuses is False


def test_of_texts_that_redaction_changed_and_of_other_versions_both_are_asked_anew(place: Place) -> None:
    """What stable answered was another text, or another version answered it."""
    place.record(requests=0)
    changed = [recorded(number, text_digest=digest(f"full {number}")) for number in range(40)]
    others = [recorded(50 + number, version="5") for number in range(5)]
    place.store.samples.add_predictions([*changed, *others])
    place.go_on()
    assert len(place.replicas.of(ASKED.stable[0])) == 45
    assert place.progress == ReplayProgress(45, answered=45)
    found = evidence(place.store.samples)
    assert found.pairs_agreed + found.pairs_disagreed == 45


def test_each_text_is_asked_once_and_each_request_serves_one_release(place: Place) -> None:
    """Pairs of one text depend on each other; labels of a former release were asked for where two versions disagreed,
    so that a sample without them would be no fair one, and with them neither."""
    again = recorded(REQUESTS, text=text_of(3))
    mirrored = [recorded(200), shadow("r200", version="5"), recorded(201, at_s=BEGAN_S + 1)]
    place.record(again, *mirrored)
    place.go_on()
    assert sorted(place.replicas.of(ASKED.candidate[0])) == sorted(map(text_of, range(REQUESTS)))
    following = replace(ORDER, release_id="intent-v8-1", candidate="8", began_at_s=BEGAN_S + 500)
    asked = len(place.replicas.asked)
    place.go_on(following)
    assert {text for _, text in place.replicas.asked[asked:]} == {text_of(201), text_of(3)}


def test_it_goes_on_where_it_had_come_to(place: Place) -> None:
    """Also by another controller; and a stretch of it takes no longer than it may, at no more than its rate."""
    place.record()
    began_s = place.clock.monotonic_s()
    assert place.go_on(for_s=2.0) is True
    first = place.progress.asked
    passed_s = place.clock.monotonic_s() - began_s
    assert 1.0 < passed_s <= 2.0
    assert 0 < first <= 1 + passed_s * ORDER.policy.requests_per_s_max
    place.go_on()
    assert place.progress.answered == REQUESTS
    assert len(place.replicas.of(ASKED.candidate[0])) == REQUESTS


def test_a_candidate_that_is_away_loses_no_request_and_one_that_fails_on_a_text_holds_up_no_other(place: Place) -> None:
    place.record()
    place.replicas.away = True
    assert place.go_on() is True
    assert place.progress == ReplayProgress(REQUESTS, trouble="http://seven did not answer", checked=1)
    place.replicas.away = False
    place.replicas.failing = {text_of(4)}
    place.replicas.refusing = {(ASKED.candidate[0], text_of(5)), (ASKED.stable[0], text_of(6))}
    place.replicas.stable = lambda _: classes("invoice")  # so that it is asked of all
    place.go_on()
    assert place.progress == ReplayProgress(REQUESTS, REQUESTS - 3, 1, 1, 1, reuses=False, checked=2)


def test_without_texts_it_says_how_to_have_them(place: Place) -> None:
    place.store.samples.add_predictions([live("a"), live("b")])
    assert place.go_on() is False
    assert "For the next release: keep texts (`serin up --capture-text`)" in place.progress.trouble


def test_that_nothing_is_to_be_asked_is_told_once_and_found_out_once(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    """Not by each controller that starts: nothing of before the release comes later."""
    assert place.go_on() is False
    assert "nothing is replayed: no request from before the release" in caplog.text
    place.record()
    place.replays = place.started()
    assert place.go_on() is False
    assert place.progress.chosen == 0


# --- who leads --------------------------------------------------------------------------------------------------------
def test_a_controller_that_leads_no_more_asks_and_writes_nothing_more(place: Place) -> None:
    """Also within a stretch, and where only the store knows of the other."""
    place.record()

    def loses() -> int:
        if len(place.replicas.asked) >= 20:
            raise ConflictError(Source.LEADERSHIP, "another controller leads")
        return 7

    place.replays = RecordedReplays(
        place.store.recordings, place.replicas, place.clock, place.clock.pass_s, in_shadow=lambda _: True, fence=loses
    )
    assert place.go_on() is True
    assert 20 <= len(place.replicas.asked) <= 21
    assert place.progress == ReplayProgress(REQUESTS)


def test_the_store_takes_nothing_of_a_replay_from_an_old_leader(place: Place) -> None:
    place.record()
    place.go_on(for_s=0.5)
    before, asked = place.progress, len(place.replicas.asked)
    place.store.journal.note("model:intent", [], fence=8)
    place.go_on()
    assert place.progress == before
    assert len(place.replicas.asked) > asked  # it did not know, and what it did is dropped
    found = evidence(place.store.samples)
    assert found.pairs_agreed + found.pairs_disagreed == before.answered
    place.fence = 8
    place.go_on()
    assert place.progress.answered == REQUESTS


def test_a_release_that_left_shadow_is_asked_nothing_more(place: Place) -> None:
    place.record()
    asked = place.replicas.probabilities

    def leaves(url: str, texts: Sequence[str]) -> Sequence[Mapping[str, float]]:
        place.in_shadow = False
        return asked(url, texts)

    place.replicas.probabilities = leaves  # type: ignore[method-assign]
    assert place.go_on() is True
    assert len(place.replicas.of(ASKED.candidate[0])) == 1
    assert place.progress == ReplayProgress(REQUESTS)


def test_the_journal_says_whether_a_release_is_in_shadow(place: Place) -> None:
    journal = place.store.journal
    assert not is_in_shadow(journal, ORDER.release_id)
    for number, phase in enumerate((Phase.SHADOW, Phase.CANARY)):
        journal.append(record_of(release_in(phase), number), [Entry("event", 1.0, {})][:number])
        assert is_in_shadow(journal, ORDER.release_id) is (phase is Phase.SHADOW)


def test_what_was_found_of_stable_holds_for_the_next_controller(place: Place) -> None:
    """How many of its answers were held against what is recorded, too."""
    place.record()
    for _ in range(REQUESTS):
        place.replays = place.started()
        place.go_on(for_s=0.5)
    assert place.progress == ReplayProgress(REQUESTS, answered=REQUESTS, reuses=True, checked=CHECKED)
    assert len(place.replicas.of(ASKED.stable[0])) == CHECKED


# --- how they are found -----------------------------------------------------------------------------------------------
def test_requests_are_found_newest_first_by_an_index_and_only_as_many_as_are_needed(place: Place) -> None:
    """Among ten gigabytes of samples. Those that are of no use are passed over by pages."""
    others = [live(f"n{n}", at_s=BEGAN_S + 1) for n in range(50)]
    copied = [one for n in range(2_100) for one in (recorded(10_000 + n), shadow(f"r{10_000 + n}", version="5"))]
    place.record(*others, *copied, requests=300)
    place.store.samples.add_predictions([recorded(n) for n in range(400, 420)])
    statements: list[tuple[str, Any]] = []

    def note(_c: object, _cursor: object, statement: str, parameters: Any, *_: object) -> None:
        statements.extend([(statement, parameters)] if statement.startswith("SELECT") else [])

    sa.event.listen(place.store.database.engine, "before_cursor_execute", note)
    with place.store.database.read(Source.PREDICTIONS) as connection:
        few = recorded_before(connection, replace(ORDER, policy=ReplayPolicy(requests_max=15)))
        assert {row.request_id for row in few} == {f"r{n}" for n in range(405, 420)}
        assert len(statements) == 1
        assert len(recorded_before(connection, ORDER)) == 320
        assert len(statements) == 3
    sa.event.remove(place.store.database.engine, "before_cursor_execute", note)
    with place.store.database.engine.connect() as connection:
        if place.store.database.is_postgresql:
            connection.exec_driver_sql("SET enable_seqscan = off")
        explain = "EXPLAIN" if place.store.database.is_postgresql else "EXPLAIN QUERY PLAN"
        statement, parameters = statements[-1]
        plan = [str(row) for row in connection.exec_driver_sql(f"{explain} {statement}", parameters)]
    assert "ix_predictions_recorded" in " ".join(plan)
    assert not [row for row in plan if "SCAN predictions" in row or "Seq Scan on predictions" in row]


def test_disagreements_of_replayed_requests_are_asked_for_with_their_texts(place: Place) -> None:
    """Also of those that stable was asked anew, whose text lies with what was recorded."""
    place.record(requests=0)
    place.store.samples.add_predictions([recorded(number, version="5") for number in range(REQUESTS)])
    place.go_on()
    asked = place.store.samples.label_requests("intent", "6", "7", first_pair=0, limit=REQUESTS)
    wanted = {text_of(number) for number in range(REQUESTS) if disagrees(text_of(number))}
    by_chance = {text_of(number) for number in range(REQUESTS) if digest(text_of(number)) < BY_CHANCE_BELOW}
    assert {one.text for one in asked if one.directed} == wanted - by_chance
    assert {one.text for one in asked if not one.directed} == by_chance != set()


def test_pruning_takes_what_was_replayed_too(place: Place) -> None:
    place.record()
    place.go_on()
    place.store.samples.prune(BEGAN_S + 86_400)
    assert place.progress.chosen == 0


def test_the_text_of_nothing_is_kept_twice(place: Place, tmp_path: Path) -> None:
    """Answers of a replay hold no text."""
    place.record(requests=5)
    place.go_on()
    from sqlalchemy import text

    with place.store.database.engine.connect() as connection:
        kept = connection.execute(text("SELECT count(*) FROM predictions WHERE text IS NOT NULL")).scalar_one()
    assert kept == 5
