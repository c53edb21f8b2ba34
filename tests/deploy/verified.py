"""`verify-cluster.sh`, run against the tests' API server, and the table that it ends in."""

import os
import subprocess
import sys
from pathlib import Path

import yaml

from tests.fakes.kubernetes import FakeCluster
from tests.patience import PATIENCE_S

SCRIPT = Path(__file__).parents[2] / "deploy/verify-cluster.sh"
TOOLS = Path(sys.executable).parent


def verify(
    cluster: FakeCluster, folder: Path, *options: str, within_s: float = PATIENCE_S
) -> subprocess.CompletedProcess[str]:
    """What the script prints with these options, as whoever shows no token."""
    kubeconfig = folder / "kubeconfig"
    kubeconfig.write_text(yaml.safe_dump(cluster.kubeconfig()))
    environment = {
        **os.environ,
        "KUBECONFIG": str(kubeconfig),
        "KUBE_FEATURE_WatchListClient": "false",  # the tests' server lists before it is watched
        "KUBECTL": str(TOOLS / "kubectl"),
        "PYTHON": sys.executable,
        "SERIN": str(TOOLS / "serin"),
        "HOME": str(folder),
    }
    return subprocess.run(
        [str(SCRIPT), *options], env=environment, capture_output=True, text=True, timeout=within_s, check=False
    )


def outcomes(printed: str) -> dict[str, str]:
    """What the table says of each row."""
    rows = [line for line in printed.splitlines() if line[59:].startswith(("ok ", "FAILED"))]
    return {line[:58].strip(): line[59:66].strip() for line in rows}
