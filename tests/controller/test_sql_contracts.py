"""The SQL store and the fakes in memory keep the same contracts."""

from collections.abc import Iterator

import pytest

from controller.adapters.sql import Store, open_store
from controller.adapters.sql.notices import SqlNotices
from controller.adapters.sql.texts import SealedTexts
from controller.ports.notices import NoticeQueue
from controller.ports.people import Freezes, Inbox
from controller.ports.standing import StandingRequests
from tests.contracts.freezes import FreezesContract
from tests.contracts.inbox import InboxContract
from tests.contracts.journal import EveryJournal, JournalContract
from tests.contracts.notices import WAITING, NoticesContract
from tests.contracts.samples import SamplesContract, SampleStore
from tests.contracts.standing import StandingContract
from tests.fakes.freezes import FakeFreezes
from tests.fakes.inbox import FakeInbox
from tests.fakes.journal import FakeJournal
from tests.fakes.notices import FakeNotices
from tests.fakes.samples import FakeSamples

KEY = "k" * 43 + "="


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    opened = open_store(store_url, SealedTexts(KEY))
    yield opened
    opened.close()


class _OnSql:
    @pytest.fixture
    def journal(self, store: Store) -> EveryJournal:
        return store.journal

    @pytest.fixture
    def inbox(self, store: Store) -> Inbox:
        return store.inbox

    @pytest.fixture
    def freezes(self, store: Store) -> Freezes:
        return store.freezes

    @pytest.fixture
    def notices(self, store: Store) -> NoticeQueue:
        return SqlNotices(store.database, waiting_max=WAITING)

    @pytest.fixture
    def samples(self, store: Store) -> SampleStore:
        return store.samples


class _InMemory:
    @pytest.fixture
    def inbox(self) -> FakeInbox:
        return FakeInbox()

    @pytest.fixture
    def journal(self, inbox: FakeInbox) -> EveryJournal:
        return FakeJournal(inbox)

    @pytest.fixture
    def freezes(self) -> Freezes:
        return FakeFreezes()

    @pytest.fixture
    def notices(self) -> NoticeQueue:
        return FakeNotices(waiting_max=WAITING)

    @pytest.fixture
    def samples(self) -> SampleStore:
        return FakeSamples()


class TestSqlJournal(_OnSql, JournalContract): ...


class TestFakeJournal(_InMemory, JournalContract): ...


class TestSqlInbox(_OnSql, InboxContract): ...


class TestFakeInbox(_InMemory, InboxContract): ...


class TestSqlFreezes(_OnSql, FreezesContract): ...


class TestFakeFreezes(_InMemory, FreezesContract): ...


class TestSqlNotices(_OnSql, NoticesContract): ...


class TestFakeNotices(_InMemory, NoticesContract): ...


class TestSqlSamples(_OnSql, SamplesContract): ...


class TestFakeSamples(_InMemory, SamplesContract): ...


class TestSqlStanding(_OnSql, StandingContract):
    @pytest.fixture
    def standing(self, store: Store) -> StandingRequests:
        return store.standing


class TestFakeStanding(StandingContract):
    @pytest.fixture
    def samples(self) -> FakeSamples:
        return FakeSamples()

    @pytest.fixture
    def standing(self, samples: FakeSamples) -> StandingRequests:
        return samples
