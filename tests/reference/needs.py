"""How much traffic and how many labels a release needs, as `serin plan` says."""

import json
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from typer.testing import CliRunner

from controller.cli.app import app
from controller.config.presets import Preset, preset_text
from controller.report.words import duration
from tests.reference.blocks import table

RATES_PER_S: Final = (0.05, 0.2, 1.0, 5.0, 20.0, 100.0)
LABELS: Final = {"many labels": (0.05, 0.7), "few": (0.01, 0.2)}
"""The share of all requests that is labelled by chance, and that of disagreements."""
LIKELY: Final = 0.5  # of an equal version being promoted; below it most of them are held
DEFAULT: Final = "apiVersion: serin/v1\nkind: ReleasePolicy\nmodel: intent\n"
POLICIES: Final = {"default": DEFAULT, "low-traffic": preset_text(Preset.LOW_TRAFFIC, "intent")}


def plan(policy: Path, per_s: float, by_chance: float, directed: float) -> Any:
    """What `serin plan` prints as JSON."""
    asked = ["--requests-per-s", str(per_s), "--label-rate", str(by_chance), "--directed-rate", str(directed)]
    told = CliRunner().invoke(app, ["plan", "--policy", str(policy), *asked, "-o", "json"])
    assert told.exit_code == 0, told.output
    return json.loads(told.stdout)


def text() -> str:
    """The table."""
    head = ["requests a second", *(f"{name}, {labels}" for name in POLICIES for labels in LABELS)]
    with TemporaryDirectory() as folder:
        return table(head, _rows(Path(folder)))


def _rows(folder: Path) -> Iterator[list[str]]:
    files = {name: folder / f"{name}.yaml" for name in POLICIES}
    for name, file in files.items():
        file.write_text(POLICIES[name], encoding="utf-8")
    for per_s in RATES_PER_S:
        yield [
            f"{per_s:g}",
            *(_cell(plan(file, per_s, *shares)) for file in files.values() for shares in LABELS.values()),
        ]


def _cell(found: Any) -> str:
    promoted = found["ends"][0]["promoted"]
    if found["promoted_s"] is None or promoted < LIKELY:
        return "held"
    chance = "> 99 %" if promoted > 0.99 else f"{100 * promoted:.0f} %"
    return f"{_about(found['promoted_s'])} ({chance})"


def _about(seconds: float) -> str:
    """To a tenth of the larger unit: no forecast is more exact."""
    step = 3_600 if seconds >= 36_000 else 360 if seconds >= 3_600 else 60
    return duration(round(seconds / step) * step)


BLOCKS: Final = {"needs": text}
