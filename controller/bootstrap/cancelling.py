"""A command that is told to stop cleans up: a signal becomes an exception, once, so that every ``finally`` runs."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_CANCELS = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
_FROM_SIGNAL = 128


@contextmanager
def cancelled_by_signals() -> Iterator[None]:
    """Raises SystemExit in the block when the process is told to end: 128 and the signal's number, as a shell has it.

    Further signals do not disturb what is being cleaned up. One that is ignored (``nohup``) stays ignored.
    """
    if threading.current_thread() is not threading.main_thread():  # only there can signals be taken
        yield
        return
    before = {number: signal.getsignal(number) for number in _CANCELS}
    taken = [number for number in _CANCELS if before[number] != signal.SIG_IGN]

    def cancel(number: int, _: FrameType | None) -> None:
        for other in taken:
            signal.signal(other, signal.SIG_IGN)
        raise SystemExit(_FROM_SIGNAL + number)

    for number in taken:
        signal.signal(number, cancel)
    try:
        yield
    finally:
        for number in taken:
            signal.signal(number, before[number] or signal.SIG_DFL)
