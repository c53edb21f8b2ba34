"""`serin register`: a checkpoint becomes a version that can be verified, served and judged."""

from pathlib import Path
from typing import Annotated

import typer

from controller.cli.options import DEFAULT_HOME_OPTION, HomeOption, home_at


def register(app: typer.Typer) -> None:
    app.command(name="register")(register_checkpoint)


def register_checkpoint(
    checkpoint: Annotated[Path, typer.Argument(help="Folder with config.json, model.safetensors and tokenizer.json.")],
    model: Annotated[str, typer.Option("--model", help="The registered model to add a version to.")],
    candidate: Annotated[
        bool, typer.Option("--candidate", help="Also set the alias `candidate`, which starts a release.")
    ] = False,
    registry: Annotated[str | None, typer.Option(help="URL of the MLflow server, if not that of the home.")] = None,
    home: HomeOption = DEFAULT_HOME_OPTION,
) -> None:
    """Package a checkpoint (files, ONNX graph, manifest with golden token ids) and log it as a new version.

    A checkpoint without model.onnx is exported, which needs the extra `export` (torch); nothing else does.

    Example: serin register checkpoints/v7 --model intent --candidate
    """
    from controller.bootstrap import packaging
    from controller.bootstrap.stores import has_policy

    place = home_at(home)
    url = registry or place.load().registry
    if place.exists() and not has_policy(place, model):
        typer.echo(f"no policy for {model} in this home: no release will start", err=True)
    version, manifest = packaging.register_checkpoint(url, checkpoint, model, candidate=candidate)
    typer.echo(
        f"models:/{model}/{version.version} registered: {len(manifest.files)} files, {len(manifest.labels)} labels."
    )
