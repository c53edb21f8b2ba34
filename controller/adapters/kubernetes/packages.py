"""The packages that the pods' cache keeps, listed in a ConfigMap. The first step of each pod reads the list, and
deletes from the cache what is not on it. So nobody needs a right to delete, and no process has to run for it."""

from collections.abc import Mapping
from datetime import UTC, datetime

from controller.adapters.kubernetes.client import KubernetesClient
from controller.adapters.kubernetes.looks import Looks
from controller.adapters.kubernetes.objects.labels import MANAGED_BY, identity_of
from controller.adapters.kubernetes.objects.site import KEPT_PACKAGES
from controller.adapters.kubernetes.resources import CONFIG_MAPS, Object
from controller.errors import ConflictError, PermanentError, Source, TransientError
from controller.ports.clock import Clock
from serving.package.shared import FINGERPRINT


class KeptPackages:
    """Keeps the list: for each package, by fingerprint, the day on which it was last known to be in use
    (`controller.loop.retention.Prunable`). Any thread may call."""

    def __init__(self, client: KubernetesClient, looks: Looks, clock: Clock) -> None:
        self._client = client
        self._looks = looks
        self._clock = clock

    def need(self, fingerprint: str) -> None:
        """Put the package on the list, before a pod can fetch it.

        Raises:
            TransientError, PermanentError: the cluster does not answer, or does not allow it.
        """
        today, found = self._today(), self._client.get(CONFIG_MAPS, KEPT_PACKAGES)
        if found is None:
            try:
                self._create(dict.fromkeys({fingerprint, *self._in_use()}, today))
            except ConflictError:  # another controller has created it
                found = {}
        if found is not None and (found.get("data") or {}).get(fingerprint) != today:
            self._client.merge(CONFIG_MAPS, KEPT_PACKAGES, {"data": {fingerprint: today}})

    def prune(self, before_s: float) -> int:
        """Take packages off the list that were last in use before ``before_s`` (unix time), and return how many. Those
        in use now get today's date.

        Raises:
            TransientError: the cluster does not answer.
            ConflictError: another controller has written the list meanwhile.
        """
        try:
            found = self._client.get(CONFIG_MAPS, KEPT_PACKAGES)
            in_use, today = self._in_use(), self._today()
            if found is None:
                self._create(dict.fromkeys(in_use, today))
                return 0
            listed = {one: day for one, day in (found.get("data") or {}).items() if FINGERPRINT.fullmatch(one)}
            fresh = {one: today for one in in_use if listed.get(one) != today}
            gone = {one: None for one, day in listed.items() if one not in in_use and day < _day(before_s)}
            if fresh or gone:
                revision = {"resourceVersion": found["metadata"]["resourceVersion"]}
                self._client.merge(CONFIG_MAPS, KEPT_PACKAGES, {"metadata": revision, "data": {**fresh, **gone}})
        except PermanentError as error:  # deleted meanwhile, or refused: it is tried again the next day
            raise TransientError(Source.PACKAGES, str(error)) from error
        return len(gone)

    def _create(self, data: Mapping[str, str]) -> None:
        metadata = {"name": KEPT_PACKAGES, "labels": {MANAGED_BY: "serin"}}
        body: Object = {"apiVersion": CONFIG_MAPS.api_version, "kind": CONFIG_MAPS.kind}
        self._client.create(CONFIG_MAPS, {**body, "metadata": metadata, "data": dict(data)})

    def _in_use(self) -> set[str]:
        """Return the fingerprints of the packages of all versions that exist."""
        identities = (identity_of(one) for one in self._looks.take().deployments.values())
        return {one.artifact.fingerprint for one in identities if one is not None} - {""}

    def _today(self) -> str:
        return _day(self._clock.now_s())


def _day(at_s: float) -> str:
    """Return the day in UTC, as a text that sorts by time."""
    return datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%d")
