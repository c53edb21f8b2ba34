"""Serin's own Alertmanager, beside its Prometheus: configured by files, on loopback, without peers."""

import shutil
import sys
from pathlib import Path
from typing import Final

ROUTING_FILE: Final = "alertmanager.yml"
RETENTION: Final = "336h"  # longer than the longest time after which an alert is sent again
_PROGRAMS: Final = ("alertmanager", "prometheus-alertmanager")  # its own name, and Debian's


def alertmanager_program() -> str | None:
    """Return the path of the program on this machine; None if there is none."""
    beside = (Path(sys.executable).with_name(name) for name in _PROGRAMS)
    found = next((str(path) for path in beside if path.exists()), None)
    return found or next((path for name in _PROGRAMS if (path := shutil.which(name))), None)


def alertmanager_command(program: str, directory: Path, port: int) -> list[str]:
    """Return the command that runs it, with the ``ROUTING_FILE`` of the directory."""
    return [
        program,
        f"--config.file={directory / ROUTING_FILE}",
        f"--storage.path={directory / 'storage'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--cluster.listen-address=",  # by default it listens for peers on every address of this machine
        f"--data.retention={RETENTION}",
        "--log.level=warn",
    ]


def alertmanager_ready_url(port: int) -> str:
    """Return the URL that answers 200 once the Alertmanager accepts alerts."""
    return f"http://127.0.0.1:{port}/-/ready"
