"""What every queue of notices must do."""

from dataclasses import replace

from controller.core.notices import Kind, Notice, Severity
from controller.ports.notices import NoticeQueue

WAITING = 5  # that the queue under test takes for one target

ROLLED_BACK = Notice(
    id="n1",
    kind=Kind.RELEASE_ROLLING_BACK,
    severity=Severity.PAGE,
    model="intent",
    version="7",
    at_s=100.0,
    title="intent: version 7 is being rolled back",
    reason="accuracy.live failed.",
    release_id="intent-v7-1",
    gates=("accuracy.live",),
    owner="search",
)
INFO = replace(ROLLED_BACK, id="n2", severity=Severity.INFO, kind=Kind.RELEASE_WENT_ON, at_s=90.0)


def ids(queue: NoticeQueue, target: str = "chat", *, now_s: float = 1_000.0, group_max: int = 1) -> list[str]:
    """The notices of the message that is next, whose id comes first."""
    message = queue.next(target, now_s=now_s, group_max=group_max)
    return [] if message is None else [message.id, *(notice.id for notice in message.notices)]


class NoticesContract:
    def test_a_notice_waits_for_each_target_until_it_arrived_there(self, notices: NoticeQueue) -> None:
        notices.put(ROLLED_BACK, ["chat", "pager"], due_at_s=100.0)
        message = notices.next("chat", now_s=100.0, group_max=1)
        assert message is not None
        assert (message.notices, message.attempts) == ((ROLLED_BACK,), 0)
        notices.delivered("chat", message.id, at_s=101.0)
        assert ids(notices) == []
        assert ids(notices, "pager") == ["n1", "n1"]

    def test_put_in_again_it_is_told_once(self, notices: NoticeQueue) -> None:
        """Whoever fills the queue may have been killed before it knew."""
        notices.put(ROLLED_BACK, ["chat"], due_at_s=100.0)
        notices.delivered("chat", ids(notices)[0], at_s=101.0)
        notices.put(ROLLED_BACK, ["chat"], due_at_s=100.0)
        assert ids(notices) == []

    def test_what_is_urgent_comes_first_and_then_what_came_first(self, notices: NoticeQueue) -> None:
        notices.put(INFO, ["chat"], due_at_s=90.0)
        notices.put(replace(INFO, id="n3"), ["chat"], due_at_s=91.0)
        notices.put(ROLLED_BACK, ["chat"], due_at_s=100.0)
        order = []
        while found := ids(notices):
            order.append(found[0])
            notices.delivered("chat", found[0], at_s=101.0)
        assert order == ["n1", "n2", "n3"]

    def test_a_message_stays_what_it_is_until_it_is_settled(self, notices: NoticeQueue) -> None:
        """It may have been told already: what comes meanwhile is of the next one, under an id of its own."""
        notices.put(INFO, ["chat"], due_at_s=90.0)
        notices.put(replace(INFO, id="n3"), ["chat"], due_at_s=90.0)
        notices.put(replace(INFO, id="n4", version="8"), ["chat"], due_at_s=90.0)
        assert ids(notices, group_max=20) == ["n2", "n2", "n3"]
        notices.put(replace(INFO, id="n5"), ["chat"], due_at_s=90.0)
        assert ids(notices, group_max=20) == ["n2", "n2", "n3"]
        notices.delivered("chat", "n2", at_s=101.0)
        assert ids(notices, group_max=20) == ["n4", "n4"]
        notices.delivered("chat", "n4", at_s=102.0)
        assert ids(notices, group_max=20) == ["n5", "n5"]

    def test_no_message_holds_more_than_its_target_takes(self, notices: NoticeQueue) -> None:
        for number in range(3):
            notices.put(replace(INFO, id=f"i{number}"), ["chat"], due_at_s=90.0)
        assert ids(notices, group_max=2) == ["i0", "i0", "i1"]

    def test_what_failed_waits_for_its_time_and_comes_at_once_when_the_target_is_back(
        self, notices: NoticeQueue
    ) -> None:
        notices.put(ROLLED_BACK, ["chat"], due_at_s=100.0)
        notices.failed("chat", ids(notices)[0], "refused", due_at_s=5_000.0, at_s=101.0)
        assert ids(notices, now_s=4_999.0) == []
        message = notices.next("chat", now_s=5_000.0, group_max=1)
        assert message is not None
        assert (message.id, message.attempts) == ("n1", 1)
        notices.put(INFO, ["chat"], due_at_s=100.0)
        notices.delivered("chat", ids(notices, now_s=110.0)[0], at_s=110.0)
        assert ids(notices, now_s=110.0) == ["n1", "n1"]

    def test_what_is_given_up_is_told_no_more_and_counted_until_one_arrives(self, notices: NoticeQueue) -> None:
        notices.put(ROLLED_BACK, ["chat"], due_at_s=100.0)
        notices.put(INFO, ["chat"], due_at_s=100.0)
        notices.failed("chat", ids(notices)[0], "refused", due_at_s=None, at_s=101.0)
        (standing,) = notices.standing()
        assert (standing.target, standing.waiting, standing.oldest_s) == ("chat", 1, 90.0)
        assert (standing.given_up, standing.trouble) == (1, "refused")
        notices.delivered("chat", ids(notices)[0], at_s=102.0)
        assert [one.given_up for one in notices.standing()] == [0]

    def test_what_a_freeze_keeps_silent_is_told_nobody_and_counted(self, notices: NoticeQueue) -> None:
        notices.put(ROLLED_BACK, ["chat", "pager"], due_at_s=100.0, silent=True)
        notices.put(replace(INFO, id="n3", model="tone"), ["chat"], due_at_s=100.0, silent=True)
        assert ids(notices) == []
        assert [notices.kept_silent(model, since_s=0.0) for model in ("intent", "tone", "*")] == [1, 1, 2]
        assert notices.kept_silent("*", since_s=95.0) == 1

    def test_notices_that_wait_are_bounded(self, notices: NoticeQueue) -> None:
        """What goes beyond is given up, and said so."""
        for number in range(WAITING + 1):
            notices.put(replace(INFO, id=f"i{number}"), ["chat"], due_at_s=90.0)
        (standing,) = notices.standing()
        assert (standing.waiting, standing.given_up) == (WAITING, 1)
        assert "wait for it already" in standing.trouble

    def test_what_is_for_targets_that_are_named_no_more_is_neither_told_nor_said(self, notices: NoticeQueue) -> None:
        notices.put(ROLLED_BACK, ["chat", "pager"], due_at_s=100.0)
        notices.put(INFO, ["pager"], due_at_s=100.0)
        notices.failed("pager", ids(notices, "pager")[0], "refused", due_at_s=None, at_s=101.0)
        assert notices.withdraw(["chat"], at_s=200.0) == 1
        assert [one.target for one in notices.standing()] == ["chat"]
        assert (ids(notices, "pager"), ids(notices)) == ([], ["n1", "n1"])
        assert notices.withdraw([], at_s=200.0) == 1
        assert notices.standing() == ()
        assert notices.prune(150.0) == 1, "each at its own time"

    def test_what_waits_is_forgotten_when_it_is_as_old_as_what_was_settled(self, notices: NoticeQueue) -> None:
        """Whoever was to tell it is not there any more."""
        notices.put(INFO, ["chat"], due_at_s=100.0)
        assert notices.prune(90.0) == 0
        assert notices.prune(90.1) == 1
        assert notices.standing() == ()

    def test_what_is_settled_is_forgotten_in_time_and_what_waits_is_not(self, notices: NoticeQueue) -> None:
        notices.put(ROLLED_BACK, ["chat"], due_at_s=100.0)
        notices.put(replace(INFO, at_s=1_000.0), ["chat"], due_at_s=100.0)
        notices.delivered("chat", ids(notices)[0], at_s=101.0)
        assert notices.prune(101.0) == 0
        assert notices.prune(1_000.0) == 1
        assert ids(notices) == ["n2", "n2"]
