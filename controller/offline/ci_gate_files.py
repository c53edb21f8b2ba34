"""The files that `serin gate` writes for pipelines: JUnit, a Markdown summary, and JSON. They never show the pass of an
earlier run.

Text from outside (names of slices, cases, classes) is written on one line and escaped.
"""

import html
import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Final

from junitparser import Error, Failure, JUnitXml, Skipped, TestCase, TestSuite
from pydantic_core import to_jsonable_python

from controller.errors import UsageError, in_words
from controller.offline.ci_gate import GateResult, Question, unjudged
from controller.report.words import SYMBOLS, measures
from gates.outcome import Outcome
from gates.verdict import Verdict
from serving.text.printable import one_line, printable

SCHEMA: Final = "serin.gate/v1"
_NOT_ENDED: Final = "Could not judge: the step did not come to its end; it runs still, or it was killed."
_CHARS_MAX: Final = 1_000  # of one name or reason in a file
_MARKDOWN: Final = re.compile(r"([\\`*_\[\]|#!~$]|:(?=//))")


@dataclass(slots=True)
class ResultFiles:
    """The result files of one run.

    ``inputs``: the files that the step reads, which no output may replace.
    """

    junit: Path | None = None
    summary: Path | None = None
    json: Path | None = None
    inputs: Sequence[Path] = ()
    _summary_bytes: int | None = field(default=None, init=False)  # size of the summary before our part

    def begin(self, question: Question) -> None:
        """Write "could not judge" into each file, so that the file says so even if this process dies.

        Raises:
            UsageError: a file cannot be written, or is also an input or another output.
        """
        self._check_apart()
        self._write(unjudged(question, Outcome.ERROR, _NOT_ENDED), _is_kept)

    def write(self, result: GateResult) -> None:
        """Write the result into each file, in place of what `begin` wrote.

        Raises:
            UsageError: some files cannot be written; names them all. The others are written.
        """
        self._write(result, lambda _: True)

    def _write(self, result: GateResult, is_meant: Callable[[Path], bool]) -> None:
        writers = [(path, write) for path, write in self._writers() if is_meant(path)]
        problems = [problem for path, write in writers if (problem := _tried(path, write, result))]
        if problems:
            raise UsageError("; ".join(problems))

    def _writers(self) -> Iterator[tuple[Path, Callable[[GateResult, Path], None]]]:
        if self.junit is not None:
            yield self.junit, write_junit
        if self.json is not None:
            yield self.json, write_json
        if self.summary is not None:
            yield self.summary, self._write_summary

    def _write_summary(self, result: GateResult, path: Path) -> None:
        """Write the summary. It replaces what this run wrote before; what other steps wrote earlier stays."""
        if self._summary_bytes is None:
            self._summary_bytes = path.stat().st_size if path.is_file() else 0
        elif path.is_file():
            with path.open("r+b") as file:
                file.truncate(self._summary_bytes)
        write_summary(result, path)

    def _check_apart(self) -> None:
        named = {"--junit": self.junit, "--summary": self.summary, "--json": self.json}
        outputs = [(option, path) for option, path in named.items() if path is not None]
        for place, (option, path) in enumerate(outputs):
            for other in self.inputs:
                if _same(path, other):
                    raise UsageError(f"{option} {path}: is read by this very step; name another file")
            for earlier, other in outputs[:place]:
                if _same(path, other) and path.is_file():
                    raise UsageError(f"{option} {path}: is the file of {earlier}, too; name another one")


def _is_kept(path: Path) -> bool:
    """Return whether writing there can be replaced later; false for a pipe or a device."""
    return path.is_file() or path.is_dir() or not path.exists()


def _same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:
        return one.absolute() == other.absolute()


def _tried(path: Path, write: Callable[[GateResult, Path], None], result: GateResult) -> str | None:
    """Write the file, and return why it could not be written; None if it was."""
    try:
        write(result, path)
    except OSError as error:
        return f"{path}: cannot be written: {in_words(error)}"
    except ValueError as error:  # a path with a NUL
        return f"{path}: cannot be written: {error}"
    return None


# --- JUnit ------------------------------------------------------------------------------------------------------------
def write_junit(result: GateResult, path: Path) -> None:
    """Write a JUnit file with one test case for each gate. Every outcome but a pass is a failure or an error, so that
    no viewer shows it green; advisory gates are skipped instead."""
    suite = TestSuite(f"serin gate {_clipped(result.model)}")
    for verdict in result.verdicts:
        suite.add_testcase(_test_case(result, verdict))
    document = JUnitXml()
    document.add_testsuite(suite)
    content = BytesIO()
    document.write(content, pretty=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.getvalue())


def _test_case(result: GateResult, verdict: Verdict) -> TestCase:
    case = TestCase(_clipped(verdict.gate), classname=f"serin.{verdict.stage}")
    reason = _clipped(verdict.reason)
    if verdict.advisory and verdict.outcome is not Outcome.PASS:
        case.result = [Skipped(f"advisory, {verdict.outcome}: {reason}")]
    elif verdict.outcome is Outcome.FAIL:
        failure = Failure(reason, type_=verdict.outcome.value)
        failure.text = "\n".join(one_line(line) for line in [reason, *_slice_lines(result), *_wrong_lines(result)])
        case.result = [failure]
    elif verdict.outcome is not Outcome.PASS:
        case.result = [Error(reason, type_=verdict.outcome.value)]
    return case


def _slice_lines(result: GateResult) -> list[str]:
    lines = [
        f"{f'slice {_clipped(part.name)}' if part.name else 'all cases'}: {part.wrong} of {part.cases} wrong"
        for part in result.slices
        if part.wrong
    ]
    return [*lines, *([_more_slices(result)] if result.slices_left_out else [])]


def _more_slices(result: GateResult) -> str:
    return f"{result.slices_left_out:,} more slices, of which none is worse, are left out"


def _wrong_lines(result: GateResult) -> list[str]:
    return [
        f"case {_clipped(c.id)}: {_clipped(c.label)} ({c.confidence:.2f}) instead of {_clipped(c.truth)}"
        for c in result.wrong
    ]


# --- Markdown ---------------------------------------------------------------------------------------------------------
def write_summary(result: GateResult, path: Path) -> None:
    """Append the summary to the file, such as a CI system's job summary, to which other steps may have written."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(summary(result))


def summary(result: GateResult) -> str:
    """Return the summary as Markdown: the outcome, a table of gates, the worst slices and the wrong answers. It is far
    smaller than the megabyte that CI systems accept."""
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
    if result.slices_left_out:
        lines += ["", f"{_more_slices(result)}."]
    if result.wrong:
        lines += ["", f"The {len(result.wrong)} surest of the wrong answers:", ""]
        lines += [f"- {_md(line)}" for line in _wrong_lines(result)]
    return "\n".join(lines) + "\n\n"


def _row(verdict: Verdict) -> str:
    shown = measures(verdict)
    note = " (advisory)" if verdict.advisory else ""
    cells = (
        f"{SYMBOLS[verdict.outcome]} {verdict.outcome}{note}",
        _md(verdict.gate),
        _md("; ".join(f"{one.value} {one.unit}".rstrip() for one in shown)),
        _md("; ".join(one.limit for one in shown)),
        f"{verdict.samples:,}",
        _md(verdict.reason),
    )
    return f"| {' | '.join(cells)} |"


def _md(text: str) -> str:
    """Return the text on one line, escaped for Markdown and HTML."""
    return _MARKDOWN.sub(r"\\\1", html.escape(" ".join(_clipped(text).split()), quote=False))


# --- JSON -------------------------------------------------------------------------------------------------------------
def write_json(result: GateResult, path: Path) -> None:
    """Write the file with `json_text`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(json_text(result).encode("utf-8", "backslashreplace") + b"\n")  # a path may hold bytes of no text


def json_text(result: GateResult) -> str:
    """Return the result as JSON (``serin.gate/v1``); a number that is not finite is null."""
    document = {
        "schema": SCHEMA,
        "outcome": result.outcome,
        "exit_code": result.exit_code,
        "sentence": result.sentence,
        "result": result,
    }
    plain = to_jsonable_python(document, inf_nan_mode="null")
    return json.dumps(plain, ensure_ascii=False, allow_nan=False, indent=2)


def _clipped(text: str) -> str:
    """Return at most ``_CHARS_MAX`` characters of the text, without those that are not printable and that XML cannot
    hold."""
    return printable(text if len(text) <= _CHARS_MAX else f"{text[: _CHARS_MAX - 1]}…")
