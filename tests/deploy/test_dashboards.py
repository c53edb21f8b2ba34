"""Dashboards as Grafana imports them: every panel says what it shows and in which unit, and asks for what there is."""

import itertools
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from controller.cli.app import app
from controller.core.policy import ReleasePolicy
from controller.monitoring.dashboards.boards import dashboards
from controller.monitoring.dashboards.panel import Kind, Unit
from controller.monitoring.rule import Recording
from controller.monitoring.rules import groups_of
from gates.policy import GatePolicy, LatencyPolicy, LimitPolicy
from serving import contract as names

PRICED = ReleasePolicy("intent", gates=GatePolicy(limits=LimitPolicy(replica_hour_price=0.1, cost_per_1000_max=0.02)))
BOARDS = {board.uid: board for board in dashboards({"intent": PRICED})}
PANELS = [
    pytest.param(panel, id=f"{uid}:{panel['title']}")
    for uid, board in BOARDS.items()
    for panel in board.document()["panels"]
    if panel["type"] != "row"
]


@pytest.mark.parametrize("panel", PANELS)
def test_a_panel_says_what_it_shows(panel: Mapping[str, Any]) -> None:
    defaults = panel["fieldConfig"]["defaults"]
    assert panel["description"].endswith(".")
    assert defaults["unit"] in set(Unit)
    steps = defaults["thresholds"]["steps"]
    assert steps[0]["value"] is None  # Grafana's base colour
    assert [step["value"] for step in steps[1:]] == sorted(step["value"] for step in steps[1:])
    assert panel["type"] in set(Kind)
    assert all(target["expr"] and target["datasource"]["type"] == "prometheus" for target in panel["targets"])


@pytest.mark.parametrize("panel", PANELS)
def test_a_panel_asks_for_what_there_is(panel: Mapping[str, Any], checked: Callable[..., None]) -> None:
    """Names of the contract, and what a rule records."""
    metrics = {value for name, value in vars(names).items() if name.endswith("_METRIC")}
    rules = [rule for group in groups_of({"intent": PRICED}) for rule in group.rules]
    recorded = {rule.name for rule in rules if isinstance(rule, Recording)}
    for target in panel["targets"]:
        asked = set(re.findall(r"\bserin_[a-z_0-9]+", target["expr"]))
        assert not {
            one for one in asked if one not in metrics and re.sub("_(bucket|sum|count)$", "", one) not in metrics
        }
        assert set(re.findall(r"\bserin:[a-z0-9_:]+", target["expr"])) <= recorded
        assert asked or "serin:" in target["expr"] or "ALERTS" in target["expr"] or "up{" in target["expr"]
    checked("panels")


@pytest.mark.parametrize("board", BOARDS.values(), ids=BOARDS)
def test_panels_lie_side_by_side(board: Any, checked: Callable[..., None]) -> None:
    panels = board.document()["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    cells = [cell for panel in panels for cell in _cells(panel["gridPos"])]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24
    checked("dashboards")


def _cells(place: Mapping[str, int]) -> list[tuple[int, int]]:
    columns, rows = range(place["x"], place["x"] + place["w"]), range(place["y"], place["y"] + place["h"])
    return list(itertools.product(columns, rows))


def test_lines_are_the_policys_limits() -> None:
    strict = ReleasePolicy("tone", gates=GatePolicy(latency=LatencyPolicy(p95_ms_max=80.0)))
    boards = {board.uid: board for board in dashboards({"intent": PRICED, "tone": strict})}
    assert next(panel for panel in boards["serin-on-call"].panels if panel.title == "P95").beyond == 80.0
    cost = next(panel for panel in boards["serin-executive"].panels if panel.title.startswith("Cost"))
    assert cost.beyond == 0.02


def test_they_are_written_for_ones_own_policies(tmp_path: Path) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text("apiVersion: serin/v1\nkind: ReleasePolicy\nmodel: tone\n")
    result = CliRunner().invoke(app, ["dashboards", "--policies", str(policy), "--out", str(tmp_path / "out")])
    assert result.exit_code == 0
    found = {path.stem: json.loads(path.read_text())["uid"] for path in (tmp_path / "out").iterdir()}
    assert found == {uid: uid for uid in BOARDS}
