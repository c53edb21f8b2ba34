"""A terminal of a given size in which a command runs, and its picture as SVG."""

import fcntl
import io
import os
import pty
import re
import struct
import subprocess
import termios
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.text import Text

COLUMNS: Final = 92
LINES: Final = 60
_FONTS: Final = re.compile(r"@font-face \{.*?\}", re.DOTALL)


def run(command: Sequence[str], *, shown: str, path: Path) -> None:
    """Draw at ``path`` what the command showed, below the line that a person would have typed, and its exit code."""
    said, code = _in_a_terminal(command)
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True)
    console.print(Text(f"$ {shown}", style="bold"))
    console.print(Text.from_ansi(said.replace("\r\n", "\n").rstrip()))
    if code:
        console.print(Text("$ echo $?", style="bold"))
        console.print(str(code))
    console.print()  # room for the last line's descenders, which the picture's frame cuts off otherwise
    drawn = console.export_svg(title="", unique_id=path.stem)
    path.write_text(_FONTS.sub("", drawn), encoding="utf-8")  # fonts of another host, which the reader's own stand for


def _in_a_terminal(command: Sequence[str]) -> tuple[str, int]:
    keeper, side = pty.openpty()
    fcntl.ioctl(side, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
    env = {**os.environ, "TERM": "xterm-256color", "COLUMNS": str(COLUMNS)}
    env.pop("NO_COLOR", None)
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=side, stderr=side, env=env, start_new_session=True
    )
    os.close(side)
    pieces = []
    with os.fdopen(keeper, "rb", buffering=0) as output:
        try:
            while piece := output.read(65_536):
                pieces.append(piece)
        except OSError:  # the other side is closed: the command has ended
            pass
    return b"".join(pieces).decode("utf-8", errors="replace"), process.wait()
