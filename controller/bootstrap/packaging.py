"""From a checkpoint to a registered version."""

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from controller.adapters.local.packages import PackageStore
from controller.adapters.mlflow.registry import MlflowRegistry
from controller.core.release import Version
from controller.errors import UsageError
from controller.loop.preflight import judged_task
from controller.naming import model_named, version_named
from controller.ports.registry import CANDIDATE, FINGERPRINT_TAG, RegisteredVersion, Registry
from serving.package.artifact import (
    CONFIG_FILE,
    TOKENIZER_FILE,
    WEIGHTS_FILE,
    ArtifactError,
    Manifest,
    Variant,
    file_record,
    read_manifest,
)
from serving.package.checkpoint import find_checkpoint
from serving.package.rules import AnswerRules
from serving.packaging.build import build_package
from serving.packaging.export import ExportError

VARIANT_TAG = "serin.variant"
VARIANT_OF_TAG = "serin.variant_of"
FAMILY_TAG = "serin.family"
TASK_TAG = "serin.task"


class Registrar(Registry, Protocol):
    """A registry that takes new versions in."""

    def register(self, package_dir: Path, model: str, *, tags: Mapping[str, str]) -> RegisteredVersion:
        """Log the directory as the next version of the model."""


@dataclass(frozen=True, slots=True)
class Order:
    """The order of what shall be made of a checkpoint.

    ``variant_of`` is the number of the version that has the same weights; rules and golden texts are then its own.
    """

    model: str
    variant: Variant = Variant.FP32
    variant_of: str | None = None
    rules: AnswerRules = field(default_factory=AnswerRules)
    candidate: bool = False


def register_checkpoint(registry_url: str, checkpoint: Path, order: Order) -> tuple[RegisteredVersion, Manifest]:
    """As ``register``, at an MLflow server."""
    return register(MlflowRegistry(registry_url), checkpoint, order)


def register(registry: Registrar, checkpoint: Path, order: Order) -> tuple[RegisteredVersion, Manifest]:
    """Package the checkpoint and log it as a new version of the model; ``candidate`` sets that alias on it.

    Raises:
        UsageError: the checkpoint cannot be packaged as was ordered, or no model can be called so; says which file and
            why, before anything is written.
        TransientError: the registry does not answer.
    """
    model_named(order.model)
    if order.variant_of is not None:
        version_named(order.variant_of)
    with tempfile.TemporaryDirectory(prefix="serin-package-") as folder:
        package = Path(folder) / "package"
        with _refusals(checkpoint):
            manifest = _built(checkpoint, package, _original(registry, checkpoint, order, Path(folder)), order)
        tags = {
            VARIANT_TAG: str(manifest.variant),
            TASK_TAG: str(manifest.rules.task),
            FINGERPRINT_TAG: read_manifest(package)[1],
        }
        if manifest.family is not None:
            tags[FAMILY_TAG] = manifest.family
        if order.variant_of is not None:
            tags[VARIANT_OF_TAG] = order.variant_of
        version = registry.register(package, order.model, tags=tags)
    if order.candidate:
        found = registry.aliases(order.model).get(CANDIDATE)
        registry.move_alias(order.model, CANDIDATE, version.version, expected=found)
    return version, manifest


@contextmanager
def _refusals(checkpoint: Path) -> Iterator[None]:
    try:
        yield
    except (ArtifactError, ExportError) as error:
        raise UsageError(f"{checkpoint} cannot become a version: {error}") from error


@dataclass(frozen=True, slots=True)
class _Original:
    """The things that a variant takes over from the version whose weights it has."""

    fingerprint: str
    manifest: Manifest


def _built(checkpoint: Path, package: Path, original: _Original | None, order: Order) -> Manifest:
    rules = original.manifest.rules if original is not None else order.rules
    if order.candidate and (problem := judged_task(rules.task)) is not None:
        raise UsageError(f"{problem} Leave --candidate out.")
    return build_package(
        checkpoint,
        package,
        golden_texts=[golden.text for golden in original.manifest.golden] if original is not None else None,
        variant=order.variant,
        variant_of=original.fingerprint if original is not None else None,
        rules=rules,
        tokens_of=original.manifest if original is not None else None,
    )


def _original(registry: Registrar, checkpoint: Path, order: Order, folder: Path) -> _Original | None:
    """Return the original; None where the version is no variant of another."""
    if order.variant_of is None:
        return None
    whose = f"{order.model} version {order.variant_of}"
    try:
        artifact = PackageStore(registry, folder / "original").obtain(order.model, Version(order.variant_of))
    except ArtifactError as error:
        raise UsageError(f"{whose} is no version to make a variant of: {error}") from error
    manifest = artifact.manifest
    _check_is_variant(manifest, checkpoint, order.variant, whose)
    return _Original(artifact.version.fingerprint, manifest)


def _check_is_variant(manifest: Manifest, checkpoint: Path, variant: Variant, whose: str) -> None:
    """The same weights, configuration and tokenizer, stored in another way."""
    if manifest.variant is variant:
        raise UsageError(f"{whose} is {variant} itself: give another --variant, or leave --of out")
    with tempfile.TemporaryDirectory(prefix="serin-checkpoint-") as folder:
        plain = Path(folder)
        find_checkpoint(checkpoint).collect(plain)
        for name in (WEIGHTS_FILE, CONFIG_FILE, TOKENIZER_FILE):
            if file_record(plain / name) != manifest.files[name]:
                raise UsageError(
                    f"{name} of {checkpoint} is not that of {whose}: leave --of out to register a new version"
                )
