"""`serin register`: a checkpoint becomes a version that can be verified, served and judged."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from controller.cli.options import DEFAULT_HOME_OPTION, HomeOption, home_at
from controller.cli.output import say
from controller.errors import UsageError
from serving.package.artifact import Manifest, Variant
from serving.package.rules import OVERLAP_TOKENS, Aggregate, AnswerRules, Side, Task, Windows


class LongTexts(StrEnum):
    """The handling of texts beyond the model's limit."""

    TRUNCATE = "truncate"
    MEAN = "mean"
    MAX = "max"


def register(app: typer.Typer) -> None:
    app.command(name="register")(register_checkpoint)


def register_checkpoint(
    checkpoint: Annotated[Path, typer.Argument(help="Folder with config.json, model.safetensors, tokenizer.json.")],
    model: Annotated[str, typer.Option("--model", help="The registered model to add a version to.")],
    candidate: Annotated[
        bool, typer.Option("--candidate", help="Also set the alias `candidate`, which starts a release.")
    ] = False,
    variant: Annotated[
        Variant,
        typer.Option(help="How weights are stored and multiplied; int8 and fp16 need the package onnx here."),
    ] = Variant.FP32,
    of: Annotated[
        str | None,
        typer.Option(
            "--of", help="The version that this is another variant of: same files, its rules and golden texts."
        ),
    ] = None,
    task: Annotated[
        Task | None, typer.Option(help="What it answers; sequence-classification, if nothing else.")
    ] = None,
    long_texts: Annotated[
        LongTexts | None,
        typer.Option(
            help="Texts beyond the model's limit: truncate, if nothing else, or the mean or max over windows."
        ),
    ] = None,
    overlap_tokens: Annotated[
        int | None,
        typer.Option(help=f"Tokens that a window shares with the one before it; {OVERLAP_TOKENS}, if nothing else."),
    ] = None,
    normalise: Annotated[bool, typer.Option("--normalise", help="Give embeddings an L2 norm of 1.")] = False,
    registry: Annotated[str | None, typer.Option(help="URL of the MLflow server, if not that of the home.")] = None,
    home: HomeOption = DEFAULT_HOME_OPTION,
) -> None:
    """Package a checkpoint (files, ONNX graph, manifest with golden token ids) and log it as a new version.

    Its files are held against each other first, and where transformers is installed, its answers against that. A
    checkpoint without model.onnx is exported, which needs the extra `export` (torch, onnx). A version of another task
    than sequence-classification can be served, not released.

    Example: serin register checkpoints/v7 --model intent --variant int8 --of 7 --candidate
    """
    from controller.bootstrap import packaging
    from controller.bootstrap.policies import has_policy

    rules = _rules(task, long_texts, overlap_tokens, normalise=normalise)
    if of is not None and rules is not None:
        raise UsageError(f"--of takes the rules of version {of}: leave --task, --long-texts and the like out")
    order = packaging.Order(model, variant, of, rules or AnswerRules(), candidate)
    place = home_at(home)
    url = registry or place.load().registry
    if place.exists() and not has_policy(place, model):
        say(f"no policy for {model} in this home: no release will start", err=True)
    version, manifest = packaging.register_checkpoint(url, checkpoint, order)
    kind = f"{len(manifest.labels)} labels" if manifest.labels else manifest.rules.task
    of_which = f" of version {of}" if of is not None else ""
    say(
        f"models:/{model}/{version.version} registered: {manifest.family}, {len(manifest.files)} files, {kind}, "
        f"{variant}{of_which}."
    )
    say(_reading(manifest))


def _reading(manifest: Manifest) -> str:
    """Return which limit was taken, from where, and what becomes of longer texts."""
    tokens, windows = manifest.tokens, manifest.rules.windows
    origin = f" ({tokens.limit_from})" if tokens.limit_from else ""
    if windows is not None:
        return f"Texts beyond {manifest.max_tokens} tokens{origin} are read in windows ({windows.aggregate})."
    kept = "end" if tokens.truncation_side is Side.LEFT else "beginning"
    return f"Texts beyond {manifest.max_tokens} tokens{origin} are cut: their {kept} is read."


def _rules(
    task: Task | None, long_texts: LongTexts | None, overlap_tokens: int | None, *, normalise: bool
) -> AnswerRules | None:
    """Return the rules; None where nothing was said."""
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
