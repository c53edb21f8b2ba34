"""What `make check-deploy` says in the end: one line that counts what of `deploy/` was checked."""

from collections import Counter
from pathlib import Path

import pytest
import yaml
from _pytest.terminal import TerminalReporter

from tests.deploy.containerfile import steps_of
from tests.deploy.rendered import MATRIX
from tests.deploy.rule_cases import CASES

DEPLOY = Path(__file__).parents[2] / "deploy"


def things() -> dict[str, int]:
    """What there is to be checked, by what it is called. Whoever adds a part of `deploy/` adds a line."""
    groups = yaml.safe_load((DEPLOY / "prometheus/serin.rules.yml").read_text())["groups"]
    return {
        "rules": sum(len(group["rules"]) for group in groups),
        "rule cases": len(CASES),
        "dashboards": len(list((DEPLOY / "grafana").glob("*.json"))),
        "runbooks": len(list((DEPLOY / "runbooks").glob("*.md"))) - 1,  # without their list
        "renderings of the chart": len(MATRIX),
        "images": sum(step.name == "CMD" for step in steps_of((DEPLOY / "images/Containerfile").read_text())),
        "scripts": len(list(DEPLOY.rglob("*.sh"))),
        "definitions": len(list((DEPLOY / "crds").glob("*.yaml"))),
        "units": len(list((DEPLOY / "systemd").glob("*.service"))),
    }


def pytest_terminal_summary(terminalreporter: TerminalReporter) -> None:
    outcomes = {outcome: Counter(_modules(terminalreporter, outcome)) for outcome in ("passed", "failed", "skipped")}
    if not any(outcomes.values()):
        return
    there = ", ".join(f"{number} {what}" for what, number in things().items())
    ran = ", ".join(f"{module} {number}" for module, number in sorted(outcomes["passed"].items()))
    rest = "; ".join(f"{outcome}: {sum(found.values())}" for outcome, found in outcomes.items() if outcome != "passed")
    terminalreporter.write_line(f"deploy: {there}. Tests that passed: {ran or 'none'}; {rest}")


def _modules(reporter: TerminalReporter, outcome: str) -> list[str]:
    """The module of each test of this folder with that outcome, without what all their names begin with."""
    reports = [one for one in reporter.stats.get(outcome, ()) if isinstance(one, pytest.TestReport)]
    paths = [Path(report.nodeid.partition("::")[0]) for report in reports]
    return [path.stem.removeprefix("test_") for path in paths if path.parent.name == "deploy"]
