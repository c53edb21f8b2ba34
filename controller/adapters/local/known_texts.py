"""Labelled production texts in files of suites."""

from collections.abc import Sequence
from pathlib import Path

from controller.errors import Source, TransientError, in_words
from controller.ports.recordings import KnownText
from suites.cases import Suite, SuiteError, load

_Stamp = tuple[int, int]


class SuiteTexts:
    """Implements ``KnownTexts``. A file is read again when it has changed."""

    def __init__(self) -> None:
        self._read: dict[str, tuple[_Stamp, Suite]] = {}

    def __call__(self, suites: Sequence[str]) -> Sequence[KnownText]:
        return [
            KnownText(case.text, case.label, suite.name, _tags(case.slices))
            for suite in map(self._suite, suites)
            for case in suite.cases
        ]

    def _suite(self, name: str) -> Suite:
        path = Path(name)
        try:
            status = path.stat()
            stamp = status.st_mtime_ns, status.st_size
            if name not in self._read or self._read[name][0] != stamp:
                self._read[name] = stamp, load(path)
        except (OSError, SuiteError) as error:
            raise TransientError(
                Source.PREDICTIONS, f"a suite of shadow_replay cannot be read: {in_words(error)}"
            ) from error
        return self._read[name][1]


def _tags(slices: Sequence[str]) -> dict[str, str]:
    """The slices of a case as the tags of a request would tell them: ``lang:en``."""
    pairs = (name.partition(":") for name in slices)
    return {tag: value for tag, colon, value in pairs if colon and value}
