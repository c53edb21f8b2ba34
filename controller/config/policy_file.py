"""Policy documents: YAML in, frozen values out. What is wrong is said with its line and the nearest known key."""

import dataclasses
import difflib
import json
import math
import re
import types
import typing
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from pydantic import TypeAdapter, ValidationError

from controller.config import plain_yaml
from controller.config.reference import descriptions, section_types
from controller.core.policy import ReleasePolicy
from controller.core.traffic import HUNDRED_PCT
from controller.errors import UsageError, in_words
from controller.naming import model_named
from gates.online.slices import membership
from gates.policy import GatePolicy
from suites.cases import SuiteError, load

API_VERSION = "serin/v1"
KIND = "ReleasePolicy"
_HEADER = {"apiVersion": API_VERSION, "kind": KIND}
_NUMBER_TAGS = {"tag:yaml.org,2002:int", "tag:yaml.org,2002:float"}
_OTHER_BASE = re.compile(r"[-+]?(?:0[0-7xb_]+[^.]*$|.*:)")  # octal, hexadecimal, binary; minutes and seconds


def load_policy(path: Path) -> ReleasePolicy:
    """The policy in a file.

    Raises:
        UsageError: it cannot be read or is no valid policy; says file, line, field and the way out.
    """
    return suites_from(path.parent, parse_policy(policy_text(path), name=str(path)), name=str(path))


def suites_from(folder: Path, policy: ReleasePolicy, *, name: str) -> ReleasePolicy:
    """The policy with its suites by absolute path; relative ones are of this folder.

    Raises:
        UsageError: one file is named in two places that exclude each other.
    """

    def placed(suites: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(str((folder / suite).resolve()) for suite in suites)

    replay = dataclasses.replace(policy.shadow_replay, suites=placed(policy.shadow_replay.suites))
    try:
        return dataclasses.replace(policy, suites=placed(policy.suites), shadow_replay=replay)
    except ValueError as error:
        raise UsageError(f"{name}: {error}") from error


def policy_text(path: Path) -> str:
    """The text of a policy file, read no further than a policy may be long. Raises UsageError where it cannot be."""
    try:
        with path.open(encoding="utf-8") as file:
            return file.read(plain_yaml.BYTES_MAX + 1)
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: cannot be read: {in_words(error)}") from error


def check_suites(policy: ReleasePolicy) -> None:
    """See that every suite of the policy can be read, before a release finds out.

    Raises:
        UsageError: naming the file, and the line and field where one of its cases is wrong.
    """
    _texts((*policy.suites, *policy.shadow_replay.suites))


def texts_to_ask(policy: ReleasePolicy) -> int:
    """Return how many texts of ``shadow_replay.suites`` a release asks, if none was asked in one before.

    Raises:
        UsageError: as `check_suites`.
    """
    asked = policy.shadow_replay.suites
    return len(_texts(asked) - _texts(policy.suites)) if asked else 0


def _texts(suites: Iterable[str]) -> set[str]:
    try:
        return {case.text for suite in suites for case in load(Path(suite)).cases}
    except SuiteError as error:
        raise UsageError(str(error)) from error


def parse_policy(text: str, *, name: str = "policy") -> ReleasePolicy:
    """The policy in a YAML text. Raises UsageError as `load_policy` does."""
    try:
        node, document = plain_yaml.parse(text)
    except plain_yaml.PlainYamlError as error:
        raise UsageError(f"{name}: {error}") from error
    if not isinstance(node, yaml.MappingNode) or not isinstance(document, dict):
        raise UsageError(f"{name}: expected a mapping that begins with apiVersion: {API_VERSION}")
    for key, expected in _HEADER.items():
        if document.pop(key, None) != expected:
            raise UsageError(f"{name}: {key} must be {expected}")
    for problem in (*_slips(node), *_unknown_keys(node, ReleasePolicy, extra=tuple(_HEADER)), *_odd_names(node)):
        raise UsageError(f"{name}, {problem}")
    try:  # as strict JSON: neither a quoted number nor a boolean is a number, and a list is a tuple
        policy = _adapter().validate_json(json.dumps(document, default=str), strict=True)
    except ValidationError as error:
        raise UsageError(f"{name}, {_first_problem(node, error)}") from error
    _check(policy, name)
    return policy


def json_schema() -> dict[str, Any]:
    """The JSON Schema of a policy document, for editors; every key with what it means."""
    schema = _adapter().json_schema()
    for kind in section_types():
        properties = (schema if kind is ReleasePolicy else schema["$defs"][kind.__name__])["properties"]
        for key, text in descriptions(kind).items():
            properties[key]["description"] = text
    schema["properties"] = {key: {"const": value} for key, value in _HEADER.items()} | schema["properties"]
    schema["required"] = [*_HEADER, *schema.get("required", [])]
    for definition in (schema, *schema.get("$defs", {}).values()):
        if definition.get("type") == "object":
            definition["additionalProperties"] = False
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "Serin release policy"}


@cache
def _adapter() -> TypeAdapter[ReleasePolicy]:
    return TypeAdapter(ReleasePolicy)


def _check(policy: ReleasePolicy, name: str) -> None:
    """Check what types alone do not say."""
    if not policy.steps:
        raise UsageError(f"{name}: steps must name at least one canary step")
    weights = [step.weight_pct for step in policy.steps]
    if any(not 0 < weight <= 100 for weight in weights) or weights != sorted(set(weights)):
        raise UsageError(f"{name}: steps: weight_pct must grow from step to step, above 0 and up to 100, got {weights}")
    if not 0 < policy.mirror_pct <= 100:
        raise UsageError(f"{name}: mirror_pct must be above 0 and up to 100, got {policy.mirror_pct:g}")
    _check_back(policy, name)
    for field in ("look_every_s", "deadline_s", "start_timeout_s"):
        if not getattr(policy, field) > 0:
            raise UsageError(f"{name}: {field} must be above 0, got {getattr(policy, field):g}")
    for limit in ("memory_mb_max", "processes_max"):
        value = getattr(policy.replica, limit)
        if value is not None and not value > 0:
            raise UsageError(f"{name}: replica.{limit} must be above 0, got {value}")
    try:
        model_named(policy.model)
    except UsageError as error:
        raise UsageError(f"{name}: model: {error}") from error
    _check_gates(policy.gates, name)


def _check_gates(gates: GatePolicy, name: str) -> None:
    for part in gates.slices:
        try:
            membership(part.name)
        except ValueError as error:
            raise UsageError(f"{name}: gates.slices: {error}") from error
    for field in ("rollback_alpha", "promotion_alpha"):
        if not 0 < getattr(gates, field) < 1:
            raise UsageError(f"{name}: gates.{field} must be between 0 and 1, got {getattr(gates, field):g}")
    try:
        gates.require_guards_below_margins()
    except ValueError as error:
        raise UsageError(f"{name}: gates.{error}") from error


def _check_back(policy: ReleasePolicy, name: str) -> None:
    if not 0 <= policy.probation_mirror_pct <= HUNDRED_PCT:
        pct = policy.probation_mirror_pct
        raise UsageError(f"{name}: probation_mirror_pct must be from 0 (none) to 100, got {pct:g}")


def _slips(node: yaml.Node) -> Iterator[str]:
    """Yield what YAML allows and no policy means, as 'line N: ...': a key written twice, a negative or endless number,
    one to another base."""
    line = node.start_mark.line + 1
    is_number = isinstance(node, yaml.ScalarNode) and node.tag in _NUMBER_TAGS
    if is_number and not _is_a_number(yaml.safe_load(node.value)):
        yield f"line {line}: {node.value[:40]} is not a number from 0 up"
    elif is_number and _OTHER_BASE.match(node.value):
        yield f"line {line}: YAML reads {node.value[:40]} to another base than ten: write a plain number, or quote it"
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            yield from _slips(item)
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key_node, value_node in node.value:
            if key_node.value in seen:
                yield f"line {key_node.start_mark.line + 1}: {key_node.value!r} occurs twice"
            seen.add(key_node.value)
            yield from _slips(value_node)


def _is_a_number(value: float) -> bool:
    """Return whether it is from 0 up and one that a computation can hold."""
    try:
        return math.isfinite(value) and value >= 0
    except OverflowError:  # a whole number beyond every float
        return False


def _odd_names(node: yaml.MappingNode) -> Iterator[str]:
    """Each name in ``label_names`` that YAML takes for something else than is written (yes, 010, 1.0, null), and
    each that is empty."""
    for key_node, value_node in node.value:
        if key_node.value == "label_names" and isinstance(value_node, yaml.MappingNode):
            for name, meant in value_node.value:
                for part in (name, meant):
                    if part.tag == "tag:yaml.org,2002:str" and not part.value.strip():
                        yield f"line {part.start_mark.line + 1}: label_names: {name.value!r}: a name is empty"
                is_number = name.value.isdecimal() and str(int(name.value)) == name.value
                if name.tag != "tag:yaml.org,2002:str" and not is_number:
                    yield f"line {name.start_mark.line + 1}: label_names: write {name.value!r} in quotes"


def _unknown_keys(node: yaml.Node, kind: Any, *, extra: tuple[str, ...] = ()) -> Iterator[str]:
    """Each key that the type does not have, as 'line N: ...'."""
    if typing.get_origin(kind) in (types.UnionType, typing.Union):
        kind = next(option for option in typing.get_args(kind) if option is not type(None))
    if typing.get_origin(kind) is tuple and isinstance(node, yaml.SequenceNode):
        for item in node.value:
            yield from _unknown_keys(item, typing.get_args(kind)[0])
    if not (isinstance(node, yaml.MappingNode) and dataclasses.is_dataclass(kind)):
        return
    hints = typing.get_type_hints(kind)
    for key_node, value_node in node.value:
        key = key_node.value
        if key in hints:
            yield from _unknown_keys(value_node, hints[key])
        elif key not in extra:
            near = difflib.get_close_matches(key, hints, n=1, cutoff=0.5)
            hint = f"did you mean {near[0]!r}?" if near else f"known keys: {', '.join(sorted(hints))}"
            yield f"line {key_node.start_mark.line + 1}: unknown key {key!r}; {hint}"


def _first_problem(node: yaml.Node, error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    field = ".".join(str(part) for part in first["loc"])
    return f"line {_line_of(node, first['loc'])}: {field}: {first['msg']}"


def _line_of(node: yaml.Node, path: tuple[int | str, ...]) -> int:
    """The line of the deepest node on the path that is written in the document."""
    line = node.start_mark.line + 1
    for part in path:
        below = None
        if isinstance(node, yaml.MappingNode):
            below = next((value for key, value in node.value if key.value == part), None)
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            below = node.value[part]
        if below is None:
            return line
        node, line = below, below.start_mark.line + 1
    return line
