"""What the server refuses: names and labels, schemas and CEL rules of CRDs, what must not change."""

import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, Final

import cel
from jsonschema import Draft202012Validator

from tests.fakes.kubernetes.errors import Cause, bad_request, invalid
from tests.fakes.kubernetes.kinds import DEPLOYMENTS, LEASES, SERVICES, Kind, Object

_LABEL: Final = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_SERVICE: Final = re.compile(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?")
_SUBDOMAIN: Final = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
_VALUE: Final = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")
_KEY: Final = re.compile(r"([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
_MICRO_TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}(Z|[+-]\d\d:\d\d)")
_ANNOTATIONS_BYTES_MAX: Final = 262_144
_RESERVED: Final = {
    *("true", "false", "null", "in", "as", "break", "const", "continue", "else", "for", "function", "if", "import"),
    *("let", "loop", "package", "namespace", "return", "var", "void", "while"),
}


def validate(found: Object, kind: Kind, before: Object | None) -> None:
    """Raise ApiError where the object breaks a rule; ``before`` is what it replaces."""
    if kind == LEASES:
        _check_times(found)
    causes = list(_metadata(found, kind))
    if kind.schema is not None:
        causes += _by_schema(found, kind)
        if not causes:  # as the server does: rules are asked of what has the right types only
            causes += _by_rules(found, kind.schema, before)
    elif kind == DEPLOYMENTS:
        causes += _deployment(found, before)
    elif kind == SERVICES:
        causes += _service(found, before)
    if causes:
        raise invalid(kind.qualified, found["metadata"].get("name", ""), causes)


def _bad(field: str, value: object, said: str) -> Cause:
    return Cause("FieldValueInvalid", f'Invalid value: "{value}": {said}', field)


def _metadata(found: Object, kind: Kind) -> Iterator[Cause]:
    metadata = found["metadata"]
    name = metadata.get("name", "")
    pattern = _SERVICE if kind == SERVICES else _LABEL if kind.kind == "Namespace" else _SUBDOMAIN
    if not pattern.fullmatch(name):
        yield _bad("metadata.name", name, f"a name must match {pattern.pattern}")
    for key, value in metadata.get("labels", {}).items():
        if not _KEY.fullmatch(key) or not _VALUE.fullmatch(value):
            yield _bad("metadata.labels", f"{key}={value}", "a label's value has 63 characters at most")
    annotations = metadata.get("annotations", {})
    if sum(len(key.encode()) + len(value.encode()) for key, value in annotations.items()) > _ANNOTATIONS_BYTES_MAX:
        said = f"may not be more than {_ANNOTATIONS_BYTES_MAX} bytes"
        yield Cause("FieldValueTooLong", f"Too long: {said}", "metadata.annotations")


def _check_times(lease: Object) -> None:
    for field in ("acquireTime", "renewTime"):
        value = lease.get("spec", {}).get(field)
        if value is not None and not _MICRO_TIME.fullmatch(value):
            said = f'parsing time "{value}" as "2006-01-02T15:04:05.000000Z07:00"'
            raise bad_request(f'Lease in version "v1" cannot be handled as a Lease: {said}')


def _deployment(found: Object, before: Object | None) -> Iterator[Cause]:
    spec = found["spec"]
    selector = spec.get("selector", {}).get("matchLabels")
    if not selector:
        yield Cause("FieldValueRequired", "Required value", "spec.selector")
    elif selector.items() - spec["template"].get("metadata", {}).get("labels", {}).items():
        said = "`selector` does not match template `labels`"
        yield _bad("spec.template.metadata.labels", selector, said)
    if before is not None and before["spec"].get("selector") != spec.get("selector"):
        yield _bad("spec.selector", selector, "field is immutable")
    if spec["replicas"] < 0:
        yield _bad("spec.replicas", spec["replicas"], "must be greater than or equal to 0")
    if not spec["template"]["spec"].get("containers"):
        yield Cause("FieldValueRequired", "Required value", "spec.template.spec.containers")


def _service(found: Object, before: Object | None) -> Iterator[Cause]:
    spec = found["spec"]
    if not spec.get("ports") and spec.get("clusterIP") != "None":
        yield Cause("FieldValueRequired", "Required value", "spec.ports")
    if before is not None and before["spec"].get("clusterIP") != spec.get("clusterIP"):
        yield _bad("spec.clusterIP", spec.get("clusterIP"), "field is immutable")


def _by_schema(found: Object, kind: Kind) -> list[Cause]:
    wrong = _validator(kind).iter_errors(found)
    return [_bad(_field(error.absolute_path), error.instance, error.message) for error in wrong]


@cache
def _validator(kind: Kind) -> Draft202012Validator:
    return Draft202012Validator(_json_schema(kind.schema or {}))


def _field(path: Any) -> str:
    said = ""
    for part in path:
        said += f"[{part}]" if isinstance(part, int) else f".{part}"
    return said.removeprefix(".")


def _json_schema(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The schema as JSON Schema has it: without extensions, formats and defaults."""
    kept = {key: value for key, value in schema.items() if not key.startswith("x-") and key not in _NOT_JSON}
    if schema.get("x-kubernetes-int-or-string"):
        kept.pop("anyOf", None)
        kept["type"] = ["integer", "string"]
    if schema.get("nullable"):
        kept["type"] = [kept["type"], "null"]
    if "properties" in kept:
        kept["properties"] = {name: _json_schema(one) for name, one in kept["properties"].items()}
    for one in ("items", "additionalProperties", "not"):
        if isinstance(kept.get(one), Mapping):
            kept[one] = _json_schema(kept[one])
    for listed in ("allOf", "anyOf", "oneOf"):
        if listed in kept:
            kept[listed] = [_json_schema(one) for one in kept[listed]]
    return kept


_NOT_JSON: Final = {"nullable", "format", "default", "description", "example"}


def _by_rules(found: Any, schema: Mapping[str, Any], before: Any, path: str = "") -> Iterator[Cause]:
    for rule in schema.get("x-kubernetes-validations", []):
        program, needs_old = _program(rule["rule"])
        if needs_old and before is None:
            continue
        names = {"self": _as_cel(found, schema)} | ({"oldSelf": _as_cel(before, schema)} if needs_old else {})
        if not program.execute(names):
            at = path.removeprefix(".") + rule.get("fieldPath", "")
            yield _bad(at, "object" if isinstance(found, dict) else found, rule.get("message", rule["rule"]))
    if isinstance(found, dict):
        more = schema.get("additionalProperties")
        for name, value in found.items():
            inner = schema.get("properties", {}).get(name, more)
            if isinstance(inner, Mapping):
                old = before.get(name) if isinstance(before, dict) else None
                yield from _by_rules(value, inner, old, f"{path}.{name}")
    elif isinstance(found, list):  # items of a list are not told apart: no transition is checked in one
        for place, item in enumerate(found):
            yield from _by_rules(item, schema.get("items", {}), None, f"{path}[{place}]")


@cache
def _program(rule: str) -> tuple[cel.Program, bool]:
    program = cel.compile(rule)
    return program, "oldSelf" in program.variables()


def _as_cel(value: Any, schema: Mapping[str, Any]) -> Any:
    """The value as CEL has it: numbers by their declared type, and fields called as CEL can name them (``namespace``
    is ``__namespace__``)."""
    if isinstance(value, dict):
        more = schema.get("additionalProperties")
        inner = schema.get("properties", {})
        return {
            f"__{name}__" if name in _RESERVED else name: _as_cel(one, inner.get(name, more) or {})
            for name, one in value.items()
        }
    if isinstance(value, list):
        return [_as_cel(item, schema.get("items", {})) for item in value]
    return float(value) if schema.get("type") == "number" and isinstance(value, int) else value
