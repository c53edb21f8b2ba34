"""From a checkpoint to the package of a version."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np

from controller.adapters.local.packages import PackageStore
from controller.core.release import Version
from controller.errors import PermanentError, UsageError
from controller.naming import version_named
from controller.ports.registry import LoggedCheckpoint, Registry
from gates.stats.calibration import Floats, debiased_l2, temperature
from serving.package.artifact import (
    CONFIG_FILE,
    MANIFEST_FILE,
    TOKENIZER_FILE,
    WEIGHTS_FILE,
    ArtifactError,
    Manifest,
    Variant,
    file_record,
    verify,
)
from serving.package.checkpoint import find_checkpoint
from serving.package.origin import Lineage, Temperature
from serving.package.rules import AnswerRules
from serving.packaging.build import build_package
from serving.packaging.export import ExportError
from serving.packaging.temper import answers, temper
from suites.cases import Suite, SuiteError, load

FIT_CASES_MIN = 100
"""Labelled cases without which no temperature is fitted."""


class Sources(Registry, Protocol):
    """The registry, as far as packages are made of what it has."""

    def lineage(self, run_id: str) -> Lineage:
        """The lineage of a run: what it was given, what it read, and by which commit."""

    def checkpoint(self, model: str, version: str, into: Path) -> LoggedCheckpoint:
        """Download what somebody logged as he trained it."""


@dataclass(frozen=True, slots=True)
class Order:
    """The order of what shall be made of a checkpoint.

    ``variant_of`` is the number of the version of ``model`` that has the same weights; rules, golden texts and
    temperature are then its own. ``max_tokens``: the limit of a text, whatever was saved with the tokenizer.
    ``temperature``: what logits are divided by; ``fit_on``: the labelled cases that it is fitted on instead. ``run``:
    of the registry, where the checkpoint does not tell it, or another one.
    """

    model: str
    variant: Variant = Variant.FP32
    variant_of: str | None = None
    rules: AnswerRules = field(default_factory=AnswerRules)
    candidate: bool = False
    max_tokens: int | None = None
    temperature: float | None = None
    fit_on: Path | None = None
    run: str | None = None


@dataclass(frozen=True, slots=True)
class Fit:
    """The debiased calibration error on the cases that a temperature was fitted on, before and after."""

    before: float
    after: float


@dataclass(frozen=True, slots=True)
class Packaged:
    """A package as it was made. ``note``: what is not known of where it comes from."""

    manifest: Manifest
    fit: Fit | None = None
    note: str = ""


def package_checkpoint(registry: Sources | None, checkpoint: Path, out: Path, order: Order) -> Packaged:
    """Write the package of the checkpoint to ``out``, which must not exist yet; it appears whole or not at all.

    Raises:
        UsageError: the checkpoint cannot be packaged as was ordered; says which file and why.
        TransientError: the registry does not answer.
    """
    with refusals(checkpoint), tempfile.TemporaryDirectory(dir=_parent(out), prefix=f".{out.name}-") as folder:
        cases = load(order.fit_on) if order.fit_on is not None else None
        original = _original(registry, checkpoint, order, Path(folder)) if order.variant_of is not None else None
        lineage, note = _lineage(registry, checkpoint, order)
        package = Path(folder) / "package"
        manifest = _built(checkpoint, package, original, order, lineage)
        fitted = _fitted(package, cases) if cases is not None else None
        wanted = fitted if fitted is not None else _given(order, original)
        before = _error(package, cases) if cases is not None else 0.0
        if wanted is not None:
            manifest = temper(package, wanted)
        fit = Fit(before, _error(package, cases)) if cases is not None else None
        verify(package)
        package.rename(out)
    return Packaged(manifest, fit, note)


@contextmanager
def refusals(checkpoint: Path) -> Iterator[None]:
    """Say what keeps the checkpoint from becoming a version as the caller's mistake."""
    try:
        yield
    except (ArtifactError, ExportError, SuiteError) as error:
        raise UsageError(f"{checkpoint} cannot become a version: {error}") from error


def _parent(out: Path) -> Path:
    if out.exists():
        raise UsageError(f"{out} exists already: name another folder")
    out.parent.mkdir(parents=True, exist_ok=True)
    return out.parent


# --- where it comes from ----------------------------------------------------------------------------------------------
def _lineage(registry: Sources | None, checkpoint: Path, order: Order) -> tuple[Lineage | None, str]:
    """Return the run's lineage, and why it is not known where the checkpoint alone names a run that cannot be read."""
    told = find_checkpoint(checkpoint).run
    if order.run is not None:
        if registry is None:
            raise UsageError("--run needs the registry that has the run: give --registry, or a home")
        try:
            return registry.lineage(order.run), ""
        except PermanentError as error:
            raise UsageError(str(error)) from error
    if not told:
        return None, ""
    if registry is None:
        return Lineage(told), f"run {told} was not read: no registry is known"
    try:
        return registry.lineage(told), ""
    except PermanentError as error:
        return Lineage(told), str(error)


# --- the package ------------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class _Original:
    """The things that a variant takes over from the version whose weights it has."""

    fingerprint: str
    manifest: Manifest


def _built(
    checkpoint: Path, package: Path, original: _Original | None, order: Order, lineage: Lineage | None
) -> Manifest:
    return build_package(
        checkpoint,
        package,
        golden_texts=[golden.text for golden in original.manifest.golden] if original is not None else None,
        variant=order.variant,
        variant_of=original.fingerprint if original is not None else None,
        rules=original.manifest.rules if original is not None else order.rules,
        tokens_of=original.manifest if original is not None else None,
        max_tokens=order.max_tokens,
        lineage=lineage or (original.manifest.lineage if original is not None else None),
    )


def _original(registry: Registry | None, checkpoint: Path, order: Order, folder: Path) -> _Original:
    number = version_named(order.variant_of or "")
    whose = f"{order.model} version {number}"
    if registry is None:
        raise UsageError(f"--of needs the registry that has {whose}: give --registry, or a home")
    try:
        artifact = PackageStore(registry, folder / "original").obtain(order.model, Version(number))
    except ArtifactError as error:
        raise UsageError(f"no variant can be made of {whose}: {error}") from error
    manifest = artifact.manifest
    _check_is_variant(manifest, checkpoint, order.variant, whose)
    return _Original(artifact.version.fingerprint, manifest)


def _check_is_variant(manifest: Manifest, checkpoint: Path, variant: Variant, whose: str) -> None:
    """The same weights, configuration and tokenizer, stored in another way."""
    if manifest.variant is variant:
        raise UsageError(f"{whose} is {variant} already: give another --variant, or leave --of out")
    with tempfile.TemporaryDirectory(prefix="serin-checkpoint-") as folder:
        plain = Path(folder)
        find_checkpoint(checkpoint).collect(plain)
        for name in (WEIGHTS_FILE, CONFIG_FILE, TOKENIZER_FILE):
            if file_record(plain / name) != manifest.files[name]:
                raise UsageError(
                    f"{name} of {checkpoint} is not that of {whose}: leave --of out to register a new version"
                )


# --- its temperature --------------------------------------------------------------------------------------------------
def _given(order: Order, original: _Original | None) -> Temperature | None:
    if order.temperature is not None:
        return Temperature(order.temperature)
    return original.manifest.temperature if original is not None else None


def _fitted(package: Path, suite: Suite) -> Temperature:
    """The temperature that makes the labels of the cases likeliest (Guo et al. 2017), by the package's own answers."""
    manifest, cases = verify(package), suite.cases
    if not manifest.labels:
        raise ArtifactError(MANIFEST_FILE, f"a temperature is for classes, and the task {manifest.rules.task} has none")
    if unknown := next((case for case in cases if case.label not in manifest.labels), None):
        raise SuiteError(f"{unknown.named}: the label {unknown.label!r} is not a class of the version")
    if len(cases) < FIT_CASES_MIN:
        raise SuiteError(f"{suite.name} has {len(cases)} cases: fitting a temperature needs at least {FIT_CASES_MIN}")
    truth = np.array([manifest.labels.index(case.label) for case in cases])
    value = round(temperature(_answered(package, suite), truth), 4)
    return Temperature(value, f"{suite.name}, {len(cases)} cases, SHA-256 {suite.sha256}")


def _error(package: Path, suite: Suite) -> float:
    """Return the debiased L2 calibration error of the top label on the cases."""
    labels, found = verify(package).labels, _answered(package, suite)
    right = [labels[place] == case.label for place, case in zip(found.argmax(axis=1), suite.cases, strict=True)]
    return debiased_l2(found.max(axis=1), np.array(right, dtype=np.float64), 0.02).value


def _answered(package: Path, suite: Suite) -> Floats:
    return answers(package, [case.text for case in suite.cases])
