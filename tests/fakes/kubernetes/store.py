"""The objects, in one order of revisions, and what was done to them for those who watch."""

import marshal
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from tests.fakes.kubernetes.errors import expired, not_found
from tests.fakes.kubernetes.kinds import BUILT_IN, CRDS, Kind, Object, kinds_of

_FIRST_REVISION: Final = 100


@dataclass(frozen=True, slots=True)
class Key:
    """Where an object stands. ``namespace`` is empty for what has none."""

    group: str
    plural: str
    namespace: str
    name: str


def copied(found: Any) -> Any:
    """A copy of what is of JSON, in a tenth of the time of ``copy.deepcopy``."""
    return marshal.loads(marshal.dumps(found))  # noqa: S302 - what this process wrote


def key_of(kind: Kind, namespace: str, name: str) -> Key:
    return Key(kind.group, kind.plural, namespace if kind.namespaced else "", name)


@dataclass(frozen=True, slots=True)
class Event:
    """One change: ADDED, MODIFIED or DELETED, with the object as it was then."""

    revision: int
    what: str
    key: Key
    found: Object = field(repr=False)
    before: Object | None = field(repr=False)


class Store:
    """What etcd holds. Who reads or writes more than one thing holds ``changed``, which tells of every change."""

    def __init__(self) -> None:
        self.changed = threading.Condition(threading.RLock())
        self.revision = _FIRST_REVISION
        self.floor = _FIRST_REVISION  # watches from before it are told that they are too old
        self._objects: dict[Key, Object] = {}
        self._events: list[Event] = []
        self._kinds = {(one.group, one.plural): one for one in BUILT_IN}

    def kind(self, group: str, version: str, plural: str) -> Kind | None:
        found = self._kinds.get((group, plural))
        return found if found is not None and found.version == version else None

    def kinds(self) -> list[Kind]:
        return list(self._kinds.values())

    def kind_of(self, found: Object) -> Kind:
        """The kind of this object."""
        said = (found["apiVersion"], found["kind"])
        return next(one for one in self._kinds.values() if (one.api_version, one.kind) == said)

    def get(self, kind: Kind, namespace: str, name: str) -> Object:
        """A copy. Raises ApiError 404."""
        with self.changed:
            found = self._objects.get(key_of(kind, namespace, name))
            if found is None:
                raise not_found(kind.resource, name)
            return copied(found)

    def find(self, kind: Kind, namespace: str, name: str) -> Object | None:
        with self.changed:
            return copied(self._objects.get(key_of(kind, namespace, name)))

    def all(self, kind: Kind, namespace: str = "") -> list[Object]:
        """Copies, by name; of one namespace, or of all."""
        with self.changed:
            found = [
                (key.namespace, key.name, one)
                for key, one in self._objects.items()
                if (key.group, key.plural) == (kind.group, kind.plural) and namespace in ("", key.namespace)
            ]
        return [copied(one) for *_, one in sorted(found, key=lambda one: one[:2])]

    def everything(self) -> list[Object]:
        with self.changed:
            return [copied(one) for one in self._objects.values()]

    def put(self, kind: Kind, found: Object) -> Object:
        """Store the object under a new revision, and return it as it is stored."""
        with self.changed:
            self.revision += 1
            found["metadata"]["resourceVersion"] = str(self.revision)
            metadata = found["metadata"]
            key = key_of(kind, metadata.get("namespace", ""), metadata["name"])
            before = self._objects.get(key)
            self._objects[key] = copied(found)
            what = "ADDED" if before is None else "MODIFIED"
            self._tell(Event(self.revision, what, key, self._objects[key], before))
            if kind == CRDS:
                self._kinds |= {(one.group, one.plural): one for one in kinds_of(found)}
            return found

    def remove(self, kind: Kind, namespace: str, name: str) -> Object:
        """Take the object away, and return it as it was last."""
        with self.changed:
            key = key_of(kind, namespace, name)
            before = self._objects.pop(key)
            found = copied(before)
            self.revision += 1
            found["metadata"]["resourceVersion"] = str(self.revision)
            self._tell(Event(self.revision, "DELETED", key, found, before))
            if kind == CRDS:
                for one in kinds_of(found):
                    self._kinds.pop((one.group, one.plural), None)
            return copied(found)

    def compact(self) -> None:
        """Forget what happened until now: a watch from an older revision has expired."""
        with self.changed:
            self.floor = self.revision
            self._events.clear()
            self.changed.notify_all()

    def since(self, revision: int) -> list[Event]:
        """The events after this revision. Raises ApiError 410 where they are forgotten."""
        with self.changed:
            if revision < self.floor:
                raise expired(revision, self.floor)
            return [event for event in self._events if event.revision > revision]

    def follow(self, revision: int, until: Callable[[], bool], wait_s: float) -> Iterator[list[Event]]:
        """The events after this revision as they come, an empty list every ``wait_s`` of silence, until ``until``."""
        while not until():
            with self.changed:
                found = self.since(revision)
                if not found:
                    self.changed.wait(wait_s)
                    found = self.since(revision)
            if found:
                revision = found[-1].revision
            yield found

    def _tell(self, event: Event) -> None:
        self._events.append(event)
        self.changed.notify_all()
