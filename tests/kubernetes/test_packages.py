"""The list of packages that the pods' cache keeps: nothing in use is ever missing on it."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from controller.adapters.kubernetes.client import KubernetesClient
from controller.adapters.kubernetes.looks import Looks
from controller.adapters.kubernetes.objects.site import KEPT_PACKAGES, Cache
from controller.adapters.kubernetes.packages import KeptPackages
from controller.adapters.kubernetes.resources import CONFIG_MAPS, DEPLOYMENTS
from controller.adapters.kubernetes.runtime import KubernetesDeployments
from controller.core.release import Version
from controller.errors import ConflictError, TransientError
from controller.loop.retention import DAY_S
from controller.ports.runtime import DeploymentSpec
from tests.fakes.clock import FakeClock
from tests.fakes.kubernetes import ApiError, FakeCluster, writes
from tests.kubernetes.test_runtime import SITE, name_of

SHARED = replace(SITE, cache=Cache(claim="packages"))
SIX, SEVEN = (DeploymentSpec("intent", Version(number, "m-" + number * 32, number * 64)) for number in "67")
KEPT_S = 30 * DAY_S
BUSY = ApiError(429, "TooManyRequests", "the server has received too many requests", retry_after_s=1)


class Place:
    """A namespace of its own clock."""

    def __init__(self, client: KubernetesClient) -> None:
        self.client = client
        self.clock = FakeClock()
        looks = Looks(client, self.clock, kept_s=0.0)
        self.packages = KeptPackages(client, looks, self.clock)
        self.runtime = KubernetesDeployments(client, looks, SHARED, name_of, lambda _: (), self.packages)

    def days_pass(self, days: int) -> int:
        """What went, with a chore each day."""
        gone = 0
        for _ in range(days):
            self.clock.pass_s(DAY_S)
            gone += self.packages.prune(self.clock.now_s() - KEPT_S)
        return gone

    @property
    def listed(self) -> dict[str, str]:
        found = self.client.get(CONFIG_MAPS, KEPT_PACKAGES) or {}
        return dict(found.get("data", {}))

    @property
    def today(self) -> str:
        return datetime.fromtimestamp(self.clock.now_s(), UTC).strftime("%Y-%m-%d")


@pytest.fixture
def place(client: KubernetesClient) -> Place:
    return Place(client)


def test_a_package_is_listed_before_a_pod_can_take_it_in_and_stays_a_month_longer_than_its_version(
    place: Place,
) -> None:
    place.runtime.ensure(SIX)
    place.runtime.ensure(SEVEN)
    assert place.listed == dict.fromkeys(("6" * 64, "7" * 64), place.today)
    assert place.days_pass(40) == 0
    assert place.listed == dict.fromkeys(("6" * 64, "7" * 64), place.today)
    place.runtime.remove("intent", "6")
    assert place.days_pass(30) == 0
    assert place.days_pass(1) == 1
    assert place.listed == {"7" * 64: place.today}


def test_no_version_is_made_whose_package_cannot_be_listed(place: Place, cluster: FakeCluster) -> None:
    with cluster.away(), pytest.raises(TransientError):
        place.runtime.ensure(SIX)
    place.runtime.ensure(SEVEN)
    cluster.faults.answer(BUSY, concerns=lambda access: access.resource == "configmaps" and writes(access))
    with pytest.raises(TransientError):
        place.runtime.ensure(SIX)
    assert place.client.get(DEPLOYMENTS, "intent-v6") is None


def test_a_list_that_was_deleted_comes_back_whole(place: Place) -> None:
    """Else the next version's pods would delete what all others need."""
    place.runtime.ensure(SIX)
    place.client.delete(CONFIG_MAPS, KEPT_PACKAGES)
    place.runtime.ensure(SEVEN)
    assert set(place.listed) == {"6" * 64, "7" * 64}
    place.client.delete(CONFIG_MAPS, KEPT_PACKAGES)
    assert place.days_pass(1) == 0
    assert set(place.listed) == {"6" * 64, "7" * 64}


def test_what_comes_back_while_another_controller_tidies_stays(place: Place, cluster: FakeCluster) -> None:
    """The list is written only as it was read."""
    place.runtime.ensure(SIX)
    place.runtime.remove("intent", "6")
    place.clock.pass_s(40 * DAY_S)
    cluster.faults.meanwhile(lambda: place.packages.need("6" * 64), concerns=writes)
    with pytest.raises(ConflictError):
        place.packages.prune(place.clock.now_s() - KEPT_S)
    assert place.listed == {"6" * 64: place.today}


def test_nothing_is_written_when_nothing_changed(place: Place, cluster: FakeCluster) -> None:
    """And what people keep there besides stays."""
    place.runtime.ensure(SIX)
    place.client.merge(CONFIG_MAPS, KEPT_PACKAGES, {"data": {"note": "1999"}})
    before = place.client.get(CONFIG_MAPS, KEPT_PACKAGES)
    for _ in range(3):
        place.packages.prune(place.clock.now_s() - KEPT_S)
        place.packages.need("6" * 64)
    assert place.client.get(CONFIG_MAPS, KEPT_PACKAGES) == before
