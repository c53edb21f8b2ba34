"""A file of texts goes in, and comes out with the answers that the server would give, row by row."""

import csv
import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from serving.batch.__main__ import main
from serving.inference.engine import load
from serving.package.artifact import read_manifest
from serving.package.rules import AnswerRules, Task, Windows
from serving.packaging.build import build_package
from tests.serving.batch.support import read_jsonl, score, write_jsonl
from tests.serving.graphs import (
    CHECKPOINT,
    PROBABILITIES_APART,
    SCORES_APART,
    VECTORS_APART,
    embedding_checkpoint,
    package_of,
    span_checkpoint,
)
from tests.serving.replica import REPOSITORY, replica

TEXTS = [
    "where is my order",
    "refund",
    "i want to cancel it please " * 8,
    "nonsense words here",
    "Refund my money back",
]
APART = dict.fromkeys(("classes", "int8", "windows"), PROBABILITIES_APART) | {
    "embedding": VECTORS_APART,
    "entities": SCORES_APART,
}
ROWS = [{"id": number, "text": TEXTS[number % len(TEXTS)] + " order" * (number % 7)} for number in range(60)]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_jsonl(tmp_path / "in.jsonl", ROWS)


def run(artifact: Path, *arguments: object) -> int:
    return main(["--artifact", str(artifact), *map(str, arguments)])


def test_every_row_comes_out_in_its_place_with_its_other_columns(built_package: Path, source: Path) -> None:
    """Texts are grouped by length for speed; nobody sees it."""
    assert run(built_package, source, source.with_name("out.jsonl"), "--block-rows", 16) == 0
    rows = read_jsonl(source.with_name("out.jsonl"))
    assert [{"id": row["id"], "text": row["text"]} for row in rows] == ROWS
    assert all(row.keys() == {"id", "text", "label", "confidence", "truncated"} for row in rows)


def test_numbers_are_those_of_each_text_alone(built_package: Path, source: Path) -> None:
    """Neither the block nor the company in an engine call shows."""
    engine = load(built_package)
    alone = [engine.predict([row["text"]])[0].probabilities for row in ROWS]
    for rows in (7, 1000):
        out = source.with_name(f"out-{rows}.jsonl")
        assert run(built_package, source, out, "--probabilities", "--block-rows", rows) == 0
        scored = [list(row["probabilities"].values()) for row in read_jsonl(out)]
        np.testing.assert_allclose(scored, alone, rtol=0, atol=PROBABILITIES_APART)


@pytest.mark.integration
@pytest.mark.parametrize("task", ["classes", "int8", "windows", "embedding", "entities"])
def test_numbers_are_those_of_the_server(task: str, tmp_path: Path, source: Path) -> None:
    """The same tokenizer, graph and code online and in batch: a text that is sent alone gets the same answer.

    Of an int8 version, too, whose graph scales activations by the largest of a call, so that company shows there.
    """
    package = _package(task, tmp_path)
    assert run(package, source, tmp_path / "out.jsonl", "--probabilities") == 0
    scored = read_jsonl(tmp_path / "out.jsonl")
    with replica(package) as server, httpx.Client(trust_env=False, base_url=server.url) as client:
        for row in scored:
            online = client.post("/predict", json={"text": row["text"]}).raise_for_status().json()
            expected = {name: online[name] for name in online.keys() - {"model", "model_version", "request_id"}}
            words, numbers = _taken_apart({name: row[name] for name in expected})
            online_words, online_numbers = _taken_apart(expected)
            assert words == online_words
            np.testing.assert_allclose(numbers, online_numbers, rtol=0, atol=APART[task])


def _taken_apart(value: Any) -> tuple[list[Any], list[float]]:
    """What must be equal, and what must be equal within rounding."""
    if isinstance(value, float):
        return [], [value]
    if not isinstance(value, dict | list):
        return [value], []
    inner = [*sorted(value.items())] if isinstance(value, dict) else value
    parts = [_taken_apart(part) for pair in inner for part in (pair if isinstance(pair, tuple) else (pair,))]
    return [word for words, _ in parts for word in words], [number for _, numbers in parts for number in numbers]


def _package(task: str, directory: Path) -> Path:
    package = directory / "package"
    if task == "embedding":
        return package_of(embedding_checkpoint(directory / "c"), package, AnswerRules(Task.EMBEDDING, normalise=True))
    if task == "entities":
        return package_of(span_checkpoint(directory / "c"), package, AnswerRules(Task.TOKEN_CLASSIFICATION))
    rules = AnswerRules(windows=Windows(overlap_tokens=4)) if task == "windows" else AnswerRules()
    build_package(CHECKPOINT, package, rules=rules, variant="int8" if task == "int8" else "fp32")
    return package


@pytest.mark.parametrize("target", ["out.jsonl", "out.csv", "out.parquet"])
@pytest.mark.parametrize("made", ["in.jsonl", "in.csv", "in.parquet"])
def test_every_format_goes_to_every_format(built_package: Path, tmp_path: Path, made: str, target: str) -> None:
    """The same rows and the same answers, whatever they lie in."""
    rows = [{"text": text, "note": 'a "quoted", note\nof two lines'} for text in TEXTS]
    _write(tmp_path / made, rows)
    assert run(built_package, tmp_path / made, tmp_path / target, "--probabilities", "--block-rows", 2) == 0
    engine = load(built_package)
    labels = read_manifest(built_package)[0].labels
    found = _read(tmp_path / target)
    assert [{name: row[name] for name in ("text", "note")} for row in found] == rows
    for row in found:
        shares = row["probabilities"] if isinstance(row["probabilities"], dict) else json.loads(row["probabilities"])
        assert list(shares) == list(labels)
        assert tuple(shares.values()) == pytest.approx(
            engine.predict([row["text"]])[0].probabilities, abs=PROBABILITIES_APART
        )
        assert row["label"] == max(shares, key=lambda label: shares[label])
        assert float(row["confidence"]) == shares[row["label"]]


def _write(path: Path, rows: list[dict[str, str]]) -> None:
    if path.suffix == ".jsonl":
        write_jsonl(path, rows)
    elif path.suffix == ".csv":
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, fieldnames=list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    else:
        arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
        parquet.write_table(arrow.Table.from_pylist(rows), path, row_group_size=3)


def _read(path: Path) -> list[dict[str, Any]]:
    if path.suffix == ".jsonl":
        return read_jsonl(path)
    if path.suffix == ".csv":
        with path.open(newline="") as file:
            return list(csv.DictReader(file))
    rows: list[dict[str, Any]] = pytest.importorskip("pyarrow.parquet").read_table(path).to_pylist()
    return rows


def test_what_came_as_json_stays_as_it_was_written(built_package: Path, tmp_path: Path) -> None:
    """Numbers that a parser would round, odd spaces and escapes come out as they went in."""
    line = '{ "id": 12345678901234567890.10, "text" : "refund", "e":"\\u00e9" }'
    (tmp_path / "in.jsonl").write_text(f"\ufeff{line}\r\n\n{line}")
    assert run(built_package, tmp_path / "in.jsonl", tmp_path / "out.jsonl") == 0
    out = (tmp_path / "out.jsonl").read_text().splitlines()
    assert len(out) == 2
    assert all(scored.startswith(line[:-1].rstrip() + ', "label": ') for scored in out)


def test_csv_values_stay_text(built_package: Path, tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text('zip,text\n00123,refund\n"1,5","where is ""my"" order"\n')
    assert run(built_package, tmp_path / "in.csv", tmp_path / "out.csv") == 0
    lines = (tmp_path / "out.csv").read_text().splitlines()
    assert lines[0] == "zip,text,label,confidence,truncated"
    assert [line.split(",label")[0][:8] for line in lines[1:]] == ["00123,re", '"1,5","w']


def test_streams_go_through(built_package: Path) -> None:
    done = score(built_package, "-", "-", stdin='{"text": "refund"}\n{"text": "where is my order"}\n')
    assert done.returncode == 0, done.stderr
    assert [json.loads(line)["text"] for line in done.stdout.splitlines()] == ["refund", "where is my order"]


def test_columns_are_named_by_choice(built_package: Path, tmp_path: Path) -> None:
    write_jsonl(tmp_path / "in.jsonl", [{"body": "refund", "label": "true one"}])
    flags = ("--text-column", "body", "--prefix", "predicted_")
    assert run(built_package, tmp_path / "in.jsonl", tmp_path / "out.jsonl", *flags) == 0
    (row,) = read_jsonl(tmp_path / "out.jsonl")
    assert row["label"] == "true one"
    assert {"predicted_label", "predicted_confidence", "predicted_truncated"} <= row.keys()


@pytest.mark.parametrize("name", ["in.jsonl", "in.csv"])
def test_an_empty_file_gives_an_empty_file(built_package: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("text\n" if name == "in.csv" else "")
    for suffix in ("jsonl", "csv", "parquet"):
        assert run(built_package, tmp_path / name, tmp_path / f"out.{suffix}") == 0
        assert _read(tmp_path / f"out.{suffix}") == []


BAD: list[tuple[str, str, str]] = [
    ('{"id": 1}', "missing_text", "has no column 'text'"),
    ('{"text": 7}', "wrong_type", "is not a string"),
    ('{"text": "  "}', "empty_text", "is empty"),
    (json.dumps({"text": "x" * 30_000}), "text_too_long", "at most 20000 characters"),
    ('{"text": "\\ud800"}', "invalid_text", "surrogate"),
    ('{"text": "refund", "label": 1}', "column_exists", "--prefix"),
    ('["refund"]', "not_a_row", "is not a JSON object"),
    ("{nonsense", "not_a_row", "is not JSON"),
]


@pytest.mark.parametrize(("line", "code", "words"), BAD, ids=[code + str(at) for at, (_, code, _) in enumerate(BAD)])
def test_a_bad_row_ends_the_run_or_is_left_out_by_choice(
    built_package: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], line: str, code: str, words: str
) -> None:
    """Either way it is named: by its line in the file, with the reason."""
    (tmp_path / "in.jsonl").write_text(f'{{"text": "refund"}}\n\n{line}\n{{"text": "where is my order"}}\n')
    out = tmp_path / "out.jsonl"
    assert run(built_package, tmp_path / "in.jsonl", out) == 1
    said = capfd.readouterr().err
    assert "line 3: " in said
    assert words in said
    assert not out.exists()
    assert run(built_package, tmp_path / "in.jsonl", out, "--on-error", "skip", "--overwrite") == 0
    assert [row["text"] for row in read_jsonl(out)] == ["refund", "where is my order"]
    (error,) = read_jsonl(tmp_path / "out.jsonl.errors.jsonl")
    assert (error["line"], error["code"]) == (3, code)
    assert words in error["message"]
    assert "1 skipped" in capfd.readouterr().err


def test_a_row_of_another_width_is_named(
    built_package: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "in.csv").write_text('text,n\nrefund,1\n"two\nlines",1\nrefund,1,2\n')
    assert run(built_package, tmp_path / "in.csv", tmp_path / "out.csv") == 1
    assert "line 5: has 3 columns, the header has 2" in capfd.readouterr().err


def test_a_file_without_the_texts_is_refused_before_anything_is_scored(
    built_package: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "in.csv").write_text("body,n\nrefund,1\n")
    assert run(built_package, tmp_path / "in.csv", tmp_path / "out.csv") == 1
    assert "has no column 'text', but body, n; name the texts with --text-column" in capfd.readouterr().err
    assert not list(tmp_path.glob("out*"))


def test_when_no_row_can_be_scored_that_is_no_success(
    built_package: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Skipping is for a few bad rows, not for a wrong column name."""
    write_jsonl(tmp_path / "in.jsonl", [{"body": "refund"}] * 3)
    assert run(built_package, tmp_path / "in.jsonl", tmp_path / "out.jsonl", "--on-error", "skip") == 1
    assert "not one of 3 rows" in capfd.readouterr().err
    assert not (tmp_path / "out.jsonl").exists()


def test_a_package_that_is_not_what_was_registered_is_refused(package: Path, source: Path) -> None:
    (package / "model.onnx").write_bytes(b"something else")
    assert run(package, source, source.with_name("out.jsonl")) == 3


@pytest.mark.parametrize(
    "arguments", [("in.jsonl", "out.jsonl", "--block-rows", "0"), ("-", "out.jsonl", "--ray", "auto"), ("in.jsonl",)]
)
def test_usage_errors_have_a_status_of_their_own(built_package: Path, arguments: tuple[str, ...]) -> None:
    with pytest.raises(SystemExit) as raised:
        run(built_package, *arguments)
    assert raised.value.code == 2


def test_rows_that_no_column_type_holds_are_named(
    built_package: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Parquet has one type for a column: the first block says which."""
    rows: list[Mapping[str, Any]] = [{"text": "refund", "n": 1}] * 4 + [{"text": "refund", "n": "one"}]
    write_jsonl(tmp_path / "in.jsonl", rows)
    assert run(built_package, tmp_path / "in.jsonl", tmp_path / "out.parquet", "--block-rows", 4) == 1
    assert "column 'n' is int64 in the first block" in capfd.readouterr().err


@pytest.mark.integration
def test_memory_does_not_grow_with_the_file(built_package: Path, tmp_path: Path) -> None:
    """Ten times the file, the same memory."""
    peaks_mb = []
    for rows in (40, 400):
        source = write_jsonl(tmp_path / f"{rows}.jsonl", [{"text": "refund", "note": "n" * 100_000}] * rows)
        run_it = (
            "import sys; from serving.batch.__main__ import main; status = main(sys.argv[1:]);"
            "peak = next(line for line in open('/proc/self/status') if line.startswith('VmHWM'));"
            "print(status, int(peak.split()[1]) / 1024)"
        )
        flags = ["--artifact", built_package, source, source.with_suffix(".csv"), "--block-rows", "10"]
        done = subprocess.run(
            [sys.executable, "-c", run_it, *map(str, flags)], cwd=REPOSITORY, capture_output=True, text=True, check=True
        )
        status, peak_mb = done.stdout.split()
        assert status == "0", done.stderr
        peaks_mb.append(float(peak_mb))
    assert peaks_mb[1] - peaks_mb[0] < 20, peaks_mb
