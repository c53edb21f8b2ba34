"""The plots of ``docs/benchmarks/gates.md``."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tests.bench.world import scenarios as s
from tests.bench.world.rivals import RULES
from tests.bench.world.rows import EXPOSED, Results
from tests.bench.world.runs import Played

_OURS, _BAR = "#0b6e4f", "#b00020"
_OTHERS = ("#8d6e63", "#c9a227", "#7b7b7b", "#5c6bc0", "#e07a3f", "#26a69a", "#ad1457")
_SIZE_IN = (8.0, 4.2)


def draw(results: Results, folder: Path) -> None:
    """Write the plots into ``folder``; the same results give the same bytes."""
    with mpl.rc_context({"svg.hashsalt": "serin", "svg.fonttype": "none", "font.size": 10, "axes.grid": True}):
        for name, figure in (
            ("gates-false-alarms", _false_alarms(results[s.EQUAL.name])),
            ("gates-detection", _detection(results)),
            ("gates-promotion", _promotion(results[s.RELEASED.name])),
        ):
            figure.savefig(folder / f"{name}.svg", metadata={"Date": None, "Creator": None})


def first_of(one: Played, rule: str) -> int | None:
    """The look at which a rule first rolled back, by whatever kind of evidence."""
    return min((look for look in one.rivals.get(rule, ()) if look is not None), default=None)


def _curve(axes: Axes, firsts: Sequence[int | None], looks: int, **style: Any) -> None:
    """How many of the releases (in per cent) had come to it by each look."""
    counts = np.bincount([look for look in firsts if look is not None], minlength=looks + 1)[: looks + 1]
    axes.step(np.arange(looks + 1), 100 * np.cumsum(counts) / max(len(firsts), 1), where="post", **style)


def _false_alarms(played: Sequence[Played]) -> Figure:
    figure = Figure(figsize=_SIZE_IN, layout="constrained")
    axes = figure.subplots()
    for rule, colour in zip(RULES, _OTHERS, strict=True):
        _curve(axes, [first_of(one, rule) for one in played], s.EQUAL.looks, color=colour, label=rule)
    _curve(axes, [one.ended.failed_at for one in played], s.EQUAL.looks, color=_OURS, linewidth=2.5, label="Serin")
    axes.axhline(1, color=_BAR, linestyle=":", label="1 %")
    axes.set_yscale("symlog", linthresh=1, linscale=0.5)
    axes.set_yticks([0, 0.5, 1, 5, 20, 50, 100], ["0", "0.5", "1", "5", "20", "50", "100"])
    axes.set(
        title="Equal candidates rolled back", xlabel="minutes, a look each", ylabel="% of releases", ylim=(0, 115),
        xlim=(0, s.EQUAL.looks),
    )  # fmt: skip
    figure.legend(loc="outside right center", frameon=False)
    return figure


def _detection(results: Results) -> Figure:
    figure = Figure(figsize=_SIZE_IN, layout="constrained")
    axes = figure.subplots()
    colours: Mapping[str, str] = dict(zip(EXPOSED, (_OURS, *_OTHERS), strict=False))
    for name, scenario in EXPOSED.items():
        firsts = [one.ended.failed_at for one in results[scenario.name]]
        _curve(axes, firsts, scenario.looks, color=colours[name], linewidth=2, label=name)
    axes.set(
        title="Worse candidates rolled back, 1 request/s on the canary", xlabel="minutes, a look each",
        ylabel="% of releases", ylim=(0, 103), xlim=(0, s.EQUAL.looks),
    )  # fmt: skip
    figure.legend(loc="outside right center", frameon=False)
    return figure


def _promotion(played: Sequence[Played]) -> Figure:
    figure = Figure(figsize=_SIZE_IN, layout="constrained")
    axes = figure.subplots()
    for what, colour in (("exposed_at", _OTHERS[3]), ("promoted_at", _OURS)):
        firsts = [getattr(one.ended, what) for one in played]
        _curve(axes, firsts, s.RELEASED.looks, color=colour, linewidth=2, label=what.replace("_at", ""))
    axes.set(
        title="Equal candidates on the default steps", xlabel="minutes, a look each", ylabel="% of releases",
        ylim=(0, 103), xlim=(0, s.RELEASED.looks),
    )  # fmt: skip
    axes.legend(loc="upper left", frameon=False)
    return figure
