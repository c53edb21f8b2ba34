"""The deployments of a cluster: each version is a Deployment of its own, created once and never applied again."""

import logging
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from typing import Final

from controller.adapters.kubernetes.client import KubernetesClient
from controller.adapters.kubernetes.looks import Look, Looks
from controller.adapters.kubernetes.objects.autoscaler import autoscaler
from controller.adapters.kubernetes.objects.deployment import deployment
from controller.adapters.kubernetes.objects.disruption import disruption_budget
from controller.adapters.kubernetes.objects.labels import identity_of, replicas_of
from controller.adapters.kubernetes.objects.service import service
from controller.adapters.kubernetes.objects.site import Site
from controller.adapters.kubernetes.packages import KeptPackages
from controller.adapters.kubernetes.pods import endpoint_of, is_leaving
from controller.adapters.kubernetes.resources import AUTOSCALERS, DEPLOYMENTS, DISRUPTION_BUDGETS, SERVICES, Object
from controller.core.condition import Condition
from controller.errors import ConflictError, PermanentError
from controller.ports.runtime import DeploymentSpec, DeploymentStatus, Endpoint

log = logging.getLogger(__name__)

NameOf = Callable[[str, str], str]
Routed = Callable[[str], Collection[str]]  # of a model: the versions that its traffic leads to
_BY_BLAME: Final = (Condition.READY, Condition.DISTURBED, Condition.STARTING, Condition.FAILING, Condition.FAILED)


class KubernetesDeployments:
    """Implements ``Deployments`` in one namespace. It keeps no state outside the cluster.

    ``name_of``: the resource name of a version. ``routed`` is asked before a version is removed, so that no route leads
    to a version that is gone. ``packages``: the list of what the pods' cache keeps, if the cache outlives them.
    """

    def __init__(
        self,
        client: KubernetesClient,
        looks: Looks,
        site: Site,
        name_of: NameOf,
        routed: Routed,
        packages: KeptPackages | None = None,
    ) -> None:
        self._client = client
        self._looks = looks
        self._site = site
        self._name_of = name_of
        self._routed = routed
        self._packages = packages

    def ensure(self, spec: DeploymentSpec) -> DeploymentStatus:
        """Create the version's objects if they are missing, and return its status.

        Raises:
            TransientError: the cluster does not answer, or does not allow it.
            PermanentError: it refuses one of the objects, or the version's name is taken by something else.
        """
        name = self._name_of(spec.model, spec.version)
        look = self._looks.take()
        found = look.deployments.get(name)
        if found is not None:
            identity = identity_of(found)
            if identity is None or (identity.model, identity.artifact.number) != (spec.model, spec.version):
                raise PermanentError(
                    f"Deployment {name} exists, but does not belong to {spec.model} {spec.version}: delete it"
                )
            if not identity.is_of(spec):
                return self._replaced(spec, name, found)
        if found is None or name not in look.services:
            self._create(spec, name, anew=found is None)
        return _status(spec.version, name, self._looks.take())

    def status(self, model: str) -> Mapping[str, DeploymentStatus]:
        look = self._looks.take()
        return {number: _status(number, name, look) for number, (name, _) in sorted(look.named(model).items())}

    def running(self) -> Mapping[str, Mapping[str, DeploymentStatus]]:
        """Return the status of everything that runs, by model and version. Raises as ``status`` does."""
        return {model: self.status(model) for model in sorted(self._looks.take().models)}

    def remove(self, model: str, version: str) -> None:
        """Delete the version's objects; its pods drain by themselves.

        The Deployment is deleted last: while it exists, the version is listed, so a removal that was interrupted is
        repeated.

        Raises:
            PermanentError: traffic still leads to the version.
        """
        look = self._looks.take()
        name, identity = look.named(model).get(version, (self._name_of(model, version), None))
        if identity is None and name not in look.services:
            return
        if version in self._routed(model):
            raise PermanentError(f"version {version} of {model} still gets traffic: move that away first")
        for resource in (AUTOSCALERS, DISRUPTION_BUDGETS, SERVICES, DEPLOYMENTS):
            self._client.delete(resource, name)
        self._looks.forget()
        log.info("%s was removed", name)

    def _create(self, spec: DeploymentSpec, name: str, *, anew: bool) -> None:
        """Create the objects. Those that another controller may have created a moment ago stay as they are."""
        if anew and self._packages is not None:
            self._packages.need(spec.artifact.fingerprint)
        replicas = spec.serving.replicas
        wanted = [(SERVICES, service(name, spec, self._site))]
        wanted.append((DISRUPTION_BUDGETS, disruption_budget(name, spec, self._site)))
        if self._site.autoscaling is not None:
            scaler = autoscaler(name, spec, self._site, self._site.autoscaling, replicas_min=replicas)
            wanted.append((AUTOSCALERS, scaler))
        if anew:
            wanted.append((DEPLOYMENTS, deployment(name, spec, self._site, replicas=replicas)))
        for resource, manifest in wanted:
            with suppress(ConflictError):
                self._client.create(resource, manifest)
        self._looks.forget()
        log.info("%s was created", name)

    def _replaced(self, spec: DeploymentSpec, name: str, found: Object) -> DeploymentStatus:
        """Delete a Deployment of another package or of other settings: the version's number was used again. The next
        call creates it anew.

        Raises:
            PermanentError: users are served by it.
        """
        if spec.version in self._routed(spec.model):
            raise PermanentError(
                f"version {spec.version} of {spec.model} runs with another package or other settings and gets "
                "traffic: register it under a number of its own"
            )
        with suppress(ConflictError):  # another controller has created it anew already
            self._client.delete(DEPLOYMENTS, name, uid=found["metadata"]["uid"])
        self._looks.forget()
        return DeploymentStatus(spec.version, (Endpoint(Condition.DISTURBED, detail=f"{name} is being recreated"),))


def _status(version: str, name: str, look: Look) -> DeploymentStatus:
    """Return the status of the version, by its pods. If there are more pods than its release asked for, as with an
    autoscaler, those that are not ready are left out: pods that come and go with the load are no event of a release."""
    found = look.deployments.get(name)
    if found is None:
        return DeploymentStatus(version, (Endpoint(Condition.STARTING, detail=f"{name} is being created"),))
    conditions = {one["type"]: one for one in found.get("status", {}).get("conditions") or ()}
    was_well = conditions.get("Progressing", {}).get("reason") == "NewReplicaSetAvailable"
    pods = [pod for pod in look.pods.get(name, ()) if not is_leaving(pod)]
    endpoints = [
        endpoint_of(pod, was_well=was_well) for pod in sorted(pods, key=lambda pod: str(pod["metadata"]["name"]))
    ]
    endpoints.sort(key=lambda one: _BY_BLAME.index(one.condition))
    wanted = replicas_of(found)
    ready = sum(one.condition is Condition.READY for one in endpoints)
    endpoints = endpoints[: max(wanted, ready)]
    if missing := wanted - len(endpoints):
        endpoints += [_unmade(found, conditions, was_well=was_well)] * missing
    return DeploymentStatus(version, tuple(endpoints))


def _unmade(found: Object, conditions: Mapping[str, Object], *, was_well: bool) -> Endpoint:
    refused = conditions.get("ReplicaFailure")
    if refused is not None and refused.get("status") == "True":
        return Endpoint(Condition.DISTURBED, detail=f"no pod can be created: {refused.get('message', '')}")
    condition = Condition.DISTURBED if was_well else Condition.STARTING
    return Endpoint(condition, detail=f"a pod of {found['metadata']['name']} is being created")
