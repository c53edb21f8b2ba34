"""How far a run is: a bar on a terminal, a line now and then elsewhere. Both go to standard error."""

import time
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

_LINE_EVERY_S: Final = 10.0


class Meter:
    """Told of every block that is done; ``share`` is how much of the input that makes, or None where nobody knows."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._began_s = self._line_s = time.monotonic()
        self._rows = 0
        self._before = 0
        self._skipped = 0
        self._bar = Progress(
            TextColumn("scoring"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn(),
            TextColumn("{task.fields[said]}"), console=console, transient=True, disable=not console.is_terminal,
        )  # fmt: skip
        self._task = self._bar.add_task("", total=None, said="")

    def __enter__(self) -> "Meter":
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def resume(self, rows: int) -> None:
        """Rows that an earlier run has done."""
        self._before += rows

    def add(self, rows: int, skipped: int, share: float | None) -> None:
        self._rows += rows
        self._skipped += skipped
        total = None if share is None else 1.0
        self._bar.update(self._task, total=total, completed=share or 0.0, said=self.said)
        now_s = time.monotonic()
        if not self._console.is_terminal and now_s - self._line_s >= _LINE_EVERY_S:
            self._line_s = now_s
            self._console.print(self.said if share is None else f"{share:.0%}: {self.said}", highlight=False)

    @property
    def said(self) -> str:
        """Rows, rows a second, and what is noteworthy."""
        per_s = self._rows / max(time.monotonic() - self._began_s, 1e-9)
        said = f"{self._rows + self._before:,} rows, {per_s:,.0f}/s"
        if self._before:
            said += f", {self._before:,} of them before"
        return said + (f", {self._skipped:,} skipped" if self._skipped else "")
