"""Suite files of this machine, asked of running replicas; what was answered is kept in a file until all is."""

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from controller.loop.questions import Asks, ask, ask_candidate, hold_against
from controller.naming import deployment_named
from controller.ports.suites import Subject, SuiteOrder, SuiteProgress
from gates.offline.suite_replay import as_evidence
from gates.suite_evidence import SuiteEvidence, SuiteFile
from suites.cases import Case, cases_of, load
from suites.runner import Predict

log = logging.getLogger(__name__)

_UNREADABLE: Final = (OSError, ValueError, KeyError, TypeError, AttributeError)


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
        runs = [_Run(self._path(order.model, one), _head(order.model, one, files, cases)) for one in subjects]
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


def progress_in(directory: Path, model: str) -> Sequence[SuiteProgress]:
    """`SuiteRuns.progress`, for who asks nothing."""
    found = []
    for path in sorted(directory.glob("*.jsonl")):
        with suppress(*_UNREADABLE):
            head, *parts = _documents(path)
            if head["model"] == model:
                suites = tuple(name for name, *_ in head["suites"])
                found.append(SuiteProgress(head["version"], suites, sum(map(len, parts)), head["cases"]))
    return found


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


class _Run:
    """The answers of one version so far: a line that says of what, and a line for each part of the cases."""

    def __init__(self, path: Path, head: Mapping[str, Any]) -> None:
        self._path = path
        self._head = head
        self._asked = 0

    def kept(self, predict: Predict) -> Predict:
        """``predict``, which is called with the cases in order, but asked only what no answer is kept of."""
        known = self._read()

        def answers(texts: Sequence[str]) -> Sequence[Mapping[str, float]]:
            start, self._asked = self._asked, self._asked + len(texts)
            kept = known[start : self._asked]  # a part of them, where parts were of another size then
            if len(kept) == len(texts):
                return kept
            found = predict(texts[len(kept) :])
            self._add(found)
            return [*kept, *found]

        return answers

    def forget(self) -> None:
        with suppress(OSError):
            self._path.unlink(missing_ok=True)

    def _read(self) -> list[Mapping[str, float]]:
        """Return what was answered before; the file begins anew where it is of something else or is damaged."""
        with suppress(*_UNREADABLE):
            head, *parts = _documents(self._path)
            if head == self._head:
                return [answer for part in parts for answer in part]
        self._write(self._head, "w")
        return []

    def _add(self, answers: Sequence[Mapping[str, float]]) -> None:
        self._write([dict(answer) for answer in answers], "a")

    def _write(self, document: object, mode: str) -> None:
        """Write the answers. Where they cannot be written, the suite is asked all the same, and from the beginning next
        time."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open(mode, encoding="utf-8") as file:
                file.write(json.dumps(document) + "\n")
        except OSError as error:
            log.warning("answers to a suite are not kept: %s", error)
            self.forget()


def _documents(path: Path) -> Iterator[Any]:
    """A line that was half written when its writer was killed is the last one."""
    for line in path.read_text(encoding="utf-8").splitlines(keepends=True):
        if not line.endswith("\n"):
            return
        yield json.loads(line)
