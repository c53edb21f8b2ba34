"""Preflight: whether the package is the registered one, and whether the running replica reads texts as registered."""

from collections.abc import Sequence
from dataclasses import replace

from controller.core.origin import Origin
from gates.outcome import Outcome
from gates.verdict import Stage, Verdict
from serving.package.artifact import ArtifactError, Manifest
from serving.package.origin import Lineage
from serving.package.rules import Task

PACKAGE_GATE = "preflight.package"
IDENTITY_GATE = "preflight.identity"
TOKENS_GATE = "preflight.tokens"


def package_refused(error: ArtifactError) -> Verdict:
    """Return the verdict on a package whose files do not match its manifest, or are of a kind that is never loaded."""
    reason = f"The package is refused: {error}. Register the version again from its checkpoint."
    return Verdict(PACKAGE_GATE, Stage.PREFLIGHT, Outcome.FAIL, reason)


def judged_task(task: Task) -> str | None:
    """Return why versions for this task cannot be released; None if they can."""
    if task is Task.SEQUENCE_CLASSIFICATION:
        return None
    return (
        f"A release compares classes, and the task {task} has none: such versions can be registered "
        "and served (python -m serving), but not released."
    )


def origin_of(manifest: Manifest) -> Origin | None:
    """Return the version's origin; None if its manifest does not say."""
    lineage, temperature = manifest.lineage, manifest.temperature
    if lineage is None and temperature is None:
        return None
    of_run = Origin() if lineage is None else Origin(lineage.run, lineage.commit, lineage.parameters, _data(lineage))
    if temperature is None:
        return of_run
    return replace(of_run, temperature=temperature.value, fitted_on=temperature.fitted_on)


def _data(lineage: Lineage) -> tuple[str, ...]:
    """Return each data set in words: its name, its digest and its use."""
    return tuple(
        one.name + (f" ({one.digest})" if one.digest else "") + (f" for {one.use}" if one.use else "")
        for one in lineage.data
    )


def judge_replica(
    manifest: Manifest, fingerprint: str, *, running: str, token_ids: Sequence[tuple[int, ...]]
) -> tuple[Verdict, ...]:
    """Return the verdicts on a running replica: on its task, its fingerprint, and its token ids of every golden text.
    ``running``: the fingerprint that the replica reports."""
    return (_package(manifest, fingerprint), _identity(fingerprint, running), _tokens(manifest, token_ids))


def _package(manifest: Manifest, fingerprint: str) -> Verdict:
    if (problem := judged_task(manifest.rules.task)) is not None:
        return Verdict(PACKAGE_GATE, Stage.PREFLIGHT, Outcome.FAIL, problem)
    reason = f"All {len(manifest.files)} files match the manifest {fingerprint[:12]}."
    return Verdict(PACKAGE_GATE, Stage.PREFLIGHT, Outcome.PASS, reason, samples=len(manifest.files))


def _identity(fingerprint: str, running: str) -> Verdict:
    if running == fingerprint:
        return Verdict(IDENTITY_GATE, Stage.PREFLIGHT, Outcome.PASS, f"The replica runs manifest {running[:12]}.")
    reason = f"The replica runs manifest {running[:12]}, but {fingerprint[:12]} was registered: end it and start again."
    return Verdict(IDENTITY_GATE, Stage.PREFLIGHT, Outcome.FAIL, reason)


def _tokens(manifest: Manifest, token_ids: Sequence[tuple[int, ...]]) -> Verdict:
    golden = manifest.golden
    differing = [g.text for g, ids in zip(golden, token_ids, strict=True) if g.token_ids != ids]
    if differing:
        reason = (
            f"The running tokenizer gives different token ids for {len(differing)} of {len(golden)} "
            f"golden texts, first for {differing[0][:40]!r}: its library or files differ from those the "
            "version was registered with."
        )
        return Verdict(TOKENS_GATE, Stage.PREFLIGHT, Outcome.FAIL, reason, samples=len(golden))
    reason = f"The running tokenizer gives the registered token ids for all {len(golden)} golden texts."
    return Verdict(TOKENS_GATE, Stage.PREFLIGHT, Outcome.PASS, reason, samples=len(golden))
