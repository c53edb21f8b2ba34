"""The plot of ``docs/benchmarks/serving.md``."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

_OURS, _THEIRS = "#0b6e4f", "#8d6e63"
_SIZE_IN: Final = (8.0, 5.2)

Times = Mapping[str, float]
"""By server: how many times Serin does better than it."""


def draw(panels: Mapping[str, tuple[Times, Times]], file: Path) -> None:
    """A row for each model: requests/s and P99. The same figures give the same bytes."""
    with mpl.rc_context({"svg.hashsalt": "serin", "svg.fonttype": "none", "font.size": 10}):
        figure = Figure(figsize=_SIZE_IN, layout="constrained")
        axes = figure.subplots(len(panels), 2, squeeze=False)
        for row, (model, (faster, sooner)) in zip(axes, panels.items(), strict=True):
            _bars(row[0], f"{model}\nrequests/s, times theirs", faster)
            _bars(row[1], f"{model}\nP99 at one rate, theirs ÷ ours", sooner)
        figure.savefig(file, metadata={"Date": None, "Creator": None})


def _bars(axes: Axes, title: str, times: Times) -> None:
    names: Sequence[str] = list(times)
    drawn = axes.barh(names, list(times.values()), color=_THEIRS)
    axes.bar_label(drawn, fmt="%.2g", padding=3)
    axes.axvline(1, color=_OURS, linewidth=2)
    axes.set_title(title, fontsize=10)
    axes.invert_yaxis()
    axes.margins(x=0.15)
