"""Files of rows, cut into blocks: the same blocks whenever the same file is read with the same options.

A block is known by where it lies, so that another process, or machine, reads that one alone. JSONL and CSV are read as
bytes and cut at rows without being parsed; what a row holds is looked at where it is scored.
"""

import csv
import io
import itertools
import math
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, BinaryIO, Final

from serving.batch.job import BatchError, Format, Options, RowError
from serving.text.jsonlines import BOM, Unreadable, bare, loads_marked, numbers_checked

STANDARD_STREAM: Final = Path("-")
_ROW_BYTES_MAX: Final = 2**24

csv.field_size_limit(_ROW_BYTES_MAX)  # of the module, not of a reader; a row longer than this was refused before


@dataclass(frozen=True, slots=True)
class Place:
    """The place of a block: in bytes of a text file, in rows of a Parquet file. ``line``: its first, or its first
    row."""

    index: int
    start: int
    size: int
    line: int
    rows: int


@dataclass(frozen=True, slots=True)
class Row:
    """One row: its values by column, and its bytes without the line's end where it came from a text file."""

    line: int
    values: Mapping[str, Any]
    raw: bytes | None = None


@dataclass(frozen=True, slots=True)
class Block:
    """``payload`` is bytes of a text file, or a ``pyarrow.Table``."""

    place: Place
    payload: Any


class Source(ABC):
    """A file of rows. ``total`` and :meth:`position` tell how far a reader is, in a unit of the source's own."""

    format: Format

    def __init__(self, path: Path, options: Options) -> None:
        self.path = path
        self._options = options

    @property
    @abstractmethod
    def total(self) -> int | None:
        """Return the total; None for a stream."""

    @property
    @abstractmethod
    def columns(self) -> Sequence[str] | None:
        """Return the columns; None where every row may have others."""

    @abstractmethod
    def blocks(self) -> Iterator[Block]:
        """In order."""

    @abstractmethod
    def read(self, place: Place) -> Block:
        """One block alone."""

    @abstractmethod
    def rows(self, block: Block) -> Iterator[Row | RowError]:
        """Return what a block holds, in order."""


class TextSource(Source):
    """Rows that end with a line. Blank lines are no rows."""

    @property
    def total(self) -> int | None:
        return None if self.path == STANDARD_STREAM else self.path.stat().st_size

    def blocks(self) -> Iterator[Block]:
        if self.path == STANDARD_STREAM:
            yield from self._blocks(sys.stdin.buffer)
            return
        with self.path.open("rb") as file:
            yield from self._blocks(file)

    def read(self, place: Place) -> Block:
        with self.path.open("rb") as file:
            file.seek(place.start)
            return Block(place, file.read(place.size))

    def rows(self, block: Block) -> Iterator[Row | RowError]:
        file = io.BytesIO(block.payload)
        line = block.place.line
        while record := self._record(file, line):
            if bare(record):
                try:
                    yield self._parse(line, record.removeprefix(BOM).rstrip(b"\r\n"))
                except UnicodeDecodeError as error:
                    yield RowError(line, "not_utf8", f"is not UTF-8 ({error.reason})")
                except ValueError as error:
                    yield RowError(line, "not_a_row", str(error))
            line += record.count(b"\n")

    @abstractmethod
    def _parse(self, line: int, record: bytes) -> Row:
        """Raises: ValueError, saying what is wrong with the record."""

    @abstractmethod
    def _is_whole(self, record: bytes) -> bool:
        """Return whether a record ends where a line does."""

    def _start(self, file: BinaryIO) -> tuple[int, int]:  # noqa: ARG002  (for those with a header)
        """Pass over what comes before the rows; byte and line (from 1) at which they begin."""
        return 0, 1

    def _blocks(self, file: BinaryIO) -> Iterator[Block]:
        start, line = self._start(file)
        for index in itertools.count():
            place, payload = self._block(file, Place(index, start, 0, line, 0))
            if not payload:
                return
            yield Block(place, payload)
            start, line = start + place.size, line + payload.count(b"\n")

    def _block(self, file: BinaryIO, begin: Place) -> tuple[Place, bytes]:
        records: list[bytes] = []
        size = rows = 0
        line = begin.line
        while rows < self._options.block_rows and size < self._options.block_bytes:
            if not (record := self._record(file, line)):
                break
            records.append(record)
            size += len(record)
            rows += bool(bare(record))
            line += record.count(b"\n")
        return replace(begin, size=size, rows=rows), b"".join(records)

    def _record(self, file: BinaryIO, line: int) -> bytes:
        record = file.readline(_ROW_BYTES_MAX)
        while not self._is_whole(record) and len(record) < _ROW_BYTES_MAX:
            if not (more := file.readline(_ROW_BYTES_MAX - len(record))):
                break
            record += more
        if len(record) >= _ROW_BYTES_MAX:
            hint = "; do its lines end with CR alone?" if b"\r" in record.rstrip(b"\r\n") else ""
            raise BatchError(f"{self.path} line {line}: the row is longer than {_ROW_BYTES_MAX:,} bytes{hint}")
        return record


class JsonLines(TextSource):
    """One JSON object a line."""

    format = Format.JSONL

    @property
    def columns(self) -> Sequence[str] | None:
        return None

    def _is_whole(self, record: bytes) -> bool:  # noqa: ARG002
        return True

    def _parse(self, line: int, record: bytes) -> Row:
        record = bare(record)
        try:
            values = numbers_checked(loads_marked(record))
        except Unreadable as error:
            if isinstance(error.__cause__, UnicodeDecodeError):
                raise error.__cause__ from None
            raise ValueError(f"is not JSON that can be read: {error}") from None
        if not isinstance(values, dict):
            raise ValueError("is not a JSON object")  # noqa: TRY004  (of the row, not of an argument)
        return Row(line, values, record)


class Csv(TextSource):
    """Comma-separated, with a header; a quoted field may hold line breaks. Every value stays the text that it is."""

    format = Format.CSV

    def __init__(self, path: Path, options: Options) -> None:
        super().__init__(path, options)
        self._header = b""
        self._columns: list[str] = []

    @property
    def header(self) -> bytes:
        """As it stands in the file, without the line's end."""
        _ = self.columns
        return self._header

    @property
    def columns(self) -> Sequence[str]:
        if not self._columns and self.path != STANDARD_STREAM:
            with self.path.open("rb") as file:
                self._start(file)
        return self._columns

    def _is_whole(self, record: bytes) -> bool:
        return record.count(b'"') % 2 == 0

    def _start(self, file: BinaryIO) -> tuple[int, int]:
        record = self._record(file, 1)
        self._header = record.removeprefix(BOM).rstrip(b"\r\n")
        if not self._header:
            raise BatchError(f"{self.path}: the first line must name the columns, and is empty")
        self._columns = _fields(self._header)
        if len(set(self._columns)) != len(self._columns):
            raise BatchError(f"{self.path}: the header names a column twice")
        return len(record), 1 + record.count(b"\n")

    def _parse(self, line: int, record: bytes) -> Row:
        fields = _fields(record)
        if len(fields) != len(self._columns):
            raise ValueError(f"has {len(fields)} columns, the header has {len(self._columns)}")
        return Row(line, dict(zip(self._columns, fields, strict=True)), record)

    def read(self, place: Place) -> Block:
        _ = self.columns
        return super().read(place)


class Parquet(Source):
    """Read by row groups, of which never more is in memory than what is being decoded."""

    format = Format.PARQUET

    def __init__(self, path: Path, options: Options) -> None:
        super().__init__(path, options)
        require_pyarrow(path)
        from pyarrow import ArrowInvalid, parquet

        try:
            self._file = parquet.ParquetFile(path, pre_buffer=False, buffer_size=2**20)
        except ArrowInvalid as error:
            raise BatchError(f"{path}: is not a Parquet file ({error})") from error
        self.schema = self._file.schema_arrow

    @property
    def total(self) -> int | None:
        return int(self._file.metadata.num_rows)

    @property
    def columns(self) -> Sequence[str] | None:
        return list(self.schema.names)

    def blocks(self) -> Iterator[Block]:
        first = index = 0
        for group in range(self._file.metadata.num_row_groups):
            for block in self._group(group, first, index):
                yield block
                first, index = block.place.start + block.place.size, block.place.index + 1

    def read(self, place: Place) -> Block:
        """Decodes the row group up to the place."""
        first = 0
        for group in range(self._file.metadata.num_row_groups):
            rows = self._file.metadata.row_group(group).num_rows
            if place.start < first + rows:
                block = next(
                    block for block in self._group(group, first, place.index) if block.place.start == place.start
                )
                return Block(place, block.payload)
            first += rows
        raise BatchError(f"{self.path}: has no row {place.line}")

    def rows(self, block: Block) -> Iterator[Row | RowError]:
        for line, values in enumerate(block.payload.to_pylist(), start=block.place.line):
            yield Row(line, values)

    def _group(self, group: int, first: int, index: int) -> Iterator[Block]:
        """The blocks of a row group whose rows begin with the ``first``, numbered from ``index``."""
        import pyarrow

        for batch in self._file.iter_batches(self._options.block_rows, row_groups=[group], use_threads=False):
            rows = max(1, batch.num_rows // math.ceil(batch.nbytes / self._options.block_bytes))
            for at in range(0, batch.num_rows, rows):
                table = pyarrow.Table.from_batches([batch.slice(at, rows)])
                yield Block(Place(index, first, table.num_rows, first + 1, table.num_rows), table)
                first += table.num_rows
                index += 1


_SOURCES: Final[Mapping[Format, Callable[[Path, Options], Source]]] = {
    Format.JSONL: JsonLines,
    Format.CSV: Csv,
    Format.PARQUET: Parquet,
}
_EXTENSIONS: Final = {".jsonl": Format.JSONL, ".ndjson": Format.JSONL, ".csv": Format.CSV, ".parquet": Format.PARQUET}


def format_of(path: Path) -> Format:
    """By extension; the standard streams are JSONL.

    Raises:
        BatchError: no such format.
    """
    if path == STANDARD_STREAM:
        return Format.JSONL
    if (found := _EXTENSIONS.get(path.suffix.lower())) is None:
        raise BatchError(f"{path}: the extension must be one of {', '.join(_EXTENSIONS)}")
    return found


def open_source(path: Path, options: Options) -> Source:
    """Ready to be read.

    Raises:
        BatchError: it is of no known format, or cannot be read as what it says it is.
        OSError: it cannot be read at all.
    """
    return _SOURCES[format_of(path)](path, options)


def require_pyarrow(path: Path) -> None:
    """Raises: BatchError, if Parquet cannot be read and written here."""
    if find_spec("pyarrow") is None:
        raise BatchError(f"{path}: Parquet needs pyarrow, not installed here: pip install 'serin[batch]'")


def _fields(record: bytes) -> list[str]:
    """Raises: ValueError, also for what is not UTF-8."""
    try:
        return next(csv.reader([record.decode()], strict=True))
    except csv.Error as error:
        raise ValueError(f"is not CSV ({error})") from None
