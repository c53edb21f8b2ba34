"""From a checkpoint, a package, or a version that somebody else logged, to a registered version."""

import re
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final, NamedTuple, Protocol

from controller.adapters.mlflow.registry import MlflowRegistry
from controller.bootstrap.packaging import Order, Packaged, Sources, package_checkpoint, refusals
from controller.errors import PermanentError, TransientError, UsageError
from controller.loop.preflight import judged_task
from controller.naming import model_named
from controller.ports.registry import CANDIDATE, CHAMPION, FINGERPRINT_TAG, RegisteredVersion
from serving.package.artifact import (
    MANIFEST_FILE,
    WEIGHTS_FILE,
    ArtifactError,
    Manifest,
    fingerprint,
    read_manifest,
    verify,
)
from serving.package.tensors import read_safetensors

VARIANT_TAG: Final = "serin.variant"
VARIANT_OF_TAG: Final = "serin.variant_of"
FAMILY_TAG: Final = "serin.family"
TASK_TAG: Final = "serin.task"
TEMPERATURE_TAG: Final = "serin.temperature"
RUN_TAG: Final = "serin.run"
COMMIT_TAG: Final = "serin.commit"
TAKEN_FROM_TAG: Final = "serin.taken_from"

_ADDRESS: Final = re.compile(r"models:/([^/@]+)(?:/([0-9]+)|@([^/@]+))")


class Registrar(Sources, Protocol):
    """A registry that takes new versions in."""

    def register(
        self, package_dir: Path, model: str, *, tags: Mapping[str, str], run: str | None = None
    ) -> RegisteredVersion:
        """Log the directory as the next version of the model, which comes from the run."""

    def read(self, version: RegisteredVersion, name: str) -> bytes:
        """One small file of the version's package, of which nothing is verified yet."""


class Champion(NamedTuple):
    """The version that serves, by its number, and its classes; ``unknown``: why they are not known."""

    number: str
    labels: tuple[str, ...] = ()
    unknown: str = ""


class Registered(NamedTuple):
    """A version as it was registered. ``stored``: how its weights are, by safetensors' names, the most common first."""

    version: RegisteredVersion
    manifest: Manifest
    stored: tuple[str, ...]
    champion: Champion | None
    packaged: Packaged


def register_at(registry_url: str, source: str, order: Order) -> Registered:
    """As ``register``, at an MLflow server."""
    return register(MlflowRegistry(registry_url), source, order)


def register(registry: Registrar, source: str | Path, order: Order) -> Registered:
    """Log what the source is as a new version of the model; ``candidate`` sets that alias on it.

    The source is a checkpoint's folder, a package's, or the address of a version that was logged as it was trained
    (``models:/NAME/3``, ``models:/NAME@ALIAS``). A package is what was made and judged before: nothing of it changes.

    Raises:
        UsageError: it cannot be packaged as was ordered, or no model can be called so; says which file and why, before
            anything is written.
        TransientError: the registry does not answer.
    """
    model_named(order.model)
    if order.candidate and (problem := judged_task(order.rules.task)) is not None:
        raise UsageError(f"{problem} Leave --candidate out.")
    with tempfile.TemporaryDirectory(prefix="serin-package-") as folder:
        package = Path(folder) / "package"
        taken_from = str(source) if _ADDRESS.fullmatch(str(source)) else ""
        with _at_hand(registry, source, Path(folder), order) as (checkpoint, of_run):
            ordered = replace(order, run=order.run or of_run)
            packaged = _packaged(registry, checkpoint, package, ordered)
        manifest = packaged.manifest
        if order.candidate and (problem := judged_task(manifest.rules.task)) is not None:
            raise UsageError(f"{problem} Leave --candidate out.")
        tags = _tags(manifest, read_manifest(package)[1], order) | ({TAKEN_FROM_TAG: taken_from} if taken_from else {})
        stored = Counter(tensor.kind for tensor in read_safetensors(package / WEIGHTS_FILE).values())
        run = manifest.lineage.run if manifest.lineage is not None and not packaged.note else None
        version = registry.register(package, order.model, tags=tags, run=run)
    aliases = registry.aliases(order.model)
    if order.candidate:
        registry.move_alias(order.model, CANDIDATE, version.version, expected=aliases.get(CANDIDATE))
    kinds = tuple(kind for kind, _ in stored.most_common())
    return Registered(version, manifest, kinds, _champion(registry, order.model, aliases.get(CHAMPION)), packaged)


@contextmanager
def _at_hand(registry: Registrar, source: str | Path, folder: Path, order: Order) -> Iterator[tuple[Path, str | None]]:
    """The folder of the source, and the run that it is known to come from."""
    address = _ADDRESS.fullmatch(str(source))
    if address is None:
        yield Path(source), None
        return
    model, number, alias = address.groups()
    try:
        number = number or registry.aliases(model).get(alias)
        if number is None:
            raise UsageError(f"{source}: {model} has no alias {alias!r}")
        if registry.version(model, number).fingerprint:
            raise UsageError(f"{source} is a Serin package already: set the alias candidate on it")
        found = registry.checkpoint(model, number, folder / "logged")
    except PermanentError as error:
        raise UsageError(str(error)) from error
    yield found.folder, order.run or found.run or None


def _packaged(registry: Registrar, source: Path, package: Path, order: Order) -> Packaged:
    if not (source / MANIFEST_FILE).is_file():
        return package_checkpoint(registry, source, package, order)
    if order != Order(order.model, candidate=order.candidate):
        raise UsageError(f"{source} is a package: how it answers was fixed when it was made, so give no such options")
    with refusals(source):
        manifest = verify(source)
        shutil.copytree(source, package)
        verify(package)
    return Packaged(manifest)


def _tags(manifest: Manifest, digest: str, order: Order) -> dict[str, str]:
    """Return what people see in the registry. Of what is written here only the fingerprint is read again."""
    lineage, temperature = manifest.lineage, manifest.temperature
    found = {
        VARIANT_TAG: str(manifest.variant),
        TASK_TAG: str(manifest.rules.task),
        FINGERPRINT_TAG: digest,
        FAMILY_TAG: manifest.family or "",
        VARIANT_OF_TAG: order.variant_of or "",
        TEMPERATURE_TAG: f"{temperature.value:g}" if temperature is not None else "",
        RUN_TAG: lineage.run if lineage is not None else "",
        COMMIT_TAG: lineage.commit if lineage is not None else "",
    }
    return {key: value for key, value in found.items() if value}


def _champion(registry: Registrar, model: str, number: str | None) -> Champion | None:
    """Return the champion; None where the model has none. What cannot be read of it stops nobody."""
    if number is None:
        return None
    try:
        version = registry.version(model, number)
        data = registry.read(version, MANIFEST_FILE)
        if version.fingerprint not in ("", fingerprint(data)):
            return Champion(number, unknown="its manifest is not what was registered")
        return Champion(number, Manifest.parse(data).labels)
    except (ArtifactError, PermanentError, TransientError) as error:
        return Champion(number, unknown=str(error))
