"""The guard of a drill: a separate process that lets what was stopped go on if the drill dies.

    python -m controller.adapters.local.drill_guard

Reads one JSON line on standard input, says ``ready``, and waits for the word ``done``. If the pipe ends without it (the
drill was killed), or the time is over, it lets the processes go on, and runs the command that it was given. It is
running before anything is stopped.
"""

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from typing import Any, Final, Self

from controller.adapters.local.processes_os import ProcessIdentity, identity_from, signal_group
from controller.errors import Source, TransientError, in_words

DONE: Final = b"done\n"
READY: Final = b"ready\n"
_READY_WITHIN_S: Final = 20.0
_END_WITHIN_S: Final = 10.0


class Guard:
    """Keeps a guard beside this process while the block lasts."""

    def __init__(self, stopped: Sequence[ProcessIdentity], within_s: float, afterwards: Sequence[str] = ()) -> None:
        """``within_s``: they go on after this time, whatever the drill says. ``afterwards``: a command to run if the
        drill did not end by itself."""
        self._order = {"stopped": [asdict(one) for one in stopped], "within_s": within_s, "run": list(afterwards)}
        self._child: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        """Raises TransientError: it cannot be started; then nothing may be stopped."""
        try:
            self._child = subprocess.Popen(
                [sys.executable, "-m", "controller.adapters.local.drill_guard"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,  # what ends the drill's terminal or group does not end it
            )
            self._told(json.dumps(self._order).encode() + b"\n")
            assert self._child.stdout is not None  # noqa: S101 - it is a pipe
            found, _, _ = select.select([self._child.stdout], [], [], _READY_WITHIN_S)
            if found and self._child.stdout.readline() == READY:
                return self
        except OSError as error:
            self._ended()
            raise TransientError(Source.DEPLOYMENTS, f"a drill's guard cannot be started: {in_words(error)}") from error
        self._ended()
        raise TransientError(Source.DEPLOYMENTS, "a drill's guard was not ready in time: nothing was injected")

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            self._told(DONE)
        self._ended()

    def is_there(self) -> bool:
        return self._child is not None and self._child.poll() is None

    def _told(self, line: bytes) -> None:
        assert self._child is not None  # noqa: S101
        assert self._child.stdin is not None  # noqa: S101
        self._child.stdin.write(line)
        self._child.stdin.flush()

    def _ended(self) -> None:
        if self._child is None:
            return
        for pipe in (self._child.stdin, self._child.stdout):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()
        try:
            self._child.wait(_END_WITHIN_S)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()


def main() -> int:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    order = json.loads(sys.stdin.buffer.readline())
    stopped = [identity_from(one) for one in order["stopped"]]
    sys.stdout.buffer.write(READY)
    sys.stdout.buffer.flush()
    if not _is_done(float(order["within_s"])):
        _undo(stopped, order)
    return 0


def _is_done(within_s: float) -> bool:
    """Return whether the drill says ``done`` in time."""
    until_s, said = time.monotonic() + within_s, b""
    while (left_s := until_s - time.monotonic()) > 0:
        if not select.select([sys.stdin.fileno()], [], [], left_s)[0]:
            return False
        if not (more := os.read(sys.stdin.fileno(), len(DONE))):
            return said == DONE
        said += more
        if said == DONE:
            return True
    return False


def _undo(stopped: Sequence[ProcessIdentity], order: Mapping[str, Any]) -> None:
    for one in stopped:
        signal_group(one, signal.SIGCONT)
    if order["run"]:
        subprocess.run(order["run"], check=False, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, timeout=60)


if __name__ == "__main__":
    sys.exit(main())
