"""Suite files of this machine, asked of running replicas; what was answered is kept in a file until all is."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from controller.adapters.local.suite_answers import KeptAnswers, progress_in
from controller.loop.questions import Asks, ask, ask_candidate, hold_against
from controller.naming import deployment_named
from controller.ports.suites import Subject, SuiteOrder, SuiteProgress
from gates.offline.suite_replay import as_evidence
from gates.suite_evidence import SuiteEvidence, SuiteFile
from suites.cases import Case, cases_of, load


class SuiteRuns:
    """Implements ``Suites``. ``directory`` has one file a version that is being asked."""

    def __init__(self, replicas: Asks, directory: Path) -> None:
        self._replicas = replicas
        self._directory = directory

    def run(self, order: SuiteOrder) -> SuiteEvidence:
        suites = [load(Path(suite)) for suite in order.suites]
        files = [SuiteFile(suite.name, suite.sha256, len(suite.cases)) for suite in suites]
        cases = cases_of(suites)
        subjects = [order.candidate, *([order.stable] if order.stable is not None else [])]
        runs = [KeptAnswers(self._path(order.model, one), _head(order.model, one, files, cases)) for one in subjects]
        found = ask_candidate(self._replicas, order.candidate.url, cases, order.manifest, keep=runs[0].kept)
        stable = None
        if order.stable is not None:
            stable = ask(self._replicas, order.stable.url, cases, "stable", keep=runs[1].kept)
        hold_against(cases, found.results, *([stable] if stable is not None else []))
        evidence = as_evidence(files, found.results, stable, reading=found.reading)
        for one in runs:
            one.forget()
        return evidence

    def progress(self, model: str) -> Sequence[SuiteProgress]:
        return progress_in(self._directory, model)

    def _path(self, model: str, subject: Subject) -> Path:
        return self._directory / f"{deployment_named(model, subject.version.number)}.jsonl"


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
