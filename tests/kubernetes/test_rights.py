"""23. Least rights: a Role, no ClusterRole, no verb on Secrets, and each verb used at least once."""

from collections.abc import Callable

import pytest

from controller.adapters.kubernetes.capacity import Capacity
from controller.adapters.kubernetes.client import KubernetesClient
from controller.adapters.kubernetes.connection import Connection
from controller.adapters.kubernetes.copies import ReplicaCopies
from controller.adapters.kubernetes.looks import Looks
from controller.adapters.kubernetes.names import model_name, resource_name
from controller.adapters.kubernetes.objects.site import Autoscaling, Site
from controller.adapters.kubernetes.probe import GatewayProbe
from controller.adapters.kubernetes.rights import RIGHTS
from controller.adapters.kubernetes.runtime import KubernetesDeployments
from controller.adapters.kubernetes.traffic import GatewaySite, KubernetesTraffic
from controller.core.abilities import Mirroring
from controller.core.traffic import Mirror
from controller.errors import Source, TransientError
from tests.contracts.traffic import V6_ONLY
from tests.fakes.clock import FakeClock
from tests.fakes.kubernetes import FakeCluster
from tests.kubernetes.kubelet import Kubelet
from tests.kubernetes.roles import resources_of_parts, role_of
from tests.kubernetes.test_traffic import spec

RULES = role_of("data plane")


def test_23_every_right_is_of_a_part_whose_tests_use_each_verb() -> None:
    """Of the data plane below; the others in the tests of those parts, by `role_of`."""
    assert resources_of_parts() == {right.resource for right in RIGHTS}


def test_23_versions_and_traffic_under_exactly_these_rights(
    cluster: FakeCluster, client: KubernetesClient, connected: Callable[..., Connection]
) -> None:
    """Two versions with an autoscaler and one without, copies by replicas, weights, the way back, removal."""
    account = cluster.add_account("controller", RULES, namespace="default")
    own = KubernetesClient(connected("controller"), manager="serin", source=Source.TRAFFIC)
    looks, kubelet = Looks(own, FakeClock(), kept_s=0.0), Kubelet(client)
    plain = Site("registry.invalid/serin:1", "default", "http://mlflow:5000")
    scaled = Site("registry.invalid/serin:1", "default", "http://mlflow:5000", autoscaling=Autoscaling())
    for site, version in ((scaled, "6"), (scaled, "7"), (plain, "8")):
        KubernetesDeployments(own, looks, site, resource_name, lambda _: ()).ensure(spec(version))
        kubelet.step()
    kubelet.scaled(resource_name("intent", "6"), 2)
    kubelet.step()
    kubelet.step()
    traffic = KubernetesTraffic(
        own,
        own,
        GatewaySite("shop", class_name="some", mirroring=Mirroring.REPLICA),
        Capacity(own, looks),
        ReplicaCopies(own, resource_name, model_name),
        GatewayProbe("http://127.0.0.1:1"),
        resource_name,
        model_name,
        FakeClock(),
        kept_s=0.0,
    )
    traffic.write(V6_ONLY)
    for version in ("7", "8"):
        step = V6_ONLY.next(weights_pct={"6": 50.0, version: 50.0}, mirror=Mirror(version, 100.0))
        with pytest.raises(TransientError, match="1/2 replicas ready"):
            traffic.write(step)
        kubelet.autoscale()
        for _ in range(2):
            kubelet.step()
    traffic.write(step)
    traffic.write(step.next(weights_pct={"6": 100.0}, mirror=None))
    assert traffic.drift("intent") is None
    deployments = KubernetesDeployments(own, looks, scaled, resource_name, lambda _: ())
    for version in ("7", "8"):
        deployments.remove("intent", version)
    assert account.unused() == []
    assert {access.resource for access in account.refused} == {"gatewayclasses"}  # settings list what it would say
    assert not [rule for rule in RULES if "secrets" in rule["resources"]]
