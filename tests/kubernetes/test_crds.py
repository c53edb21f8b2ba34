"""The kinds of Serin: made from the code, and taken by a server for what the code takes."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from controller.adapters.kubernetes.client import KubernetesClient
from controller.adapters.kubernetes.crds import definitions, text_of
from controller.adapters.kubernetes.resources import MODEL_RELEASES, RELEASE_POLICIES
from controller.config.policy_file import parse_policy
from controller.errors import PermanentError, UsageError

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "crds"
POLICIES = [
    *sorted((ROOT / "tests" / "e2e").glob("policy*.yaml")),
    ROOT / "suites" / "intents" / "demo" / "policy.yaml",
]


def spec_of(path: Path) -> dict[str, Any]:
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    return {key: value for key, value in document.items() if key not in ("apiVersion", "kind")}


def test_what_is_committed_is_what_the_code_makes() -> None:
    """Else: make crds."""
    committed = {path.name: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.yaml")}
    assert committed == {name: text_of(definition) for name, definition in definitions().items()}


@pytest.mark.parametrize("path", POLICIES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_policy_of_ours_can_be_an_object(client: KubernetesClient, path: Path) -> None:
    """Field by field: a server that does not know one would drop it without a word."""
    spec = spec_of(path)
    client.apply(RELEASE_POLICIES, "one", {"spec": spec})
    found = client.get(RELEASE_POLICIES, "one")
    assert found is not None
    assert found["spec"] == spec


@pytest.mark.parametrize(
    "change",
    [
        {"steps": []},
        {"steps": [{"weight_pct": 0}]},
        {"steps": [{"weight_pct": 101}]},
        {"steps": [{"weight_pct": 5}, {"weight_pct": 5}]},
        {"on_deadline": "never"},
        {"deadline_s": "an hour"},
        {"suites": "suite.jsonl"},
    ],
    ids=str,
)
def test_what_no_policy_file_may_say_no_object_may(client: KubernetesClient, change: dict[str, Any]) -> None:
    """The server refuses it before it is stored."""
    spec = spec_of(POLICIES[0]) | change
    with pytest.raises(UsageError):
        parse_policy(yaml.safe_dump({"apiVersion": "serin/v1", "kind": "ReleasePolicy", **spec}))
    with pytest.raises(PermanentError):
        client.apply(RELEASE_POLICIES, "one", {"spec": spec})


def test_a_gate_that_is_switched_off_stays_off(client: KubernetesClient) -> None:
    """``null`` is a value."""
    spec = spec_of(POLICIES[0]) | {"gates": {"latency": None}}
    found = client.create(RELEASE_POLICIES, {"metadata": {"name": "one"}, "spec": spec})
    assert found["spec"]["gates"] == {"latency": None}


def test_a_policy_stays_that_of_its_model(client: KubernetesClient) -> None:
    """Of another one there is another object."""
    spec = spec_of(POLICIES[0])
    client.apply(RELEASE_POLICIES, "one", {"spec": spec})
    with pytest.raises(PermanentError, match="create another ReleasePolicy"):
        client.apply(RELEASE_POLICIES, "one", {"spec": spec | {"model": "another"}})


@pytest.mark.parametrize("spec", [{}, {"model": "intent"}, {"model": "intent", "version": "7" * 21}, {"version": "7"}])
def test_a_release_names_a_model_and_a_version(client: KubernetesClient, spec: dict[str, str]) -> None:
    with pytest.raises(PermanentError):
        client.create(MODEL_RELEASES, {"metadata": {"name": "one"}, "spec": spec})
