"""`serin register`: a checkpoint becomes a version that can be verified, served and judged."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from controller.cli.making import (
    LongTextsOption,
    MaxTokensOption,
    NormaliseFlag,
    OfOption,
    OnOption,
    OverlapOption,
    RunOption,
    TaskOption,
    TemperatureOption,
    VariantOption,
    made_document,
    order_of,
    say_made,
)
from controller.cli.options import DEFAULT_HOME_OPTION, HomeOption, Output, OutputOption, home_at
from controller.cli.output import say, say_json
from controller.core.counted import counted
from serving.package.artifact import Manifest, Variant

if TYPE_CHECKING:
    from controller.bootstrap.registering import Champion, Registered
    from controller.config.settings import Home

REGISTERED_SCHEMA: Final = "serin.registered/v1"
PACKAGED_SCHEMA: Final = "serin.packaged/v1"
_NAMES_TOLD: Final = 12
RegistryOption = Annotated[str | None, typer.Option(help="URL of the MLflow server, if it is not the home's.")]


def register(app: typer.Typer) -> None:
    app.command(name="register")(register_source)
    app.command(name="package")(package_checkpoint)


def register_source(
    source: Annotated[
        str,
        typer.Argument(help="Folder of a checkpoint or of a package; or models:/NAME/3, as training logged it."),
    ],
    model: Annotated[str, typer.Option("--model", help="The registered model to add a version to.")],
    candidate: Annotated[
        bool, typer.Option("--candidate", help="Also set the alias `candidate`, which starts a release.")
    ] = False,
    variant: VariantOption = Variant.FP32,
    of: OfOption = None,
    task: TaskOption = None,
    long_texts: LongTextsOption = None,
    overlap_tokens: OverlapOption = None,
    max_tokens: MaxTokensOption = None,
    normalise: NormaliseFlag = False,
    temperature: TemperatureOption = None,
    on: OnOption = None,
    run: RunOption = None,
    registry: RegistryOption = None,
    output: OutputOption = Output.TEXT,
    home: HomeOption = DEFAULT_HOME_OPTION,
) -> None:
    """Package a checkpoint (files, ONNX graph, manifest with golden token ids) and log it as a new version.

    Its files are checked against each other first, and, if transformers is installed, its answers against
    transformers'. A checkpoint without model.onnx is exported, which needs the extra `export` (torch, onnx). A version
    of another task than sequence-classification can be served, not released. A package made by `serin package` is
    logged as it is; a version that mlflow.transformers has already logged is taken from its address. The output says
    what was found and chosen: family, the limit of a text and where it comes from, how weights are stored, size, run,
    and the classes next to the champion's.

    Example: serin register checkpoints/v7 --model intent --variant int8 --of 7 --candidate
    """
    from controller.bootstrap.policies import has_policy
    from controller.bootstrap.registering import register_at

    order = order_of(
        model,
        variant=variant,
        of=of,
        task=task,
        long_texts=long_texts,
        overlap_tokens=overlap_tokens,
        max_tokens=max_tokens,
        normalise=normalise,
        temperature=temperature,
        on=on,
        run=run,
        candidate=candidate,
    )
    place = home_at(home)
    url = registry or place.load().registry
    if place.exists() and not has_policy(place, model):
        say(f"no policy for {model} in this home: no release will start", err=True)
    if on is not None and (same := fitted_on_a_suite(place, model, on)) is not None:
        say(
            f"warning: {on} is {same}, a suite of the policy: a temperature is judged on what it was fitted on",
            err=True,
        )
    found = register_at(url, source, order)
    manifest = found.manifest
    if output is Output.JSON:
        say_json(_registered(model, found, candidate=candidate))
        return
    of_which = f" of version {of}" if of is not None else ""
    size = _size(manifest, found.stored)
    say(f"models:/{model}/{found.version.version} registered: {manifest.family}, {manifest.variant}{of_which}, {size}.")
    say_made(manifest, found.packaged.fit, found.packaged.note)
    say(_classes(manifest, found.champion))


def package_checkpoint(
    checkpoint: Annotated[Path, typer.Argument(help="Folder with config.json, model.safetensors, tokenizer.json.")],
    out: Annotated[Path, typer.Argument(help="Folder to write the package to; it must not exist yet.")],
    model: Annotated[str, typer.Option("--model", help="The registered model of the version that --of names.")] = "",
    variant: VariantOption = Variant.FP32,
    of: OfOption = None,
    task: TaskOption = None,
    long_texts: LongTextsOption = None,
    overlap_tokens: OverlapOption = None,
    max_tokens: MaxTokensOption = None,
    normalise: NormaliseFlag = False,
    temperature: TemperatureOption = None,
    on: OnOption = None,
    run: RunOption = None,
    registry: RegistryOption = None,
    output: OutputOption = Output.TEXT,
    home: HomeOption = DEFAULT_HOME_OPTION,
) -> None:
    """Make the package of a checkpoint, as `serin register` does, without registering it.

    `serin gate --model FOLDER` judges it, `serin register FOLDER` logs it as it is. The registry is only asked for what
    --of and --run name.

    Example: serin package checkpoints/v7 packages/v7 --temperature fit --on held-out.jsonl
    """
    from controller.adapters.mlflow.registry import MlflowRegistry
    from controller.bootstrap.packaging import package_checkpoint as made

    order = order_of(
        model,
        variant=variant,
        of=of,
        task=task,
        long_texts=long_texts,
        overlap_tokens=overlap_tokens,
        max_tokens=max_tokens,
        normalise=normalise,
        temperature=temperature,
        on=on,
        run=run,
    )
    place = home_at(home)
    url = registry or (place.load().registry if place.exists() else None)
    found = made(MlflowRegistry(url) if url is not None else None, checkpoint, out, order)
    manifest = found.manifest
    if output is Output.JSON:
        say_json({"schema": PACKAGED_SCHEMA, "folder": str(out), **made_document(manifest, found.fit, found.note)})
        return
    say(f"{out} made: {manifest.family}, {manifest.variant}, {len(manifest.labels)} classes.")
    say_made(manifest, found.fit, found.note)


def fitted_on_a_suite(place: "Home", model: str, on: Path) -> str | None:
    """The suite of the model's policy in the home that has the very cases of the file; None where none has."""
    from controller.bootstrap.policies import installed_policies

    policy = installed_policies(place, place.load())().get(model) if place.exists() else None
    try:
        content = on.read_bytes()
        return next((suite for suite in policy.suites if Path(suite).read_bytes() == content), None) if policy else None
    except OSError:  # whoever reads it next says so
        return None


def _registered(model: str, found: "Registered", *, candidate: bool) -> dict[str, Any]:
    named = {"model": model, "version": found.version.version, "candidate": candidate}
    champion = found.champion
    beside = {
        "champion": champion.number if champion is not None else None,
        "champion_classes": list(champion.labels) if champion is not None and not champion.unknown else None,
    }
    made = made_document(found.manifest, found.packaged.fit, found.packaged.note)
    return {"schema": REGISTERED_SCHEMA, **named, **made, "stored": list(found.stored), **beside}


def _size(manifest: Manifest, stored: tuple[str, ...]) -> str:
    """Return how large the package is and how its weights are stored, which training may have left otherwise."""
    files = manifest.files.values()
    mebibytes = sum(file.size_bytes for file in files) / 2**20
    return f"{counted(len(files), 'file')} of {mebibytes:,.1f} MiB, weights stored as {' and '.join(stored)}"


def _classes(manifest: Manifest, champion: "Champion | None") -> str:
    """Return the version's classes beside the champion's: a class that one of them lacks is answered wrongly by it."""
    if not manifest.labels:
        return f"It answers the task {manifest.rules.task}, without classes."
    own = f"It has {len(manifest.labels)} classes"
    if champion is None:
        return f"{own}; there is no champion to compare them with."
    if champion.unknown:
        return f"{own}; those of the champion, version {champion.number}, are not known: {champion.unknown}"
    new = [name for name in manifest.labels if name not in champion.labels]
    gone = [name for name in champion.labels if name not in manifest.labels]
    if not (new or gone):
        return f"{own}, the same as the champion's (version {champion.number})."
    parts = [f"{own}, and the champion (version {champion.number}) {len(champion.labels)}"]
    parts += [f"new: {_listed(new)}"] if new else []
    parts += [f"gone: {_listed(gone)}"] if gone else []
    return "; ".join(parts)


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _NAMES_TOLD} more" if len(names) > _NAMES_TOLD else ""
    return ", ".join(map(repr, names[:_NAMES_TOLD])) + more
