"""`serin status --watch`: the table again and again, until what is waited for is there."""

import json
import math
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from controller.errors import TransientError
from controller.exit_codes import EXIT_ERROR, EXIT_FAIL, EXIT_INCONCLUSIVE, EXIT_PASS, EXIT_TIMEOUT
from controller.overview import Overview, Shown
from controller.ports.journal import ReleaseRecord
from controller.status import exit_code, is_settled, status_table
from serving.text.printable import printable


def worst_exit_code(seen: Overview) -> int:
    """The worst of the releases': failed, could not be judged, inconclusive, passed. Of none: inconclusive."""
    codes = {exit_code(record) for record in seen.records or ()}
    return next(
        (code for code in (EXIT_FAIL, EXIT_ERROR, EXIT_INCONCLUSIVE, EXIT_PASS) if code in codes), EXIT_INCONCLUSIVE
    )


def settled(seen: Overview) -> bool:
    """Return whether there are releases, and all of them are settled."""
    return bool(seen.records) and all(is_settled(record) for record in seen.records or ())


def never(_: Overview) -> bool:
    """Watch until interrupted."""
    return False


def watch(
    fetch: Callable[[], Overview],
    console: Console,
    *,
    refresh_s: float = 1.0,
    until: Callable[[Overview], bool] = never,
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
        seen: Overview | None = None
        waited_s = 0.0
        while True:
            try:
                seen = fetch()
            except TransientError as error:
                screen.show(seen, f"{error.source} does not answer: {error}")
            else:
                screen.show(seen, "")
                if until(seen):
                    return worst_exit_code(seen)
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

    def show(self, seen: Overview | None, trouble: str) -> None:
        parts = [status_table(seen)] if seen is not None else []
        drawn = Group(*parts, Text(printable(trouble), "magenta"))
        if self._console.is_terminal:
            self._live.update(drawn, refresh=True)
            return
        phases = [(r.release_id, r.phase, _step(r)) for r in seen.records or ()] if seen else []
        state = (trouble, *phases, *(seen.freezes if seen else ()), *(seen.troubles if seen else ()))
        if state != self._printed:
            self._console.print(drawn)
            self._printed = state


def _step(record: Shown) -> object:
    return json.loads(record.state).get("step") if isinstance(record, ReleaseRecord) else None
