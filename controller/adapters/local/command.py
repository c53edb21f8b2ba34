"""The command line by which a version is served on this machine."""

import sys
from collections.abc import Sequence
from pathlib import Path

from controller.adapters.serving_flags import setting_flags, version_flags
from controller.ports.runtime import DeploymentSpec


def serving_command(spec: DeploymentSpec, package: Path, port_file: Path, extra: Sequence[str] = ()) -> list[str]:
    """Serve the package in that folder with this same Python. If a flag is given twice, the version's own value
    counts."""
    return [
        *(sys.executable, "-m", "serving", "--artifact", str(package)),
        *version_flags(spec),
        *("--port", "0", "--shadow-port", "0", "--port-file", str(port_file)),
        *extra,
        *setting_flags(spec.serving),
    ]
