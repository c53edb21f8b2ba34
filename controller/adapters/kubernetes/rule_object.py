"""The alert rules of the policies in force as an object, of the Prometheus operator or a ConfigMap with their file,
made anew as policies change."""

import math
import time
from collections.abc import Callable, Mapping
from typing import Final

from controller.adapters.kubernetes.client import KubernetesClient
from controller.adapters.kubernetes.resources import PROMETHEUS_RULES, Object, Resource
from controller.core.policy import ReleasePolicy
from controller.errors import ConflictError

EVERY_S: Final = 5.0
AGAIN_S: Final = 300.0  # after which it is written once more: it may have been edited, or deleted

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
        """``policies``: the very same mapping as long as none is another; ``object_of``: the whole object for them, one
        of the ``resource``."""
        self._client = client
        self._resource = resource
        self._policies = policies
        self._object_of = object_of
        self._monotonic = monotonic
        self._looked_s = -math.inf
        self._written_for: Policies | None = None
        self._written_s = -math.inf

    def catch_up(self) -> None:
        """Write the object where policies are others, and from time to time all the same.

        Raises:
            SerinError: the cluster does not answer, or has no such kind; the rules of before stand.
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
        except ConflictError:  # there is one of its name: it is ours, by the settings
            self._client.apply(self._resource, wanted["metadata"]["name"], wanted, force=True)
        self._written_for, self._written_s = policies, now_s
