"""Policies as objects of the cluster: followed as files are, and each says whether it is."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from controller.adapters.kubernetes.client import KubernetesClient
from controller.adapters.kubernetes.connection import Connection
from controller.adapters.kubernetes.policies import EVERY_S, PolicyObjects
from controller.adapters.kubernetes.resources import RELEASE_POLICIES
from controller.core.policy import ReleasePolicy
from controller.errors import Source, TransientError
from controller.loop.policies import CurrentPolicies
from controller.ports.policies import NotFollowed
from tests.contracts.leadership import Monotonic
from tests.contracts.policies import PolicyPlace, PolicySourceContract
from tests.fakes.kubernetes import FakeCluster
from tests.kubernetes.roles import role_of

RULES = role_of("policies")
STEPS = [{"weight_pct": 5}, {"weight_pct": 50}]


class Place:
    """Objects that Git writes, and the source that reads them at once."""

    def __init__(self, git: KubernetesClient, own: KubernetesClient) -> None:
        self.git = git
        self.source = self
        self.faults: Mapping[str, str] = {}
        self.monotonic = Monotonic()
        self.objects = PolicyObjects(own, Path("/suites"), lambda: self.faults, self.monotonic)

    def documents(self) -> Mapping[str, ReleasePolicy | NotFollowed]:
        self.monotonic.at_s += EVERY_S
        self.objects.catch_up()
        return self.objects.documents()

    def write(self, name: str, model: str, *, probation_s: float = 3_600.0, **more: Any) -> str:
        spec = {"model": model, "steps": STEPS, "probation_s": probation_s, **more}
        self.git.apply(RELEASE_POLICIES, name, {"spec": spec})
        return f"ReleasePolicy/{name}"

    def spoil(self, name: str) -> None:
        self.git.merge(RELEASE_POLICIES, name, {"spec": {"steps": [{"weight_pct": 50}, {"weight_pct": 5}]}})

    def remove(self, name: str) -> None:
        self.git.delete(RELEASE_POLICIES, name)

    def condition(self, name: str) -> dict[str, Any]:
        found = self.git.get(RELEASE_POLICIES, name)
        assert found is not None
        (condition,) = found["status"]["conditions"]
        return dict(condition)


@pytest.fixture
def place(client: KubernetesClient, cluster: FakeCluster, connected: Callable[..., Connection]) -> Place:
    git = KubernetesClient(connected(), manager="argocd", source=Source.POLICIES)
    return Place(git, client)


class TestPolicyObjects(PolicySourceContract):
    """The contract of every source of policies."""

    @pytest.fixture
    def place(self, place: Place) -> PolicyPlace:
        return place


def test_until_the_cluster_was_read_nothing_is_said(place: Place) -> None:
    """A controller that starts while it is away drops no model."""
    with pytest.raises(TransientError, match="have not been read yet"):
        place.objects.documents()


def test_what_was_read_holds_while_the_cluster_is_away(place: Place, cluster: FakeCluster) -> None:
    """And the rounds do not wait for it."""
    place.write("intent", "intent")
    before = place.documents()
    with cluster.away(), pytest.raises(TransientError):
        place.documents()
    assert place.objects.documents() is before


def test_each_object_says_whether_it_is_followed_and_why_not(place: Place) -> None:
    """Once for each generation, and not again."""
    place.write("intent", "intent")
    policies = CurrentPolicies([place], samples_kept_days=30.0)
    assert list(policies()) == ["intent"]
    assert place.condition("intent")["status"] == "True"
    place.spoil("intent")
    assert policies()["intent"].steps[0].weight_pct == 5  # it goes on by the policy that it had
    place.faults = policies.faults
    policies()
    told = place.condition("intent")
    assert (told["status"], told["observedGeneration"]) == ("False", 2)
    assert "weight_pct must grow from step to step" in told["message"]


def test_nothing_is_written_when_nothing_changed(
    place: Place, cluster: FakeCluster, connected: Callable[..., Connection]
) -> None:
    """And nothing but what a policy's reader needs is asked for."""
    account = cluster.add_account("controller", RULES, namespace="default")
    own = KubernetesClient(connected("controller"), manager="serin", source=Source.POLICIES)
    place.write("intent", "intent")
    place.objects = PolicyObjects(own, Path("/suites"), dict, place.monotonic)
    for _ in range(20):
        place.documents()
    assert [one.verb for one in account.done].count("patch") == 1
    assert (account.unused(), account.refused) == ([], [])


def test_suites_are_found_where_they_are_mounted(place: Place) -> None:
    """A relative path has no file beside which it could lie."""
    name = place.write("intent", "intent", suites=["intent.jsonl", "/elsewhere/hard.jsonl"])
    policy = place.documents()[name]
    assert isinstance(policy, ReleasePolicy)
    assert policy.suites == ("/suites/intent.jsonl", "/elsewhere/hard.jsonl")
