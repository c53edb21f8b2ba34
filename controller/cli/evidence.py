"""Recorded evidence: take it out of the journal, judge it again, and try a policy on it before it decides anything."""

import math
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from controller.cli.options import DEFAULT_HOME_OPTION, HomeOption, JsonFlag, Output, OutputOption, home_at
from controller.cli.output import console, say, say_json, say_json_text, say_lines
from controller.cli.place import Place, at_a_place
from controller.errors import UsageError

if TYPE_CHECKING:
    from controller.offline.evidence_file import RecordedLook
    from controller.offline.replay import Judgement, SuitesJudgement
    from controller.ports.journal import RecordedEntry

PolicyOption = Annotated[Path, typer.Option("--policy", help="The policy file.")]
EvidenceOption = Annotated[
    Path, typer.Option("--evidence", help="Recorded evidence, JSON Lines; `-` reads standard input.")
]


def register(app: typer.Typer) -> None:
    for function in (evidence, judge, backtest, plan):
        app.command()(function)


def _print_schema(asked: bool) -> None:  # noqa: FBT001 - as Typer calls it
    if asked:
        from controller.offline.evidence_file import json_schema

        say_json(json_schema())
        raise typer.Exit


@at_a_place
def evidence(
    release: Annotated[str, typer.Argument(help="Id of the release, as `serin release list` shows it.")],
    place: Place,
    schema: Annotated[  # noqa: ARG001 - its callback answers
        bool,
        typer.Option(
            "--schema", is_eager=True, callback=_print_schema, help="Print the format's JSON Schema and exit."
        ),
    ] = False,
) -> None:
    """Print the evidence of a release from its journal, JSON Lines (docs/evidence.md says what is in it).

    One line for what the suites were judged by, and one for each look. It contains no texts.

    Example: serin evidence intent-v7-1 > intent-v7-1.jsonl
    """
    from controller.offline.evidence_file import evidence_of, line_of

    with place.opened() as installation:
        for recorded in evidence_of(installation.entries(release)):
            say_json_text(line_of(recorded))


def judge(
    policy: PolicyOption,
    evidence: EvidenceOption,
    as_json: JsonFlag = False,
    output: OutputOption = Output.TEXT,
    deadline_s: Annotated[
        float | None,
        typer.Option(
            "--deadline-s",
            min=0,
            help="Seconds from the first look's start to the gates' deadline; default: as recorded, else the policy's.",
        ),
    ] = None,
) -> None:
    """Judge recorded evidence again, with the same gates as a release; `--json` prints JSON Lines.

    The suites come first, then look by look. Advisory verdicts are in parentheses and do not count. It judges by the
    rules of this version of Serin, which may differ from those of the release; standard error says how. Exit code,
    after the last look: 0 pass, 1 fail, 2 usage, 3 inconclusive, 4 could not judge.

    Example: serin judge --policy policy.yaml --evidence intent-v7-1.jsonl | tail -n 25
    """
    from controller.config.policy_file import load_policy
    from controller.offline import replay as judging
    from controller.offline.ci_gate import EXIT_CODES
    from controller.offline.evidence_file import read_evidence
    from gates.gate_set import RULES

    as_json = as_json or output is Output.JSON
    loaded, recorded = load_policy(policy), read_evidence(evidence)
    suites = last = None
    for suites in judging.judge_suites(loaded, recorded):
        _tell(suites, as_json=as_json)
    for last in judging.judge(loaded, recorded.looks, deadline_s=deadline_s):
        _tell(last, as_json=as_json)
    outcome, sentence = judging.conclusion(suites, last, judging.missing_looks(recorded.looks))
    say(
        f"Judged by rules {RULES} of the gates, and by keys that the policy does not write as they are now.",
        err=True,
    )
    say(sentence, err=as_json)
    raise typer.Exit(EXIT_CODES[outcome])


def _tell(judgement: "Judgement | SuitesJudgement", *, as_json: bool) -> None:
    from controller.offline import replay as judging

    if as_json:
        say_json_text(judging.as_json(judgement))
    else:
        say_lines(judging.as_text(judgement))


def backtest(
    policy: PolicyOption,
    evidence: EvidenceOption,
    runs: Annotated[int, typer.Option(min=1, help="Simulated releases per candidate.")] = 200,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same answer.")] = 1,
    jobs: Annotated[int, typer.Option(min=0, help="Processes; 0: one per available core.")] = 0,
    accuracy_points: Annotated[
        list[float] | None, typer.Option(min=0, max=100, help="Points of accuracy lost; repeat. [default: 1, 2, 5]")
    ] = None,
    latency_pct: Annotated[
        list[float] | None, typer.Option(min=0, help="Percent of latency added; repeat. [default: 10, 20]")
    ] = None,
    error_times: Annotated[
        list[float] | None, typer.Option(min=1, help="Times the rate of server errors; repeat. [default: 3, 5]")
    ] = None,
    confidence_gap: Annotated[
        list[float] | None, typer.Option(min=0, max=1, help="Confidence added; repeat. [default: 0.05]")
    ] = None,
    as_json: JsonFlag = False,
    output: OutputOption = Output.TEXT,
) -> None:
    """Try a policy on a service's own recorded traffic: false alarms, misses, and the time to decide.

    The evidence is resampled as releases of an equal candidate and of candidates with a regression of known size.
    One file may hold the evidence of several releases; the more, the better. Progress goes to standard error.

    Example: serin backtest --policy policy.yaml --evidence intent.jsonl --runs 500 --accuracy-points 1.5
    """
    from controller.cli.evidence_tables import backtest_table
    from controller.config.policy_file import load_policy
    from controller.offline.backtest import Plays, as_document, service_of
    from controller.offline.backtest import backtest as play_all
    from controller.offline.evidence_file import read_evidence
    from controller.offline.scenarios import Sizes

    asked = {
        "accuracy_points": accuracy_points,
        "latency_pct": latency_pct,
        "error_times": error_times,
        "confidence_gap": confidence_gap,
    }
    for name, values in asked.items():
        if not all(map(math.isfinite, values or ())):
            raise UsageError(f"--{name.replace('_', '-')} must be finite numbers")
    sizes = Sizes(**{name: tuple(values) for name, values in asked.items() if values})
    loaded = load_policy(policy)
    service = service_of(loaded, read_evidence(evidence).looks)
    plays = Plays(runs, seed, jobs or len(os.sched_getaffinity(0)), sizes)
    with _progress(runs * sizes.scenarios) as advance:
        found = play_all(loaded, service, plays, advance)
    if as_json or output is Output.JSON:
        say_json(as_document(found))
    else:
        console().print(backtest_table(found, service, loaded))


@contextmanager
def _progress(total: int) -> Iterator[Callable[[int], None]]:
    """A bar on standard error, where that is a terminal."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("releases"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console(err=True), transient=True) as bar:
        task = bar.add_task("", total=total)
        yield lambda ended: bar.advance(task, ended)


def plan(
    policy: PolicyOption,
    evidence: Annotated[
        Path | None, typer.Option("--evidence", help="Take what is not given from recorded evidence (JSON Lines).")
    ] = None,
    release: Annotated[
        str | None, typer.Option("--release", help="Take what is not given from a release in the journal.")
    ] = None,
    requests_per_s: Annotated[
        float | None, typer.Option("--requests-per-s", min=0.001, help="Live requests a second, of all versions.")
    ] = None,
    label_rate: Annotated[
        float | None, typer.Option("--label-rate", min=0, max=1, help="Share of mirrored requests labelled by chance.")
    ] = None,
    directed_rate: Annotated[
        float | None, typer.Option("--directed-rate", min=0, max=1, help="Share of disagreements labelled as such.")
    ] = None,
    live_label_rate: Annotated[
        float | None, typer.Option("--live-label-rate", min=0, max=1, help="Share of live answers labelled.")
    ] = None,
    label_delay_s: Annotated[
        float | None, typer.Option("--label-delay-s", min=0, help="Seconds within which nearly all labels come.")
    ] = None,
    discordance: Annotated[
        float | None, typer.Option(min=0, max=1, help="Share of requests that the versions answer differently.")
    ] = None,
    wrong_rate: Annotated[
        float | None,
        typer.Option("--wrong-rate", min=0, max=1, help="Share of stable's answers that are wrong."),
    ] = None,
    base_error: Annotated[
        float | None, typer.Option("--base-error", min=0, max=0.5, help="Server errors of stable, as a share.")
    ] = None,
    suite_texts: Annotated[
        int | None,
        typer.Option(
            "--suite-texts", min=0, help="Texts of shadow_replay.suites that no release has asked; else all of them."
        ),
    ] = None,
    as_json: JsonFlag = False,
    output: OutputOption = Output.TEXT,
    home: HomeOption = DEFAULT_HOME_OPTION,
) -> None:
    """Forecast a release: how long each step and gate will need, which cannot settle in time, and what would help.

    What you do not give comes from recorded evidence, where it is named, and else from usual values; the plan says
    which. Times are medians. A plan decides nothing.

    Example: serin plan --policy policy.yaml --requests-per-s 20 --label-rate 0.05 --directed-rate 0.7

    On what a service recorded: serin plan --policy policy.yaml --evidence evidence.jsonl --directed-rate 1
    """
    from controller.cli.evidence_tables import plan_table
    from controller.config.policy_file import load_policy, texts_to_ask
    from controller.offline.backtest import by_release, service_of
    from controller.offline.evidence_file import read_evidence
    from controller.offline.forecast.release import as_document, forecast
    from controller.offline.forecast.traffic import suite_texts_known, traffic_known

    if evidence is not None and release is not None:
        raise UsageError("--evidence and --release: name one of them")
    loaded = load_policy(policy)
    recorded = read_evidence(evidence).looks if evidence else _looks_of(release, home) if release else None
    given = {
        "requests_per_s": requests_per_s,
        "label_ratio": label_rate,
        "directed_ratio": directed_rate,
        "live_label_ratio": live_label_rate,
        "label_delay_s": label_delay_s,
        "disagreement_ratio": discordance,
        "wrong_ratio": wrong_rate,
        "error_ratio": base_error,
    }
    service = service_of(loaded, recorded) if recorded is not None else None
    texts = suite_texts_known(suite_texts, texts_to_ask(loaded))
    traffic, known = traffic_known(loaded, given, service, by_release(recorded or ()), texts)
    found = forecast(loaded, traffic, known)
    if as_json or output is Output.JSON:
        say_json(as_document(found))
    else:
        console().print(plan_table(found, service))


def _looks_of(release: str, home: Path) -> "tuple[RecordedLook, ...]":
    from controller.offline.evidence_file import looks_of

    return tuple(looks_of(_entries_of(release, home)))


def _entries_of(release: str, home: Path) -> "Iterator[RecordedEntry]":
    """Yield what the journal of the installation holds of a release, read as it is asked for."""
    from controller.bootstrap.installations import service_of

    with service_of(home_at(home)) as service:
        yield from service.entries(release)
