"""Leadership, in SQL and in memory, by one contract; and what holds only where processes compete."""

import logging
import secrets
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from controller.adapters.local.loopback import free_port
from controller.adapters.sql import open_store
from controller.adapters.sql.database import Database, connect
from controller.adapters.sql.leadership import SqlLeadership
from controller.bootstrap.stores import only_controller
from controller.config.settings import Home, Settings
from controller.errors import ConflictError, TransientError
from controller.loop.leader import Leader
from tests.contracts.journal import entry, record
from tests.contracts.leadership import LEASE_S, Controllers, LeadershipContract, Monotonic, taken
from tests.controller.envoy_support import eventually
from tests.fakes.leadership import FakeLeadership, LeaseRow
from tests.patience import PATIENCE_S
from tests.thieves import robbed

ROOT = Path(__file__).parents[2]


@pytest.fixture
def monotonic() -> Monotonic:
    return Monotonic()


@pytest.fixture
def database(store_url: str) -> Iterator[Database]:
    opened = connect(store_url)
    yield opened
    opened.close()


class TestSqlLeadership(LeadershipContract):
    @pytest.fixture
    def controllers(self, database: Database, monotonic: Monotonic) -> Controllers:
        return lambda: SqlLeadership(database, monotonic)


class TestFakeLeadership(LeadershipContract):
    @pytest.fixture
    def controllers(self, monotonic: Monotonic) -> Controllers:
        row = LeaseRow()
        return lambda: FakeLeadership(row, monotonic)


def test_what_is_written_with_an_old_fence_is_refused(store_url: str) -> None:
    """From the moment on that another leads, before it has written anything; also where both go by one name."""
    store = open_store(store_url)
    old = taken(store.leadership.acquire("one", lease_s=LEASE_S))
    store.journal.append(record(1), [entry(1)], fence=old.fence)
    new = taken(store.leadership.acquire("one", lease_s=LEASE_S))
    with pytest.raises(ConflictError, match="later leader"):
        store.journal.append(record(2), [entry(2)], fence=old.fence)
    assert len(store.journal.entries("r1")) == 1
    store.journal.append(record(2), [entry(2)], fence=new.fence)
    store.close()


def test_a_fence_outlives_the_process(store_url: str) -> None:
    """It only grows, for as long as the database is there."""
    fences = []
    for _ in range(3):
        store = open_store(store_url)
        lease = taken(store.leadership.acquire("one", lease_s=LEASE_S))
        store.leadership.release(lease)
        store.close()
        fences.append(lease.fence)
    assert fences == [1, 2, 3]


def test_a_fence_is_taken_once(store_url: str) -> None:
    """Where leadership is decided elsewhere, too: of two who raise it to the same number one is told that it is late,
    and whoever leads by the store afterwards leads above it."""
    store = open_store(store_url)
    assert store.fences.highest() == 0
    assert [store.fences.raise_to(fence) for fence in (5, 5, 4, 6)] == [True, False, False, True]
    assert store.fences.highest() == 6
    with pytest.raises(ConflictError, match="later leader"):
        store.journal.append(record(1), [entry(1)], fence=5)
    store.journal.append(record(1), [entry(1)], fence=6)
    assert taken(store.leadership.acquire("one", lease_s=LEASE_S)).fence == 7
    store.close()


# --- who leads, and what comes of it ---------------------------------------------------------------------------------
class Candidate:
    """A controller's leader, and what it was told."""

    def __init__(self, row: LeaseRow, monotonic: Monotonic, name: str) -> None:
        self.told: list[str] = []
        self.leadership = FakeLeadership(row, monotonic)
        self.leader = Leader(
            self.leadership,
            name,
            lease_s=LEASE_S,
            monotonic=monotonic,
        )
        self.leader._taken, self.leader._lost = (partial(self.told.append, word) for word in ("taken", "lost"))


@pytest.fixture
def rivals(monotonic: Monotonic) -> tuple[Candidate, Candidate]:
    row = LeaseRow()
    return Candidate(row, monotonic, "one"), Candidate(row, monotonic, "other")


def test_one_leads_and_the_other_says_once_that_it_stands_by(
    rivals: tuple[Candidate, Candidate], caplog: pytest.LogCaptureFixture
) -> None:
    """And for whom."""
    one, other = rivals
    with caplog.at_level(logging.INFO):
        assert [one.leader.leads(), *(other.leader.leads() for _ in range(3))] == [True, False, False, False]
    assert (one.leader.fence(), one.told, other.told) == (1, ["taken"], [])
    assert [text for text in caplog.messages if "stand-by" in text] == [
        "stand-by: the controller of one leads; this one takes over when it ends"
    ]
    with pytest.raises(ConflictError, match="leads"):
        other.leader.fence()


def test_one_that_slept_asks_before_it_acts(rivals: tuple[Candidate, Candidate], monotonic: Monotonic) -> None:
    """It was stopped for longer than its lease, and another leads: it may not do one thing more, and ends."""
    one, other = rivals
    assert (one.leader.leads(), other.leader.leads()) == (True, False)
    monotonic.at_s += LEASE_S
    assert other.leader.leads()
    assert not one.leader.leads()
    monotonic.at_s += LEASE_S
    assert not one.leader.leads()  # also where the other one is gone again: it would act on what it knew before
    assert (one.told, other.told) == (["taken", "lost"], ["taken"])


def test_one_that_slept_alone_goes_on(rivals: tuple[Candidate, Candidate], monotonic: Monotonic) -> None:
    """Nobody took over meanwhile: what it knows is still so."""
    one, _ = rivals
    assert one.leader.leads()
    monotonic.at_s += 100 * LEASE_S
    assert one.leader.leads()
    assert (one.leader.fence(), one.told) == (1, ["taken"])


def test_a_store_that_does_not_answer_ends_no_lead_and_begins_none(
    rivals: tuple[Candidate, Candidate], monotonic: Monotonic
) -> None:
    """Who led can still take users back; who stood by knows nothing and does nothing."""
    one, other = rivals
    assert one.leader.leads()
    for candidate in rivals:
        candidate.leadership.failure = TransientError("leadership", "the disk is full")
    monotonic.at_s += 5 * LEASE_S
    assert (one.leader.leads(), other.leader.leads()) == (True, False)


def test_a_lead_is_kept_by_its_thread_and_given_back_at_the_end(store_url: str) -> None:
    """Two homes on one database: the second one takes over within a turn when the first one ends in order."""
    one, other = open_store(store_url), open_store(store_url)
    second = Leader(other.leadership, "other", lease_s=60.0)
    first = Leader(one.leadership, "one", lease_s=60.0)
    with first.campaign():
        assert (first.leads(), second.leads()) == (True, False)
    assert second.leads()
    one.close()
    other.close()


def test_a_home_has_one_controller_and_keeps_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that was killed goes on under the same name at once; a copy of the home has another path."""
    monkeypatch.setattr("controller.files._LOCK_WITHIN_S", 0.05)
    home = Home(tmp_path)
    with only_controller(home) as name:
        assert str(tmp_path) in name
        with pytest.raises(TransientError, match="locked"), only_controller(home):
            pass
    with only_controller(home) as again:
        assert again == name


WRITTEN_MIN, REFUSED_MIN = 20, 5


@pytest.mark.integration
def test_two_processes_that_steal_the_lease_from_each_other_never_both_write(store_url: str, tmp_path: Path) -> None:
    """Each stops where it hurts most, for longer than its lease, and goes on as if nothing had been."""

    def enough(said: Callable[[str], list[int]]) -> None:
        eventually(
            lambda: min(said("written")) >= WRITTEN_MIN and sum(said("refused")) >= REFUSED_MIN,
            what="both to write, and to be refused",
        )

    found = robbed(store_url, tmp_path, enough)
    assert {one.by for one in found.journal} == {"one", "other"}
    assert found.double == 0


@contextmanager
def controller_in(home: Home, database_url: str, digest_key: Path) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """A real controller process that has no model to care for, and its log."""
    home.save(Settings(database_url=database_url, digest_key_file=str(digest_key), api_port=free_port(), lease_s=1.0))
    log = home.path / "log"
    with log.open("wb") as out:
        process = subprocess.Popen([sys.executable, "-m", "controller", "--home", str(home.path)], cwd=ROOT, stderr=out)
    try:
        yield process, log
    finally:
        process.send_signal(signal.SIGCONT)
        process.terminate()
        process.wait(PATIENCE_S)


@pytest.mark.integration
def test_of_two_homes_on_one_database_the_second_waits_and_takes_over(tmp_path: Path, store_url: str) -> None:
    """The first one is stopped; when it wakes up, it finds out before it does anything, and ends."""
    homes = Home(tmp_path / "one"), Home(tmp_path / "other")
    key = tmp_path / "digest-key"
    key.write_text(secrets.token_hex(32))
    key.chmod(0o600)
    with controller_in(homes[0], store_url, key) as (first, first_log):
        eventually(lambda: "this controller leads (fence 1)" in first_log.read_text(), what="the first to lead")
        with controller_in(homes[1], store_url, key) as (second, second_log):
            waits = f"stand-by: the controller of {homes[0].path} on "
            eventually(
                lambda: waits in second_log.read_text() or second.poll() is not None, what="the second to stand by"
            )
            assert second.poll() is None, second_log.read_text()
            first.send_signal(signal.SIGSTOP)
            eventually(lambda: "this controller leads (fence 2)" in second_log.read_text(), what="the second to lead")
            first.send_signal(signal.SIGCONT)
            assert first.wait(PATIENCE_S) == 0
            assert "another controller has taken the lease" in first_log.read_text()
    assert second_log.read_text().count("stand-by") == 1
