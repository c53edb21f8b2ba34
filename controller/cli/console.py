"""Rich's console, for what others wrote."""

import sys
from collections.abc import Iterable

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from controller.cli.output import EXIT_PIPE_CLOSED, close_pipe
from serving.text.printable import printable


class HarmlessConsole(Console):
    """Draws as Rich does, but reads no markup, and lets no character through that moves the cursor or colours."""

    def __init__(self, *, stderr: bool = False) -> None:
        super().__init__(stderr=stderr, markup=False, emoji=False, highlight=False)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """The segments of what is drawn; lines are broken by Rich alone."""
        for segment in super().render(renderable, options):
            yield segment if segment.control or segment.text.isprintable() else _harmless(segment)

    def on_broken_pipe(self) -> None:
        """End with a code that is no verdict."""
        close_pipe(sys.stderr if self.stderr else sys.stdout)
        raise SystemExit(EXIT_PIPE_CLOSED)


def _harmless(segment: Segment) -> Segment:
    return Segment("\n".join(map(printable, segment.text.split("\n"))), segment.style)
