"""A first impression of single worlds: how they ended, and who was blamed."""

import statistics
from collections import Counter
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from tests.bench.world.measures import Share, ever_promoted, failed
from tests.bench.world.runs import Played

_NAMED_MAX = 3


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
        _share(failed(played)), _median(backs), _share(ever_promoted(played)), _median(forwards),
        _counted(blamed, len(ends)), " ".join((_counted(waited, len(ends)), said)).strip(),
    ]  # fmt: skip


def _share(share: Share) -> str:
    low, high = share.interval_pct
    return f"{share.pct:.3g} % ({low:.2g} to {high:.3g})"


def _median(looks: Sequence[int]) -> str:
    return f"{statistics.median(looks):g}" if looks else ""


def _counted(counter: Counter[str], runs: int) -> str:
    return ", ".join(f"{gate} {100 * count / runs:.3g} %" for gate, count in counter.most_common(_NAMED_MAX))
