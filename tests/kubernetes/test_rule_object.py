"""Alert rules of the policies in force, as the object that a Prometheus operator reads."""

from collections.abc import Callable
from typing import Any

import pytest

from controller.adapters.kubernetes.client import KubernetesClient
from controller.adapters.kubernetes.connection import Connection
from controller.adapters.kubernetes.refusals import NoSuchObjectError
from controller.adapters.kubernetes.resources import PROMETHEUS_RULES
from controller.adapters.kubernetes.rights import OPERATOR_RIGHTS, rules
from controller.adapters.kubernetes.rule_object import AGAIN_S, EVERY_S, Policies, RuleObject
from controller.core.policy import ReleasePolicy
from controller.errors import Source, TransientError
from tests.contracts.leadership import Monotonic
from tests.controller.releases import POLICY
from tests.fakes.kubernetes import FakeCluster
from tests.fakes.kubernetes.kinds import CRDS

NAME = "serin-policies"
KIND = {
    "metadata": {"name": "prometheusrules.monitoring.coreos.com"},
    "spec": {
        "group": "monitoring.coreos.com",
        "scope": "Namespaced",
        "names": {"plural": "prometheusrules", "kind": "PrometheusRule", "singular": "prometheusrule"},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
            }
        ],
    },
}


def object_of(policies: Policies) -> dict[str, Any]:
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": NAME, "labels": {"release": "kps"}},
        "spec": {"groups": [{"name": model} for model in sorted(policies)]},
    }


class Kept:
    """The object, and the policies that it is made of."""

    def __init__(self, person: KubernetesClient, own: KubernetesClient) -> None:
        self.policies: dict[str, ReleasePolicy] = {"intent": POLICY}
        self._person = person
        self._monotonic = Monotonic()
        self._rules = RuleObject(own, lambda: self.policies, object_of, self._monotonic)

    def look(self, *, after_s: float = EVERY_S) -> None:
        self._monotonic.at_s += after_s
        self._rules.catch_up()

    @property
    def models(self) -> list[str] | None:
        found = self._person.get(PROMETHEUS_RULES, NAME)
        return [group["name"] for group in found["spec"]["groups"]] if found is not None else None


@pytest.fixture
def kept(cluster: FakeCluster, client: KubernetesClient, connected: Callable[..., Connection]) -> Kept:
    cluster.add(CRDS, "", KIND)
    cluster.add_account("controller", rules(OPERATOR_RIGHTS), namespace="default")
    return Kept(client, KubernetesClient(connected("controller"), manager="serin", source=Source.CLUSTER))


def test_it_follows_policies_that_change_and_is_not_written_for_nothing(kept: Kept, cluster: FakeCluster) -> None:
    kept.look()
    assert kept.models == ["intent"]
    revision = cluster.store.revision
    for _ in range(10):
        kept.look()
    assert cluster.store.revision == revision
    kept.policies = {"intent": POLICY, "topic": POLICY}
    kept.look(after_s=EVERY_S / 2)
    assert kept.models == ["intent"]
    kept.look()
    assert kept.models == ["intent", "topic"]
    kept.policies = {}
    kept.look()
    assert kept.models == []


def test_one_that_somebody_deleted_or_edited_comes_back(kept: Kept, client: KubernetesClient) -> None:
    kept.look()
    client.delete(PROMETHEUS_RULES, NAME)
    kept.look(after_s=AGAIN_S)
    assert kept.models == ["intent"]
    client.merge(PROMETHEUS_RULES, NAME, {"spec": {"groups": []}})
    kept.look(after_s=AGAIN_S)
    assert kept.models == ["intent"]


def test_what_could_not_be_written_is_written_at_the_next_look(kept: Kept, cluster: FakeCluster) -> None:
    with cluster.away(), pytest.raises(TransientError):
        kept.look()
    kept.look()
    assert kept.models == ["intent"]


def test_a_cluster_without_an_operator_says_so(client: KubernetesClient) -> None:
    with pytest.raises(NoSuchObjectError, match=r"prometheusrules\.monitoring\.coreos\.com"):
        Kept(client, client).look()


def test_23_each_of_its_rights_is_used(kept: Kept, cluster: FakeCluster) -> None:
    account = cluster.add_account("controller", rules(OPERATOR_RIGHTS), namespace="default")
    kept.look()
    kept.look(after_s=AGAIN_S)
    assert (account.unused(), account.refused) == ([], [])
