"""The export of labelled texts to a file, as JSON Lines or Parquet: the whole file or none."""

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

from controller.core.labels import LabelNames
from controller.errors import UsageError, in_words
from controller.ports.dataset import LabelledText

JSON_LINES, PARQUET = ".jsonl", ".parquet"
_PAGE_ROWS: Final = 1_000
_PRIVATE: Final = 0o600  # texts of users


@dataclass(slots=True)
class Exported:
    """The result of an export. ``texts``: the number written. ``unknown``: the number left out because their labels
    name no class."""

    texts: int = 0
    unknown: int = 0


def export(found: Iterable[LabelledText], names: LabelNames, file: Path) -> Exported:
    """Write the texts whose labels mean a class, with that class as label, and return the counts. The file is replaced
    once all texts are written.

    Raises:
        UsageError: the file's name ends in neither ``.jsonl`` nor ``.parquet``, the library for Parquet is missing, or
            the file cannot be written.
    """
    counts = Exported()
    write = {JSON_LINES: _write_lines, PARQUET: _write_parquet}.get(file.suffix)
    if write is None:
        raise UsageError(f"--out {file}: its name has to end in {JSON_LINES} or {PARQUET}")
    temporary = file.with_name(f".{file.name}.tmp")
    try:
        os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, _PRIVATE))
        write(temporary, _known(found, names, counts))
        temporary.replace(file)
    except OSError as error:
        raise UsageError(f"--out {file}: cannot be written: {in_words(error)}") from error
    finally:
        with suppress(OSError):
            temporary.unlink()
    return counts


def _known(found: Iterable[LabelledText], names: LabelNames, counts: Exported) -> Iterator[dict[str, Any]]:
    for one in found:
        meant = names.truth(one.label)
        if meant is None:
            counts.unknown += 1
            continue
        counts.texts += 1
        yield asdict(replace(one, label=meant))


def _write_lines(file: Path, rows: Iterator[Mapping[str, Any]]) -> None:
    with file.open("w", encoding="utf-8") as lines:
        for row in rows:
            lines.write(json.dumps(row, ensure_ascii=False) + "\n")


def _write_parquet(file: Path, rows: Iterator[Mapping[str, Any]]) -> None:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise UsageError("Parquet needs pyarrow: install the extra `batch`, or write .jsonl") from None
    kinds = {str: pa.string(), float: pa.float64(), bool: pa.bool_()}
    schema = pa.schema([(name, kinds[kind]) for name, kind in LabelledText.__annotations__.items()])
    with pq.ParquetWriter(file, schema) as writer:
        page: list[Mapping[str, Any]] = []
        for row in rows:
            page.append(row)
            if len(page) == _PAGE_ROWS:
                writer.write_table(pa.Table.from_pylist(page, schema=schema))
                page = []
        writer.write_table(pa.Table.from_pylist(page, schema=schema))
