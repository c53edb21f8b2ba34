"""A batch run as it was ordered, and what makes two of them the same."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from serving.settings import Limits

_NUMBERS_DEPEND_ON: Final = ("numpy", "onnxruntime", "tokenizers")  # modules: onnxruntime may be from onnxruntime-gpu


class Format(StrEnum):
    """The format of rows in a file; chosen by its extension."""

    JSONL = "jsonl"
    CSV = "csv"
    PARQUET = "parquet"


class OnError(StrEnum):
    """The effect on the run of a row that cannot be scored."""

    FAIL = "fail"
    SKIP = "skip"


class BatchError(Exception):
    """A run that cannot start or go on; the message says why, and the way out if there is one."""


@dataclass(frozen=True, slots=True)
class RowError:
    """A row that cannot be scored. ``line`` counts from 1: lines of a text file, rows of a Parquet file."""

    line: int
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Options:
    """The options by which rows are read and scored.

    ``block_rows`` and ``block_bytes`` bound what is in memory of the input at a time, and how much is lost by a kill.
    Length grouping and padding depend on the block, so they are part of what a run is.
    """

    text_column: str = "text"
    prefix: str = ""
    probabilities: bool = False
    on_error: OnError = OnError.FAIL
    text_chars_max: int = Limits().text_chars_max
    windows_max: int = Limits().windows_max
    block_rows: int = 2048
    block_bytes: int = 2**24


@dataclass(frozen=True, slots=True)
class Job:
    """One file to be scored by one version. ``input_digest`` is None for a stream, which cannot be read again."""

    artifact: Path
    fingerprint: str
    source: Path
    source_format: Format
    target_format: Format
    input_digest: str | None
    options: Options

    def identity(self) -> Mapping[str, Any]:
        """Everything that the bytes of the output depend on, in words."""
        versions = {name: import_module(name).__version__ for name in _NUMBERS_DEPEND_ON}
        return {
            "artifact": self.fingerprint,
            "input": self.input_digest,
            "input format": self.source_format.value,
            "output format": self.target_format.value,
            "option --text-column": self.options.text_column,
            "option --prefix": self.options.prefix,
            "option --probabilities": self.options.probabilities,
            "option --on-error": self.options.on_error.value,
            "option --max-text-chars": self.options.text_chars_max,
            "option --max-windows": self.options.windows_max,
            "option --block-rows": self.options.block_rows,
            **{f"installed {name}": version for name, version in versions.items()},
        }


def bad_row(source: Path, error: RowError) -> str:
    return f"{source} line {error.line}: {error.message}; with --on-error skip the run continues without such rows"
