"""How values merge, by their place: which lists have keys, which are sets, which maps and lists go as one."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from tests.fakes.kubernetes.kinds import Kind

# Of the built-in kinds: the keys of the items, by the list's field. `ports` has others within a container.
_KEYED: Final = {
    "containers": ("name",),
    "initContainers": ("name",),
    "env": ("name",),
    "volumes": ("name",),
    "volumeMounts": ("mountPath",),
    "conditions": ("type",),
    "ownerReferences": ("uid",),
    "imagePullSecrets": ("name",),
    "topologySpreadConstraints": ("topologyKey", "whenUnsatisfiable"),
}
_PORTS: Final = {"containers": ("containerPort", "protocol"), "initContainers": ("containerPort", "protocol")}
_SETS: Final = {"finalizers"}
_ATOMIC_MAPS: Final = {"selector", "labelSelector", "secretKeyRef", "configMapKeyRef", "fieldRef", "nodeSelector"}


@dataclass(frozen=True, slots=True)
class Shape:
    """The shape of one place. ``field`` and ``within`` are its name and that of the list or map around it."""

    schema: Mapping[str, Any] | None
    field: str = ""
    within: str = ""

    def child(self, name: str) -> "Shape":
        """The shape of a field of this map."""
        if self.schema is None or (not self.field and name == "metadata"):
            return Shape(None, name, self.field)
        schema = self.schema.get("properties", {}).get(name)
        if schema is None:
            schema = self.schema.get("additionalProperties")
        return Shape(schema if isinstance(schema, Mapping) else {}, name, self.field)

    def item(self) -> "Shape":
        """The shape of an item of this list."""
        return Shape(None if self.schema is None else self.schema.get("items", {}), self.field, self.field)

    @property
    def keys(self) -> tuple[str, ...]:
        """Return the keys of this list's items; empty where it has none."""
        if self.schema is not None:
            is_map = self.schema.get("x-kubernetes-list-type") == "map"
            return tuple(self.schema["x-kubernetes-list-map-keys"]) if is_map else ()
        if self.field == "ports":
            return _PORTS.get(self.within, ("port", "protocol"))
        return _KEYED.get(self.field, ())

    @property
    def is_nullable(self) -> bool:
        """Return whether null is a value here; elsewhere it says that there is none."""
        return self.schema is not None and bool(self.schema.get("nullable"))

    @property
    def is_set(self) -> bool:
        if self.schema is not None:
            return self.schema.get("x-kubernetes-list-type") == "set"
        return self.field in _SETS

    @property
    def is_atomic_map(self) -> bool:
        if self.schema is not None:
            return self.schema.get("x-kubernetes-map-type") == "atomic"
        return self.field in _ATOMIC_MAPS


def shape_of(kind: Kind) -> Shape:
    """The shape of whole objects of this kind."""
    return Shape(kind.schema)
