"""A program on this machine that is run for each notice: it gets a CloudEvent on its standard input, and its exit code
is the answer."""

import os
import signal
import subprocess
import tempfile
from dataclasses import dataclass
from typing import Final

from controller.adapters.notify.channel import Told
from controller.adapters.notify.wording import cloud_event_text
from controller.config.notify import CommandTarget
from controller.core.notices import Message
from controller.ports.notices import UndeliveredError

_SAID_BYTES_MAX: Final = 200
_KEPT_VARIABLES: Final = ("PATH", "HOME", "LANG", "LC_ALL", "TZ")  # the controller's others may be secret


@dataclass(frozen=True)
class CommandChannel(Told):
    """Implements ``Channel``. A program that does not end in time is killed, with everything that it started."""

    target: CommandTarget
    group_max: Final = 1

    def send(self, message: Message) -> None:
        target = self.target
        event = cloud_event_text(message.notices[0], self.region).encode()
        env = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
        with tempfile.TemporaryFile() as said:
            try:
                child = subprocess.Popen(
                    target.argv,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.DEVNULL,
                    stderr=said,
                    env=env,
                    cwd="/",
                    start_new_session=True,
                )
            except OSError as error:
                raise UndeliveredError(f"{target.argv[0]} cannot be started: {error.strerror}") from error
            try:
                child.communicate(event, timeout=target.within_s)
            except subprocess.TimeoutExpired:
                os.killpg(child.pid, signal.SIGKILL)  # before wait(), so that no other process can have its id
                child.wait()
                raise UndeliveredError(f"{target.argv[0]} did not end within {target.within_s:g} s") from None
            if child.returncode:
                said.seek(0)
                words = said.read(_SAID_BYTES_MAX).decode(errors="replace").strip()
                raise UndeliveredError(f"{target.argv[0]} ended with exit code {child.returncode}: {words!r}")
