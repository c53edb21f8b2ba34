"""The needs of the CI step: packages by address, and a replica for as long as the suite takes."""

import re
from pathlib import Path

from controller.adapters.local.lone_replica import lone_replica
from controller.adapters.local.packages import PackageStore
from controller.adapters.local.scratch import scratch_folder
from controller.adapters.mlflow.registry import MlflowRegistry
from controller.adapters.replicas import HttpReplicas
from controller.core.release import Version
from controller.errors import UsageError
from controller.naming import model_named, version_named
from controller.offline.ci_gate import GateResult, Question, World, run_gate
from controller.ports.runtime import DeploymentSpec

_ADDRESS = re.compile(r"models:/(?P<model>[^/@]+)(/(?P<version>\d+)|@(?P<alias>[^/@]+))")


def judge(question: Question, registry_url: str | None) -> GateResult:
    """Run the step with real replicas in a temporary folder. Raises UsageError as `run_gate` does."""
    with scratch_folder("serin-gate-") as place:
        replicas = HttpReplicas()
        try:
            world = World(
                obtain=lambda address: obtain(address, registry_url, place / "packages"),
                serve=lambda package: lone_replica(DeploymentSpec("gate", Version("1")), package, place / "replica"),
                replicas=replicas,
            )
            return run_gate(question, world)
        finally:
            replicas.close()


def obtain(address: str, registry_url: str | None, packages: Path) -> Path:
    """The folder of the package at a registry's address, fetched into ``packages``.

    Raises:
        UsageError: it is no such address, or there is no such version.
    """
    match = _ADDRESS.fullmatch(address)
    if match is None:
        raise UsageError(f"{address}: neither a folder nor models:/NAME/VERSION or models:/NAME@ALIAS")
    if registry_url is None:
        raise UsageError(f"{address}: name the MLflow server with --registry, or a home with --home")
    model_named(match["model"])
    if match["version"] is not None:
        version_named(match["version"])
    registry = MlflowRegistry(registry_url)
    model, number = match["model"], match["version"] or registry.aliases(match["model"]).get(match["alias"] or "")
    if number is None:
        raise UsageError(f"{address}: {model} has no alias {match['alias']!r}")
    store = PackageStore(registry, packages)
    return store.place(model, store.obtain(model, Version(number)).version)
