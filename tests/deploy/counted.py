"""What of `deploy/` was checked: one line at the end of a run that checked some of it, in however many processes.

A test says what it checks by the fixture ``checked``; what is counted is what tests that passed have said.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import pytest
from _pytest.terminal import TerminalReporter

_CHECKED = "checked of deploy/"
_FOLDER = "tests/deploy/"


@pytest.fixture
def checked(request: pytest.FixtureRequest) -> Callable[..., None]:
    """Say what the test checks, in the plural, and how many."""
    return lambda what, number=1: request.node.user_properties.append((_CHECKED, [what, number]))


def pytest_terminal_summary(terminalreporter: TerminalReporter) -> None:
    if told := line_of(terminalreporter.stats):
        terminalreporter.write_line(told)


def line_of(stats: Mapping[str, Sequence[Any]]) -> str:
    """The line of a run with these reports, by outcome; empty where none is of `deploy/`."""
    passed = list(_of_folder(stats, "passed"))
    left_out = Counter(_why(report) for report in _of_folder(stats, "skipped"))
    failed = [*_of_folder(stats, "failed"), *_of_folder(stats, "error")]
    if not (passed or left_out or failed):
        return ""
    counts: Counter[str] = Counter()
    for report in passed:
        for what, number in (value for name, value in report.user_properties if name == _CHECKED):
            counts[what] += number
    parts = [", ".join(f"{number} {what}" for what, number in sorted(counts.items())) or "nothing counted"]
    parts.append(f"{len(passed)} tests passed, {len(failed)} failed")
    parts += [f"left out, {number} tests: {why}" for why, number in left_out.items()]
    return f"deploy: {'; '.join(parts)}"


def _of_folder(stats: Mapping[str, Sequence[Any]], outcome: str) -> Iterator[pytest.TestReport]:
    """The reports of tests of this folder that came to the outcome."""
    for report in stats.get(outcome, ()):
        if isinstance(report, pytest.TestReport) and report.nodeid.startswith(_FOLDER):
            yield report


def _why(report: pytest.TestReport) -> str:
    """Why the test was skipped."""
    said = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    return said.removeprefix("Skipped: ")
