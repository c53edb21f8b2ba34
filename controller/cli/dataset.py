"""`serin dataset`: labelled texts of production, for the next training."""

from pathlib import Path
from typing import Annotated, Final

import typer

from controller.cli.options import DEFAULT_HOME_OPTION, HomeOption, Output, OutputOption, home_at
from controller.cli.output import say, say_json
from controller.core.counted import counted

SCHEMA: Final = "serin.dataset/v1"
_EXIT_NONE = 3  # as inconclusive
_DAY_S = 86_400.0


def register(app: typer.Typer) -> None:
    group = typer.Typer(no_args_is_help=True, help="Labelled texts of production.")
    group.command("export")(export)
    app.add_typer(group, name="dataset")


def export(
    model: Annotated[str, typer.Argument(help="Whose requests.")],
    out: Annotated[Path, typer.Option("--out", help="The file: .jsonl or .parquet. It is replaced.")],
    days: Annotated[float, typer.Option("--days", min=0.0, help="From answers of the last so many days.")] = 90.0,
    output: OutputOption = Output.TEXT,
    home: HomeOption = DEFAULT_HOME_OPTION,
) -> None:
    """Write answered and labelled texts, each with its label, for the next training.

    Texts have to be kept (`serin up --capture-text`). Each line says how likely its text was to be labelled
    (inclusion_probability), and whether it was because versions disagreed (directed). Only its owner may read the file.

    Exit code: 0 written, 3 there are none.

    Example: serin dataset export intent --out intent.jsonl --days 30
    """
    from controller.bootstrap.dataset import export_labelled

    done = export_labelled(home_at(home), model, out, within_s=days * _DAY_S)
    left = f"; {done.unknown:,} left out, whose labels name no class" if done.unknown else ""
    if output is Output.JSON:
        counts = {"texts": done.texts, "unknown": done.unknown}
        say_json({"schema": SCHEMA, "model": model, "file": str(out), **counts})
    else:
        say(f"{model}: {counted(done.texts, 'labelled text')} in {out}{left}")
    if not done.texts:
        raise typer.Exit(_EXIT_NONE)
