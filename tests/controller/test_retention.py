"""Old samples go; what a release may still need stays."""

import pytest

from controller.core.policy import ReleasePolicy
from controller.errors import ConflictError, Source, TransientError, UnreadableError, UsageError
from controller.loop.retention import DAY_S, Kept, Room, check_kept, daily_pruning, keep_to, prune_once
from tests.fakes.clock import FakeClock


class Samples:
    def __init__(self, *, away: bool = False) -> None:
        self.away = away
        self.before_s: list[float] = []

    def prune(self, before_s: float) -> int:
        if self.away:
            raise TransientError("labels", "the database is locked")
        self.before_s.append(before_s)
        return 3


def test_samples_older_than_so_many_days_go_once_a_day() -> None:
    clock, samples = FakeClock(), Samples()
    assert prune_once([Kept(samples, 90), Kept(samples, 1)], clock) == DAY_S
    assert samples.before_s == [clock.now_s() - 90 * DAY_S, clock.now_s() - DAY_S]


def test_a_store_that_is_away_is_asked_again_within_the_hour() -> None:
    assert prune_once([Kept(Samples(away=True), 90)], FakeClock()) == 3_600


def test_what_only_the_leader_may_do_keeps_nothing_else_from_being_done() -> None:
    """A controller that stands by prunes what any may, and asks again within the hour: it may lead by then."""

    class Looks(Samples):
        def prune(self, before_s: float) -> int:
            raise ConflictError(Source.LEADERSHIP, f"another controller leads, {before_s}")

    samples = Samples()
    assert prune_once([Kept(Looks(), 30), Kept(samples, 90)], FakeClock()) == 3_600
    assert len(samples.before_s) == 1


def test_what_cannot_be_read_keeps_nothing_else_from_being_pruned() -> None:
    class Damaged(Samples):
        def prune(self, before_s: float) -> int:
            raise UnreadableError(f"the journal holds a Looked that cannot be read, {before_s}")

    samples = Samples()
    assert prune_once([Kept(Damaged(), 30), Kept(Samples(away=True), 30), Kept(samples, 90)], FakeClock()) == 3_600
    assert len(samples.before_s) == 1


def test_samples_must_outlive_a_release() -> None:
    """Late labels of a release in probation still look for their predictions."""
    check_kept(2, [ReleasePolicy("intent")])
    with pytest.raises(UsageError, match=r"release of intent may last 1\.1 days"):
        check_kept(1, [ReleasePolicy("intent")])


def test_the_thread_ends_with_its_block() -> None:
    samples = Samples()
    with daily_pruning([Kept(samples, 90)], FakeClock()):
        pass
    assert samples.before_s == []


class Large:
    def __init__(self, *, away: bool = False) -> None:
        self.away = away
        self.asked: list[float] = []

    def prune_to(self, bytes_max: float) -> int:
        if self.away:
            raise TransientError("labels", "the database is locked")
        self.asked.append(bytes_max)
        return 7


def test_what_had_to_go_before_its_time_is_told(caplog: pytest.LogCaptureFixture) -> None:
    """One store that does not answer keeps no other from its room."""
    large = Large()
    keep_to([Room(Large(away=True), 1e6), Room(large, 2e6)])
    assert large.asked == [2e6]
    first, second = caplog.messages
    assert "may take more than samples_mb_max: the database is locked" in first
    assert "deleted the 7 oldest rows" in second
    assert "samples_mb_max, 2 MB" in second
