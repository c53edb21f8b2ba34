"""What the API of Kubernetes does that Serin relies on. Run by a subclass with two fixtures: ``api``, and ``kinds``,
a kind made by ``crd``."""

import copy
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import pytest

from controller.adapters.kubernetes.client import KubernetesClient
from controller.adapters.kubernetes.refusals import ExpiredError, FieldConflictError, NoSuchObjectError
from controller.adapters.kubernetes.resources import (
    CONFIG_MAPS,
    DEPLOYMENTS,
    DISRUPTION_BUDGETS,
    HTTP_ROUTES,
    LEASES,
    PODS,
    SERVICES,
    Object,
    Resource,
)
from controller.errors import ConflictError, PermanentError, TransientError

CRDS: Final = Resource(
    "apiextensions.k8s.io", "v1", "customresourcedefinitions", "CustomResourceDefinition", namespaced=False
)


@dataclass(frozen=True, slots=True)
class Api:
    """A server with a namespace for this test alone. ``by`` gives a client that writes as a manager of this name."""

    by: Callable[[str], KubernetesClient]
    namespace: str


def route(**spec: Any) -> Object:
    return {"spec": spec}


def backend(name: str, weight: int) -> Object:
    """A backendRef with every field that the server would default."""
    return {"group": "", "kind": "Service", "name": name, "port": 8080, "weight": weight}


def rules(*backends: Object, filters: list[Object] | None = None) -> list[Object]:
    """One rule with every field that the server would default."""
    rule: Object = {"matches": [{"path": {"type": "PathPrefix", "value": "/models/intent"}}]}
    if filters is not None:
        rule["filters"] = filters
    return [{**rule, "backendRefs": list(backends)}]


def deployment(name: str, **spec: Any) -> Object:
    labels = {"app": name}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "a", "image": "a.example/a:1"}]}}
    return {"metadata": {"name": name}, "spec": {"selector": {"matchLabels": labels}, "template": template, **spec}}


PARENTS: Final = [{"name": "gateway"}]


class KubernetesApiContract:
    """The facts, one test each."""

    def test_git_may_own_parents_and_hostnames_and_serin_the_rules(self, api: Api) -> None:
        """However often Git applies: no conflict, and no rule changes."""
        git, serin = api.by("argocd"), api.by("serin")
        theirs = route(parentRefs=PARENTS, hostnames=["models.example"])
        git.apply(HTTP_ROUTES, "intent", theirs)
        ours = serin.apply(HTTP_ROUTES, "intent", route(rules=rules(backend("v6", 9_500), backend("v7", 500))))
        for _ in range(20):
            git.apply(HTTP_ROUTES, "intent", theirs)
        found = serin.get(HTTP_ROUTES, "intent")
        assert found is not None
        assert found["spec"] == ours["spec"]
        assert found["spec"]["hostnames"] == ["models.example"]
        assert found["metadata"]["generation"] == ours["metadata"]["generation"]

    def test_the_server_names_who_owns_what_was_to_be_changed(self, api: Api) -> None:
        """An apply of rules by another is refused, and takes them over by force only."""
        git, serin = api.by("argocd"), api.by("serin")
        serin.apply(HTTP_ROUTES, "intent", route(parentRefs=PARENTS, rules=rules(backend("v6", 1))))
        with pytest.raises(FieldConflictError, match=r'conflict with "serin": \.spec\.rules') as refused:
            git.apply(HTTP_ROUTES, "intent", route(rules=rules(backend("v7", 1))))
        assert [(one.manager, one.field) for one in refused.value.owners] == [("serin", ".spec.rules")]
        git.apply(HTTP_ROUTES, "intent", route(rules=rules(backend("v7", 1))), force=True)
        with pytest.raises(FieldConflictError, match="argocd"):
            serin.apply(HTTP_ROUTES, "intent", route(parentRefs=PARENTS, rules=rules(backend("v6", 1))))

    def test_who_edits_without_apply_is_named_as_well(self, api: Api) -> None:
        """As `kubectl edit` does: it owns what it changed."""
        person, serin = api.by("kubectl-edit"), api.by("serin")
        serin.apply(HTTP_ROUTES, "intent", route(parentRefs=PARENTS, rules=rules(backend("v6", 1))))
        change = [{"op": "replace", "path": "/spec/rules/0/backendRefs/0/name", "value": "v5"}]
        person.patch(HTTP_ROUTES, "intent", change)
        with pytest.raises(FieldConflictError) as refused:
            serin.apply(HTTP_ROUTES, "intent", route(parentRefs=PARENTS, rules=rules(backend("v6", 1))))
        assert [one.manager for one in refused.value.owners] == ["kubectl-edit"]

    def test_a_first_apply_of_another_moves_the_revision_and_not_the_generation(self, api: Api) -> None:
        """Who compares revisions sees conflicts that are none: the generation tells."""
        git, serin = api.by("argocd"), api.by("serin")
        theirs = route(parentRefs=PARENTS)
        git.apply(HTTP_ROUTES, "intent", theirs)
        ours = serin.apply(HTTP_ROUTES, "intent", route(rules=rules(backend("v6", 1))))
        revisions, generations = set(), set()
        for _ in range(3):
            found = git.apply(HTTP_ROUTES, "intent", theirs)
            revisions.add(found["metadata"]["resourceVersion"])
            generations.add(found["metadata"]["generation"])
        assert generations == {ours["metadata"]["generation"]}
        assert len(revisions) == 1

    @pytest.mark.parametrize("written", ["bare", "with the defaults"])
    def test_applying_the_same_again_changes_nothing(self, api: Api, written: str) -> None:
        """With the fields that the server adds, or without them."""
        serin = api.by("serin")
        ref = backend("v6", 1) if written != "bare" else {"name": "v6", "port": 8080}
        body = route(parentRefs=PARENTS, rules=[{"backendRefs": [ref]}])
        first = serin.apply(HTTP_ROUTES, "intent", body)
        assert serin.apply(HTTP_ROUTES, "intent", body) == first

    def test_what_the_server_adds_to_a_route(self, api: Api) -> None:
        """So that what is written is what is read back."""
        body = route(parentRefs=PARENTS, rules=[{"backendRefs": [{"name": "v6", "port": 8080}]}])
        found = api.by("serin").apply(HTTP_ROUTES, "intent", body)
        assert found["spec"]["parentRefs"] == [
            {"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "gateway"}
        ]
        assert found["spec"]["rules"] == [
            {"matches": [{"path": {"type": "PathPrefix", "value": "/"}}], "backendRefs": [backend("v6", 1)]}
        ]

    def test_an_apply_with_a_revision_compares_and_swaps(self, api: Api) -> None:
        """And one without does not."""
        serin = api.by("serin")
        first = serin.apply(HTTP_ROUTES, "intent", route(parentRefs=PARENTS, rules=rules(backend("v6", 1))))
        stale = first["metadata"]["resourceVersion"]
        serin.apply(HTTP_ROUTES, "intent", route(parentRefs=PARENTS, rules=rules(backend("v7", 1))))
        body = route(parentRefs=PARENTS, rules=rules(backend("v8", 1)))
        with pytest.raises(ConflictError, match="modified"):
            serin.apply(HTTP_ROUTES, "intent", body, revision=stale)
        serin.apply(HTTP_ROUTES, "intent", body)

    def test_a_replacement_compares_and_swaps(self, api: Api) -> None:
        """By the revision that it carries."""
        serin = api.by("serin")
        first = serin.create(CONFIG_MAPS, {"metadata": {"name": "a"}, "data": {"a": "1"}})
        serin.replace(CONFIG_MAPS, "a", {**first, "data": {"a": "2"}})
        with pytest.raises(ConflictError, match="modified"):
            serin.replace(CONFIG_MAPS, "a", {**first, "data": {"a": "3"}})

    def test_what_an_apply_leaves_out_goes_away(self, api: Api) -> None:
        """Unless another owns it, too."""
        serin, other = api.by("serin"), api.by("other")
        serin.apply(CONFIG_MAPS, "a", {"data": {"a": "1", "b": "1", "c": "1"}})
        other.apply(CONFIG_MAPS, "a", {"data": {"b": "1"}})
        found = serin.apply(CONFIG_MAPS, "a", {"data": {"a": "1"}})
        assert found["data"] == {"a": "1", "b": "1"}

    def test_replicas_that_an_apply_leaves_out_fall_to_one(self, api: Api) -> None:
        """An outage: a version's Deployment is never applied again."""
        serin = api.by("serin")
        serin.apply(DEPLOYMENTS, "v6", deployment("v6", replicas=5))
        assert serin.apply(DEPLOYMENTS, "v6", deployment("v6"))["spec"]["replicas"] == 1

    def test_a_scale_of_what_nobody_owns_leaves_no_owner(self, api: Api) -> None:
        """So a later apply takes replicas away from an autoscaler without a conflict."""
        serin, autoscaler = api.by("serin"), api.by("autoscaler")
        serin.apply(DEPLOYMENTS, "v6", deployment("v6"))
        scale = autoscaler.get(DEPLOYMENTS, "v6", subresource="scale")
        assert scale is not None
        scale["spec"]["replicas"] = 5
        autoscaler.replace(DEPLOYMENTS, "v6", scale, subresource="scale")
        assert serin.apply(DEPLOYMENTS, "v6", deployment("v6", replicas=2))["spec"]["replicas"] == 2

    def test_the_scale_subresource_compares_and_swaps(self, api: Api) -> None:
        """And changes nothing else."""
        serin = api.by("serin")
        made = serin.apply(DEPLOYMENTS, "v6", deployment("v6"))
        scale = serin.get(DEPLOYMENTS, "v6", subresource="scale")
        assert scale is not None
        assert scale["spec"]["replicas"] == 1
        wanted = {**scale, "spec": {"replicas": 3}}
        serin.replace(DEPLOYMENTS, "v6", wanted, subresource="scale")
        with pytest.raises(ConflictError):
            serin.replace(DEPLOYMENTS, "v6", {**scale, "spec": {"replicas": 4}}, subresource="scale")
        found = serin.get(DEPLOYMENTS, "v6")
        assert found is not None
        assert found["spec"] == {**made["spec"], "replicas": 3}

    def test_a_scaled_size_that_somebody_owned_is_anothers_now(self, api: Api) -> None:
        """Which the next apply is told."""
        serin, person = api.by("serin"), api.by("kubectl")
        serin.apply(DEPLOYMENTS, "v6", deployment("v6", replicas=2))
        person.merge(DEPLOYMENTS, "v6", {"spec": {"replicas": 4}}, subresource="scale")
        with pytest.raises(FieldConflictError, match="kubectl"):
            serin.apply(DEPLOYMENTS, "v6", deployment("v6", replicas=2))

    @pytest.mark.parametrize("weight", [-1, 1_000_001])
    def test_weights_outside_of_their_range_are_refused(self, api: Api, weight: int) -> None:
        """From 0 to a million."""
        with pytest.raises(PermanentError, match="weight"):
            api.by("serin").apply(HTTP_ROUTES, "intent", route(rules=rules(backend("v6", weight))))

    def test_a_lone_zero_is_accepted(self, api: Api) -> None:
        """Nobody but us keeps a route from having no backend at all."""
        found = api.by("serin").apply(HTTP_ROUTES, "intent", route(rules=rules(backend("v6", 0))))
        assert found["spec"]["rules"][0]["backendRefs"][0]["weight"] == 0

    @pytest.mark.parametrize(
        "share", [{"percent": 12, "fraction": {"numerator": 1}}, {"percent": 12.5}, {"percent": 101}]
    )
    def test_shares_of_a_mirror_that_are_refused(self, api: Api, share: Object) -> None:
        """Percent is whole, and never beside a fraction."""
        mirror = {"backendRef": {"name": "v7", "port": 8080}, **share}
        filters = [{"type": "RequestMirror", "requestMirror": mirror}]
        with pytest.raises(PermanentError):
            api.by("serin").apply(HTTP_ROUTES, "intent", route(rules=rules(backend("v6", 1), filters=filters)))

    def test_a_mirrored_eighth_is_a_fraction(self, api: Api) -> None:
        """12.5 % is 125 of 1000."""
        share = {"numerator": 125, "denominator": 1000}
        mirror = {"backendRef": {"group": "", "kind": "Service", "name": "v7", "port": 8080}, "fraction": share}
        wanted = rules(backend("v6", 1), filters=[{"type": "RequestMirror", "requestMirror": mirror}])
        assert api.by("serin").apply(HTTP_ROUTES, "intent", route(rules=wanted))["spec"]["rules"] == wanted

    def test_session_persistence_is_unknown_to_the_standard_channel(self, api: Api) -> None:
        """An apply that has it fails whole."""
        body = route(rules=[{**rules(backend("v6", 1))[0], "sessionPersistence": {"sessionName": "a"}}])
        with pytest.raises(PermanentError, match="not declared in schema"):
            api.by("serin").apply(HTTP_ROUTES, "intent", body)

    def test_one_json_patch_tests_and_replaces(self, api: Api) -> None:
        """What on-call needs: all of it, or nothing where a test fails."""
        serin = api.by("serin")
        made = serin.apply(
            HTTP_ROUTES, "intent", route(parentRefs=PARENTS, rules=rules(backend("v6", 1), backend("v7", 1)))
        )

        def back(generation: int) -> list[Object]:
            return [
                {"op": "test", "path": "/metadata/generation", "value": generation},
                {"op": "replace", "path": "/spec/rules/0/backendRefs", "value": [backend("v6", 1)]},
            ]

        oncall = api.by("oncall")
        with pytest.raises(ConflictError):
            oncall.patch(HTTP_ROUTES, "intent", back(made["metadata"]["generation"] + 1))
        assert serin.get(HTTP_ROUTES, "intent") == made
        found = oncall.patch(HTTP_ROUTES, "intent", back(made["metadata"]["generation"]))
        assert found["spec"]["rules"] == rules(backend("v6", 1))
        assert found["metadata"]["generation"] == made["metadata"]["generation"] + 1

    def test_a_merge_patch_takes_away_by_null(self, api: Api) -> None:
        """And leaves the rest."""
        serin = api.by("serin")
        serin.apply(CONFIG_MAPS, "a", {"metadata": {"annotations": {"a": "1", "b": "1"}}})
        found = serin.merge(CONFIG_MAPS, "a", {"metadata": {"annotations": {"a": None, "c": "1"}}})
        assert found["metadata"]["annotations"] == {"b": "1", "c": "1"}

    def test_annotations_move_no_generation_of_a_route(self, api: Api) -> None:
        """The revision alone tells of them."""
        serin = api.by("serin")
        made = serin.apply(HTTP_ROUTES, "intent", route(rules=rules(backend("v6", 1))))
        found = serin.merge(HTTP_ROUTES, "intent", {"metadata": {"annotations": {"a": "1"}}})
        assert found["metadata"]["generation"] == made["metadata"]["generation"]
        assert found["metadata"]["resourceVersion"] != made["metadata"]["resourceVersion"]

    def test_a_status_is_written_apart(self, api: Api) -> None:
        """It moves no generation, and a write of the object leaves it."""
        serin, gateway = api.by("serin"), api.by("gateway")
        made = serin.apply(HTTP_ROUTES, "intent", route(parentRefs=PARENTS, rules=rules(backend("v6", 1))))
        accepted = {"type": "Accepted", "status": "True", "reason": "Accepted", "message": ""}
        accepted["lastTransitionTime"] = "2026-11-26T10:00:00Z"
        told = {"parentRef": {"name": "gateway"}, "controllerName": "example.com/gateway", "conditions": [accepted]}
        gateway.merge(HTTP_ROUTES, "intent", {"status": {"parents": [told]}}, subresource="status")
        found = serin.apply(HTTP_ROUTES, "intent", route(parentRefs=PARENTS, rules=rules(backend("v6", 1))))
        assert [one["controllerName"] for one in found["status"]["parents"]] == ["example.com/gateway"]
        assert found["metadata"]["generation"] == made["metadata"]["generation"]

    def test_transition_rules_make_a_spec_immutable(self, api: Api, kinds: Resource) -> None:
        """A first object passes; another value of the same is refused with the rule's words."""
        serin = api.by("serin")
        serin.apply(kinds, "a", {"spec": {"version": "7"}})
        with pytest.raises(PermanentError, match="a release is of one version"):
            serin.apply(kinds, "a", {"spec": {"version": "8"}})
        serin.apply(kinds, "a", {"metadata": {"labels": {"a": "b"}}, "spec": {"version": "7"}})

    def test_unknown_fields_are_pruned_silently(self, api: Api, kinds: Resource) -> None:
        """The API keeps nothing that a CRD does not declare, and says nothing."""
        made = api.by("serin").create(kinds, {**_own(kinds, "a"), "spec": {"version": "7", "colour": "red"}})
        assert made["spec"] == {"version": "7"}

    def test_conditions_merge_by_their_type(self, api: Api, kinds: Resource) -> None:
        """So that two controllers may each keep its own; a status begins no generation."""
        one, other = api.by("one"), api.by("other")
        made = one.apply(kinds, "a", {"spec": {"version": "7"}})
        ready = {"type": "Ready", "status": "True"}
        done = {"type": "Done", "status": "False"}
        one.apply(kinds, "a", {"status": {"conditions": [ready]}}, subresource="status")
        found = other.apply(kinds, "a", {"status": {"conditions": [done]}}, subresource="status")
        assert sorted(found["status"]["conditions"], key=str) == sorted([ready, done], key=str)
        assert found["metadata"]["generation"] == made["metadata"]["generation"]
        again = other.apply(kinds, "a", {"status": {"conditions": [done]}}, subresource="status")
        assert again["metadata"]["resourceVersion"] == found["metadata"]["resourceVersion"]

    def test_a_time_without_microseconds_is_refused_in_a_lease(self, api: Api) -> None:
        """Which Python writes, one time in a million, unless it is told to."""
        serin = api.by("serin")
        lease = {"metadata": {"name": "a"}, "spec": {"holderIdentity": "one", "renewTime": "2026-11-26T10:00:00Z"}}
        with pytest.raises(PermanentError):
            serin.create(LEASES, lease)
        lease["spec"]["renewTime"] = "2026-11-26T10:00:00.000000Z"
        assert serin.create(LEASES, lease)["spec"]["renewTime"] == "2026-11-26T10:00:00.000000Z"

    def test_what_is_there_is_not_created_again(self, api: Api) -> None:
        """Of two who create, one is told."""
        serin = api.by("serin")
        serin.create(CONFIG_MAPS, {"metadata": {"name": "a"}})
        with pytest.raises(ConflictError, match="exists"):
            serin.create(CONFIG_MAPS, {"metadata": {"name": "a"}})

    def test_a_name_of_a_service_is_a_dns_label_that_begins_with_a_letter(self, api: Api) -> None:
        """63 characters, no dots, no capitals."""
        serin = api.by("serin")
        ports = {"spec": {"ports": [{"port": 80}]}}
        for name in ("a" * 64, "a.b", "A"):
            with pytest.raises(PermanentError):
                serin.create(SERVICES, {"metadata": {"name": name}, **copy.deepcopy(ports)})
        serin.create(SERVICES, {"metadata": {"name": "a" * 63}, **ports})

    def test_limits_of_labels_and_annotations(self, api: Api) -> None:
        """63 characters a label, 256 KiB of annotations."""
        serin = api.by("serin")
        for metadata in ({"labels": {"a": "b" * 64}}, {"annotations": {"a": "b" * 262_145}}):
            with pytest.raises(PermanentError):
                serin.create(CONFIG_MAPS, {"metadata": {"name": "a", **metadata}})

    def test_a_deleted_object_stays_while_it_has_finalizers(self, api: Api) -> None:
        """And goes with the last of them."""
        serin = api.by("serin")
        serin.create(CONFIG_MAPS, {"metadata": {"name": "a", "finalizers": ["example.com/wait"]}})
        assert serin.delete(CONFIG_MAPS, "a")
        found = serin.get(CONFIG_MAPS, "a")
        assert found is not None
        assert "deletionTimestamp" in found["metadata"]
        serin.merge(CONFIG_MAPS, "a", {"metadata": {"finalizers": None}})
        assert serin.get(CONFIG_MAPS, "a") is None

    def test_who_deletes_by_uid_deletes_no_successor(self, api: Api) -> None:
        """One of the same name is another object."""
        serin = api.by("serin")
        first = serin.create(CONFIG_MAPS, {"metadata": {"name": "a"}})
        assert serin.delete(CONFIG_MAPS, "a", uid=first["metadata"]["uid"])
        serin.create(CONFIG_MAPS, {"metadata": {"name": "a"}})
        with pytest.raises(ConflictError):
            serin.delete(CONFIG_MAPS, "a", uid=first["metadata"]["uid"])
        assert not serin.delete(CONFIG_MAPS, "b")

    def test_a_watch_goes_on_from_the_revision_of_a_list(self, api: Api) -> None:
        """Nothing between the two is missed, and it ends when it was asked to."""
        serin = api.by("serin")
        serin.create(CONFIG_MAPS, {"metadata": {"name": "before"}})
        listed = serin.list(CONFIG_MAPS)
        assert "before" in [one["metadata"]["name"] for one in listed.items]
        serin.create(CONFIG_MAPS, {"metadata": {"name": "a"}})
        serin.merge(CONFIG_MAPS, "a", {"data": {"a": "1"}})
        serin.delete(CONFIG_MAPS, "a")
        seen = [
            (one.what, one.found["metadata"].get("name"))
            for one in serin.watch(CONFIG_MAPS, listed.revision, lasts_s=1)
            if one.what != "BOOKMARK"
        ]
        assert seen == [("ADDED", "a"), ("MODIFIED", "a"), ("DELETED", "a")]

    def test_a_watch_from_too_old_a_revision_has_expired(self, api: Api) -> None:
        """Who watches lists again."""
        with pytest.raises(ExpiredError):
            list(api.by("serin").watch(CONFIG_MAPS, "1", lasts_s=1))

    def test_an_eviction_that_a_budget_forbids_is_for_later(self, api: Api) -> None:
        """429: asked again once another pod is ready."""
        serin = api.by("serin")
        labels = {"app": "v6"}
        pod = {"metadata": {"name": "v6", "labels": labels}, "spec": {"containers": [{"name": "a", "image": "a"}]}}
        serin.create(PODS, pod)
        ready = {"conditions": [{"type": "Ready", "status": "True"}], "phase": "Running"}
        serin.merge(PODS, "v6", {"status": ready}, subresource="status")
        budget = {"metadata": {"name": "v6"}, "spec": {"minAvailable": 1, "selector": {"matchLabels": labels}}}
        serin.create(DISRUPTION_BUDGETS, budget)
        eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "v6"}}
        with pytest.raises(TransientError, match="429"):
            serin.create(PODS, eviction, name="v6", subresource="eviction")
        assert serin.get(PODS, "v6") is not None

    def test_a_kind_that_the_cluster_does_not_have_is_told_from_an_object_that_is_away(self, api: Api) -> None:
        """The one is for an operator to install, the other is what was asked."""
        serin = api.by("serin")
        assert serin.get(HTTP_ROUTES, "nothing") is None
        with pytest.raises(NoSuchObjectError):
            serin.get(Resource("nothing.example", "v1", "things", "Thing"), "a")


def _own(kind: Resource, name: str) -> Object:
    return {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": {"name": name}}


def crd(group: str) -> Object:
    """A kind of this group: a spec with a rule, a status with conditions."""
    condition = {
        "type": "object",
        "required": ["type", "status"],
        "properties": {"type": {"type": "string"}, "status": {"type": "string"}},
    }
    conditions = {
        "type": "array",
        "items": condition,
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["type"],
    }
    spec = {
        "type": "object",
        "required": ["version"],
        "properties": {"version": {"type": "string"}},
        "x-kubernetes-validations": [{"rule": "self == oldSelf", "message": "a release is of one version"}],
    }
    status = {"type": "object", "properties": {"conditions": conditions}}
    schema = {"type": "object", "properties": {"spec": spec, "status": status}}
    version = {
        "name": "v1",
        "served": True,
        "storage": True,
        "subresources": {"status": {}},
        "schema": {"openAPIV3Schema": schema},
    }
    names = {"plural": "contracts", "singular": "contract", "kind": "Contract", "listKind": "ContractList"}
    return {
        "metadata": {"name": f"contracts.{group}"},
        "spec": {"group": group, "scope": "Namespaced", "names": names, "versions": [version]},
    }


def new_name() -> str:
    """A name that no test before had."""
    return f"serin-contract-{secrets.token_hex(4)}"
