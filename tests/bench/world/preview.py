"""A first impression of single worlds: how they ended, and who was blamed."""

import statistics
from collections import Counter
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from scipy.stats import beta

from tests.bench.world.runs import Played

_LEVEL = 0.95
_NAMED_MAX = 3


def interval(hits: int, runs: int, level: float = _LEVEL) -> tuple[float, float]:
    """Bounds on the probability of which ``hits`` of ``runs`` were seen (Clopper and Pearson)."""
    tail = (1 - level) / 2
    low = float(beta.ppf(tail, hits, runs - hits + 1)) if hits else 0.0
    high = float(beta.ppf(1 - tail, hits + 1, runs - hits)) if hits < runs else 1.0
    return low, high


def table(results: dict[str, Sequence[Played]]) -> Table:
    """One row a world."""
    found = Table(title="share with its 95 % interval, median minute", title_justify="left")
    for column in ("world", "runs", "rolled back", "minute", "promoted", "minute", "blamed", "waited for, held"):
        found.add_column(column, overflow="fold")
    for name, played in results.items():
        found.add_row(name, str(len(played)), *_row(played))
    return found


def show(results: dict[str, Sequence[Played]]) -> None:
    Console(width=180).print(table(results))


def _row(played: Sequence[Played]) -> list[str]:
    ends = [one.ended for one in played]
    backs = [end.failed_at for end in ends if end.failed_at]
    forwards = [end.promoted_at for end in ends if end.promoted_at]
    blamed = Counter(gate for end in ends for gate in end.blamed)
    waited = Counter(gate for end in ends for gate in end.waited)
    held = Counter(end.held for end in ends if end.held)
    said = "; ".join(f"{count}: {reason}" for reason, count in held.most_common(1))
    return [
        _share(len(backs), len(ends)), _median(backs), _share(len(forwards), len(ends)), _median(forwards),
        _counted(blamed, len(ends)), " ".join((_counted(waited, len(ends)), said)).strip(),
    ]  # fmt: skip


def _share(hits: int, runs: int) -> str:
    low, high = interval(hits, runs)
    return f"{100 * hits / max(runs, 1):.3g} % ({100 * low:.2g} to {100 * high:.2g})"


def _median(looks: Sequence[int]) -> str:
    return f"{statistics.median(looks):g}" if looks else ""


def _counted(counter: Counter[str], runs: int) -> str:
    return ", ".join(f"{gate} {100 * count / runs:.3g} %" for gate, count in counter.most_common(_NAMED_MAX))
