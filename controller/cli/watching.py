"""`serin status --watch`: the table again and again, until what is waited for is there."""

import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from controller.core.commands import Freeze
from controller.core.policy import ReleasePolicy
from controller.core.traffic import TrafficTable
from controller.errors import TransientError
from controller.ports.journal import ReleaseRecord
from controller.ports.runtime import DeploymentStatus
from controller.status import (
    EXIT_ERROR,
    EXIT_FAIL,
    EXIT_INCONCLUSIVE,
    EXIT_PASS,
    EXIT_TIMEOUT,
    Beside,
    Shown,
    exit_code,
    is_settled,
    status_table,
)
from serving.text.printable import printable


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All that one drawing of the table needs, read at one time."""

    records: Sequence[Shown]
    now_s: float
    traffic: Mapping[str, TrafficTable]
    deployments: Mapping[str, Mapping[str, DeploymentStatus]] | None = None
    freezes: Sequence[Freeze] = ()
    troubles: Sequence[str] = ()
    policies: Mapping[str, ReleasePolicy] | None = None
    beside: Beside | None = None

    @property
    def table(self) -> RenderableType:
        return status_table(
            self.records,
            now_s=self.now_s,
            traffic=self.traffic,
            deployments=self.deployments,
            freezes=self.freezes,
            troubles=self.troubles,
            policies=self.policies,
            beside=self.beside,
        )

    @property
    def exit_code(self) -> int:
        """The worst of the releases': failed, could not be judged, inconclusive, passed. Of none: inconclusive."""
        codes = {exit_code(record) for record in self.records}
        return next(
            (code for code in (EXIT_FAIL, EXIT_ERROR, EXIT_INCONCLUSIVE, EXIT_PASS) if code in codes), EXIT_INCONCLUSIVE
        )

    @property
    def settled(self) -> bool:
        return bool(self.records) and all(is_settled(record) for record in self.records)


def never(_: Snapshot) -> bool:
    """Watch until interrupted."""
    return False


def watch(
    fetch: Callable[[], Snapshot],
    console: Console,
    *,
    refresh_s: float = 1.0,
    until: Callable[[Snapshot], bool] = never,
    timeout_s: float = math.inf,
    sleep: Callable[[float], None] = time.sleep,
) -> int:
    """Draw the table again and again until ``until`` says so, and return the exit code of what was seen last.

    A source that does not answer for a moment ends nothing: the last table stays, with a line that says so. Where the
    output is no terminal, the table is printed whenever a release entered another phase, or a freeze came or went.
    After ``timeout_s``: 5.
    """
    screen = _Screen(console)
    with screen.live:
        seen: Snapshot | None = None
        waited_s = 0.0
        while True:
            try:
                seen = fetch()
            except TransientError as error:
                screen.show(seen, f"{error.source} does not answer: {error}")
            else:
                screen.show(seen, "")
                if until(seen):
                    return seen.exit_code
            if waited_s >= timeout_s:
                return EXIT_TIMEOUT
            sleep(refresh_s)
            waited_s += refresh_s


class _Screen:
    """The screen that the table is drawn on: over itself on a terminal, anew at each change of phase elsewhere."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._printed: tuple[object, ...] | None = None
        self.live: AbstractContextManager[object] = nullcontext()
        if console.is_terminal:
            self._live = Live(console=console, auto_refresh=False)
            self.live = self._live

    def show(self, seen: Snapshot | None, trouble: str) -> None:
        parts = [seen.table] if seen is not None else []
        table = Group(*parts, Text(printable(trouble), "magenta"))
        if self._console.is_terminal:
            self._live.update(table, refresh=True)
            return
        phases = [(r.release_id, r.phase, _step(r)) for r in seen.records] if seen else []
        state = (trouble, *phases, *(seen.freezes if seen else ()), *(seen.troubles if seen else ()))
        if state != self._printed:
            self._console.print(table)
            self._printed = state


def _step(record: Shown) -> object:
    return json.loads(record.state).get("step") if isinstance(record, ReleaseRecord) else None
