"""Real models on the real path: registered, judged, promoted or rolled back, reported."""

import json
from pathlib import Path

import pytest

from tests.e2e.conftest import WITHIN_S, Site
from tests.patience import eventually

pytestmark = pytest.mark.integration


def test_a_better_model_is_promoted_and_a_worse_one_is_not(site: Site) -> None:
    """v2 goes to production through shadow and canary; v3 is stopped by accuracy before a user sees it; v2 in int8 goes
    the whole way as version 4, for a version in other arithmetic is a version like any other."""
    with site.load() as load:
        site.register("v2")
        eventually(lambda: site.phase("2") == "probation", within_s=WITHIN_S, what="version 2 promoted")
        site.register("v3")
        eventually(lambda: site.phase("3") == "rolled_back", within_s=WITHIN_S, what="version 3 rolled back")
        site.register("v2", "--variant", "int8", "--of", "2")
        eventually(lambda: site.phase("4") == "probation", within_s=WITHIN_S, what="the int8 variant promoted")
    assert (load["failed"], load["failures"]) == (0, {})
    assert set(load["by_version"]) == {"1", "2", "4"}
    assert site.serin.serving_version() == "4"
    blamed = site.release("3")["state"]["blamed"]
    assert "accuracy.shadow" in blamed or "calibration.shadow" in blamed  # lost answers cost probabilities too
    for release in ("intent-v2-1", "intent-v4-1"):
        phases = [e["payload"]["phase"] for e in site.entries(release) if e["kind"] == "PhaseEntered"]
        assert phases[:7] == ["preflight", "suite", "shadow", "canary", "canary", "promoting", "probation"]
    _people_can_read_it(site)


def _people_can_read_it(site: Site) -> None:
    page, document = site.serin.serin("report", "intent-v3-1").splitlines()
    assert "was rolled back" in Path(page).read_text(encoding="utf-8")
    assert json.loads(Path(document).read_text(encoding="utf-8"))["schema"] == "serin.report/v1"
    assert "release of version 4" in site.serin.status()
    assert "rolled_back" in site.serin.serin("release", "list")
    site.serin.serin("freeze", "intent", "--reason", "end of the test")
