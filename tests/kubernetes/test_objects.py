"""The objects of a version, held against Kubernetes' own schemas and against what must hold of them."""

from dataclasses import replace
from typing import Any

import kubernetes_validate
import pytest

from controller.adapters.kubernetes.objects.autoscaler import autoscaler
from controller.adapters.kubernetes.objects.deployment import deployment
from controller.adapters.kubernetes.objects.disruption import disruption_budget
from controller.adapters.kubernetes.objects.labels import identity_of
from controller.adapters.kubernetes.objects.service import service
from controller.adapters.kubernetes.objects.site import Autoscaling, Cache, ScaleBy, Site
from controller.core.release import Version
from controller.core.serving import Provider, ServingPolicy
from controller.ports.runtime import DeploymentSpec
from serving.__main__ import parser

SITE = Site("registry.invalid/serin@sha256:" + "0" * 64, "shop", "http://mlflow:5000")
FULL = replace(
    SITE,
    registry_secret="mlflow-reader",  # noqa: S106 - a name
    registry_ca=True,
    capture_secret="serin-capture",  # noqa: S106
    capture_ca=True,
    access_secret="serin-clients",  # noqa: S106
    cache=Cache(claim="packages"),
    pull_secrets=("pull",),
    node_selector={"pool": "models"},
    cpu=1.5,
    flags=("--capture-url", "http://serin:8081"),
)
SPEC = DeploymentSpec("intent", Version("7", "m-" + "a" * 32, "f" * 64), objectives_ms=(120.0,), start_timeout_s=90.5)


def manifests(site: Site, spec: DeploymentSpec) -> list[dict[str, Any]]:
    scalings = [Autoscaling(), Autoscaling(by=ScaleBy.REQUESTS, target=2.5)]
    return [
        deployment("intent-7", spec, site, replicas=2),
        service("intent-7", spec, site),
        disruption_budget("intent-7", spec, site),
        *(autoscaler("intent-7", spec, site, scaling, replicas_min=2) for scaling in scalings),
    ]


def checked(manifest: dict[str, Any]) -> None:
    """A kind that the schemas do not know is a failure, not a warning."""
    kubernetes_validate.validate(manifest, "1.37", strict=True)


@pytest.mark.parametrize("site", [SITE, FULL, replace(FULL, cache=Cache(host_path="/var/cache/serin"))])
@pytest.mark.parametrize("serving", [ServingPolicy(), ServingPolicy(workers=2, threads=2, provider=Provider.CUDA)])
def test_every_object_is_of_its_schema(site: Site, serving: ServingPolicy) -> None:
    for manifest in manifests(site, replace(SPEC, serving=serving)):
        checked(manifest)


def test_pods_of_a_version_are_spread_over_zones_and_nodes_where_that_is_possible() -> None:
    """By the labels that its pods have, and no other version's; a cluster of one node runs them all."""
    spread = {}
    for name in ("intent-7", "intent-8"):
        made = deployment(name, SPEC, SITE, replicas=2)
        template = made["spec"]["template"]
        for one in template["spec"]["topologySpreadConstraints"]:
            selected = one["labelSelector"]["matchLabels"]
            assert selected == made["spec"]["selector"]["matchLabels"]
            assert selected.items() <= template["metadata"]["labels"].items()
            assert (one["maxSkew"], one["whenUnsatisfiable"]) == (1, "ScheduleAnyway")
            spread[name, one["topologyKey"]] = selected
    assert {key for _, key in spread} == {"topology.kubernetes.io/zone", "kubernetes.io/hostname"}
    assert spread["intent-7", "kubernetes.io/hostname"] != spread["intent-8", "kubernetes.io/hostname"]


def test_a_wrong_field_and_an_unknown_kind_are_found() -> None:
    """So that the test above can fail."""
    wrong = service("intent-7", SPEC, SITE)
    wrong["spec"]["port"] = 1
    with pytest.raises(kubernetes_validate.ValidationError) as found:
        checked(wrong)
    assert "'port' was unexpected" in found.value.message
    with pytest.raises(kubernetes_validate.SchemaNotFoundError):
        checked({**service("intent-7", SPEC, SITE), "kind": "Servant"})


@pytest.mark.parametrize("site", [SITE, FULL])
def test_pods_are_restricted(site: Site) -> None:
    """What the Pod Security Standard `restricted` asks for, and a file system that cannot be written."""
    pod = deployment("intent-7", SPEC, site, replicas=1)["spec"]["template"]["spec"]
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["automountServiceAccountToken"] is False
    for container in (*pod["initContainers"], *pod["containers"]):
        held = container["securityContext"]
        assert held["capabilities"] == {"drop": ["ALL"]}
        assert (held["allowPrivilegeEscalation"], held["privileged"]) == (False, False)
        assert (held["readOnlyRootFilesystem"], held["runAsNonRoot"]) == (True, True)
        assert container["terminationMessagePolicy"] == "FallbackToLogsOnError"
        assert container["resources"]["limits"]["memory"] == "4G"


def test_a_replica_is_asked_for_what_its_engine_says_and_drains_before_it_is_killed() -> None:
    pod = deployment("intent-7", SPEC, SITE, replicas=1)["spec"]["template"]["spec"]
    (replica,) = pod["containers"]
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert replica[probe]["httpGet"]["path"] == "/health"
    startup = replica["startupProbe"]
    assert startup["periodSeconds"] * startup["failureThreshold"] >= 90.5
    sidesteps_s = replica["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert pod["terminationGracePeriodSeconds"] >= sidesteps_s + 23.5  # serving: quiet, drain and flush


def test_the_commands_are_ones_that_serving_takes() -> None:
    """The replica's own parser reads them, and finds the version's own settings last."""
    spec = replace(SPEC, serving=ServingPolicy(workers=3))
    pod = deployment("intent-7", spec, FULL, replicas=1)["spec"]["template"]["spec"]
    (replica,), (fetch,) = pod["containers"], pod["initContainers"]
    assert replica["command"][:3] == fetch["command"][:3] == ["python", "-m", "serving"]
    read = parser().parse_args(replica["command"][3:])
    assert (read.model, read.version, read.fingerprint, read.workers) == ("intent", "7", "f" * 64, 3)
    assert (read.port, read.shadow_port, read.host) == (8000, 8001, "0.0.0.0")  # noqa: S104
    assert fetch["command"][3:6] == ["fetch", "--source", "m-" + "a" * 32]
    into = fetch["command"][fetch["command"].index("--into") + 1]
    assert str(read.artifact) == into == "/var/cache/serin/shop/" + "f" * 64


def test_the_cache_outlives_the_pod_where_the_cluster_has_a_place() -> None:
    """The replica itself cannot write to it."""
    for site, kind in ((FULL, "persistentVolumeClaim"), (SITE, "emptyDir")):
        pod = deployment("intent-7", SPEC, site, replicas=1)["spec"]["template"]["spec"]
        assert kind in next(volume for volume in pod["volumes"] if volume["name"] == "cache")
        (mount,) = [one for one in pod["containers"][0]["volumeMounts"] if one["name"] == "cache"]
        assert mount["readOnly"] is True


def test_what_nothing_needs_any_more_leaves_a_cache_that_outlives_pods() -> None:
    """By the pod's first step alone, which may write there, and by a list that is optional."""
    (fetch,) = deployment("intent-7", SPEC, FULL, replicas=1)["spec"]["template"]["spec"]["initContainers"]
    place = fetch["command"][fetch["command"].index("--kept") + 1]
    (mount,) = [one for one in fetch["volumeMounts"] if one["mountPath"] == place]
    pod = deployment("intent-7", SPEC, FULL, replicas=1)["spec"]["template"]["spec"]
    (volume,) = [one["configMap"] for one in pod["volumes"] if one["name"] == mount["name"]]
    assert (volume["name"], volume["optional"], mount["readOnly"]) == ("serin-packages", True, True)
    assert "--kept" not in str(deployment("intent-7", SPEC, SITE, replicas=1))


def test_a_template_depends_on_nothing_that_may_change_while_the_version_runs() -> None:
    """Not on its size. What it is of can be read from it."""
    two, three = (deployment("intent-7", SPEC, SITE, replicas=size) for size in (2, 3))
    assert two["spec"]["template"] == three["spec"]["template"]
    identity = identity_of(two)
    assert identity is not None
    assert (identity.model, identity.artifact) == ("intent", SPEC.artifact)
    assert identity.is_of(SPEC)
    assert not identity.is_of(replace(SPEC, serving=ServingPolicy(workers=2)))
    assert not identity.is_of(replace(SPEC, artifact=replace(SPEC.artifact, fingerprint="e" * 64)))


def test_a_disruption_budget_keeps_all_but_one() -> None:
    assert disruption_budget("intent-7", SPEC, SITE)["spec"]["maxUnavailable"] == 1


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda: Cache(claim="a", host_path="/b"), "a claim or a host_path, not both"),
        (lambda: Cache(host_path="b"), "host_path must begin with /"),
        (lambda: Autoscaling(replicas_max=0), "replicas_max must be at least 1"),
        (lambda: Autoscaling(target=0), "target must be above 0"),
    ],
)
def test_what_cannot_be_is_refused(make: Any, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        make()
