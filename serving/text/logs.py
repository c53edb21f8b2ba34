"""Logs in which no record can forge a line: whatever is said in one, it is one line, and a traceback hangs below it.

The record itself is made harmless, so that it does not matter which handler writes it, ours or a library's.
"""

import logging
import sys
import threading
from types import TracebackType
from typing import Any, Final

from serving.text.printable import printable
from serving.text.streams import take_any_text

BELOW: Final = "    | "
"""Begins each line of a traceback: none of them looks like a record."""
_log = logging.getLogger(__name__)


class OneLineRecord(logging.LogRecord):
    """A record whose message is printable and on one line."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        if self.exc_info and self.exc_info[0] is not None:  # formatters take this text where it is there
            self.exc_text = below(logging.Formatter().formatException(self.exc_info))

    def getMessage(self) -> str:  # noqa: N802 - as logging calls it
        return printable(super().getMessage())


def below(text: str) -> str:
    """Lines that hang below a record, each printable."""
    return "\n".join(BELOW + printable(line) for line in text.split("\n"))


def log_to_stderr(level: int, form: str) -> None:
    """Set up the logging of this process, and of those that it forks. What ends a thread unforeseen is a record too."""
    take_any_text()
    logging.setLogRecordFactory(OneLineRecord)
    logging.basicConfig(level=level, stream=sys.stderr, format=form)
    sys.excepthook = _ended
    threading.excepthook = lambda found: _ended(found.exc_type, found.exc_value, found.exc_traceback)


def _ended(kind: type[BaseException], error: BaseException | None, trace: TracebackType | None) -> None:
    if error is None or issubclass(kind, KeyboardInterrupt | SystemExit):
        return
    _log.critical("ended by a defect: %s", kind.__name__, exc_info=(kind, error, trace))
