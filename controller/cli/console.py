"""Rich's console, for what others wrote."""

import sys
from collections.abc import Iterable
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from controller.cli.output import close_pipe, unwritable
from controller.exit_codes import EXIT_PIPE_CLOSED
from serving.text.printable import one_line, printable


class HarmlessConsole(Console):
    """Draws as Rich does, but reads no markup, and lets no character through that moves the cursor or colours."""

    def __init__(self, *, stderr: bool = False) -> None:
        super().__init__(stderr=stderr, markup=False, emoji=False, highlight=False)

    def print(self, *objects: Any, **options: Any) -> None:
        """Draw them; what is longer than a line is cut on a terminal only.

        Raises:
            UsageError: standard output takes no more.
        """
        try:
            super().print(*objects, **{"crop": self.is_terminal} | options)
        except OSError as error:  # one that nobody reads any more ends in `on_broken_pipe`
            close_pipe(sys.stderr if self.stderr else sys.stdout)
            raise unwritable(error) from error

    def render_str(self, text: str, **options: Any) -> Text:
        """The text as it may be drawn; made so before its lines are broken: longer, it needs room."""
        return super().render_str("\n".join(map(printable, text.split("\n"))), **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """The segments of what is drawn; lines are broken by Rich alone, and each is held to `one_line`."""
        line: list[Segment] = []
        for segment in super().render(renderable, options):
            if segment.control:
                line.append(segment)
                continue
            *ended, rest = segment.text.split("\n")
            for text in ended:
                yield from _harmless([*line, Segment(text, segment.style)])
                yield Segment.line()
                line = []
            line.append(Segment(rest, segment.style))
        yield from _harmless(line)

    def on_broken_pipe(self) -> None:
        """End with a code that is no verdict."""
        close_pipe(sys.stderr if self.stderr else sys.stdout)
        raise SystemExit(EXIT_PIPE_CLOSED)


def _harmless(line: list[Segment]) -> Iterable[Segment]:
    """The line without what moves the cursor or commands; all in one style where only its parts together command."""
    parts = [part if part.control else Segment(printable(part.text), part.style) for part in line]
    drawn = [part for part in parts if not part.control]
    text = "".join(part.text for part in drawn)
    if (harmless := one_line(text)) == text:
        return (part for part in parts if part.control or part.text)
    return [*(part for part in parts if part.control), Segment(harmless, drawn[0].style)]
