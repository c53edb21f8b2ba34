"""Capacity before traffic: a version gets a share of the traffic only once it has enough replicas for it.

The known good version keeps enough replicas to take all of the traffic back.
"""

import logging
import math
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

from controller.adapters.kubernetes.client import KubernetesClient
from controller.adapters.kubernetes.looks import Look, Looks
from controller.adapters.kubernetes.objects.autoscaler import bounds
from controller.adapters.kubernetes.objects.labels import OWN, replicas_of, served_alone, served_alone_patch
from controller.adapters.kubernetes.pods import endpoint_of, is_leaving
from controller.adapters.kubernetes.resources import AUTOSCALERS, DEPLOYMENTS, Object
from controller.core.condition import Condition
from controller.core.traffic import HUNDRED_PCT, TrafficTable
from controller.errors import ConflictError, PermanentError, Source, TransientError

log = logging.getLogger(__name__)

_SCALE: Final = "scale"


class Capacity:
    """Scales versions to what their traffic needs.

    Replicas are changed through the ``scale`` subresource, or through the bounds of an autoscaler that Serin made;
    never by writing the Deployment's own ``replicas``. Only such bounds are ever lowered.
    """

    def __init__(self, client: KubernetesClient, looks: Looks) -> None:
        self._client = client
        self._looks = looks

    def prepare(self, stored: TrafficTable | None, wanted: TrafficTable) -> None:
        """Check that each version has the replicas for the share that ``wanted`` gives it, and ask for those that are
        missing.

        The known good version of ``stored`` is not checked: a rollback waits for nothing.

        Raises:
            PermanentError: a version has no endpoint.
            TransientError: the replicas of a version are not ready yet, or the cluster does not answer.
        """
        look = self._looks.take()
        names = {version: name for version, (name, _) in look.named(wanted.model).items() if name in look.services}
        self._check_there(wanted, names)
        whole = self._whole(look, names, stored or wanted)
        if (good := wanted.known_good) is not None and good in names:
            self._at_least(look, names[good], whole)
        exempt = {stored.known_good} if stored is not None else set()
        waiting = []
        for version, pct in _loads(stored, wanted).items():
            if version in exempt:
                continue
            # If nobody is served yet, one replica that answers is better than waiting for the others.
            needed = max(1, math.ceil(pct / HUNDRED_PCT * whole)) if stored is not None else 1
            held = self._at_least(look, names[version], needed)
            if (ready := _ready(look, names[version])) < needed:
                waiting.append(f"version {version} has {ready}/{needed} replicas ready for {pct:g} %{held}")
        if waiting:
            raise TransientError(
                Source.TRAFFIC, f"{wanted.model}: {'; '.join(waiting)}: no weight is written until then"
            )

    def settle(self, served: TrafficTable) -> None:
        """Lower the bounds of Serin's autoscalers that were raised for a share which their version no longer has.

        To be called once users are answered by the table ``served``. The known good version keeps its bounds: it has to
        be able to take back all of the traffic.

        Raises:
            TransientError: the cluster does not answer.
        """
        look, loads = self._looks.take(), _loads(None, served)
        for version, (name, _) in look.named(served.model).items():
            scaler = look.autoscalers.get(name)
            if scaler is None or not _is_ours(scaler) or loads.get(version) or version == served.known_good:
                continue
            begun_with = replicas_of(look.deployments[name])
            if int(scaler["spec"].get("minReplicas", 1)) > begun_with:
                self._bound(scaler, begun_with)

    def names(self, model: str) -> Mapping[str, str]:
        """Return the model's running versions, by the names of their Services."""
        return {name: version for version, (name, _) in self._looks.take().named(model).items()}

    def has_served(self, model: str) -> bool:
        """Return whether a running version of the model has ever served all users."""
        look = self._looks.take()
        return any(served_alone(look.deployments[name]) for name, _ in look.named(model).values())

    @staticmethod
    def _check_there(wanted: TrafficTable, names: Mapping[str, str]) -> None:
        routed = {*wanted.weights_pct, *([wanted.mirror.version] if wanted.mirror is not None else [])}
        if missing := sorted(routed - names.keys()):
            raise PermanentError(
                f"version {', '.join(missing)} of {wanted.model} has no endpoint, so nothing is routed to it"
            )

    def _whole(self, look: Look, names: Mapping[str, str], stored: TrafficTable) -> int:
        """Return how many replicas it takes to serve all users: as many as the version has that serves them all now,
        which are noted on its Deployment. While the traffic is split, it is the largest number known of its
        versions."""
        versions = [*stored.weights_pct, *([stored.known_good] if stored.known_good is not None else [])]
        deployments = [look.deployments[names[version]] for version in versions if version in names]
        if len(stored.weights_pct) == 1 and deployments and next(iter(stored.weights_pct)) in names:
            serving = deployments[0]
            size = int(serving["spec"]["replicas"])
            if served_alone(serving) != size:
                self._client.merge(DEPLOYMENTS, serving["metadata"]["name"], served_alone_patch(size))
                self._looks.forget()
            return size
        known = [served_alone(deployment) for deployment in deployments]
        return max([*known, *(replicas_of(deployment) for deployment in deployments)], default=1)

    def _at_least(self, look: Look, name: str, replicas: int) -> str:
        """Ask for at least this many replicas. Return what prevents that, as the end of a sentence; empty if nothing
        does."""
        scaler = look.autoscalers.get(name)
        if scaler is None:
            self._scale(look, name, replicas)
            return ""
        floor = int(scaler["spec"].get("minReplicas", 1))
        if floor >= replicas:
            return ""
        if not _is_ours(scaler):
            known = scaler["metadata"]["name"]
            return f" (its autoscaler {known} is not Serin's: set its minReplicas to {replicas})"
        self._bound(scaler, replicas)
        return ""

    def _bound(self, scaler: Object, replicas: int) -> None:
        name = scaler["metadata"]["name"]
        self._client.merge(AUTOSCALERS, name, bounds(replicas, int(scaler["spec"]["maxReplicas"])))
        self._looks.forget()
        log.info("%s: at least %d replicas", name, replicas)

    def _scale(self, look: Look, name: str, replicas: int) -> None:
        if int(look.deployments[name]["spec"]["replicas"]) >= replicas:
            return
        found: dict[str, Any] | None = self._client.get(DEPLOYMENTS, name, subresource=_SCALE)
        if found is None or int(found["spec"].get("replicas", 0)) >= replicas:
            return
        found["spec"]["replicas"] = replicas
        with suppress(ConflictError):  # somebody else has scaled it: the next look shows the result
            self._client.replace(DEPLOYMENTS, name, found, subresource=_SCALE)
            log.info("%s: %d replicas", name, replicas)
        self._looks.forget()


def _is_ours(scaler: Object) -> bool:
    return OWN.items() <= (scaler["metadata"].get("labels") or {}).items()


def _loads(stored: TrafficTable | None, wanted: TrafficTable) -> dict[str, float]:
    """Return, for each version whose share grows, its new share of all requests in percent, copies included."""

    def borne(table: TrafficTable | None) -> dict[str, float]:
        if table is None:
            return {}
        parts = dict(table.weights_pct)
        if (mirror := table.mirror) is not None:
            parts[mirror.version] = max(mirror.pct, parts.get(mirror.version, 0.0))
        return parts

    before = borne(stored)
    return {version: pct for version, pct in borne(wanted).items() if pct > before.get(version, 0.0)}


def _ready(look: Look, name: str) -> int:
    pods = (pod for pod in look.pods.get(name, ()) if not is_leaving(pod))
    return sum(endpoint_of(pod, was_well=True).condition is Condition.READY for pod in pods)
