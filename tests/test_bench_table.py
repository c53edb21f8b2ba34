"""What the benchmarks promise with their tables: a figure that falls short, or is missing, is never passed over."""

import json
import math
from pathlib import Path

import pytest

from tests.bench._table import Bar, report


@pytest.mark.parametrize(
    ("bar", "holds"),
    [
        (Bar("a share", 0.9, "", at_least=0.9), True),
        (Bar("a share", 0.89, "", at_least=0.9), False),
        (Bar("a time", 50.0, "ms", at_most=50.0), True),
        (Bar("a time", 50.1, "ms", at_most=50.0), False),
        (Bar("lost", 0.0, "requests", at_most=0.0), True),
        (Bar("between", 3.0, "", at_least=1.0, at_most=2.0), False),
        (Bar("told only", 1e9, "ms"), None),
    ],
)
def test_a_limit_itself_holds_and_what_is_beyond_does_not(bar: Bar, holds: bool | None) -> None:
    """A figure without a bar neither holds nor falls short."""
    assert bar.holds is holds


def test_what_could_not_be_measured_does_not_hold(tmp_path: Path) -> None:
    """No data is not a pass, and the file stays readable by strict parsers."""
    assert report("nothing", [Bar("a time", math.nan, "ms", at_most=1.0)], results=tmp_path) == 1
    (entry,) = json.loads((tmp_path / "nothing.json").read_text())
    assert (entry["value"], entry["holds"]) == (None, False)


def test_one_bar_that_falls_short_fails_the_benchmark(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is named on the screen; the file holds every figure in the order given."""
    rows = [Bar("speed", 3.0, "1/s", at_least=5.0), Bar("size", 2.0, "MB")]
    assert report("mixed", rows, results=tmp_path) == 1
    assert "falls short: speed" in capsys.readouterr().out
    assert json.loads((tmp_path / "mixed.json").read_text()) == [
        {"what": "speed", "value": 3.0, "unit": "1/s", "bar": ">= 5", "holds": False},
        {"what": "size", "value": 2.0, "unit": "MB", "bar": None, "holds": None},
    ]


def test_a_benchmark_whose_bars_all_hold_passes(tmp_path: Path) -> None:
    """Exit status 0, figures without a bar included."""
    assert report("good", [Bar("speed", 6.0, "1/s", at_least=5.0), Bar("size", 2.0, "MB")], results=tmp_path) == 0
