"""The answers of versions to suites, kept in files until all are there. Quick to import: `serin status` reads them."""

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from controller.ports.suites import SuiteProgress

if TYPE_CHECKING:
    from suites.runner import Predict

log = logging.getLogger(__name__)

_UNREADABLE: Final = (OSError, ValueError, KeyError, TypeError, AttributeError)


def progress_in(directory: Path, model: str) -> Sequence[SuiteProgress]:
    """The progress of asking versions of the model the suites, by what is kept in the folder."""
    found = []
    for path in sorted(directory.glob("*.jsonl")):
        with suppress(*_UNREADABLE):
            head, *parts = _documents(path)
            if head["model"] == model:
                suites = tuple(name for name, *_ in head["suites"])
                found.append(SuiteProgress(head["version"], suites, sum(map(len, parts)), head["cases"]))
    return found


class KeptAnswers:
    """The answers of one version so far: a line that says of what, and a line for each part of the cases."""

    def __init__(self, path: Path, head: Mapping[str, Any]) -> None:
        self._path = path
        self._head = head
        self._asked = 0

    def kept(self, predict: "Predict") -> "Predict":
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
