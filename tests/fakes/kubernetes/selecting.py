"""Which objects a list or a watch is about: selectors of labels and of fields."""

import re
from collections.abc import Callable, Mapping
from typing import Any

from tests.fakes.kubernetes.errors import bad_request
from tests.fakes.kubernetes.kinds import Object

Chooser = Callable[[Object], bool]


def chooser(query: Mapping[str, str]) -> Chooser:
    """Return what tells the objects that the query asks for."""
    labels = [_label_rule(one) for one in _split(query.get("labelSelector", ""))]
    fields = [_field_rule(one) for one in _split(query.get("fieldSelector", ""))]
    return lambda found: all(rule(found) for rule in [*labels, *fields])


def matches(selector: Mapping[str, Any], found: Object) -> bool:
    """Return whether a LabelSelector, as objects carry it, chooses this one."""
    has = found["metadata"].get("labels", {})
    if any(has.get(key) != value for key, value in selector.get("matchLabels", {}).items()):
        return False
    for rule in selector.get("matchExpressions", []):
        key, operator, values = rule["key"], rule["operator"], rule.get("values", [])
        inside = has.get(key) in values if operator in ("In", "NotIn") else key in has
        if inside == (operator in ("NotIn", "DoesNotExist")):
            return False
    return True


def _split(said: str) -> list[str]:
    return [one.strip() for one in re.split(r",(?![^(]*\))", said) if one.strip()]


def _label_rule(said: str) -> Chooser:
    if found := re.fullmatch(r"(\S+)\s+(in|notin)\s+\(([^)]*)\)", said):
        key, operator, listed = found.groups()
        values = {one.strip() for one in listed.split(",")}
        return lambda one: (one["metadata"].get("labels", {}).get(key) in values) == (operator == "in")
    if "!=" in said:
        key, _, value = said.partition("!=")
        return lambda one: one["metadata"].get("labels", {}).get(key) != value
    if "=" in said:
        key, _, value = said.replace("==", "=").partition("=")
        return lambda one: one["metadata"].get("labels", {}).get(key) == value
    if said.startswith("!"):
        return lambda one: said[1:] not in one["metadata"].get("labels", {})
    return lambda one: said in one["metadata"].get("labels", {})


def _field_rule(said: str) -> Chooser:
    path, _, value = said.replace("==", "=").partition("=")
    if path not in ("metadata.name", "metadata.namespace", "status.phase", "spec.nodeName", "involvedObject.name"):
        raise bad_request(f'field label not supported: "{path}"')

    def rule(found: Object) -> bool:
        place: Any = found
        for part in path.split("."):
            place = place.get(part, {}) if isinstance(place, dict) else {}
        return bool(place == value)

    return rule
