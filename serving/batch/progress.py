"""The progress of a run: a bar on a terminal, a line now and then elsewhere. Both go to standard error."""

import sys
import time
from types import TracebackType
from typing import Final, Protocol, Self

from serving.text.printable import one_line

_LINE_EVERY_S: Final = 10.0


def say(message: str) -> None:
    """A line for people."""
    print(one_line(message), file=sys.stderr, flush=True)


class Display(Protocol):
    """The place where a meter is shown; ``share`` is how much of the input is done, or None if that is not known."""

    def update(self, share: float | None, said: str) -> None: ...

    def close(self) -> None: ...


class Bar:
    """On a terminal. What else is printed appears above it."""

    def __init__(self) -> None:
        from rich.console import Console  # only here: it takes as long to load as a small model
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

        self._progress = Progress(
            TextColumn("scoring"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn(),
            TextColumn("{task.fields[said]}"), console=Console(stderr=True), transient=True,
        )  # fmt: skip
        self._task = self._progress.add_task("", total=None, said="")
        self._progress.start()

    def update(self, share: float | None, said: str) -> None:
        total = None if share is None else 1.0
        self._progress.update(self._task, total=total, completed=share or 0.0, said=said)

    def close(self) -> None:
        self._progress.stop()


class Lines:
    """In a log."""

    def __init__(self) -> None:
        self._line_s = time.monotonic()

    def update(self, share: float | None, said: str) -> None:
        now_s = time.monotonic()
        if now_s - self._line_s >= _LINE_EVERY_S:
            self._line_s = now_s
            say(said if share is None else f"{100 * share:.0f} %: {said}")

    def close(self) -> None:
        """Nothing is left behind."""


class Meter:
    """Counts every block that is done. Rows per second count from the start of the meter."""

    def __init__(self) -> None:
        self._began_s = time.monotonic()
        self._rows = 0
        self._before = 0
        self._skipped = 0
        self._display: Display = Bar() if sys.stderr.isatty() else Lines()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._display.close()

    def resume(self, rows: int) -> None:
        """Rows that an earlier run has done."""
        self._before += rows

    def add(self, rows: int, skipped: int, share: float | None) -> None:
        self._rows += rows
        self._skipped += skipped
        self._display.update(share, self.said)

    @property
    def said(self) -> str:
        """Rows, rows a second, and what is noteworthy."""
        per_s = self._rows / max(time.monotonic() - self._began_s, 1e-9)
        said = f"{self._rows + self._before:,} rows, {per_s:,.0f}/s"
        if self._before:
            said += f", {self._before:,} of them earlier"
        return said + (f", {self._skipped:,} skipped" if self._skipped else "")
