"""The CI step behind `serin gate`: serve a model, ask it the suites, judge it, and give the pipeline an exit code.

The runner and the gates are those of a release; nothing else of Serin has to run.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from controller.errors import PermanentError, TransientError, UsageError
from controller.exit_codes import EXIT_ERROR, EXIT_FAIL, EXIT_INCONCLUSIVE, EXIT_PASS
from controller.loop.questions import Answers, Asks, ask, ask_candidate, hold_against
from controller.report.words import listed
from gates.offline.suite import SuiteResult, judge_suite
from gates.offline.suite_cases import distinct
from gates.outcome import Outcome, combine
from gates.policy import GatePolicy
from gates.verdict import Stage, Verdict
from serving.package.artifact import ArtifactError, Manifest, read_manifest
from suites.cases import Case, SuiteError, cases_of, load

MODEL_GATE: Final = "model"
EXIT_CODES: Final = {
    Outcome.PASS: EXIT_PASS,
    Outcome.FAIL: EXIT_FAIL,
    Outcome.INCONCLUSIVE: EXIT_INCONCLUSIVE,
    Outcome.ERROR: EXIT_ERROR,
}
EXAMPLES_MAX: Final = 10  # wrong cases in the result files
SLICES_MAX: Final = 25  # slices in the result files, the worst ones

Obtain = Callable[[str], Path]
"""A function that returns the verified package of a model address (``models:/intent/7``)."""
Serve = Callable[[Path], AbstractContextManager[str]]
"""A function that starts a replica of the package: a context with the address of the ready replica, which ends with
the context."""


@dataclass(frozen=True, slots=True)
class World:
    """The parts of the outside world that the step needs. ``obtain`` is called only for addresses that are no local
    directory."""

    obtain: Obtain
    serve: Serve
    replicas: Asks


@dataclass(frozen=True, slots=True)
class Question:
    """The input of the step. ``model`` and ``baseline`` are addresses in the registry or directories of packages."""

    model: str
    suites: tuple[Path, ...]
    baseline: str | None = None
    policy: GatePolicy = field(default_factory=GatePolicy)


@dataclass(frozen=True, slots=True)
class SliceCount:
    """The cases of a slice, and the number answered wrongly. An empty ``name`` stands for all cases."""

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
    """The result of the step. ``wrong``: the wrong answers with the highest confidence, at most ``EXAMPLES_MAX``.
    ``slices``: first the count of all cases, then those of at most ``SLICES_MAX`` slices, the worst first.
    ``slices_left_out``: the number of further slices."""

    model: str
    baseline: str | None
    suites: tuple[str, ...]
    verdicts: tuple[Verdict, ...]
    slices: tuple[SliceCount, ...] = ()
    wrong: tuple[WrongCase, ...] = ()
    slices_left_out: int = 0

    @property
    def outcome(self) -> Outcome:
        return combine(verdict.outcome for verdict in self.verdicts if not verdict.advisory)

    @property
    def exit_code(self) -> int:
        """The exit code: 0 pass, 1 fail, 3 inconclusive, 4 could not judge. Only a pass makes a pipeline green."""
        return EXIT_CODES[self.outcome]

    @property
    def sentence(self) -> str:
        """The outcome and the gates behind it, in one sentence."""
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
    """Judge the model on the suites, compared with the baseline if one is named, and return the result.

    A package that does not match its manifest is a fail. A registry or replica that does not answer is an error, in the
    result. Only mistakes of the caller are raised.

    Raises:
        UsageError: a suite cannot be used, or an address names nothing.
    """
    try:
        cases = _cases(question.suites)
        found = _ask(question.model, cases, world)
        baseline = _ask_baseline(question.baseline, cases, world) if question.baseline is not None else None
        hold_against(cases, found.results, *([baseline] if baseline is not None else []))
    except SuiteError as error:
        raise UsageError(str(error)) from error
    except ArtifactError as error:
        return unjudged(question, Outcome.FAIL, f"The package is refused: {error}.")
    except TransientError as error:
        return unjudged(question, Outcome.ERROR, f"Could not judge: {error.source} does not answer: {error}.")
    except PermanentError as error:
        return unjudged(question, Outcome.ERROR, f"Could not judge: {error}.")
    counted = distinct(found.results)
    slices = _slices(counted)
    return GateResult(
        model=question.model,
        baseline=question.baseline,
        suites=tuple(path.name for path in question.suites),
        verdicts=judge_suite(found.results, baseline, question.policy, reading=found.reading),
        slices=slices[: SLICES_MAX + 1],
        wrong=_wrong(counted),
        slices_left_out=max(0, len(slices) - SLICES_MAX - 1),
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
    """Return the baseline's answers.

    Raises:
        PermanentError: the baseline's package is refused, which says nothing about the model.
    """
    try:
        with world.serve(_package(baseline, world)) as url:
            return ask(world.replicas, url, cases, f"the baseline {baseline}")
    except ArtifactError as error:
        raise PermanentError(f"the package of the baseline {baseline} is refused: {error}") from error


def _package(address: str, world: World) -> Path:
    return Path(address) if Path(address).is_dir() else world.obtain(address)


def _manifest(package: Path) -> Manifest | None:
    """Return the manifest; None if it cannot be read, which the serving of the package reports."""
    try:
        return read_manifest(package)[0]
    except ArtifactError:
        return None


def unjudged(question: Question, outcome: Outcome, reason: str) -> GateResult:
    """Return the result for a model that could not be judged."""
    verdict = Verdict(MODEL_GATE, Stage.PREFLIGHT, outcome, reason)
    return GateResult(question.model, question.baseline, tuple(path.name for path in question.suites), (verdict,))


def _slices(results: Sequence[SuiteResult]) -> tuple[SliceCount, ...]:
    """Return the count of all cases, then that of each slice, the worst first."""
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
