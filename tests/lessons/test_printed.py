"""What commands and logs print: one line stays one line, and the exit code says what became of it."""

import io
import json
import logging
import subprocess
import sys
from pathlib import Path

import pytest
from rich.table import Table
from rich.text import Text

from controller.cli import output
from controller.cli.console import HarmlessConsole
from controller.cli.errors import told
from controller.core.commands import Freeze
from controller.errors import ConflictError, PermanentError, SerinError, Source, TransientError, UsageError
from controller.offline.ci_gate import EXAMPLES_MAX, SLICES_MAX, GateResult, SliceCount, WrongCase, _slices
from controller.offline.ci_gate_files import summary, write_junit
from controller.overview import Overview
from controller.status import status_table
from gates.offline.suite_cases import SuiteResult
from gates.outcome import Outcome
from gates.verdict import Stage, Verdict
from serving.text.printable import one_line, printable
from tests.lessons.pipeline import environment

EVIL = "x\n2026-01-01 INFO intent-v7-1: promoted\r\x1b[2J\u202e"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain → ✓ 你好 é", "plain → ✓ 你好 é"),
        ("a\nb\r\tc", "a\\nb\\r\\tc"),
        ("\x1b[31mred\x9b0m", "\\x1b[31mred\\x9b0m"),
        ("\u202eabc\u2066\u200b", "\\u202eabc\\u2066\\u200b"),
        ("10\u00a0%", "10 %"),
        ("\ud800", "\\ud800"),
        ("##[error]x ##VSO[y", "# #[error]x # #VSO[y"),
        ("", ""),
    ],
)
def test_printable_replaces_what_would_act_and_keeps_what_reads(text: str, shown: str) -> None:
    assert printable(text) == shown
    assert printable(printable(text)) == shown


def test_a_line_that_begins_like_a_workflow_command_is_none() -> None:
    assert one_line("::error::x") == ": :error::x"
    assert one_line(" \u00a0::error::x").lstrip().startswith(": :")
    assert one_line("  ::error::x") == "  : :error::x", "what stands in columns stays there"
    assert one_line("a ::error::x") == "a ::error::x"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UsageError("u"), 2),
        (TransientError("registry", "t"), 4),
        (PermanentError("p"), 4),
        (ConflictError(Source.TRAFFIC, "c"), 4),
        (SerinError("s"), 4),
        (ZeroDivisionError("a defect\nserin: promoted"), 4),
        (RecursionError(), 4),
        (MemoryError(), 4),
        (AssertionError("a"), 4),
        (FileNotFoundError(2, "No such file", "/a/b"), 2),
        (PermissionError(13, "Permission denied", "/a/b"), 2),
        (OSError(24, "Too many open files", "/a/b"), 4),
        (OSError("odd"), 4),
        (KeyboardInterrupt(), 130),
    ],
    ids=repr,
)
def test_only_a_verdict_ends_with_one(error: BaseException, code: int, capsys: pytest.CaptureFixture[str]) -> None:
    """1 is "this version failed" to a pipeline: no error, foreseen or not, may say so."""
    with pytest.raises(SystemExit) as ended, told():
        raise error
    assert ended.value.code == code
    lines = capsys.readouterr().err.splitlines()
    assert lines[-1].startswith("serin: ")
    assert [line for line in lines if line.startswith("serin: promoted")] == []
    assert len(lines) == 1 or "Traceback" in lines[0]


def test_a_defect_of_a_real_command_ends_with_four(tmp_path: Path) -> None:
    """The whole way, as the console script takes it."""
    script = (
        "import sys; from controller.cli import main; from controller.cli.app import app\n"
        "@app.command()\ndef broken():\n    raise RuntimeError('odd\\n::error::x')\n"
        "sys.argv = ['serin', 'broken']; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env=environment(tmp_path), check=False
    )
    assert done.returncode == 4
    assert "Traceback" in done.stderr
    assert "\n::error" not in done.stderr
    assert done.stderr.splitlines()[-1] == "serin: a defect in Serin, not a verdict: RuntimeError: odd\\n::error::x"


def test_json_on_a_terminal_is_the_same_value_and_obeys_nobody(capsys: pytest.CaptureFixture[str]) -> None:
    document = {"reason": EVIL, "name": "é\u2028\x9b", "high": "\U000e0001😀", "ci": "##[error]x ##vso[y"}
    output.say_json(document)
    said = capsys.readouterr().out
    assert json.loads(said) == document
    assert "##[" not in said
    assert "##vso" not in said
    assert not [letter for letter in said if not letter.isprintable() and letter != "\n"]


def test_tables_read_no_markup_and_let_no_escape_through() -> None:
    table = Table()
    table.add_column("[red]head")
    table.add_row("[red]x[/red] \x1b[2J")
    table.add_row(Text("\u202ey\x07"))
    console = HarmlessConsole()
    console.file = file = io.StringIO()
    console.print(table)
    said = file.getvalue()
    assert "[red]x[/red]" in said
    assert "[red]head" in said
    assert not [letter for letter in said if not letter.isprintable() and letter != "\n"]


def test_status_shows_a_reason_on_one_line() -> None:
    """A line break in a reason forged a line "promoted"."""
    console = HarmlessConsole()
    console.file = file = io.StringIO()
    console.width = 200
    console.print(status_table(Overview([], now_s=0.0, traffic={}, freezes=[Freeze("intent", EVIL, EVIL, 0.0)])))
    assert [line for line in file.getvalue().splitlines() if line.startswith("2026")] == []


def drawn(*renderables: str | Text | Table, width: int = 60) -> list[str]:
    console = HarmlessConsole()
    console.file = file = io.StringIO()
    console.width = width
    for renderable in renderables:
        console.print(renderable)
    return file.getvalue().splitlines()


def test_no_table_and_no_line_drawn_commands_a_ci_system() -> None:
    """A label source's name, and a reason, were printed as they came: a CI system obeys them wherever they stand."""
    reason = "see ##vso[task.complete result=Failed;] and ##[error]boo ##teamcity[x"
    table = Table(box=None)
    table.add_column("##[error]head")
    table.add_row(reason)
    table.add_row(Text(reason))
    said = "\n".join(drawn(table, reason, Text.assemble(("#", "red"), "#", ("[error]x", "bold"))))
    assert "# #vso[task.complete" in said
    assert "# #[error]x" in said
    assert not [command for command in ("##vso[", "##[", "##teamcity[") if command in said]


def test_no_line_that_is_broken_begins_with_a_command() -> None:
    """Words that stood in the middle begin a line where the width says so: in a table after blanks."""
    long = "x" * 56
    table = Table(box=None)
    table.add_column("gate")
    table.add_column("why")
    table.add_row("accuracy", f"{'x' * 45} ::error::in a table")
    lines = drawn(table, f"{long} ::error::in a line", Text.assemble(f"{long} ", (":", "red"), ":error::in parts"))
    assert [line for line in lines if line.lstrip().startswith("::")] == []
    assert sum(line.lstrip().startswith(": :error::in") for line in lines) == 3


LOGGING = """
import logging, sys, threading
from serving.text.logs import log_to_stderr
log_to_stderr(logging.INFO, "%(asctime)s %(levelname)s %(message)s")
evil = sys.argv[1]
logging.getLogger("x").info("release %s", evil)
other = logging.getLogger("library")
handler = logging.StreamHandler(); handler.setFormatter(logging.Formatter("LIB %(message)s")); other.addHandler(handler)
other.propagate = False
try:
    raise ValueError(evil)
except ValueError:
    logging.getLogger("x").exception("failed: %s", evil)
    other.exception("failed")
thread = threading.Thread(target=lambda: 1 / 0 if evil is None else (_ for _ in ()).throw(RuntimeError(evil)))
thread.start(); thread.join()
raise RuntimeError(evil)
"""


def test_no_record_of_a_log_forges_a_line(tmp_path: Path) -> None:
    """Messages, tracebacks, a library's own handler, what ends a thread and what ends the process."""
    done = subprocess.run(
        [sys.executable, "-c", LOGGING, EVIL.replace("\x00", "")],
        capture_output=True, text=True, env=environment(tmp_path), check=False,
    )  # fmt: skip
    lines = done.stderr.splitlines()
    assert done.returncode == 1
    assert len([line for line in lines if not line.startswith("    | ")]) == 5
    assert not [line for line in lines if line.startswith("2026-01-01")]
    assert not [letter for letter in done.stderr if not letter.isprintable() and letter != "\n"]
    assert sum("RuntimeError" in line for line in lines) >= 2


def test_a_records_own_arguments_stay_as_they_are() -> None:
    """Only what is written is made harmless; handlers that send records elsewhere see what was said."""
    from serving.text.logs import OneLineRecord

    record = OneLineRecord("x", logging.INFO, "f", 1, "%s", (EVIL,), None)
    assert record.getMessage() == printable(EVIL)
    assert record.args == (EVIL,)


def wrong(number: int) -> SuiteResult:
    return SuiteResult(f"c{number}", "a", "b", 0.9, slices=(f"{number}-{'s' * 990}",))


def test_a_summary_stays_far_below_a_megabyte(tmp_path: Path) -> None:
    """Ten thousand slices with names as long as they may be: the worst are named, the others counted."""
    slices = _slices([wrong(number) for number in range(10_000)])
    verdict = Verdict("accuracy.suite", Stage.SUITE, Outcome.FAIL, "r" * 100_000)
    result = GateResult(
        "m" * 100_000, None, ("s" * 100_000,), (verdict,), slices[: SLICES_MAX + 1],
        tuple(WrongCase("|" * 1_000, "|" * 1_000, "|" * 1_000, 0.9) for _ in range(EXAMPLES_MAX)), 10_000 - SLICES_MAX,
    )  # fmt: skip
    text = summary(result)
    assert len(text.encode()) < 200_000
    assert "9,975 more slices, of which none is worse, are left out" in text
    write_junit(result, tmp_path / "junit.xml")
    assert (tmp_path / "junit.xml").stat().st_size < 200_000


def test_the_worst_slices_are_those_that_are_named() -> None:
    results = [
        SuiteResult(f"c{n}", "a", "a" if n % 100 < n // 100 else "b", 0.9, slices=(f"s{n // 100:02}",))
        for n in range(4_000)
    ]
    named = [part.name for part in _slices(results)[: SLICES_MAX + 1]]
    assert named == ["", *(f"s{n:02}" for n in range(SLICES_MAX))]
    assert isinstance(_slices(results)[0], SliceCount)
