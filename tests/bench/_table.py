"""What every benchmark ends with: its figures as a table and as a file, and whether its bars hold."""

import json
import math
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

RESULTS = Path(__file__).parents[2] / "build" / "bench"
_WIDTH = 120  # where no terminal has one: in a log


@dataclass(frozen=True, slots=True)
class Bar:
    """One figure, and what it must be; without ``at_most`` and ``at_least`` it is only told."""

    what: str
    value: float
    unit: str
    at_most: float | None = None
    at_least: float | None = None

    @property
    def bar(self) -> str | None:
        """What is asked, in words, or None where nothing is."""
        asked = [
            f"{sign} {limit:g}" for sign, limit in (("<=", self.at_most), (">=", self.at_least)) if limit is not None
        ]
        return " and ".join(asked) or None

    @property
    def holds(self) -> bool | None:
        """None where nothing is asked. A figure that could not be measured (not a number) holds no bar."""
        if self.bar is None:
            return None
        low = -math.inf if self.at_least is None else self.at_least
        high = math.inf if self.at_most is None else self.at_most
        return low <= self.value <= high


def machine() -> list[Bar]:
    """What figures of time depend on; ask before the benchmark adds its own share."""
    return [
        Bar("cores of this machine", len(os.sched_getaffinity(0)), ""),
        Bar("load average of this machine before", os.getloadavg()[0], ""),
    ]


def report(name: str, rows: Sequence[Bar], *, results: Path = RESULTS) -> int:
    """Print the rows, write ``NAME.json`` into ``results``, and return the exit status: 1 where a bar does not hold.

    The file is a list of ``{what, value, unit, bar, holds}``; a value that could not be measured is null.
    """
    results.mkdir(parents=True, exist_ok=True)
    file = results / f"{name}.json"
    file.write_text(json.dumps([_entry(row) for row in rows], indent=1) + "\n", encoding="utf-8")
    console = Console(width=None if sys.stdout.isatty() else _WIDTH)
    console.print(_table(name, rows))
    short = [row.what for row in rows if row.holds is False]
    console.print(f"{file}" + (f"\n[red]falls short:[/red] {'; '.join(short)}" if short else ""), highlight=False)
    return 1 if short else 0


def _entry(row: Bar) -> dict[str, object]:
    value = row.value if math.isfinite(row.value) else None
    return {"what": row.what, "value": value, "unit": row.unit, "bar": row.bar, "holds": row.holds}


def _table(name: str, rows: Sequence[Bar]) -> Table:
    table = Table(title=f"bench {name}", title_justify="left")
    table.add_column("what")
    table.add_column("value", justify="right", no_wrap=True)
    table.add_column("unit")
    table.add_column("bar", no_wrap=True)
    table.add_column("holds")
    words = {True: "[green]yes[/green]", False: "[red]no[/red]", None: ""}
    for row in rows:
        table.add_row(row.what, f"{row.value:,.4g}", row.unit, row.bar or "", words[row.holds])
    return table
