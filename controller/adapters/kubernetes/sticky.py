"""The objects that let a gateway keep users on their version, for the kind of gateway that the settings name. They are
created once for each model's route, and never written over what somebody else made of them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from controller.adapters.kubernetes.client import KubernetesClient
from controller.adapters.kubernetes.objects.hash_policy import hash_policy, refusal, says, writer_of_spec
from controller.adapters.kubernetes.refusals import NoSuchObjectError
from controller.adapters.kubernetes.resources import TRAFFIC_POLICIES, Object
from controller.errors import ConflictError, Source, TransientError
from controller.ports.clock import Clock

_KEPT_S: Final = 1.0
_WAY_OUT: Final = "delete it, and Serin recreates it, or leave out runtime.gateway.sticky_by and sticky_header"


class StickyBy(StrEnum):
    """The kinds of gateway that can split users by the hash of a header, as settings name them."""

    ENVOY_GATEWAY = "envoy-gateway"


@dataclass(frozen=True, slots=True)
class Standing:
    """The state of a model's policy. ``revision`` is another one after each change; ``problem`` says why the policy has
    no effect, empty if it has."""

    revision: str
    problem: str


class HashPolicies:
    """Writes and reads the policies of an installation's routes. ``header``: users are split by its value."""

    def __init__(
        self,
        client: KubernetesClient,
        header: str,
        manager: str,
        route_name: Callable[[str], str],
        clock: Clock,
        *,
        kept_s: float = _KEPT_S,
    ) -> None:
        self.header = header
        self._client = client
        self._manager = manager
        self._route_name = route_name
        self._clock = clock
        self._kept_s = kept_s
        self._found: Mapping[str, Object] | None = None  # by name
        self._listed_s = 0.0

    def ensure(self, model: str) -> None:
        """Create the policy of the model's route if it is missing, and check that it says what is wanted.

        Raises:
            TransientError: somebody else changed it, or the gateway does not follow it; a person has to act.
        """
        self._found = None
        if problem := self.standing(model).problem:
            raise TransientError(Source.TRAFFIC, problem)

    def standing(self, model: str) -> Standing:
        """Return the state of the model's policy. If the policy is gone, it is created again."""
        name = self._route_name(model)
        wanted = hash_policy(name, self.header)
        found = self._listed().get(name)
        if found is None:
            found = self._written(lambda: self._client.create(TRAFFIC_POLICIES, wanted))
        elif not says(found, wanted):
            what = f"RouteNotServed: {TRAFFIC_POLICIES.kind} {name} does not split users by {self.header}"
            if other := writer_of_spec(found, (self._manager,)):
                return Standing(_revision(found), f"{what} as Serin wrote it: {other} changed it; {_WAY_OUT}")
            body = {"metadata": {"resourceVersion": found["metadata"]["resourceVersion"]}, "spec": wanted["spec"]}
            found = self._written(lambda: self._client.merge(TRAFFIC_POLICIES, name, body))
        if why := refusal(found):
            said = f"RouteNotServed: the gateway does not follow {TRAFFIC_POLICIES.kind} {name}: {why}"
            return Standing(_revision(found), said)
        return Standing(_revision(found), "")

    def _written(self, write: Callable[[], Object]) -> Object:
        self._found = None
        try:
            return write()
        except ConflictError as conflict:
            what = f"somebody else writes the {TRAFFIC_POLICIES.kind} at the same time"
            raise TransientError(Source.TRAFFIC, f"{what}: {conflict}") from conflict

    def _listed(self) -> Mapping[str, Object]:
        now_s = self._clock.monotonic_s()
        if self._found is None or now_s - self._listed_s >= self._kept_s:
            self._found = {one["metadata"]["name"]: one for one in self._list()}
            self._listed_s = now_s
        return self._found

    def _list(self) -> Sequence[Object]:
        try:
            return self._client.list(TRAFFIC_POLICIES).items
        except NoSuchObjectError as error:  # the fault of the installation, and of no version
            said = (
                f"{error}: sticky_by: {StickyBy.ENVOY_GATEWAY} is for Envoy Gateway, whose kinds this cluster "
                "does not have"
            )
            raise TransientError(Source.TRAFFIC, f"{said}; leave out sticky_by and sticky_header") from error


def _revision(found: Object) -> str:
    return f"{found['metadata']['uid']}/{found['metadata']['generation']}"
