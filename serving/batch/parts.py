"""The parts of a run that are done: one file for each block beside the output, so that a killed run continues where it
stopped.

A block is done when its file has its name: files are written under another one, synchronised and renamed. The output
appears in the same way, once every block is done.
"""

import fcntl
import json
import os
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any, Final

from serving.batch.job import BatchError, RowError
from serving.batch.layouts import Layout

_JOB_FILE: Final = "job.json"
_LOCK_FILE: Final = "lock"
_FINISHED: Final = "finished"


@dataclass(frozen=True, slots=True)
class Part:
    """A block as it will be in the output, and its rows that will not be there."""

    index: int
    data: bytes
    errors: Sequence[RowError]


class PartStore:
    """The directory ``OUT.parts``. Whoever commits the same block twice, from wherever, leaves the same file."""

    def __init__(self, target: Path) -> None:
        self.target = target
        self.errors_file = target.with_name(f"{target.name}.errors.jsonl")
        self._directory = parts_directory(target)

    def done(self) -> frozenset[int]:
        return frozenset(int(path.stem) for path in self._directory.glob("*.part"))

    def commit(self, part: Part) -> None:
        """Errors first: a block is done when its own file is there."""
        if part.errors:
            lines = (json.dumps(asdict(error), ensure_ascii=False) + "\n" for error in part.errors)
            _write(self._errors(part.index), "".join(lines).encode())
        _write(self._part(part.index), part.data)

    def skipped(self) -> int:
        """Rows without an answer, in all parts."""
        return sum(path.read_bytes().count(b"\n") for path in self._all_errors())

    def first_error(self) -> str:
        for path in self._all_errors():
            error = json.loads(path.read_bytes().partition(b"\n")[0])
            return f"line {error['line']}: {error['message']}"
        return ""

    def finish(self, layout: Layout, blocks: int) -> None:
        """Make the output of all blocks, and the file of the rows that are not in it, if there are any.

        Raises:
            BatchError: a block is missing.
        """
        if missing := sorted(set(range(blocks)) - self.done()):
            raise BatchError(f"block {missing[0]} of {blocks} has not been done; the same command continues with it")
        if errors := self._all_errors():
            with _whole(self.errors_file, self._directory) as file:
                for path in errors:
                    file.write(path.read_bytes())
        else:
            self.errors_file.unlink(missing_ok=True)
        with _whole(self.target, self._directory) as file:
            layout.join((self._part(index) for index in range(blocks)), file)
        self._clear()

    def _all_errors(self) -> list[Path]:
        done = (self._errors(index) for index in sorted(self.done()))
        return [path for path in done if path.exists()]

    def _clear(self) -> None:
        job = self._directory / _JOB_FILE
        _write(job, json.dumps({_FINISHED: True}).encode())  # killed from here on, nothing of it is gone on with
        _empty(self._directory)
        job.unlink()
        (self._directory / _LOCK_FILE).unlink()
        self._directory.rmdir()

    def _part(self, index: int) -> Path:
        return self._directory / f"{index:08}.part"

    def _errors(self, index: int) -> Path:
        return self._directory / f"{index:08}.errors"


@contextmanager
def opened(target: Path, identity: Mapping[str, Any], *, overwrite: bool) -> Iterator[PartStore]:
    """The parts of a run, new or to be continued; for one process at a time.

    Raises: BatchError: the output exists, or the parts are of another run, or another process is working on it.
    """
    directory = parts_directory(target)
    job = directory / _JOB_FILE
    if directory.exists() and not job.exists() and any(path.name != _LOCK_FILE for path in directory.iterdir()):
        raise BatchError(f"{directory} is not the folder of a batch run; move it away, or write somewhere else")
    directory.mkdir(exist_ok=True)
    with (directory / _LOCK_FILE).open("ab") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BatchError(f"{target} is being written by another process") from None
        begun = json.loads(job.read_bytes()) if job.exists() else None
        if begun is None or _FINISHED in begun:
            _begin(directory, target, overwrite=overwrite)
        elif changed := [name for name in identity if name not in begun or begun[name] != identity[name]]:
            if not overwrite:
                raise BatchError(_refusal(directory, changed))
            _empty(directory)
        _write(job, json.dumps(identity).encode())
        yield PartStore(target)


def parts_directory(target: Path) -> Path:
    """The folder beside the output, because a file can only be renamed atomically within a file system."""
    return target.with_name(f"{target.name}.parts")


def _begin(directory: Path, target: Path, *, overwrite: bool) -> None:
    _empty(directory)
    if target.exists() and not overwrite:
        (directory / _LOCK_FILE).unlink()
        directory.rmdir()
        raise BatchError(f"{target} exists; --overwrite replaces it")


def _refusal(directory: Path, changed: Sequence[str]) -> str:
    if changed == ["input"]:
        what = "the input has changed since, or is a stream"
    else:
        what = f"it differs in {', '.join(changed)}"
    return f"{directory} holds the unfinished work of another run: {what}; --overwrite discards that work"


def _empty(directory: Path) -> None:
    for path in directory.iterdir():
        if path.name not in (_LOCK_FILE, _JOB_FILE):
            path.unlink()


def _write(path: Path, data: bytes) -> None:
    with _whole(path, path.parent) as file:
        file.write(data)


@contextmanager
def _whole(path: Path, directory: Path) -> Iterator[IO[bytes]]:
    """Write a file under another name in ``directory`` first; it is then there in full, and stays, or is not there at
    all."""
    temporary = directory / f"{path.name}.{uuid.uuid4().hex}.tmp"
    try:
        with temporary.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    descriptor = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
