"""What the CI step needs: packages by address, and a replica for as long as the suite takes."""

import re
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from controller.adapters.clock import SystemClock
from controller.adapters.mlflow_registry import MlflowRegistry
from controller.adapters.processes import Gateway, LocalProcesses, end_recorded, serving_command
from controller.adapters.replicas import HttpReplicas
from controller.core.release import Version
from controller.errors import PermanentError, UsageError
from controller.gatestep import GateResult, Question, World, run_gate
from controller.naming import model_named
from controller.packages import PackageStore
from controller.ports import DeploymentSpec

_ADDRESS = re.compile(r"models:/(?P<model>[^/@]+)(/(?P<version>\d+)|@(?P<alias>[^/@]+))")
_START_WITHIN_S = 60.0
_POLL_S = 0.05


def judge(question: Question, registry_url: str | None) -> GateResult:
    """Run the step with real replicas in a temporary folder. Raises UsageError as `run_gate` does."""
    with tempfile.TemporaryDirectory(prefix="serin-gate-") as folder:
        place = Path(folder)
        replicas = HttpReplicas()
        try:
            world = World(
                obtain=lambda address: _obtain(address, registry_url, place / "packages"),
                serve=lambda package: _serve(package, place / "deployments"),
                replicas=replicas,
            )
            return run_gate(question, world)
        finally:
            replicas.close()


def _obtain(address: str, registry_url: str | None, packages: Path) -> Path:
    match = _ADDRESS.fullmatch(address)
    if match is None:
        raise UsageError(f"{address}: neither a folder nor models:/NAME/VERSION or models:/NAME@ALIAS")
    if registry_url is None:
        raise UsageError(f"{address}: name the MLflow server with --registry, or a home with --home")
    model_named(match["model"])
    registry = MlflowRegistry(registry_url)
    model, number = match["model"], match["version"] or registry.aliases(match["model"]).get(match["alias"] or "")
    if number is None:
        raise UsageError(f"{address}: {model} has no alias {match['alias']!r}")
    return PackageStore(registry, packages).obtain(model, Version(number)).directory


@contextmanager
def _serve(package: Path, directory: Path) -> Iterator[str]:
    """A replica of the package that nobody is told of; ended with the block."""
    nobody = Gateway(announce=lambda *_: None, withdraw=lambda *_: None)
    replicas = LocalProcesses(directory, serving_command, nobody, SystemClock())
    spec = DeploymentSpec("gate", "1", package)
    deadline_s = time.monotonic() + _START_WITHIN_S
    try:
        while not (status := replicas.ensure(spec)).ready:
            if status.failed or time.monotonic() > deadline_s:
                raise PermanentError(f"the replica could not be started: {status.detail}")
            time.sleep(_POLL_S)
        yield status.shadow_url or ""
    finally:
        end_recorded(directory)
