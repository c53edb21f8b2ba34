"""From a checkpoint to a registered version."""

import tempfile
from pathlib import Path

from controller.adapters.mlflow_registry import MlflowRegistry
from controller.errors import UsageError
from controller.ports import CANDIDATE, RegisteredVersion
from serving.artifact import ArtifactError, Manifest
from serving.export import ExportError
from serving.packaging import build_package


def register_checkpoint(
    registry_url: str, checkpoint: Path, model: str, *, candidate: bool
) -> tuple[RegisteredVersion, Manifest]:
    """Package the checkpoint and log it as a new version of the model; ``candidate`` sets that alias on it.

    Raises:
        UsageError: the checkpoint cannot be packaged; says which file and why.
        TransientError: the registry does not answer.
    """
    registry = MlflowRegistry(registry_url)
    with tempfile.TemporaryDirectory(prefix="serin-package-") as folder:
        package = Path(folder) / "package"
        try:
            manifest = build_package(checkpoint, package)
        except (ArtifactError, ExportError) as error:
            raise UsageError(f"{checkpoint} cannot become a version: {error}") from error
        version = registry.register(package, model, tags={})
    if candidate:
        found = registry.aliases(model).get(CANDIDATE)
        registry.move_alias(model, CANDIDATE, version.version, expected=found)
    return version, manifest
