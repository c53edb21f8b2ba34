"""Serin's own objects in the namespace, read at once for all models and kept for a moment."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Final

from controller.adapters.kubernetes.client import KubernetesClient
from controller.adapters.kubernetes.objects.labels import OWN, Identity, deployment_of, identity_of
from controller.adapters.kubernetes.resources import AUTOSCALERS, DEPLOYMENTS, PODS, SERVICES, Object
from controller.ports.clock import Clock

_KEPT_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class Look:
    """The objects, by the resource name of the version that they belong to. ``services``: the names of those that
    exist. ``autoscalers``: also those that others made, by the name of the Deployment that they scale."""

    deployments: Mapping[str, Object]
    pods: Mapping[str, Sequence[Object]]
    services: frozenset[str]
    autoscalers: Mapping[str, Object]

    @property
    def models(self) -> set[str]:
        """Return the models that have a version on the cluster."""
        found = (identity_of(one) for one in self.deployments.values())
        return {identity.model for identity in found if identity is not None}

    def named(self, model: str) -> Mapping[str, tuple[str, Identity]]:
        """Return, by version, the resource names and the identities of the model's versions."""
        found = ((name, identity_of(one)) for name, one in self.deployments.items())
        return {
            identity.artifact.number: (name, identity)
            for name, identity in found
            if identity is not None and identity.model == model
        }


class Looks:
    """Takes looks. Any thread may ask; while one asks the server, the others wait for its look."""

    def __init__(self, client: KubernetesClient, clock: Clock, *, kept_s: float = _KEPT_S) -> None:
        self._client = client
        self._clock = clock
        self._kept_s = kept_s
        self._lock = Lock()
        self._look: Look | None = None
        self._at_s = 0.0

    def take(self) -> Look:
        """Return a look that is at most ``kept_s`` seconds old, and never older than our own last write.

        Raises:
            TransientError: the server does not answer.
        """
        with self._lock:
            now_s = self._clock.monotonic_s()
            if self._look is None or now_s - self._at_s >= self._kept_s:
                self._look, self._at_s = self._taken(), now_s
            return self._look

    def forget(self) -> None:
        """Forget the last look, because something was written since."""
        with self._lock:
            self._look = None

    def _taken(self) -> Look:
        deployments = self._client.list(DEPLOYMENTS, labels=OWN).items
        pods: dict[str, list[Object]] = {}
        for pod in self._client.list(PODS, labels=OWN).items:
            if (name := deployment_of(pod)) is not None:
                pods.setdefault(name, []).append(pod)
        services = self._client.list(SERVICES, labels=OWN).items
        autoscalers = self._client.list(AUTOSCALERS).items
        return Look(
            {one["metadata"]["name"]: one for one in deployments},
            pods,
            frozenset(one["metadata"]["name"] for one in services),
            {
                one["spec"]["scaleTargetRef"]["name"]: one
                for one in autoscalers
                if one["spec"]["scaleTargetRef"].get("kind") == "Deployment"
            },
        )
