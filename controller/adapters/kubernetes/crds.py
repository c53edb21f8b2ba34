"""The CustomResourceDefinitions of Serin's kinds, generated from the types that the controller itself reads and writes.

``python -m controller.adapters.kubernetes.crds deploy/crds`` writes them.
"""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import yaml
from pydantic import TypeAdapter

from controller.adapters.kubernetes.releases.status import REASON_CHARS_MAX, Condition, Gate, ReleaseStatus, camel
from controller.adapters.kubernetes.resources import MODEL_RELEASES, RELEASE_POLICIES, Resource
from controller.config.policy_file import json_schema
from controller.config.reference import descriptions
from serving.contract import MODEL_NAME_LENGTH_MAX, VERSION_LENGTH_MAX

Schema = dict[str, Any]

_STEPS_MAX: Final = 50  # the server needs a bound to estimate what the validation rules cost
_LEFT_OUT: Final = {"title", "default", "additionalProperties", "$defs", "$schema", "prefixItems"}
_HEADER: Final = {"apiVersion", "kind"}
_AGE: Final = {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}


def definitions() -> Mapping[str, Schema]:
    """Return the definitions, by the names of their files."""
    return {
        "modelreleases.yaml": _definition(
            MODEL_RELEASES,
            "mrel",
            {"spec": _release_spec(), "status": _release_status()},
            [
                _column("Model", ".spec.model"),
                _column("Version", ".spec.version"),
                _column("Phase", ".status.phase"),
                _column("Traffic %", ".status.weightPct", "number"),
                _column("Reason", ".status.reason"),
            ],
        ),
        "releasepolicies.yaml": _definition(
            RELEASE_POLICIES,
            "relpol",
            {"spec": _policy_spec(), "status": _policy_status()},
            [
                _column("Model", ".spec.model"),
                _column("Followed", '.status.conditions[?(@.type=="Followed")].status'),
                _column("Message", '.status.conditions[?(@.type=="Followed")].message'),
            ],
        ),
    }


def _definition(resource: Resource, short: str, parts: Mapping[str, Schema], columns: list[Schema]) -> Schema:
    schema = {
        "type": "object",
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object"},
            **parts,
        },
    }
    version = {
        "name": resource.version,
        "served": True,
        "storage": True,
        "subresources": {"status": {}},
        "additionalPrinterColumns": [*columns, _AGE],
        "schema": {"openAPIV3Schema": schema},
    }
    singular = resource.kind.lower()
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": resource.said},
        "spec": {
            "group": resource.group,
            "scope": "Namespaced",
            "names": {
                "plural": resource.plural,
                "singular": singular,
                "kind": resource.kind,
                "listKind": f"{resource.kind}List",
                "shortNames": [short],
                "categories": ["serin"],
            },
            "versions": [version],
        },
    }


def _column(name: str, path: str, kind: str = "string") -> Schema:
    return {"name": name, "type": kind, "jsonPath": path}


def _release_spec() -> Schema:
    return {
        "type": "object",
        "description": "The version that is to be released. Creating the object starts the release, deleting it "
        "aborts it.",
        "required": ["model", "version"],
        "properties": {
            "model": {"type": "string", "minLength": 1, "maxLength": MODEL_NAME_LENGTH_MAX},
            "version": {"type": "string", "minLength": 1, "maxLength": VERSION_LENGTH_MAX},
            "reason": {"type": "string", "maxLength": REASON_CHARS_MAX, "description": "why, for the journal"},
        },
        "x-kubernetes-validations": [
            {"rule": "self == oldSelf", "message": "a release is of one version: create another ModelRelease"}
        ],
    }


def _release_status() -> Schema:
    schema = TypeAdapter(ReleaseStatus).json_schema()
    told = {kind.__name__: descriptions(kind) for kind in (ReleaseStatus, Condition, Gate)}
    for name, part in schema["$defs"].items():
        _describe(part["properties"], told[name])
    _describe(schema["properties"], told[ReleaseStatus.__name__])
    status = _structural(schema, schema["$defs"], named=camel)
    del status["required"]  # others may write a condition before Serin writes the rest
    _keyed(status["properties"]["gates"], "name")
    _keyed(status["properties"]["conditions"], "type")
    return status


def _describe(properties: Schema, told: Mapping[str, str]) -> None:
    for name, one in properties.items():
        if told.get(name):
            one["description"] = told[name]


def _policy_spec() -> Schema:
    schema = json_schema()
    spec = _structural(schema, schema["$defs"])
    for key in _HEADER:
        del spec["properties"][key]
    spec["required"] = [key for key in spec["required"] if key not in _HEADER]
    spec["properties"]["model"]["maxLength"] = MODEL_NAME_LENGTH_MAX
    steps = spec["properties"]["steps"]
    steps |= {"minItems": 1, "maxItems": _STEPS_MAX}
    steps["x-kubernetes-validations"] = [
        {
            "rule": "self.all(step, step.weight_pct > 0.0 && step.weight_pct <= 100.0)",
            "message": "weight_pct must be above 0 and up to 100",
        },
        {
            "rule": "self.all(step, self.exists_one(other, other.weight_pct == step.weight_pct))",
            "message": "weight_pct must grow from step to step",
        },
    ]
    spec["x-kubernetes-validations"] = [
        {"rule": "self.model == oldSelf.model", "message": "a policy is of one model: create another ReleasePolicy"}
    ]
    return spec


def _policy_status() -> Schema:
    conditions = _release_status()["properties"]["conditions"]
    generation = {"type": "integer", "format": "int64"}
    return {"type": "object", "properties": {"observedGeneration": generation, "conditions": conditions}}


def _keyed(schema: Schema, key: str) -> None:
    schema |= {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": [key]}


def _structural(schema: Schema, parts: Mapping[str, Schema], named: Any = str) -> Schema:
    """Return the schema in the form that a CRD requires: references are resolved, null becomes the flag ``nullable``,
    and there are no defaults, so that a later release of Serin may have others."""
    if "$ref" in schema:
        found = parts[schema["$ref"].rpartition("/")[2]]
        return _structural(found | {key: value for key, value in schema.items() if key != "$ref"}, parts, named)
    if "anyOf" in schema:  # always one type and null
        (one,) = (option for option in schema["anyOf"] if option != {"type": "null"})
        rest = {key: value for key, value in schema.items() if key != "anyOf"}
        return _structural(one | rest, parts, named) | {"nullable": True}
    kept = {key: value for key, value in schema.items() if key not in _LEFT_OUT}
    if "const" in kept:
        kept["enum"] = [kept.pop("const")]
        kept.setdefault("type", "string")
    if isinstance(more := schema.get("additionalProperties"), Mapping):
        kept["additionalProperties"] = _structural(dict(more), parts, named)
    if "properties" in kept:
        kept["properties"] = {named(name): _structural(one, parts, named) for name, one in schema["properties"].items()}
        kept["required"] = [named(name) for name in schema.get("required", [])]
        if not kept["required"]:
            del kept["required"]
    if "prefixItems" in schema:  # a pair: the controller checks its content
        kept["items"] = {"x-kubernetes-preserve-unknown-fields": True}
    elif "items" in kept:
        kept["items"] = _structural(schema["items"], parts, named)
    return kept


def write(folder: Path) -> None:
    """Write every definition into the folder."""
    for name, definition in definitions().items():
        (folder / name).write_text(text_of(definition), encoding="utf-8")


def text_of(definition: Schema) -> str:
    """Return the definition as the text of its file."""
    head = "# Made by `make crds` from controller/adapters/kubernetes/crds.py: change that, not this.\n"
    return head + yaml.safe_dump(definition, sort_keys=False, width=120, allow_unicode=True)


if __name__ == "__main__":
    write(Path(sys.argv[1]))
