"""A run that was killed goes on where it was: nothing lost, nothing twice, and nobody can tell from the output."""

import os
import signal
import subprocess
from pathlib import Path

import pytest

from serving.batch.__main__ import main
from serving.batch.job import BatchError
from serving.batch.parts import Part, opened
from serving.packaging.build import build_package
from tests.patience import PATIENCE_S
from tests.serving.batch.support import command, read_jsonl, write_jsonl
from tests.serving.graphs import CHECKPOINT
from tests.serving.replica import REPOSITORY, until

FLAGS = ("--block-rows", "20", "--on-error", "skip", "--threads", "1")
ROWS = [{"id": number, "text": "refund my order " * (1 + number % 9) if number % 97 else ""} for number in range(3000)]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_jsonl(tmp_path / "in.jsonl", ROWS)


def run(artifact: Path, *arguments: object) -> int:
    return main(["--artifact", str(artifact), *map(str, arguments)])


def interrupted(artifact: Path, source: Path, out: Path, by: signal.Signals, blocks: int) -> tuple[int, str]:
    """Start a run, and signal it once so many blocks are done; its status and what it said."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job hands on "ignored"
    process = subprocess.Popen(
        command(artifact, source, out, *FLAGS), cwd=REPOSITORY, stderr=subprocess.PIPE, text=True
    )
    signal.signal(signal.SIGINT, before)
    try:
        until(lambda: process.poll() is not None or len(parts(out)) >= blocks, "blocks are done")
        process.send_signal(by)
        return process.wait(PATIENCE_S), process.stderr.read() if process.stderr else ""
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        if process.stderr:
            process.stderr.close()


def parts(out: Path) -> list[Path]:
    return sorted(out.with_name(f"{out.name}.parts").glob("*.part"))


@pytest.mark.integration
@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_a_killed_run_goes_on_to_the_same_bytes(built_package: Path, source: Path, suffix: str) -> None:
    """kill -9, twice; what was done by then is not done again."""
    whole, out = source.with_name(f"whole.{suffix}"), source.with_name(f"out.{suffix}")
    assert run(built_package, source, whole, *FLAGS) == 0
    for blocks in (20, 70):
        assert interrupted(built_package, source, out, signal.SIGKILL, blocks)[0] == -signal.SIGKILL
        assert not out.exists(), "an output that is there is whole"
    done = {path: path.stat().st_mtime_ns for path in parts(out)}
    assert len(done) >= 70
    for path in done:
        os.link(path, source.with_name(f"kept-{path.name}"))
    assert run(built_package, source, out, *FLAGS) == 0
    for path, written_ns in done.items():
        kept = source.with_name(f"kept-{path.name}")
        assert (kept.stat().st_mtime_ns, kept.stat().st_nlink) == (written_ns, 1), "it was not written again"
    assert out.read_bytes() == whole.read_bytes()
    errors, whole_errors = (path.with_name(f"{path.name}.errors.jsonl").read_bytes() for path in (out, whole))
    assert errors == whole_errors
    assert errors.count(b"\n") == len([row for row in ROWS if not row["text"]])
    assert not parts(out)
    assert not out.with_name(f"{out.name}.parts").exists()


@pytest.mark.integration
def test_ctrl_c_ends_it_at_once_and_says_how_to_go_on(built_package: Path, source: Path) -> None:
    out = source.with_name("out.jsonl")
    status, said = interrupted(built_package, source, out, signal.SIGINT, 3)
    assert (status, "Traceback" in said) == (130, False), said
    assert "interrupted; the same command continues" in said
    before = len(parts(out))
    assert before >= 3
    assert run(built_package, source, out, *FLAGS) == 0
    assert [row["id"] for row in read_jsonl(out)] == [row["id"] for row in ROWS if row["text"]]
    assert not source.with_name("out.jsonl.parts").exists()


@pytest.mark.parametrize("change", ["input", "option", "artifact"])
def test_another_run_is_refused_and_told_apart(
    built_package: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], change: str
) -> None:
    """What is done belongs to one version, one input and one set of options."""
    source = write_jsonl(tmp_path / "in.jsonl", [*ROWS[1:50], {"text": ""}])
    out = tmp_path / "out.jsonl"
    assert run(built_package, source, out, "--block-rows", 10) == 1
    assert len(parts(out)) == 4
    artifact, flags = built_package, ["--block-rows", "10"]
    if change == "input":
        write_jsonl(source, [*ROWS[1:50], {"text": "mended"}])
    elif change == "option":
        flags += ["--prefix", "my_"]
    else:
        artifact = tmp_path / "other"
        build_package(CHECKPOINT, artifact, golden_texts=[f"refund {number}" for number in range(20)])
    capfd.readouterr()
    assert run(artifact, source, out, *flags) == 1
    said = capfd.readouterr().err
    word = {"input": "the input has changed", "option": "option --prefix", "artifact": "differs in artifact"}[change]
    assert word in said
    assert "--overwrite discards that work" in said
    if change == "input":
        assert run(artifact, source, out, *flags, "--overwrite") == 0
        assert len(read_jsonl(out)) == 50


def test_an_output_that_exists_is_replaced_only_if_asked(
    built_package: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    source = write_jsonl(tmp_path / "in.jsonl", ROWS[1:5])
    out = tmp_path / "out.jsonl"
    out.write_text("mine")
    assert run(built_package, source, out) == 1
    assert "exists; --overwrite replaces it" in capfd.readouterr().err
    assert out.read_text() == "mine"
    assert run(built_package, source, out, "--overwrite") == 0
    assert len(read_jsonl(out)) == 4
    assert run(built_package, source, source, "--overwrite") == 1
    assert "is the input" in capfd.readouterr().err


def test_a_folder_of_somebody_else_is_left_alone(built_package: Path, tmp_path: Path) -> None:
    source = write_jsonl(tmp_path / "in.jsonl", ROWS[1:5])
    (tmp_path / "out.jsonl.parts").mkdir()
    (tmp_path / "out.jsonl.parts" / "thesis.txt").write_text("precious")
    assert run(built_package, source, tmp_path / "out.jsonl", "--overwrite") == 1
    assert (tmp_path / "out.jsonl.parts" / "thesis.txt").read_text() == "precious"


def test_one_process_at_a_time(tmp_path: Path) -> None:
    identity = {"artifact": "a"}
    with opened(tmp_path / "out.jsonl", identity, overwrite=False) as store:
        store.commit(Part(0, b"{}\n", ()))
        with (
            pytest.raises(BatchError, match="another process"),
            opened(tmp_path / "out.jsonl", identity, overwrite=False),
        ):
            pass
    with opened(tmp_path / "out.jsonl", identity, overwrite=False) as store:
        assert store.done() == {0}


def test_a_block_that_is_done_twice_counts_once(tmp_path: Path) -> None:
    """As on a cluster, where a node may die after it has done its work and before anyone knew."""
    with opened(tmp_path / "out.jsonl", {}, overwrite=False) as store:
        for _ in range(2):
            store.commit(Part(0, b"{}\n", ()))
        assert store.done() == {0}
        assert store.skipped() == 0
