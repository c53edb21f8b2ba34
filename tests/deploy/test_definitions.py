"""The definitions of Serin's kinds: by Kubernetes' own schema, and each of their CEL rules by what it refuses."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes_validate import ValidationError

from tests.deploy.rendered import check
from tests.fakes.kubernetes.errors import ApiError
from tests.fakes.kubernetes.kinds import Kind, kinds_of
from tests.fakes.kubernetes.validation import validate

FILES = sorted((Path(__file__).parents[2] / "deploy/crds").glob("*.yaml"))
RELEASE = {"model": "intent", "version": "7"}


def policy(*weights_pct: float, model: str = "intent") -> dict[str, Any]:
    return {"model": model, "steps": [{"weight_pct": one} for one in weights_pct]}


BREAKS: Mapping[tuple[str, str], tuple[Any, Any]] = {
    ("ModelRelease", "self == oldSelf"): (RELEASE, {**RELEASE, "version": "8"}),
    ("ReleasePolicy", "self.model == oldSelf.model"): (policy(5), policy(5, model="tone")),
    ("ReleasePolicy", "self.all(step, step.weight_pct > 0.0 && step.weight_pct <= 100.0)"): (None, policy(0)),
    ("ReleasePolicy", "self.all(step, self.exists_one(other, other.weight_pct == step.weight_pct))"): (
        None,
        policy(5, 5),
    ),
}
"""What stood there, and what is refused in its place, by the rule that refuses it."""


def definition(file: Path) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(file.read_text(encoding="utf-8"))
    return found


def rules_of(schema: Any) -> Iterator[tuple[str, str]]:
    """Every CEL rule within, and what it says."""
    if isinstance(schema, Mapping):
        for one in schema.get("x-kubernetes-validations", ()):
            yield one["rule"], one["message"]
        for inner in schema.values():
            yield from rules_of(inner)


KINDS: Mapping[str, Kind] = {kind.kind: kind for file in FILES for kind in kinds_of(definition(file))}
RULES = [(name, rule, said) for name, kind in KINDS.items() for rule, said in rules_of(kind.schema)]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_definition_is_of_kubernetes_schema(file: Path, checked: Callable[..., None]) -> None:
    check(definition(file))
    checked("definitions by schema")


def test_a_definition_with_a_slip_is_found() -> None:
    """So that the test above can fail."""
    found = definition(FILES[0])
    found["spec"]["versions"][0]["storaged"] = True
    with pytest.raises(ValidationError):
        check(found)


@pytest.mark.parametrize(("kind", "rule", "said"), RULES, ids=[said for *_, said in RULES])
def test_a_cel_rule_refuses_what_it_is_for_and_nothing_else(
    kind: str, rule: str, said: str, checked: Callable[..., None]
) -> None:
    before, after = (spec and {"metadata": {"name": "one"}, "spec": spec} for spec in BREAKS[kind, rule])
    with pytest.raises(ApiError, match=said) as refused:
        validate(after, KINDS[kind], before)
    assert len(refused.value.causes) == 1
    good = RELEASE if kind == "ModelRelease" else policy(5, 50)
    validate({"metadata": {"name": "one"}, "spec": good}, KINDS[kind], before)
    checked("CEL rules")


def test_every_cel_rule_is_tried() -> None:
    assert {(kind, rule) for kind, rule, _ in RULES} == BREAKS.keys()
