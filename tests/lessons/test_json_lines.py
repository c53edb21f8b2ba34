"""Files that other tools wrote: lines are cut at LF alone, and what two readers would read differently is refused.

One promise, held for each kind of file: cases of a suite, recorded evidence, rows to score.
"""

import json
import os
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from controller.errors import UsageError
from controller.offline.evidence_file import line_of, read_evidence
from serving.batch.job import Options, RowError
from serving.batch.sources import open_source
from serving.text.jsonlines import DEPTH_MAX, Unreadable, loads, read_bounded
from suites.cases import BYTES_MAX, SuiteError, load
from tests.controller.test_evidence_format import PLAIN

Read = Callable[[Path], list[str]]


def texts_of_suite(path: Path) -> list[str]:
    return [case.text for case in load(path).cases]


def releases_of_evidence(path: Path) -> list[str]:
    return [look.release for look in read_evidence(path).looks]


def texts_of_rows(path: Path) -> list[str]:
    source = open_source(path, Options())
    found = [row for block in source.blocks() for row in source.rows(block)]
    if refused := [row for row in found if isinstance(row, RowError)]:
        raise UsageError(f"{path}, line {refused[0].line}: {refused[0].message}")
    return [row.values["text"] for row in found]


def case(number: int, text: str) -> dict[str, Any]:
    return {"id": str(number), "text": text, "label": "refund"}


def look(_: int, text: str) -> dict[str, Any]:
    return json.loads(line_of(PLAIN)) | {"release": text}


def row(number: int, text: str) -> dict[str, Any]:
    return {"n": number, "text": text}


KINDS = pytest.mark.parametrize(
    ("read", "make"),
    [(texts_of_suite, case), (releases_of_evidence, look), (texts_of_rows, row)],
    ids=["suite", "evidence", "batch"],
)


def written(path: Path, make: Callable[[int, str], dict[str, Any]], *texts: str, end: str = "\n") -> Path:
    lines = [json.dumps(make(number, text), ensure_ascii=False) for number, text in enumerate(texts)]
    path.write_bytes("".join(line + end for line in lines).encode())
    return path


@KINDS
def test_unicodes_line_separators_are_text(tmp_path: Path, read: Read, make: Any) -> None:
    """U+2028 within a text is where people break a line in a form; JSON may write it as it is."""
    texts = [f"where is{letter}my parcel" for letter in "\u2028\u2029\u0085"]
    assert read(written(tmp_path / "in.jsonl", make, *texts)) == texts


@KINDS
def test_a_byte_order_mark_is_no_part_of_the_first_line(tmp_path: Path, read: Read, make: Any) -> None:
    path = written(tmp_path / "in.jsonl", make, "one", "two")
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert read(path) == ["one", "two"]


@KINDS
def test_a_carriage_return_before_the_lines_end_is_dropped(tmp_path: Path, read: Read, make: Any) -> None:
    path = written(tmp_path / "in.jsonl", make, "one", "two", end="\r\n")
    path.write_bytes(path.read_bytes() + b"\r\n \r\n")
    assert read(path) == ["one", "two"]


@KINDS
def test_lines_that_end_with_cr_alone_are_one_clear_error(tmp_path: Path, read: Read, make: Any) -> None:
    """Not "Extra data", from which nobody would know."""
    path = written(tmp_path / "in.jsonl", make, "one", "two", end="\r")
    with pytest.raises((SuiteError, UsageError), match=r"line 1: .*lines end with CR alone; end them with LF"):
        read(path)


@KINDS
def test_a_key_that_is_written_twice_is_refused_with_line_and_key(tmp_path: Path, read: Read, make: Any) -> None:
    """The last one would count, silently; another reader takes the first."""
    path = written(tmp_path / "in.jsonl", make, "one", "two")
    path.write_bytes(path.read_bytes().replace(b'"two"', b'"two", "\\u0074wice": 1, "twice": 2'))
    with pytest.raises((SuiteError, UsageError), match=r"line 2: .*twice: occurs twice"):
        read(path)


@KINDS
@pytest.mark.parametrize(
    ("value", "said"),
    [
        (b"NaN", "NaN, which is not JSON"),
        (b"-Infinity", "-Infinity, which is not JSON"),
        (b"1e999", "1e999, which is too large"),
        (b"1" * 5_000, "which is too large"),
        (b"[" * 100_000, "nested too deeply"),
        (b"[" * 700 + b"]" * 700, ""),
        (b'"\xff"', "not UTF-8"),
        (b'"\xed\xa0\x80"', "not UTF-8"),
        (b'"a\nb"', "not JSON"),
        (b"", "not JSON"),
    ],
    ids=["nan", "infinity", "overflow", "digits", "deep", "deep-whole", "bytes", "cesu", "broken", "nothing"],
)
def test_what_no_reader_may_take_is_refused_by_name(
    tmp_path: Path, read: Read, make: Any, value: bytes, said: str
) -> None:
    """Never a traceback, never another value than was written; the line is named."""
    field = {case: "label", look: "deadline_s", row: "n"}[make]
    first, second = json.dumps(make(1, "one")), json.dumps(make(2, "two") | {field: "@"})
    path = tmp_path / "in.jsonl"
    path.write_bytes(f"{first}\n{second}\n".encode().replace(b'"@"', value))
    try:
        found = read(path)
    except (SuiteError, UsageError) as error:
        assert "line 2: " in str(error)  # noqa: PT017 - a nested array is a value like another where any is taken
        assert said.lower() in str(error).lower()  # noqa: PT017
    else:
        assert (found, said) == (["one", "two"], "")


def test_half_of_a_surrogate_pair_is_no_text() -> None:
    """JSON can write it; no replica, journal or terminal takes it. The field is named, a key too."""
    with pytest.raises(Unreadable, match=r"a\[1\]: is not a text"):
        loads('{"a": ["x", "\\ud800"]}')
    with pytest.raises(Unreadable, match="a key in it is not a text"):
        loads('{"\\udfff": 1}')
    assert loads('"\\ud83d\\ude00"') == "😀"


def test_a_row_of_a_batch_keeps_its_bytes(tmp_path: Path) -> None:
    """Digits of long numbers, the order of keys, escapes: what is written out is what was read."""
    line = '{ "id": 12345678901234567890123,"text" :"caf\\u00e9\u2028", "x": 1.10 }'
    (tmp_path / "in.jsonl").write_bytes(b"\xef\xbb\xbf" + line.encode() + b"\r\n")
    source = open_source(tmp_path / "in.jsonl", Options())
    ((found,),) = [list(source.rows(block)) for block in source.blocks()]
    assert not isinstance(found, RowError)
    assert found.raw == line.encode()
    assert found.values["id"] == 12345678901234567890123


def test_a_file_that_is_none_is_told_as_what_it_is(tmp_path: Path) -> None:
    """A folder, a packed file, one of another encoding, a dangling link: one line each, with the way out."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "packed.jsonl").write_bytes(b"\x1f\x8b\x08\x00rest")
    (tmp_path / "utf16.jsonl").write_bytes('{"id": "1"}\n'.encode("utf-16"))
    (tmp_path / "link.jsonl").symlink_to(tmp_path / "away.jsonl")
    for name, said in {
        "folder": "it is a folder",
        "packed.jsonl": "compressed with gzip; unpack it first",
        "utf16.jsonl": "line 1: not UTF-8 at byte 1: it looks like UTF-16; save the file as UTF-8",
        "link.jsonl": "No such file",
    }.items():
        with pytest.raises(SuiteError, match=f"{name}.*{said}"):
            load(tmp_path / name)


def test_a_pipe_or_a_device_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    """Opening a named pipe waits for a writer: a controller would hang there. What a shell opened for us is read."""
    os.mkfifo(tmp_path / "pipe.jsonl")
    for path in (tmp_path / "pipe.jsonl", Path("/dev/zero"), Path("/dev/tty0")):
        with pytest.raises(
            SuiteError, match=r"cannot be read: (it is not a file, but a pipe or a device|No such file)"
        ):
            load(path)
    read, write = os.pipe()
    os.write(write, json.dumps(case(1, "x")).encode())
    os.close(write)
    assert [found.text for found in load(Path(f"/dev/fd/{read}")).cases] == ["x"]
    os.close(read)


def test_a_file_without_end_is_not_read_to_the_end(tmp_path: Path) -> None:
    """A gigabyte given by mistake costs bounded memory and one line."""
    with (tmp_path / "large.jsonl").open("wb") as file:
        file.truncate(2**30)
    with pytest.raises(SuiteError, match=f"is longer than {BYTES_MAX:,} bytes"):
        load(tmp_path / "large.jsonl")
    with pytest.raises(Unreadable, match="longer than 10 bytes"):
        read_bounded(tmp_path / "large.jsonl", 10)


def test_a_name_as_long_as_a_book_is_refused(tmp_path: Path) -> None:
    """Names of cases, slices and classes stand in tables and summaries."""
    for field in ("id", "label"):
        path = tmp_path / f"{field}.jsonl"
        path.write_text(json.dumps(case(1, "x") | {field: "n" * 1_001}))
        with pytest.raises(SuiteError, match=f"line 1: {field}: a name has at most 1,000 characters"):
            load(path)


def nested(inner: str, levels: int) -> str:
    return f'{{"{"k" * 40}":' * levels + inner + "}" * levels


def test_a_deep_document_takes_no_more_memory_than_a_flat_one() -> None:
    """Each of the values kept the whole way to it: 80 kB took 720 MB, and 330 kB ended the process."""
    flat = f"[{','.join(['0'] * 50_000)}]"
    peaks = []
    for levels in (0, DEPTH_MAX - 1):
        text = nested(flat, levels)
        tracemalloc.start()
        loads(text)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + 100_000


def test_what_is_nested_too_deeply_is_refused_and_a_deep_fault_is_placed() -> None:
    """The place of a fault stays one that a line can tell."""
    assert loads(nested("1", DEPTH_MAX))
    with pytest.raises(Unreadable, match=r"^nested too deeply$"):
        loads(nested("[0]", DEPTH_MAX))
    with pytest.raises(Unreadable, match=r"^a\.b\[2\]\[1\]\.c: NaN, which is not JSON$"):
        loads('{"a": {"x": [1, {"y": 2}], "b": [0, {"z": [3]}, [4, {"c": NaN}]]}}')
