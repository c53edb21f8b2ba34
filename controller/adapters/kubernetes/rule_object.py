"""The alert rules of the policies in force as an object of the cluster: a PrometheusRule of the Prometheus operator, or
a ConfigMap with the rule file. The object is written again whenever policies change."""

import math
import time
from collections.abc import Callable, Mapping
from typing import Final

from controller.adapters.kubernetes.client import KubernetesClient
from controller.adapters.kubernetes.resources import PROMETHEUS_RULES, Object, Resource
from controller.core.policy import ReleasePolicy
from controller.errors import ConflictError

EVERY_S: Final = 5.0
AGAIN_S: Final = 300.0  # then the object is written again, in case somebody has edited or deleted it

Policies = Mapping[str, ReleasePolicy]


class RuleObject:
    """Writes one object (`controller.subscribers.feed.CatchesUp`). Calls come one at a time, and only from the
    controller that leads."""

    name: Final = "alert rules"

    def __init__(
        self,
        client: KubernetesClient,
        policies: Callable[[], Policies],
        object_of: Callable[[Policies], Object],
        monotonic: Callable[[], float] = time.monotonic,
        resource: Resource = PROMETHEUS_RULES,
    ) -> None:
        """``policies`` returns the very same mapping as long as no policy changes. ``object_of`` returns the whole
        object for them, which is of the kind ``resource``."""
        self._client = client
        self._resource = resource
        self._policies = policies
        self._object_of = object_of
        self._monotonic = monotonic
        self._looked_s = -math.inf
        self._written_for: Policies | None = None
        self._written_s = -math.inf

    def catch_up(self) -> None:
        """Write the object if policies have changed, and every `AGAIN_S` seconds in any case.

        Raises:
            SerinError: the cluster does not answer, or does not have this kind; the former rules stay.
        """
        now_s = self._monotonic()
        if now_s - self._looked_s < EVERY_S:
            return
        self._looked_s = now_s
        policies = self._policies()
        if policies is self._written_for and now_s - self._written_s < AGAIN_S:
            return
        wanted = self._object_of(policies)
        try:
            self._client.create(self._resource, wanted)
        except ConflictError:  # it exists, and by the settings it is ours
            self._client.apply(self._resource, wanted["metadata"]["name"], wanted, force=True)
        self._written_for, self._written_s = policies, now_s
