"""One leader by a Lease of the cluster, fenced by the store; an ex-leader does nothing."""

import random
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml

from controller.adapters.kubernetes.client import KubernetesClient
from controller.adapters.kubernetes.connection import Connection
from controller.adapters.kubernetes.leadership import LeaseLeadership, request_timeout_s
from controller.adapters.kubernetes.resources import LEASES
from controller.adapters.sql.store import Store
from controller.errors import ConflictError, Source, TransientError
from controller.loop.leader import Leader
from controller.ports.leadership import Held
from tests.contracts.journal import entry, record
from tests.contracts.leadership import LEASE_S, Controllers, LeadershipContract, Monotonic, taken
from tests.fakes.kubernetes import FakeCluster, writes
from tests.kubernetes.roles import role_of
from tests.patience import eventually
from tests.stores import new_store
from tests.thieves import robbed

NAME = "serin"


@pytest.fixture
def monotonic() -> Monotonic:
    return Monotonic()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = new_store(f"sqlite:///{tmp_path}/store.db")
    yield opened
    opened.close()


@pytest.fixture
def controllers(client: KubernetesClient, store: Store, monotonic: Monotonic) -> Controllers:
    return lambda: LeaseLeadership(client, NAME, store.fences, monotonic)


class TestLeaseLeadership(LeadershipContract):
    """The contract of every leadership."""


def test_22_what_is_written_with_an_old_fence_is_refused(controllers: Controllers, store: Store) -> None:
    """From the moment on that another leads, before it has written anything."""
    old = taken(controllers().acquire("one", lease_s=LEASE_S))
    store.journal.append(record(1), [entry(1)], fence=old.fence)
    new = taken(controllers().acquire("one", lease_s=LEASE_S))
    with pytest.raises(ConflictError, match="later leader"):
        store.journal.append(record(2), [entry(2)], fence=old.fence)
    store.journal.append(record(2), [entry(2)], fence=new.fence)


def test_22_a_stolen_lease_ends_the_lead(controllers: Controllers, client: KubernetesClient) -> None:
    """Whoever wrote it, by whatever tool: it is not fought over."""
    leadership = controllers()
    lease = taken(leadership.acquire("one", lease_s=LEASE_S))
    client.merge(LEASES, NAME, {"spec": {"holderIdentity": "thief"}})
    with pytest.raises(ConflictError, match="another controller has taken the lease of one"):
        leadership.renew(lease)
    leadership.release(lease)
    assert controllers().acquire("one", lease_s=LEASE_S) == Held("thief")


def test_a_lease_that_was_deleted_leads_to_no_second_writer(
    controllers: Controllers, client: KubernetesClient, store: Store
) -> None:
    """The next one starts above every fence that the store has seen."""
    one, other = controllers(), controllers()
    for _ in range(3):
        lease = taken(one.acquire("one", lease_s=LEASE_S))
    client.delete(LEASES, NAME)
    later = taken(other.acquire("other", lease_s=LEASE_S))
    assert later.fence > lease.fence
    with pytest.raises(ConflictError):
        one.renew(lease)
    with pytest.raises(ConflictError):
        store.journal.append(record(1), [entry(1)], fence=lease.fence)


def test_one_that_slept_before_it_had_its_fence_does_not_get_one_above_its_successors(
    cluster: FakeCluster, controllers: Controllers, monotonic: Monotonic, store: Store
) -> None:
    """It had written its name into the Lease, and stopped there: the other one leads, and goes on."""
    sleeper, other = controllers(), controllers()
    taken_over = []

    class Sleepy:
        """The store, which another uses between the Lease and the fence."""

        def highest(self) -> int:
            return store.fences.highest()

        def raise_to(self, fence: int) -> bool:
            assert other.acquire("other", lease_s=LEASE_S) == Held("one")
            monotonic.at_s += LEASE_S
            taken_over.append(taken(other.acquire("other", lease_s=LEASE_S)))
            return store.fences.raise_to(fence)

    assert isinstance(sleeper, LeaseLeadership)
    sleeper._fences = Sleepy()
    assert isinstance(sleeper.acquire("one", lease_s=LEASE_S), Held)
    other.renew(taken_over[0])
    assert store.fences.highest() == taken_over[0].fence


def test_22_a_server_that_hangs_makes_no_two_leaders(
    cluster: FakeCluster, connected: Callable[..., Connection], store: Store, monotonic: Monotonic
) -> None:
    """Who cannot reach it leads on while nobody else does either; the store tells it once another leads."""
    lease_s = 1.0

    def leadership() -> LeaseLeadership:
        connection = connected(timeout_s=request_timeout_s(lease_s))
        client = KubernetesClient(connection, manager="serin", source=Source.LEADERSHIP)
        return LeaseLeadership(client, NAME, store.fences, monotonic)

    one, other = leadership(), leadership()
    lease = taken(one.acquire("one", lease_s=lease_s))
    with cluster.faults.hanging(), pytest.raises(TransientError):
        one.renew(lease)
    for _ in range(2):  # the server may do late what it was asked for while it hung: then the lease was renewed
        other.acquire("other", lease_s=lease_s)
        monotonic.at_s += lease_s + 10
        found = other.acquire("other", lease_s=lease_s)
        if not isinstance(found, Held):
            break
    taken(found)
    with cluster.faults.hanging(writes), pytest.raises(ConflictError):
        one.renew(lease)


def test_a_refused_connection_ends_no_lead_and_begins_none(cluster: FakeCluster, controllers: Controllers) -> None:
    """It is told as what it is; afterwards the lead goes on."""
    one, other = (Leader(controllers(), name, lease_s=60.0) for name in ("one", "other"))
    assert (one.leads(), other.leads()) == (True, False)
    with cluster.away():
        one.turn()
        other.turn()
    assert (one.leads(), other.leads()) == (True, False)


def test_a_time_without_microseconds_is_written_with_them(client: KubernetesClient, store: Store) -> None:
    """One in a million renewals would be refused."""
    leadership = LeaseLeadership(client, NAME, store.fences, now=lambda: datetime(2026, 11, 26, 10, tzinfo=UTC))
    leadership.renew(taken(leadership.acquire("one", lease_s=LEASE_S)))
    found = client.get(LEASES, NAME)
    assert found is not None
    assert found["spec"]["renewTime"] == "2026-11-26T10:00:00.000000Z"


def test_a_clock_that_is_set_ends_no_lease(controllers: Controllers, client: KubernetesClient) -> None:
    """What the Lease says of times is for people."""
    one, other = controllers(), controllers()
    lease = taken(one.acquire("one", lease_s=LEASE_S))
    client.merge(LEASES, NAME, {"spec": {"renewTime": "2001-01-01T00:00:00.000000Z"}})
    assert other.acquire("other", lease_s=LEASE_S) == Held("one")
    one.renew(lease)


def test_somebodys_label_on_the_lease_disturbs_nobody(controllers: Controllers, client: KubernetesClient) -> None:
    """Its revision moves, its holder does not."""
    one = controllers()
    lease = taken(one.acquire("one", lease_s=LEASE_S))
    client.merge(LEASES, NAME, {"metadata": {"labels": {"team": "models"}}})
    one.renew(lease)


def test_a_lease_needs_four_verbs_on_one_object(
    cluster: FakeCluster, connected: Callable[..., Connection], store: Store, monotonic: Monotonic
) -> None:
    """And uses each of them."""
    account = cluster.add_account("controller", role_of("leadership"), namespace="default")
    client = KubernetesClient(connected("controller"), manager="serin", source=Source.LEADERSHIP)
    leadership = LeaseLeadership(client, NAME, store.fences, monotonic)
    for _ in range(2):
        lease = taken(leadership.acquire("one", lease_s=LEASE_S))
    leadership.renew(lease)
    leadership.release(lease)
    assert account.unused() == []
    assert account.refused == []


WRITTEN_MIN, REFUSED_MIN, STOLEN_MIN = 10, 3, 10


@pytest.mark.integration
def test_22_one_leader_and_an_ex_leader_does_nothing(
    cluster: FakeCluster, client: KubernetesClient, tmp_path: Path
) -> None:
    """Two processes whose Lease is stolen at random, each stopping where it hurts most: one writer at a
    time, and nothing written twice."""
    url = f"sqlite:///{tmp_path}/store.db"
    new_store(url).close()
    path = tmp_path / "kubeconfig"
    path.write_text(yaml.safe_dump(cluster.kubeconfig()))
    chance, stolen = random.Random(22), 0

    def enough(said: Callable[[str], list[int]]) -> None:
        def steal_and_see() -> bool:
            nonlocal stolen
            if chance.random() < 0.5 and client.get(LEASES, NAME) is not None:
                client.merge(LEASES, NAME, {"spec": {"holderIdentity": chance.choice(["", "one", "other"])}})
                stolen += 1
            return stolen >= STOLEN_MIN and min(said("written")) >= WRITTEN_MIN and sum(said("refused")) >= REFUSED_MIN

        eventually(steal_and_see, what="both to write, to be robbed, and to be refused")

    found = robbed(url, tmp_path, enough, path)
    assert {one.by for one in found.journal} == {"one", "other"}
    assert found.double == 0
