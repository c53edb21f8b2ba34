"""One replica for as long as a block lasts: known by its process, so that a folder that is deleted loses nothing."""

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from controller.adapters.local.command import serving_command
from controller.adapters.local.loopback import get
from controller.adapters.local.processes_os import end_groups, identity_of, start_process
from controller.errors import PermanentError
from controller.ports.runtime import DeploymentSpec
from serving.contract import HEALTH_ROUTE

_START_WITHIN_S = 60.0
_END_WITHIN_S = 5.0  # nobody but us asks it anything
_HEALTH_WITHIN_S = 0.5
_POLL_S = 0.05
_LOG_TAIL_BYTES = 1_500


@contextmanager
def lone_replica(spec: DeploymentSpec, package: Path, directory: Path) -> Iterator[str]:
    """The address of a replica of the package in that folder, ready. It ends with the block, and with this process,
    however that ends.

    Raises:
        PermanentError: it could not be started; ends with what its log says.
    """
    directory.mkdir(parents=True, exist_ok=True)
    port_file, log_file = directory / "ports", directory / "replica.log"
    child = start_process(serving_command(spec, package, port_file), log_file, ends_with_us=True)
    identity = identity_of(child.pid)  # our child and not reaped, so it has one even if it has ended already
    try:
        yield _ready(child, port_file, log_file)
    finally:
        if identity is not None:
            end_groups([identity], grace_s=_END_WITHIN_S, reap=[child])


def _ready(child: subprocess.Popen[bytes], port_file: Path, log_file: Path) -> str:
    deadline_s = time.monotonic() + _START_WITHIN_S
    while True:
        url = _url(port_file)
        if url is not None and _is_healthy(url):
            return url
        if child.poll() is not None:
            raise PermanentError(f"the replica could not be started; its log ends: {_tail(log_file)}")
        if time.monotonic() > deadline_s:
            raise PermanentError(
                f"the replica was not ready within {_START_WITHIN_S:g} s; its log ends: {_tail(log_file)}"
            )
        time.sleep(_POLL_S)


def _url(port_file: Path) -> str | None:
    """That for copies: no user waits for what is asked here. None until the file is there, which is written whole."""
    try:
        return f"http://127.0.0.1:{int(port_file.read_text(encoding='ascii').split()[-1])}"
    except OSError:
        return None


def _is_healthy(url: str) -> bool:
    try:
        return get(url + HEALTH_ROUTE, timeout_s=_HEALTH_WITHIN_S)[0] == 200
    except OSError:
        return False


def _tail(log_file: Path) -> str:
    try:
        said = log_file.read_bytes()[-_LOG_TAIL_BYTES:].decode("utf-8", errors="replace").strip()
    except OSError as error:
        said = f"({error.strerror})"
    return said or "(it said nothing)"
