"""Suite files of this machine, asked of running replicas; what was answered is kept in a file until all is."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from controller.adapters.local.suite_answers import KeptAnswers, progress_in
from controller.adapters.local.suite_pace import ALONE, BESIDE_USERS, Pace, paced
from controller.loop.questions import Asks, Keep, ask, ask_candidate, hold_against
from controller.naming import deployment_named
from controller.ports.suites import Answered, NothingAnswered, Subject, SuiteOrder, SuiteProgress
from gates.offline.suite_replay import as_evidence
from gates.suite_evidence import SuiteEvidence, SuiteFile
from suites.cases import Case, Suite, SuiteError, cases_of, load

if TYPE_CHECKING:
    from suites.runner import Predict

_Stamps = tuple[tuple[int, int, int] | None, ...]  # of each file: when it was written, its size, its inode


class SuiteRuns:
    """Implements ``Suites``. ``directory`` has one file a version that is being asked."""

    def __init__(
        self,
        replicas: Asks,
        directory: Path,
        answered: Answered | None = None,
        *,
        alone: Pace = ALONE,
        beside_users: Pace = BESIDE_USERS,
    ) -> None:
        """``answered``: what stable need not be asked again. The paces are of the candidate and of stable."""
        self._replicas = replicas
        self._directory = directory
        self._answered = answered or NothingAnswered()
        self._alone = alone
        self._beside_users = beside_users
        self._refused: dict[str, tuple[SuiteOrder, _Stamps, str]] = {}  # by model: what, of which files, and why

    def run(self, order: SuiteOrder) -> SuiteEvidence:
        asked, stamps = _without_places(order), tuple(_stamp(Path(suite)) for suite in order.suites)
        before = self._refused.get(order.model)
        if before is not None and before[:2] == (asked, stamps):
            raise SuiteError(before[2])
        try:
            return self._run(order)
        except SuiteError as error:
            self._refused[order.model] = (asked, stamps, str(error))
            raise

    def _run(self, order: SuiteOrder) -> SuiteEvidence:
        suites = [load(Path(suite)) for suite in order.suites]
        files = [SuiteFile(suite.name, suite.sha256, len(suite.cases)) for suite in suites]
        cases = cases_of(suites)
        subjects = [order.candidate, *([order.stable] if order.stable is not None else [])]
        runs = [KeptAnswers(self._path(order.model, one), _head(order.model, one, files, cases)) for one in subjects]
        keep = _keep(runs[0], {}, self._alone)
        found = ask_candidate(self._replicas, order.candidate.url, cases, order.manifest, keep=keep)
        stable = None
        if order.stable is not None:
            known = self._known(order.model, order.stable, suites)
            keep = _keep(runs[1], known, self._beside_users)
            stable = ask(self._replicas, order.stable.url, cases, "stable", keep=keep)
        hold_against(cases, found.results, *([stable] if stable is not None else []))
        evidence = as_evidence(files, found.results, stable, reading=found.reading)
        for one in runs:
            one.forget()
        return evidence

    def progress(self, model: str) -> Sequence[SuiteProgress]:
        return progress_in(self._directory, model)

    def _known(self, model: str, subject: Subject, suites: Sequence[Suite]) -> Mapping[str, Mapping[str, float]]:
        """Return what the version is known to answer, by text."""
        rows = self._answered.answers(model, subject, [suite.sha256 for suite in suites])
        return {
            case.text: row
            for suite in suites
            for case, row in zip(suite.cases, rows.get(suite.sha256, ()), strict=False)
        }

    def _path(self, model: str, subject: Subject) -> Path:
        return self._directory / f"{deployment_named(model, subject.version.number)}.jsonl"


def _keep(run: KeptAnswers, known: Mapping[str, Mapping[str, float]], pace: Pace) -> Keep:
    """The way a version is asked. What is kept of the run is in the order of its cases; of the rest that is asked
    which is not known."""
    return lambda predict: run.kept(_besides(known, paced(predict, pace)))


def _besides(known: Mapping[str, Mapping[str, float]], predict: "Predict") -> "Predict":
    def answers(texts: Sequence[str]) -> Sequence[Mapping[str, float]]:
        missing = [text for text in texts if text not in known]
        found = iter(predict(missing) if missing else ())
        return [known[text] if text in known else next(found) for text in texts]

    return answers


def _without_places(order: SuiteOrder) -> SuiteOrder:
    """The order whoever answers it: replicas are started again, and what was wrong with a file still is."""
    stable = replace(order.stable, url="") if order.stable is not None else None
    return replace(order, candidate=replace(order.candidate, url=""), stable=stable, manifest=None)


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _head(model: str, subject: Subject, files: Sequence[SuiteFile], cases: Sequence[Case]) -> dict[str, Any]:
    """Return what answers that are kept must be of, to be of use."""
    return {
        "model": model,
        "version": subject.version.number,
        "fingerprint": subject.version.fingerprint,
        "settings": subject.settings,
        "suites": [[file.name, file.sha256, file.cases] for file in files],
        "cases": len(cases),
    }
