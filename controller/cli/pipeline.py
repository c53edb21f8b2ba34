"""For pipelines: a gate in CI, and labels from a file."""

import time
from contextlib import suppress
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from controller.cli.options import DEFAULT_HOME_OPTION, HomeOption, Output, OutputOption, home_at, writing_home
from controller.cli.output import say, say_json, say_json_text
from controller.cli.place import Place, at_a_place
from controller.errors import SerinError, UsageError

if TYPE_CHECKING:
    from controller.api.labels import Feed
    from controller.core.policy import ReleasePolicy
    from controller.offline.ci_gate import GateResult, Question

LABELS_BYTES_MAX = 2**28
LABELS_SCHEMA = "serin.labels/v1"


class LabelFile(StrEnum):
    """The formats of files with labels."""

    LINES = "lines"
    LABEL_STUDIO = "label-studio"
    ARGILLA = "argilla"


def register(app: typer.Typer) -> None:
    for function in (gate, labels):
        app.command()(function)


@at_a_place
def gate(
    place: Place,
    model: Annotated[
        str, typer.Option("--model", help="models:/NAME/VERSION, models:/NAME@ALIAS, or a package folder.")
    ],
    suite: Annotated[list[Path], typer.Option("--suite", help="File of labelled cases; repeat for several.")],
    baseline: Annotated[str | None, typer.Option(help="The version to compare with, named like --model.")] = None,
    policy: Annotated[Path | None, typer.Option(help="Policy file; its gates' limits are used.")] = None,
    registry: Annotated[str | None, typer.Option(help="URL of the MLflow server, if it is not the home's.")] = None,
    junit: Annotated[Path | None, typer.Option(help="Write a JUnit file.")] = None,
    summary: Annotated[Path | None, typer.Option(help="Append a Markdown summary.")] = None,
    json: Annotated[Path | None, typer.Option(help="Write the result as JSON.")] = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Judge a version on labelled cases, as a step of a pipeline.

    With --policy, and a home or --server, it warns of what the data plane there cannot do for the policy.

    Exit code: 0 pass, 1 fail, 2 usage, 3 inconclusive, 4 could not judge. Only a pass is green.

    Example: serin gate --model models:/intent/7 --baseline models:/intent@champion --suite cases.jsonl --junit gate.xml
    """
    from controller.bootstrap.cancelling import cancelled_by_signals
    from controller.offline.ci_gate import Question, unjudged
    from controller.offline.ci_gate_files import ResultFiles, json_text
    from gates.outcome import Outcome

    inputs = [*suite, *([policy] if policy is not None else [])]
    files = ResultFiles(junit, summary, json, inputs)
    question = Question(model, tuple(suite), baseline)
    files.begin(question)
    try:
        with cancelled_by_signals():
            result = _judged(question, policy, registry, place)
    except BaseException as error:
        with suppress(UsageError):  # what matters more is on its way
            files.write(unjudged(question, Outcome.ERROR, f"Could not judge: {_why(error)}."))
        raise
    try:
        if output is Output.JSON:
            say_json_text(json_text(result))
        else:
            for verdict in result.verdicts:
                say(f"{verdict.outcome.upper():13}{verdict.gate}: {verdict.reason}")
            say(result.sentence)
    finally:
        files.write(result)
    raise typer.Exit(result.exit_code)


def _judged(question: "Question", policy: Path | None, registry: str | None, place: Place) -> "GateResult":
    from controller.bootstrap.gate import judge
    from controller.config.policy_file import load_policy

    home = home_at(place.home)
    url = registry or (home.load().registry if home.exists() else None)
    if policy is not None:
        found = load_policy(policy)
        _warn(found, place)
        question = replace(question, policy=found.gates)
    return judge(question, url)


def _warn(policy: "ReleasePolicy", place: Place) -> None:
    """Say what the data plane there cannot do of the policy; neither that nor its silence decides anything here."""
    from controller.core.abilities import unmet

    if place.server is None and not home_at(place.home).exists():
        return
    try:
        with place.opened() as installation:
            able = installation.overview().able
    except SerinError as error:
        say(f"warning: what the data plane can do of the policy is not known: {error}", err=True)
        return
    for sentence in unmet(policy, able) if able is not None else ():
        say(f"warning: {sentence}", err=True)


def _why(error: BaseException) -> str:
    if isinstance(error, KeyboardInterrupt | SystemExit):
        return "the step was cancelled"
    return str(error).rstrip(".") if isinstance(error, SerinError) else f"a defect, {type(error).__name__}: {error}"


def labels(
    file: Annotated[
        Path,
        typer.Argument(
            help="JSON Lines: request_id, label; optional: at_s, source, directed, inclusion_probability, corrects."
        ),
    ],
    form: Annotated[
        LabelFile, typer.Option("--format", help="Its format: Serin's own, or a tool's export.")
    ] = LabelFile.LINES,
    output: OutputOption = Output.TEXT,
    home: HomeOption = DEFAULT_HOME_OPTION,
) -> None:
    """Take in true labels from a file. Repeating a label changes nothing; an invalid one is refused by itself.

    With --format label-studio or argilla it is a JSON export of what Serin handed out there; its labels replace what
    the annotators said before.

    Exit code: 0 all were taken or already known, 1 some were refused, 2 usage or none could be read, 3 some name no
    class.

    Example: serin labels truth.jsonl
    """
    from controller.api.errors import ApiError
    from controller.bootstrap.policies import installed_policies
    from controller.bootstrap.stores import opened
    from serving.text.jsonlines import Unreadable, read_bounded

    try:
        feed = _feed(read_bounded(file, LABELS_BYTES_MAX), form)
    except (ApiError, Unreadable) as error:
        raise UsageError(f"{file}: {error}") from error
    place = writing_home(home)
    policies = installed_policies(place, place.load())
    aliases = policies.label_names()
    for name, fault in policies.faults.items():
        say(f"policy {name} is not followed until it is fixed: {fault}", err=True)
    with opened(place) as store:
        answer = feed.answer(store.samples.add_labels(feed.labels, aliases=aliases))
    if output is Output.JSON:
        say_json({"schema": LABELS_SCHEMA, "file": str(file), **answer.as_json()})
    else:
        say(f"{file}: {answer.sentence}")
    for refused in answer.refused:
        say(f"{file}, {answer.unit} {refused.place}: {refused.message}", err=True)
    raise typer.Exit(answer.exit_code)


def _feed(content: bytes, form: LabelFile) -> "Feed":
    from controller.api import argilla, label_studio
    from controller.api.labels import read_items, read_lines
    from serving.text.jsonlines import loads

    if form is LabelFile.LINES:
        return read_lines(content, now_s=time.time())
    tool = argilla if form is LabelFile.ARGILLA else label_studio
    items, _ = tool.exported(loads(content))
    return read_items(tool.UNIT, items, now_s=time.time())
