"""The CI step behind `serin gate`: serve a model, ask it a suite, judge, and tell the pipeline by exit code and files.

The same runner and the same gates judge here as in a release; nothing else of Serin has to be running.
"""

import html
import re
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from junitparser import Error, Failure, JUnitXml, Skipped, TestCase, TestSuite
from pydantic_core import to_json

from controller.errors import PermanentError, TransientError, UsageError
from controller.questions import Answers, Asks, ask, ask_candidate, hold_against
from controller.report.words import SYMBOLS, exact, figure, is_signed, listed
from gates.offline.suite import SuiteResult, judge_suite
from gates.offline.suite_cases import distinct
from gates.outcome import Outcome, combine
from gates.policy import GatePolicy
from gates.verdict import Stage, Verdict
from serving.package.artifact import ArtifactError, Manifest, read_manifest
from suites.cases import Case, SuiteError, cases_of, load

SCHEMA: Final = "serin.gate/v1"
MODEL_GATE: Final = "model"
EXIT_CODES: Final = {Outcome.PASS: 0, Outcome.FAIL: 1, Outcome.INCONCLUSIVE: 3, Outcome.ERROR: 4}
EXAMPLES_MAX: Final = 10  # of wrong cases, in the files: a summary, not the suite again

Obtain = Callable[[str], Path]
"""The verified package of a model address (``models:/intent/7``)."""
Serve = Callable[[Path], AbstractContextManager[str]]
"""A replica of the package, ready, as its address; ended with the context."""


@dataclass(frozen=True, slots=True)
class World:
    """What the step needs of the world. ``obtain`` is only asked for what is no local directory."""

    obtain: Obtain
    serve: Serve
    replicas: Asks


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked. ``model`` and ``baseline`` are addresses in the registry or directories of packages."""

    model: str
    suites: tuple[Path, ...]
    baseline: str | None = None
    policy: GatePolicy = field(default_factory=GatePolicy)


@dataclass(frozen=True, slots=True)
class SliceCount:
    """How many cases of a slice were answered wrongly; the empty name stands for all cases."""

    name: str
    cases: int
    wrong: int


@dataclass(frozen=True, slots=True)
class WrongCase:
    id: str
    truth: str
    label: str
    confidence: float


@dataclass(frozen=True, slots=True)
class GateResult:
    """What the step found. ``wrong`` holds the surest of the wrong answers, at most ``EXAMPLES_MAX``."""

    model: str
    baseline: str | None
    suites: tuple[str, ...]
    verdicts: tuple[Verdict, ...]
    slices: tuple[SliceCount, ...] = ()
    wrong: tuple[WrongCase, ...] = ()

    @property
    def outcome(self) -> Outcome:
        return combine(verdict.outcome for verdict in self.verdicts if not verdict.advisory)

    @property
    def exit_code(self) -> int:
        """0 pass, 1 fail, 3 inconclusive, 4 could not judge. Only a pass makes a pipeline green."""
        return EXIT_CODES[self.outcome]

    @property
    def sentence(self) -> str:
        """The outcome and what it rests on, in one sentence."""
        words = {
            Outcome.PASS: "passed every gate",
            Outcome.FAIL: f"failed {self._gates(Outcome.FAIL)}",
            Outcome.INCONCLUSIVE: f"is not proven: {self._gates(Outcome.INCONCLUSIVE) or 'no gate'} did not settle",
            Outcome.ERROR: f"could not be judged by {self._gates(Outcome.ERROR)}",
        }
        return f"{self.model} {words[self.outcome]}."

    def _gates(self, outcome: Outcome) -> str:
        return listed(v.gate for v in self.verdicts if v.outcome is outcome and not v.advisory)


def run_gate(question: Question, world: World) -> GateResult:
    """Judge the model on the suites, beside the baseline if one is named.

    What keeps the model from being judged is an answer too: a package that is not what its manifest says fails;
    a registry or replica that does not answer is an error. Only what the caller got wrong is raised.

    Raises:
        UsageError: a suite that cannot be used, or an address that names nothing.
    """
    try:
        cases = _cases(question.suites)
        found = _ask(question.model, cases, world)
        baseline = _ask_baseline(question.baseline, cases, world) if question.baseline is not None else None
        hold_against(cases, found.results, *([baseline] if baseline is not None else []))
    except SuiteError as error:
        raise UsageError(str(error)) from error
    except ArtifactError as error:
        return _unjudged(question, Outcome.FAIL, f"The package is refused: {error}.")
    except TransientError as error:
        return _unjudged(question, Outcome.ERROR, f"Could not judge: {error.source} does not answer: {error}.")
    except PermanentError as error:
        return _unjudged(question, Outcome.ERROR, f"Could not judge: {error}.")
    return GateResult(
        model=question.model,
        baseline=question.baseline,
        suites=tuple(path.name for path in question.suites),
        verdicts=judge_suite(found.results, baseline, question.policy, reading=found.reading),
        slices=_slices(distinct(found.results)),
        wrong=_wrong(distinct(found.results)),
    )


def _cases(suites: Sequence[Path]) -> tuple[Case, ...]:
    if not suites:
        raise UsageError("a suite is needed: --suite FILE")
    return cases_of([load(path) for path in suites])


def _ask(model: str, cases: Sequence[Case], world: World) -> Answers:
    package = _package(model, world)
    with world.serve(package) as url:
        return ask_candidate(world.replicas, url, cases, _manifest(package))


def _ask_baseline(baseline: str, cases: Sequence[Case], world: World) -> tuple[SuiteResult, ...]:
    """A baseline whose package is refused says nothing of the model: it cannot be judged beside it."""
    try:
        with world.serve(_package(baseline, world)) as url:
            return ask(world.replicas, url, cases, f"the baseline {baseline}")
    except ArtifactError as error:
        raise PermanentError(f"the package of the baseline {baseline} is refused: {error}") from error


def _package(address: str, world: World) -> Path:
    return Path(address) if Path(address).is_dir() else world.obtain(address)


def _manifest(package: Path) -> Manifest | None:
    """None where there is none that can be read: what serves the package says so."""
    try:
        return read_manifest(package)[0]
    except ArtifactError:
        return None


def _unjudged(question: Question, outcome: Outcome, reason: str) -> GateResult:
    verdict = Verdict(MODEL_GATE, Stage.PREFLIGHT, outcome, reason)
    return GateResult(question.model, question.baseline, tuple(path.name for path in question.suites), (verdict,))


def _slices(results: Sequence[SuiteResult]) -> tuple[SliceCount, ...]:
    """All cases first, then each slice, the worst before the others."""
    asked: Counter[str] = Counter({"": len(results)})
    wrong: Counter[str] = Counter({"": sum(not result.correct for result in results)})
    for result in results:
        asked.update(result.slices)
        wrong.update(result.slices if not result.correct else ())
    names = sorted((name for name in asked if name), key=lambda name: (-wrong[name] / asked[name], name))
    return tuple(SliceCount(name, asked[name], wrong[name]) for name in ("", *names))


def _wrong(results: Sequence[SuiteResult]) -> tuple[WrongCase, ...]:
    missed = sorted((result for result in results if not result.correct), key=lambda r: (-r.confidence, r.case_id))
    return tuple(WrongCase(r.case_id, r.truth, r.label, r.confidence) for r in missed[:EXAMPLES_MAX])


# --- files for pipelines ----------------------------------------------------------------------------------------------
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_MARKDOWN = re.compile(r"([\\`*_\[\]|#!~])")


def write_junit(result: GateResult, path: Path) -> None:
    """One test case a gate, not one a text: a wrong answer is no failure, a gate is. Anything but a pass of a gate
    that counts is a failure or an error, so that no viewer shows it green."""
    suite = TestSuite(f"serin gate {_xml(result.model)}")
    for verdict in result.verdicts:
        suite.add_testcase(_test_case(result, verdict))
    document = JUnitXml()
    document.add_testsuite(suite)
    path.parent.mkdir(parents=True, exist_ok=True)
    document.write(str(path), pretty=True)


def _test_case(result: GateResult, verdict: Verdict) -> TestCase:
    case = TestCase(verdict.gate, classname=f"serin.{verdict.stage}")
    reason = _xml(verdict.reason)
    if verdict.advisory and verdict.outcome is not Outcome.PASS:
        case.result = [Skipped(f"advisory, {verdict.outcome}: {reason}")]
    elif verdict.outcome is Outcome.FAIL:
        failure = Failure(reason, type_=verdict.outcome.value)
        failure.text = _xml("\n".join([verdict.reason, *_slice_lines(result), *_wrong_lines(result)]))
        case.result = [failure]
    elif verdict.outcome is not Outcome.PASS:
        case.result = [Error(reason, type_=verdict.outcome.value)]
    return case


def _slice_lines(result: GateResult) -> list[str]:
    return [f"{part.name or 'all cases'}: {part.wrong} of {part.cases} wrong" for part in result.slices if part.wrong]


def _wrong_lines(result: GateResult) -> list[str]:
    return [f"case {c.id}: {c.label} ({c.confidence:.2f}) instead of {c.truth}" for c in result.wrong]


def write_summary(result: GateResult, path: Path) -> None:
    """Append Markdown for people; a CI system's job summary is such a file, and other steps may have written to it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(summary(result))


def summary(result: GateResult) -> str:
    """The outcome, a table of gates, and where the wrong answers lie."""
    lines = [f"### {SYMBOLS[result.outcome]} {_md(result.sentence)}", ""]
    against = f" beside {_md(result.baseline)}" if result.baseline else ""
    lines += [f"Suites: {_md(', '.join(result.suites))}{against}.", ""]
    lines += ["| outcome | gate | value | limit | cases | why |", "| --- | --- | ---: | ---: | ---: | --- |"]
    lines += [_row(verdict) for verdict in result.verdicts]
    missed = [part for part in result.slices if part.wrong]
    if missed:
        lines += ["", "| slice | wrong | cases | share |", "| --- | ---: | ---: | ---: |"]
        lines += [
            f"| {_md(part.name) or '**all cases**'} | {part.wrong:,} | {part.cases:,} "
            f"| {100 * part.wrong / part.cases:.1f} % |"
            for part in missed
        ]
    if result.wrong:
        lines += ["", f"The {len(result.wrong)} surest of the wrong answers:", ""]
        lines += [f"- {_md(line)}" for line in _wrong_lines(result)]
    return "\n".join(lines) + "\n\n"


def _row(verdict: Verdict) -> str:
    value = figure(verdict.value, signed=is_signed(verdict.unit))
    note = " (advisory)" if verdict.advisory else ""
    cells = (
        f"{SYMBOLS[verdict.outcome]} {verdict.outcome}{note}",
        _md(verdict.gate),
        f"{value} {_md(verdict.unit)}" if verdict.value is not None else value,
        exact(verdict.threshold),
        f"{verdict.samples:,}",
        _md(verdict.reason),
    )
    return f"| {' | '.join(cells)} |"


def write_json(result: GateResult, path: Path) -> None:
    """The result for a machine (``serin.gate/v1``); a number that is not finite is null."""
    document = {
        "schema": SCHEMA,
        "outcome": result.outcome,
        "exit_code": result.exit_code,
        "sentence": result.sentence,
        "result": result,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(to_json(document, indent=2, inf_nan_mode="null") + b"\n")


def _xml(text: str) -> str:
    """The text without the characters that XML cannot hold, however escaped."""
    return _NOT_XML.sub("\N{REPLACEMENT CHARACTER}", text)


def _md(text: str) -> str:
    """The text on one line, with nothing left that Markdown or HTML would act on."""
    return _MARKDOWN.sub(r"\\\1", html.escape(" ".join(text.split()), quote=False))
