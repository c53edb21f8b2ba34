"""An Alertmanager of Serin's own, beside its Prometheus: configured by files, on loopback, without peers."""

import shutil
import sys
from pathlib import Path
from typing import Final

ROUTING_FILE: Final = "alertmanager.yml"
RETENTION: Final = "336h"  # longer than any alert is silent before it is told again
_PROGRAMS: Final = ("alertmanager", "prometheus-alertmanager")  # as its makers call it, and as Debian does


def alertmanager_program() -> str | None:
    """The program on this machine; None: there is none."""
    beside = (Path(sys.executable).with_name(name) for name in _PROGRAMS)
    found = next((str(path) for path in beside if path.exists()), None)
    return found or next((path for name in _PROGRAMS if (path := shutil.which(name))), None)


def alertmanager_command(program: str, directory: Path, port: int) -> list[str]:
    """The command that runs it from the ``ROUTING_FILE`` of the directory."""
    return [
        program,
        f"--config.file={directory / ROUTING_FILE}",
        f"--storage.path={directory / 'storage'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--cluster.listen-address=",  # by default it looks for others, on every address of this machine
        f"--data.retention={RETENTION}",
        "--log.level=warn",
    ]


def alertmanager_ready_url(port: int) -> str:
    """Answers 200 once it takes alerts."""
    return f"http://127.0.0.1:{port}/-/ready"
