"""The parts that `serin register` and `serin package` share: how a version is made, and what is said of it."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from controller.cli.output import say
from controller.errors import UsageError
from serving.package.artifact import Manifest, Variant
from serving.package.rules import OVERLAP_TOKENS, Aggregate, AnswerRules, Side, Task, Windows

if TYPE_CHECKING:
    from controller.bootstrap.packaging import Fit, Order

FIT: Final = "fit"


class LongTexts(StrEnum):
    """The handling of texts beyond the model's limit."""

    TRUNCATE = "truncate"
    MEAN = "mean"
    MAX = "max"


VariantOption = Annotated[
    Variant, typer.Option(help="How weights are stored and multiplied; int8 and fp16 need the package onnx here.")
]
OfOption = Annotated[
    str | None,
    typer.Option("--of", help="The version that this is a variant of: same files, rules and golden texts."),
]
TaskOption = Annotated[Task | None, typer.Option(help="What it answers; by default sequence-classification.")]
LongTextsOption = Annotated[
    LongTexts | None,
    typer.Option(help="Texts beyond the model's limit: truncate (the default), or the mean or max over windows."),
]
OverlapOption = Annotated[
    int | None,
    typer.Option(help=f"Tokens that a window shares with the one before it; {OVERLAP_TOKENS}, if nothing else."),
]
MaxTokensOption = Annotated[
    int | None,
    typer.Option("--max-tokens", help="Limit of a text in tokens; overrides what was saved with the tokenizer."),
]
NormaliseFlag = Annotated[bool, typer.Option("--normalise", help="Give embeddings an L2 norm of 1.")]
TemperatureOption = Annotated[
    str | None,
    typer.Option(
        "--temperature", help="Divide logits by this number, in the graph; fit: by the number that fits --on best."
    ),
]
OnOption = Annotated[
    Path | None,
    typer.Option("--on", help="File of held-out labelled cases, as in a suite, for --temperature fit."),
]
RunOption = Annotated[
    str | None, typer.Option("--run", help="The registry's run that it comes from; by default, as the checkpoint says.")
]


def order_of(
    model: str,
    *,
    variant: Variant,
    of: str | None,
    task: Task | None,
    long_texts: LongTexts | None,
    overlap_tokens: int | None,
    max_tokens: int | None,
    normalise: bool,
    temperature: str | None,
    on: Path | None,
    run: str | None,
    candidate: bool = False,
) -> "Order":
    """The order that the options ask for.

    Raises:
        UsageError: they contradict each other.
    """
    from controller.bootstrap.packaging import Order

    rules = rules_of(task, long_texts, overlap_tokens, normalise=normalise)
    if of is not None and (rules, max_tokens, temperature) != (None, None, None):
        raise UsageError(f"--of takes the rules of version {of}: leave out --task, --max-tokens and --temperature")
    if (temperature == FIT) != (on is not None):
        raise UsageError("--temperature fit and --on FILE go together: the file has the labelled cases to fit it on")
    value = _number(temperature) if temperature not in (None, FIT) else None
    return Order(model, variant, of, rules or AnswerRules(), candidate, max_tokens, value, on, run)


def _number(temperature: str | None) -> float:
    try:
        value = float(temperature or "")
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise UsageError(f"--temperature must be a number above 0, or {FIT}, got {temperature!r}")
    return value


def rules_of(
    task: Task | None, long_texts: LongTexts | None, overlap_tokens: int | None, *, normalise: bool
) -> AnswerRules | None:
    """The rules; None where nothing was said."""
    if task is None and long_texts is None and overlap_tokens is None and not normalise:
        return None
    windows = None
    if long_texts not in (None, LongTexts.TRUNCATE):
        windows = Windows(OVERLAP_TOKENS if overlap_tokens is None else overlap_tokens, Aggregate(long_texts))
    elif overlap_tokens is not None:
        raise UsageError("--overlap-tokens is for windows: give --long-texts mean or max")
    try:
        return AnswerRules(task or Task.SEQUENCE_CLASSIFICATION, windows, normalise)
    except ValueError as error:
        raise UsageError(str(error)) from error


# --- what is said of it -----------------------------------------------------------------------------------------------
def say_made(manifest: Manifest, fit: "Fit | None", note: str) -> None:
    """Say what was found and chosen: the limit of a text, the temperature, and where it comes from."""
    say(reading(manifest))
    for sentence in (tempering(manifest, fit), origin(manifest)):
        if sentence:
            say(sentence)
    if note:
        say(f"Nothing more is known about its run: {note}", err=True)


def made_document(manifest: Manifest, fit: "Fit | None", note: str) -> dict[str, Any]:
    """Return what was found and chosen, as programs are told of it."""
    tokens, windows, found = manifest.tokens, manifest.rules.windows, manifest.temperature
    return {
        "family": manifest.family,
        "variant": manifest.variant,
        "task": manifest.rules.task,
        "classes": list(manifest.labels),
        "size_bytes": sum(file.size_bytes for file in manifest.files.values()),
        "max_tokens": manifest.max_tokens,
        "limit_from": tokens.limit_from or None,
        "long_texts": windows.aggregate if windows is not None else LongTexts.TRUNCATE,
        "temperature": found.value if found is not None else None,
        "calibration_before": fit.before if fit is not None else None,
        "calibration_after": fit.after if fit is not None else None,
        "run": manifest.lineage.run if manifest.lineage is not None else None,
        "note": note,
    }


def reading(manifest: Manifest) -> str:
    """Return which limit was taken, from where, and what becomes of longer texts."""
    tokens, windows = manifest.tokens, manifest.rules.windows
    limit_from = f" ({tokens.limit_from})" if tokens.limit_from else ""
    if windows is not None:
        return f"Texts longer than {manifest.max_tokens} tokens{limit_from} are read in windows ({windows.aggregate})."
    kept = "end" if tokens.truncation_side is Side.LEFT else "beginning"
    return f"Texts longer than {manifest.max_tokens} tokens{limit_from} are cut: only their {kept} is read."


def tempering(manifest: Manifest, fit: "Fit | None") -> str:
    """The number that its logits are divided by, in words; empty where there is none."""
    found = manifest.temperature
    if found is None:
        return ""
    whence = f", fitted on {found.fitted_on}" if found.fitted_on else ""
    gained = f": calibration error {fit.before:.3f} there before, {fit.after:.3f} after" if fit is not None else ""
    return f"Logits are divided by {found.value:g} in the graph{whence}{gained}."


def origin(manifest: Manifest) -> str:
    """The run that it comes from; empty where none is known."""
    lineage = manifest.lineage
    if lineage is None:
        return ""
    parts = [f"run {lineage.run}"]
    parts += [f"commit {lineage.commit[:12]}"] if lineage.commit else []
    parts += [f"{len(lineage.parameters)} parameters"] if lineage.parameters else []
    parts += [f"data {', '.join(f'{one.name} ({one.digest})' for one in lineage.data)}"] if lineage.data else []
    return f"It comes from {', '.join(parts)}."
