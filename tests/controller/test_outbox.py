"""What happens is told without asking: which entries, to whom, how soon, and when nobody is."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from controller.core.champion import Asking, Cause
from controller.core.commands import ANY_MODEL, Freeze
from controller.core.events import Event, Leaving, PhaseEntered, Started, TrafficRestored
from controller.core.notices import Kind, Notice, Severity
from controller.core.policy import ReleasePolicy
from controller.core.release import Phase, Purpose, Version
from controller.journal.codec import entry_of
from controller.journal.notes import (
    CandidateRefused,
    CommandDiscarded,
    FreezeEnded,
    FreezeLifted,
    Frozen,
    Note,
    RetrainAsked,
    stream_of,
)
from controller.subscribers.outbox import GATHER_S, OLD_S, FromNowOn, Outbox
from tests.contracts.journal import record
from tests.fakes.clock import FakeClock
from tests.fakes.freezes import FakeFreezes
from tests.fakes.journal import FakeJournal
from tests.fakes.notices import FakeChannel, FakeNotices

PAGER = FakeChannel("pager", severities=frozenset({Severity.PAGE}))
CHAT = FakeChannel("chat", group_max=20)
POLICIES = {"intent": ReleasePolicy(model="intent", owner="search", contact="#search-oncall")}
STARTED = Started("r1", "intent", Purpose.PROMOTE, Version("7"), Version("6"), None, POLICIES["intent"], "ada", "new")


class Told:
    """An outbox with a pager and a chat, and what it put in for them."""

    def __init__(self, *channels: FakeChannel) -> None:
        self.clock = FakeClock()
        self.journal = FakeJournal()
        self.freezes = FakeFreezes()
        self.queue = FakeNotices()
        outbox = Outbox(self.queue, channels or (PAGER, CHAT), self.journal, self.freezes, lambda: POLICIES, self.clock)
        self.follower = FromNowOn(self.journal, outbox)
        self.follower.catch_up()
        self.sequence = 0

    def happens(self, *events: Event) -> None:
        """In the release of version 7 of intent."""
        for event in events:
            self.sequence += 1
            self.journal.append(record(self.sequence, release_id="r1"), [entry_of(event, self.clock.now_s())])
        self.follower.catch_up()

    def noted(self, note: Note, model: str) -> None:
        self.journal.note(stream_of(model), [entry_of(note, self.clock.now_s())])
        self.follower.catch_up()

    def due(self, target: str, *, after_s: float = GATHER_S) -> Sequence[Notice]:
        """What the target is told by then, and has taken."""
        found: list[Notice] = []
        now_s = self.clock.now_s() + after_s
        while (message := self.queue.next(target, now_s=now_s, group_max=20)) is not None:
            found += message.notices
            self.queue.delivered(target, message.id, at_s=now_s)
        return found


@pytest.fixture
def told() -> Told:
    return Told()


ROLLED_BACK = Leaving(Phase.ROLLED_BACK, "accuracy.live failed.", blamed=("accuracy.live",))


def test_a_rollback_pages_at_once_and_says_whose_it_is(told: Told) -> None:
    told.happens(STARTED, ROLLED_BACK)
    (page,) = told.due("pager", after_s=0)
    assert (page.kind, page.severity) == (Kind.RELEASE_ROLLING_BACK, Severity.PAGE)
    assert (page.title, page.reason) == ("intent: version 7 is being rolled back", "accuracy.live failed.")
    assert (page.model, page.version, page.release_id, page.gates) == ("intent", "7", "r1", ("accuracy.live",))
    assert (page.owner, page.contact, page.by) == ("search", "#search-oncall", "")


def test_what_wakes_nobody_is_gathered_and_told_in_one_go(told: Told) -> None:
    told.happens(STARTED, PhaseEntered(Phase.PREFLIGHT, "x"), PhaseEntered(Phase.SHADOW, "suites passed"))
    told.happens(PhaseEntered(Phase.CANARY, "every gate passed", step=1))
    assert told.due("chat", after_s=0) == []
    assert [one.title for one in told.due("chat")] == [
        "intent: a release of version 7 begins",
        "intent: version 7: Shadow",
        "intent: version 7: Canary, step 2",
    ]
    assert told.due("pager") == []


@pytest.mark.parametrize(
    ("event", "kind", "severity"),
    [
        (replace(STARTED, purpose=Purpose.RESTORE), Kind.RELEASE_ROLLING_BACK, Severity.TICKET),
        (replace(ROLLED_BACK, by="ada"), Kind.RELEASE_ROLLING_BACK, Severity.TICKET),
        (PhaseEntered(Phase.ROLLED_BACK, "x"), Kind.RELEASE_ROLLED_BACK, Severity.INFO),
        (PhaseEntered(Phase.REJECTED, "x"), Kind.RELEASE_REJECTED, Severity.TICKET),
        (PhaseEntered(Phase.HELD, "x"), Kind.RELEASE_HELD, Severity.TICKET),
        (PhaseEntered(Phase.PROBATION, "x"), Kind.RELEASE_PROMOTED, Severity.INFO),
        (PhaseEntered(Phase.PROMOTED, "x"), Kind.RELEASE_SETTLED, Severity.INFO),
        (PhaseEntered(Phase.ABORTED, "x"), Kind.RELEASE_ENDED, Severity.INFO),
        (TrafficRestored("ada", "60 % of version 6"), Kind.TRAFFIC_RESTORED, Severity.TICKET),
    ],
)
def test_each_end_of_a_release_is_worth_what_it_is(told: Told, event: Event, kind: Kind, severity: Severity) -> None:
    told.happens(event)
    assert [(one.kind, one.severity) for one in told.due("chat")] == [(kind, severity)]


@pytest.mark.parametrize(
    "event",
    [
        PhaseEntered(Phase.PROBATION, "x", step=1),
        PhaseEntered(Phase.PROMOTING, "x"),
        Leaving(Phase.REJECTED, "x"),
        Leaving(Phase.HELD, "x"),
    ],
)
def test_what_is_on_its_way_is_told_where_it_comes_to_rest(told: Told, event: Event) -> None:
    told.happens(event)
    assert told.due("chat") == []


def test_what_people_do_is_told(told: Told) -> None:
    told.noted(Frozen("intent", "incident", "ada"), "intent")
    told.noted(FreezeLifted(ANY_MODEL, "over", "ada", 1), ANY_MODEL)
    told.noted(CommandDiscarded("c1", "start", "intent", "9", "r", "ci", 1.0, "no such version"), "intent")
    assert [(one.kind, one.title) for one in told.due("chat")] == [
        (Kind.FREEZE_BEGAN, "intent is frozen"),
        (Kind.FREEZE_LIFTED, "Every model is frozen no more"),
        (Kind.COMMAND_DISCARDED, "intent: `start` by ci came to nothing"),
    ]


def test_retraining_that_is_asked_for_is_a_ticket(told: Told) -> None:
    asking = Asking(Cause.AGE, "It has served for 90 days.", 90.0, 90.0)
    told.noted(RetrainAsked("intent", "6", asking), "intent")
    (ticket,) = told.due("chat")
    assert (ticket.kind, ticket.severity, ticket.version) == (Kind.RETRAIN_ASKED, Severity.TICKET, "6")
    assert ticket.reason == "It has served for 90 days."


def test_a_candidate_that_is_refused_is_a_ticket_and_none_once_it_is_refused_no_more(told: Told) -> None:
    told.noted(CandidateRefused("intent", "8", "its files changed after they were registered"), "intent")
    told.noted(CandidateRefused("intent", "8", ""), "intent")
    assert [(one.kind, one.severity, one.version) for one in told.due("chat")] == [
        (Kind.CANDIDATE_REFUSED, Severity.TICKET, "8")
    ]


def test_a_silent_freeze_keeps_its_model_silent_and_says_how_much_it_kept(told: Told) -> None:
    silent = Freeze("intent", "we look into it", "ada", told.clock.now_s(), silent=True)
    told.freezes.freeze(silent)
    told.noted(Frozen("intent", silent.reason, "ada", silent=True), "intent")
    told.happens(STARTED, ROLLED_BACK)
    assert told.due("pager") == []
    assert [one.title for one in told.due("chat")] == ["intent is frozen, and nobody is told of it"]
    told.freezes.lift("intent", reason="found", by="ada", at_s=told.clock.now_s())
    told.noted(FreezeLifted("intent", "found", "ada", 1), "intent")
    (lifted,) = told.due("chat")
    assert lifted.reason.startswith("found (2 notices of the last day were kept silent")
    told.happens(ROLLED_BACK)
    assert len(told.due("pager")) == 1


def test_a_silent_freeze_that_ends_by_itself_is_told(told: Told) -> None:
    """As one that is lifted: from then on people are told again."""
    silent = Freeze("intent", "a drill", "ada", told.clock.now_s(), silent=True, ends_at_s=told.clock.now_s() + 60)
    told.freezes.freeze(silent)
    told.noted(Frozen("intent", silent.reason, "ada", silent=True, ends_at_s=60.0), "intent")
    assert "frozen until 1970-01-01 00:01:00 UTC, and nobody" in told.due("chat")[0].title
    told.happens(ROLLED_BACK)
    told.freezes.end(silent, at_s=told.clock.now_s())
    told.noted(FreezeEnded("intent", "a drill", "ada"), "intent")
    (ended,) = told.due("chat")
    assert ended.title == "The time of the freeze of intent by ada is over"
    assert (ended.kind, ended.reason.partition(" (")[0]) == (Kind.FREEZE_LIFTED, "a drill")
    assert "1 notices of the last day were kept silent" in ended.reason


def test_a_freeze_that_does_not_say_so_keeps_nobody_from_being_told(told: Told) -> None:
    told.freezes.freeze(Freeze("intent", "holidays", "ada", told.clock.now_s()))
    told.happens(ROLLED_BACK)
    assert len(told.due("pager")) == 1


def test_a_target_is_told_of_its_models_only() -> None:
    tone = FakeChannel("tone", models=frozenset({"tone"}))
    told = Told(tone)
    told.happens(ROLLED_BACK)
    told.noted(Frozen(ANY_MODEL, "holidays", "ada"), ANY_MODEL)
    assert [one.title for one in told.due("tone")] == ["Every model is frozen"]


def test_told_again_an_entry_is_the_same_notice(told: Told) -> None:
    """A controller that is killed after it put a notice in, and before it kept its place, changes nothing."""
    told.happens(ROLLED_BACK)
    for entry in told.journal.feed(after=0, limit=10).entries:
        told.follower._outbox.take(entry)
    assert len(told.due("pager")) == 1


def test_nobody_is_told_of_years_that_came_before_nor_of_what_is_old() -> None:
    told = Told()
    told.journal = FakeJournal()
    told.journal.append(record(1, release_id="r1"), [entry_of(ROLLED_BACK, told.clock.now_s())])
    outbox = Outbox(told.queue, [PAGER], told.journal, told.freezes, dict, told.clock)
    told.follower = FromNowOn(told.journal, outbox)
    told.follower.catch_up()
    told.sequence = 1
    told.happens(ROLLED_BACK)
    assert len(told.due("pager")) == 1, "only what came once it had begun"
    told.journal.append(record(3, release_id="r1"), [entry_of(ROLLED_BACK, told.clock.now_s() - OLD_S - 1)])
    told.follower.catch_up()
    assert told.due("pager") == []
