"""What docs/gitops.md tells Argo CD and Flux to read of Serin's objects: run on each status that these can have."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cel
import pytest
import yaml
from lupa.lua51 import LuaRuntime  # the version that Argo CD's interpreter speaks

from controller.adapters.kubernetes.releases.status import refused_status, status_of, waiting_status
from controller.core.release import Phase
from tests.controller.releases import release_in

PAGE = Path(__file__).parents[2] / "docs" / "gitops.md"
GENERATION = 3
SINCE = "2026-11-26T10:00:00Z"
ENDED = {
    Phase.PROMOTED: "Healthy",
    Phase.SUPERSEDED: "Healthy",
    Phase.ABORTED: "Suspended",
    Phase.HELD: "Suspended",
    Phase.ROLLED_BACK: "Degraded",
    Phase.REJECTED: "Degraded",
}
FLUX = {"Healthy": "current", "Suspended": "failed", "Degraded": "failed", "Progressing": "inProgress"}


def documents() -> list[Any]:
    """The YAML of the page."""
    blocks = re.findall(r"^```yaml\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    return [document for block in blocks for document in yaml.safe_load_all(block)]


def argo_says(kind: str, found: Mapping[str, Any]) -> tuple[str, str]:
    """The health and the message that Argo CD makes of the object."""
    (scripts,) = [one["data"] for one in documents() if "data" in one]
    lua = LuaRuntime()
    lua.globals()["obj"] = lua.table_from(found, recursive=True)
    told = lua.execute(scripts[f"resource.customizations.health.serin.dev_{kind}"])
    return str(told["status"]), str(told["message"])


def flux_says(kind: str, found: Mapping[str, Any]) -> str:
    """The first of Flux's three that holds, in the order in which it asks; ``unknown`` where none does."""
    (checks,) = [one["spec"]["healthCheckExprs"] for one in documents() if "healthCheckExprs" in one.get("spec", {})]
    (said,) = [one for one in checks if one["kind"] == kind]
    names = {key: value for key, value in found.items() if key in ("metadata", "status", "spec")}
    return next((name for name in ("inProgress", "failed", "current") if cel.evaluate(said[name], names)), "unknown")


def model_release(status: Mapping[str, Any] | None) -> dict[str, Any]:
    found: dict[str, Any] = {"metadata": {"name": "intent-seven", "generation": GENERATION}, "spec": {}, "status": {}}
    return found | ({"status": dict(status)} if status is not None else {})


@pytest.mark.parametrize("phase", Phase)
def test_a_releases_health_is_what_became_of_it(phase: Phase) -> None:
    found = model_release(status_of(release_in(phase, reason="The sentence of the journal."), GENERATION))
    health, message = argo_says("ModelRelease", found)
    assert (health, message) == (ENDED.get(phase, "Progressing"), "The sentence of the journal.")
    assert flux_says("ModelRelease", found) == FLUX[health]


def test_one_that_is_refused_is_degraded_and_one_that_waits_goes_on() -> None:
    refused = model_release(refused_status("There is no version 9.", GENERATION, SINCE))
    assert argo_says("ModelRelease", refused) == ("Degraded", "There is no version 9.")
    assert flux_says("ModelRelease", refused) == "failed"
    waiting = model_release(waiting_status("No policy yet.", GENERATION, SINCE))
    assert argo_says("ModelRelease", waiting) == ("Progressing", "No policy yet.")


@pytest.mark.parametrize(
    "status", [None, status_of(release_in(Phase.PROMOTED), GENERATION - 1)], ids=["none", "former"]
)
def test_no_status_and_one_of_a_former_spec_are_none(status: Mapping[str, Any] | None) -> None:
    found = model_release(status)
    assert argo_says("ModelRelease", found)[0] == "Progressing"
    assert flux_says("ModelRelease", found) == "inProgress"


def policy(status: str | None, *, observed: int = GENERATION) -> dict[str, Any]:
    condition = {"type": "Followed", "status": status, "message": "why", "observedGeneration": observed}
    told = {"observedGeneration": observed, "conditions": [condition]} if status is not None else {}
    return {"metadata": {"name": "intent", "generation": GENERATION}, "spec": {}, "status": told}


@pytest.mark.parametrize(
    ("found", "argo", "flux"),
    [
        (policy("True"), "Healthy", "current"),
        (policy("False"), "Degraded", "failed"),
        (policy("True", observed=GENERATION - 1), "Progressing", "inProgress"),
        (policy(None), "Progressing", "inProgress"),
    ],
    ids=["followed", "not followed", "of a former spec", "not read yet"],
)
def test_a_policys_health_is_whether_it_is_followed(found: Mapping[str, Any], argo: str, flux: str) -> None:
    assert argo_says("ReleasePolicy", found)[0] == argo
    assert flux_says("ReleasePolicy", found) == flux
