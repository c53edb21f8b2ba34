"""The writing of answered rows: each format's encoding of one block, and the file that is made of all of them."""

import csv
import io
import json
import shutil
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import IO, Any, Final

from serving.batch.job import BatchError, Format, RowError
from serving.batch.scoring import Columns, Kind, Scored
from serving.batch.sources import Block, Csv, Parquet, Row, Source

_WRITE_JSONL: Final = "an output in .jsonl accepts any row"
_ENCODER: Final = json.JSONEncoder(ensure_ascii=False)  # `json.dumps` would make one for every row


class Layout(ABC):
    """A format, and the columns of one run."""

    def __init__(self, added: Columns) -> None:
        self._added = added

    @property
    def head(self) -> bytes:
        """Return what comes before the first block in a file that is the blocks one after the other."""
        return b""

    @abstractmethod
    def encode(self, block: Block, scored: Scored) -> bytes:
        """One block.

        Raises:
            BatchError: a row holds what the format cannot.
        """

    def join(self, parts: Iterable[Path], file: IO[bytes]) -> None:
        """The whole file, of its blocks as they were encoded; one of them is in memory at a time, or less."""
        file.write(self.head)
        for path in parts:
            with path.open("rb") as part:
                shutil.copyfileobj(part, file)


class JsonLinesLayout(Layout):
    """One object per line. What was JSON stays as it was written, digit for digit."""

    def __init__(self, added: Columns, *, from_json: bool) -> None:
        super().__init__(added)
        self._from_json = from_json

    def encode(self, block: Block, scored: Scored) -> bytes:  # noqa: ARG002
        return b"".join(self._line(row, answer) for row, answer in zip(scored.rows, scored.answers, strict=True))

    def _line(self, row: Row, answer: Mapping[str, Any]) -> bytes:
        added = _ENCODER.encode(answer).encode()
        raw = row.raw if self._from_json and row.raw is not None else _json(row, row.values)
        return b"%b, %b\n" % (raw[:-1].rstrip(), added[1:])


class CsvLayout(Layout):
    """CSV with a header. What was CSV stays as it was quoted; what is neither text nor number is written as JSON."""

    def __init__(self, added: Columns, columns: Sequence[str], header: bytes | None = None) -> None:
        super().__init__(added)
        self._columns = tuple(columns)
        self._header = header

    @property
    def head(self) -> bytes:
        kept = _csv(self._columns) if self._header is None else self._header
        return b",".join(filter(None, (kept, _csv(list(self._added.kinds))))) + b"\n"

    def encode(self, block: Block, scored: Scored) -> bytes:  # noqa: ARG002
        return b"".join(
            b",".join(filter(None, (self._kept(row), _csv([_cell(row, value) for value in answer.values()])))) + b"\n"
            for row, answer in zip(scored.rows, scored.answers, strict=True)
        )

    def _kept(self, row: Row) -> bytes:
        if self._header is not None and row.raw is not None:
            return row.raw
        _check_names(row, self._columns)
        return _csv([_cell(row, row.values.get(name)) for name in self._columns])


class ParquetLayout(Layout):
    """One row group for each block. ``schema`` is of the columns that the rows came with."""

    def __init__(self, added: Columns, schema: Any) -> None:
        super().__init__(added)
        self._kept = schema
        self._types = {name: _arrow_type(kind, added.labels) for name, kind in added.kinds.items()}

    def encode(self, block: Block, scored: Scored) -> bytes:
        from pyarrow import Table, array, parquet

        if isinstance(block.payload, Table):
            table = block.payload if len(scored.kept) == block.payload.num_rows else block.payload.take(scored.kept)
        else:
            table = Table.from_arrays([_array(scored.rows, field) for field in self._kept], schema=self._kept)
            for row in scored.rows:
                _check_names(row, self._kept.names)
        for name, kind in self._types.items():
            table = table.append_column(name, array([answer[name] for answer in scored.answers], kind))
        file = io.BytesIO()
        parquet.write_table(table, file)
        return file.getvalue()

    def join(self, parts: Iterable[Path], file: IO[bytes]) -> None:
        import pyarrow
        from pyarrow import parquet

        schema = self._kept
        for name, kind in self._types.items():
            schema = schema.append(pyarrow.field(name, kind))
        with parquet.ParquetWriter(file, schema) as writer:
            for path in parts:
                writer.write_table(parquet.read_table(path, partitioning=None))


def layout_for(target: Format, added: Columns, source: Source, first: Block | None) -> Layout:
    """Return how a source's rows are written; if they may have any columns, the first block says which.

    Raises:
        BatchError: those rows and that format do not go together.
    """
    if target is Format.JSONL:
        return JsonLinesLayout(added, from_json=source.format is Format.JSONL)
    if target is Format.CSV:
        header = source.header if isinstance(source, Csv) else None
        return CsvLayout(added, source.columns or list(_first_columns(source, first)), header)
    if isinstance(source, Parquet):
        return ParquetLayout(added, source.schema)
    return ParquetLayout(added, _schema(source, first))


def _first_columns(source: Source, first: Block | None) -> dict[str, list[Any]]:
    """The columns of the first block, and their values."""
    rows = [] if first is None else [row for row in source.rows(first) if not isinstance(row, RowError)]
    names = list(source.columns or dict.fromkeys(name for row in rows for name in row.values))
    return {name: [row.values.get(name) for row in rows] for name in names}


def _schema(source: Source, first: Block | None) -> Any:
    import pyarrow

    fields = []
    for name, values in _first_columns(source, first).items():
        try:
            kind = pyarrow.string() if source.format is Format.CSV else pyarrow.array(values).type
        except (pyarrow.ArrowInvalid, pyarrow.ArrowTypeError) as error:
            raise BatchError(f"{source.path}: column {name!r} mixes types ({error}); {_WRITE_JSONL}") from error
        fields.append(pyarrow.field(name, pyarrow.string() if pyarrow.types.is_null(kind) else kind))
    return pyarrow.schema(fields)


def _check_names(row: Row, names: Sequence[str]) -> None:
    if unknown := sorted(row.values.keys() - set(names)):
        raise BatchError(f"line {row.line}: column {unknown[0]!r} is not in any row of the first block; {_WRITE_JSONL}")


def _array(rows: Sequence[Row], field: Any) -> Any:
    import pyarrow

    try:
        return pyarrow.array([row.values.get(field.name) for row in rows], field.type)
    except (pyarrow.ArrowInvalid, pyarrow.ArrowTypeError) as error:
        raise BatchError(
            f"lines {rows[0].line} to {rows[-1].line}: column {field.name!r} is {field.type} in the first "
            f"block, but something else here ({error}); {_WRITE_JSONL}"
        ) from error


def _arrow_type(kind: Kind, labels: Sequence[str]) -> Any:
    import pyarrow

    span = {"label": pyarrow.string(), "start": pyarrow.int64(), "end": pyarrow.int64(), "score": pyarrow.float64()}
    return {
        Kind.NAME: pyarrow.string(),
        Kind.NUMBER: pyarrow.float64(),
        Kind.FLAG: pyarrow.bool_(),
        Kind.COUNT: pyarrow.int64(),
        Kind.SHARES: pyarrow.struct([(label, pyarrow.float64()) for label in labels]),
        Kind.VECTOR: pyarrow.list_(pyarrow.float32()),
        Kind.ENTITIES: pyarrow.list_(pyarrow.struct(list(span.items()))),
    }[kind]


def _csv(fields: Sequence[Any]) -> bytes:
    if not fields:
        return b""
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow(fields)
    return text.getvalue().encode()


def _cell(row: Row, value: Any) -> Any:
    if isinstance(value, (str, int, float)) and not isinstance(value, bool):
        return value
    return "" if value is None else _json(row, value).decode()


def _json(row: Row, value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, default=lambda part: _plain(row, part)).encode()


def _plain(row: Row, value: Any) -> str:
    if isinstance(value, (date, datetime, time)):
        return value.isoformat()
    if isinstance(value, Decimal):
        return str(value)
    raise BatchError(f"row {row.line}: JSON has no {type(value).__name__}; an output in .parquet keeps it")
