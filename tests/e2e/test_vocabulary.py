"""Labels of another vocabulary, on the real path: an error and a hold, and a rollback once the names mean something."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from suites.intents.demo.load import as_title
from tests.e2e.conftest import CHECKPOINTS, WITHIN_S, Site
from tests.patience import eventually

pytestmark = pytest.mark.integration

POLICY = Path(__file__).with_name("policy-vocabulary.yaml")
SWAPPED = ("login_problem", "refund_status")


def with_two_classes_swapped(folder: Path) -> tuple[Path, list[str]]:
    """Version 1 with two of its classes under each other's names; and all of the names."""
    shutil.copytree(CHECKPOINTS / "v1", folder)
    document: dict[str, Any] = json.loads((folder / "config.json").read_text())
    turned = dict(zip(SWAPPED, reversed(SWAPPED), strict=True))
    names = {place: turned.get(name, name) for place, name in document["id2label"].items()}
    document["id2label"] = names
    document["label2id"] = {name: int(place) for place, name in names.items()}
    (folder / "config.json").write_text(json.dumps(document))
    return folder, list(names.values())


def test_labels_of_another_vocabulary_never_promote(site: Site, tmp_path: Path) -> None:
    """A help desk says "Login Problem"; the candidate takes logins for refunds. It is held with all traffic on stable.
    With ``label_names`` in the policy the very same labels roll it back."""
    checkpoint, classes = with_two_classes_swapped(tmp_path / "swapped")

    def accuracy() -> Any:
        return site.release("2")["state"]["verdicts"].get("accuracy.shadow", {})

    with site.load("--labels-as-titles", for_s=600.0):
        site.serin.serin("register", str(checkpoint), "--model", "intent", "--candidate")
        eventually(lambda: site.phase("2") == "shadow", within_s=WITHIN_S, what="the candidate in shadow")
        eventually(lambda: accuracy().get("outcome") == "error", what="an error of the source of labels")
        reason = accuracy()["reason"]
        eventually(lambda: site.phase("2") == "held", within_s=WITHIN_S, what="the candidate held at its deadline")
        phases = [e["payload"]["phase"] for e in site.entries("intent-v2-1") if e["kind"] == "PhaseEntered"]
        policy = site.serin.home / "policies" / "intent.yaml"
        names = json.dumps({as_title(name): name for name in classes})
        policy.write_text(f"{policy.read_text()}\nlabel_names: {names}\n")
        site.serin.serin("resume", "intent", "--reason", "the names mean something now")
        eventually(lambda: site.phase("2") == "rolled_back", within_s=WITHIN_S, what="the candidate rolled back")
    assert "demo' names no class of either version" in reason
    assert any(f"{as_title(name)!r}" in reason and f"(perhaps {name!r})" in reason for name in classes)
    assert "canary" not in phases
    assert site.serin.serving_version() == "1"
    blamed = site.release("2")["state"]["blamed"]
    assert "accuracy.shadow" in blamed
    assert set(blamed) <= {"accuracy.shadow", "accuracy.slices"}  # by class it shows as well
