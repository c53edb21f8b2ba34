"""The rules hold what they promise on made-up series, name only metrics that there are, and lead to words that help."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from serving import contract
from tests.patience import PATIENCE_S

ROOT = Path(__file__).parents[1]
RULES = ROOT / "deploy" / "prometheus" / "serving.rules.yml"
SUFFIXES = ("_bucket", "_sum", "_count")


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not on PATH: make setup puts it there")
def test_the_rules_fire_when_they_should_and_only_then() -> None:
    done = subprocess.run(
        ["promtool", "test", "rules", str(RULES.with_name("serving.test.yml"))],
        capture_output=True, text=True, timeout=PATIENCE_S, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_rules_name_only_metrics_of_the_contract() -> None:
    known = {value for name, value in vars(contract).items() if name.endswith("_METRIC")}
    named = set(re.findall(r"\b(?:serin|envoy)_[a-z_]+", RULES.read_text()))
    named -= {contract.CLUSTER_LABEL, contract.CODE_CLASS_LABEL}
    assert named
    assert not {name for name in named if name not in known and name.removesuffix(_suffix(name)) not in known}


def _suffix(name: str) -> str:
    return next((suffix for suffix in SUFFIXES if name.endswith(suffix)), "")


def test_every_alert_leads_to_its_runbook() -> None:
    page = (ROOT / "docs" / "operations.md").read_text()
    rules = [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]
    alerts = {rule["alert"]: rule for rule in rules if "alert" in rule}
    assert alerts
    for name, rule in alerts.items():
        assert rule["labels"]["severity"] in {"page", "ticket"}
        assert rule["annotations"]["runbook"] == f"docs/operations.md#{name.lower()}"
        assert f"### {name}\n" in page
