"""The screen that a person sees while the demonstration runs: the versions, the release in progress with its gates, and
the time."""

import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from suites.intents.demo.story import ACTS, Result

_OUTCOMES: Final = {
    "pass": ("✓", "green"),
    "fail": ("✗", "red"),
    "inconclusive": ("…", "yellow"),
    "error": ("!", "magenta"),
}
_HEARTBEAT_S: Final = 5.0
_SETTLED: Final = {"promoted", "probation", "rolled_back", "rejected", "held", "aborted", "superseded"}


class Screen:
    """A live picture on a terminal; elsewhere one line for each event, and a sign of life every few seconds."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live: Live | None = None
        self._start_s = time.monotonic()
        self._results: dict[str, Result] = {}
        self._current: Mapping[str, Any] | None = None
        self._note = ""
        self._last_line = ""
        self._last_line_s = 0.0

    def __enter__(self) -> "Screen":
        if self._console.is_terminal:
            self._live = Live(console=self._console, refresh_per_second=4, get_renderable=self._picture)
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def tell(self, line: str) -> None:
        self._note = line
        self._line(line)

    def follow(self, release: Mapping[str, Any] | None) -> None:
        """Show the state of the release."""
        self._current = release
        if release is not None:
            self._line(_in_words(release))

    def settled(self, result: Result) -> None:
        self._results[result.version] = result
        self._current = None
        sign = "as expected" if result.as_expected else f"NOT as expected ({result.expected})"
        self._line(f"version {result.version}: {result.outcome}, {sign}, after {result.seconds:.0f} s: {result.reason}")

    def _line(self, text: str) -> None:
        now_s = time.monotonic()
        if self._live is None and (text != self._last_line or now_s - self._last_line_s > _HEARTBEAT_S):
            self._console.print(f"[{now_s - self._start_s:5.0f} s] {text}", highlight=False, markup=False)
            self._last_line, self._last_line_s = text, now_s

    def _picture(self) -> Panel:
        elapsed_s = int(time.monotonic() - self._start_s)
        parts: list[Any] = [self._versions()]
        if self._current is not None:
            parts.append(_gates(self._current))
        parts.append(Text(self._note, style="dim", overflow="ellipsis", no_wrap=True))
        title = f"Serin demonstration, {elapsed_s // 60}:{elapsed_s % 60:02}"
        return Panel(Group(*parts), title=title, title_align="left")

    def _versions(self) -> Table:
        table = Table(box=None, padding=(0, 1), expand=True)
        for heading in ("version", "what it is", "how it stands"):
            table.add_column(heading, no_wrap=True, overflow="ellipsis", ratio=None if heading == "version" else 1)
        for act in ACTS:
            table.add_row(f"v{act.version}", act.what, self._standing(act.version))
        return table

    def _standing(self, version: str) -> Text:
        result = self._results.get(version)
        if result is not None:
            style = "green" if result.as_expected else "bold red"
            blamed = f" by {result.blamed_gate}" if result.blamed_gate else ""
            return Text(f"{result.outcome}{blamed} ({result.seconds:.0f} s)", style=style)
        if self._current is not None and self._current["version"] == version:
            return Text(_in_words(self._current), style="cyan")
        return Text("waits", style="dim")


def result_table(results: Sequence[Result]) -> Table:
    """Return the table of what happened and why, for the end."""
    table = Table(title="What happened, and why", title_justify="left", show_lines=True, expand=True)
    for heading in ("version", "outcome", "seconds", "why"):
        table.add_column(
            heading, justify="right" if heading == "seconds" else "left", ratio=1 if heading == "why" else None
        )
    for result in results:
        sign = "✓" if result.as_expected else "✗"
        outcome = f"{sign} {result.outcome}" + (f"\nby {result.blamed_gate}" if result.blamed_gate else "")
        style = "green" if result.as_expected else "bold red"
        table.add_row(f"v{result.version}", Text(outcome, style=style), f"{result.seconds:.0f}", result.reason)
    return table


def _in_words(release: Mapping[str, Any]) -> str:
    state = release["state"]
    words = f"version {release['version']}: {release['phase']}"
    if release["phase"] == "canary":
        words += f" at {state['policy']['steps'][state['step']]['weight_pct']:g} %"
    gates = _deciding(release)
    if gates and release["phase"] not in _SETTLED:
        words += f", {sum(v['outcome'] == 'pass' for v in gates)} of {len(gates)} gates pass"
    return words


def _deciding(release: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the verdicts that decide. Advisory ones are only in the report."""
    return [verdict for verdict in release["state"]["verdicts"].values() if not verdict["advisory"]]


def _gates(release: Mapping[str, Any]) -> Table:
    table = Table(box=None, padding=(0, 1), expand=True, show_header=False)
    table.add_column("outcome", width=14)
    table.add_column("gate", width=20, no_wrap=True)
    table.add_column("why", no_wrap=True, overflow="ellipsis", ratio=1)
    for verdict in _deciding(release):
        sign, style = _OUTCOMES[verdict["outcome"]]
        table.add_row(Text(f"{sign} {verdict['outcome']}", style=style), verdict["gate"], verdict["reason"])
    return table
