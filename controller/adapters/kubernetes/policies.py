"""Policies as objects of the cluster, so that Git can hold them beside files, or instead of files."""

import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import yaml

from controller.adapters.kubernetes.client import KubernetesClient
from controller.adapters.kubernetes.refusals import NoSuchObjectError
from controller.adapters.kubernetes.releases.status import Condition, as_json
from controller.adapters.kubernetes.resources import RELEASE_POLICIES, Object
from controller.config.policy_file import API_VERSION, KIND, parse_policy, suites_from
from controller.core.policy import ReleasePolicy
from controller.errors import SerinError, Source, TransientError
from controller.ports.policies import NotFollowed

log = logging.getLogger(__name__)

EVERY_S: Final = 2.0
_FOLLOWED: Final = "Followed"

Document = ReleasePolicy | NotFollowed


class PolicyObjects:
    """Implements the port ``PolicySource`` with what ``catch_up`` read last, so that rounds never wait for the cluster.
    A document has the name of its object. ``catch_up`` is called by one thread at a time, ``documents`` by any."""

    name: Final = "release policies"

    def __init__(
        self,
        client: KubernetesClient,
        suites: Path,
        faults: Callable[[], Mapping[str, str]],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """``suites``: the folder for suites that policies name by relative paths. ``faults`` returns why documents are
        not followed, by their names, over all sources together; it is shown in the objects' status."""
        self._client = client
        self._suites = suites
        self._faults = faults
        self._monotonic = monotonic
        self._read_s = -math.inf
        self._generations: dict[str, tuple[str, int]] = {}  # by document: the object's uid and generation
        self._documents: Mapping[str, Document] | None = None

    def documents(self) -> Mapping[str, Document]:
        if self._documents is None:
            raise TransientError(Source.POLICIES, "the policies of the cluster have not been read yet")
        return self._documents

    def catch_up(self) -> None:
        """Read the objects, and write in the status of each whether it is followed.

        Raises:
            SerinError: the cluster does not answer; the documents that were read before stay in force.
        """
        now_s = self._monotonic()
        if now_s - self._read_s < EVERY_S:
            return
        self._read_s = now_s
        objects = self.read()
        faults = self._faults()
        for found in objects:
            try:
                self._tell(found, faults.get(_document_name(found)))
            except SerinError as error:
                log.warning("%s: %s", _document_name(found), error)

    def read(self) -> Sequence[Object]:
        """Read the objects and return them, without writing anything. Raises as ``catch_up`` does."""
        try:
            objects = self._client.list(RELEASE_POLICIES).items
        except NoSuchObjectError:  # the cluster has no such kind: all policies are files
            self._documents = self._documents or {}
            raise
        self._take(objects)
        return objects

    def _take(self, objects: Sequence[Object]) -> None:
        """Parse the objects that have changed. If none has, the mapping stays the same one."""
        generations = {
            _document_name(found): (found["metadata"]["uid"], found["metadata"]["generation"]) for found in objects
        }
        if self._documents is not None and generations == self._generations:
            return
        known = self._documents or {}
        self._documents = {
            name: known[name] if self._generations.get(name) == generations[name] else self._parsed(found, name)
            for found in objects
            for name in [_document_name(found)]
        }
        self._generations = generations

    def _parsed(self, found: Object, name: str) -> Document:
        text = yaml.safe_dump({"apiVersion": API_VERSION, "kind": KIND, **found.get("spec", {})}, sort_keys=False)
        try:
            return suites_from(self._suites, parse_policy(text, name=name), name=name)
        except SerinError as error:
            return NotFollowed(str(error))

    def _tell(self, found: Object, fault: str | None) -> None:
        """Write the condition, if the object's status has another one."""
        metadata = found["metadata"]
        before = _condition(found)
        wanted = {"status": str(fault is None), "reason": "Followed" if fault is None else "NotFollowed"}
        wanted |= {"message": fault or "Releases follow this policy.", "observedGeneration": metadata["generation"]}
        if before is not None and wanted.items() <= before.items():
            return
        same = before is not None and before["status"] == wanted["status"]
        since = before["lastTransitionTime"] if before is not None and same else _now()
        condition = Condition(
            _FOLLOWED, wanted["status"], wanted["reason"], wanted["message"], metadata["generation"], since
        )
        status = {"observedGeneration": metadata["generation"], "conditions": [as_json(condition)]}
        try:
            self._client.apply(RELEASE_POLICIES, metadata["name"], {"status": status}, force=True, subresource="status")
        except NoSuchObjectError:  # deleted meanwhile
            return


class PolicyObjectsAsked:
    """Implements the port ``PolicySource`` for those who ask without the controller: the objects are read at each call,
    and nothing is written."""

    def __init__(self, client: KubernetesClient, suites: Path) -> None:
        """``suites``: as for `PolicyObjects`."""
        self._objects = PolicyObjects(client, suites, dict)

    def documents(self) -> Mapping[str, Document]:
        try:
            self._objects.read()
        except NoSuchObjectError:
            pass  # the cluster has no such kind, so no policy is an object
        except SerinError as error:
            raise TransientError(Source.POLICIES, str(error)) from error
        return self._objects.documents()


def _condition(found: Object) -> dict[str, Any] | None:
    conditions = found.get("status", {}).get("conditions", [])
    return next((dict(one) for one in conditions if one["type"] == _FOLLOWED), None)


def _document_name(found: Object) -> str:
    """Return the name by which people find the object, and by which it is ordered among those of its model."""
    return f"{RELEASE_POLICIES.kind}/{found['metadata']['name']}"


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
