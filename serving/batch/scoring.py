"""From texts to answers, block by block: the one function of a run on this machine and of a run on a Ray cluster.

Texts pass the checks of the server, its tokenizer and its engine, and
``serving.inference.answers`` writes what it would send.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, NamedTuple

from serving.batch.job import Job, Options, RowError
from serving.batch.sources import Block, Row, Source
from serving.inference.answers import writer_for
from serving.inference.engine import Engine, graph_bytes
from serving.inference.heads import Floats
from serving.inference.tokenizer import TokenizedText
from serving.package.artifact import MANIFEST_FILE, ArtifactError, Manifest, Variant, read_manifest
from serving.package.rules import Task
from serving.refusals import ApiError, checked_text
from serving.resources.cores import SMALL_GRAPH_BYTES
from serving.settings import Limits


class CallSize(NamedTuple):
    """The size of an engine call: as much as a processor's caches hold with what the graph makes of it."""

    rows: int
    tokens: int


CALL: Final = CallSize(8, 256)
CALL_OF_SMALL_GRAPH: Final = CallSize(32, 1024)
CALL_OF_INT8: Final = CallSize(1, 1)
"""A quantised graph scales its activations by the largest of the call, so other texts in the call would change an
answer."""

TokenIds = tuple[int, ...]
Call = Sequence[TokenIds]
CallMap = Callable[[Callable[[Call], Sequence[Floats | None]], Iterable[Call]], Iterable[Sequence[Floats | None]]]
"""Like ``map``: runs engine calls, one after the other or on several cores, and returns their results in order."""


class Kind(StrEnum):
    """The kind of value that a column of the answers holds."""

    NAME = "name"
    NUMBER = "number"
    FLAG = "flag"
    COUNT = "count"
    SHARES = "shares"  # a number for each label
    VECTOR = "vector"
    ENTITIES = "entities"


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns that a run adds; ``labels`` are the keys of a column of shares."""

    kinds: Mapping[str, Kind]
    labels: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Scored:
    """The result of a block: the rows that were answered, and those that have no answer.

    ``kept`` are the positions in the block of the answered rows; each answer has a value for every added column.
    """

    rows: Sequence[Row]
    kept: Sequence[int]
    answers: Sequence[Mapping[str, Any]]
    errors: Sequence[RowError]


class Scorer:
    """One version, loaded. An engine call takes one core, and several may run at once.

    Raises:
        ArtifactError: the package is not the one that the job names, or cannot be run.
    """

    def __init__(self, job: Job) -> None:
        manifest, fingerprint = read_manifest(job.artifact)
        if fingerprint != job.fingerprint:
            raise ArtifactError(
                MANIFEST_FILE, f"has the fingerprint {fingerprint}, but the run is of {job.fingerprint}"
            )
        self._options = job.options
        self._limits = Limits(text_chars_max=job.options.text_chars_max, windows_max=job.options.windows_max)
        self._engine = Engine(job.artifact, manifest, threads=1)
        self._write = writer_for(manifest)
        self._call_size = _call_size(manifest)
        self._columns = added_columns(manifest, job.options).kinds

    def score(self, source: Source, block: Block, run: CallMap = map) -> Scored:
        """Answer what a block holds."""
        rows: dict[int, Row] = {}
        texts: dict[int, str] = {}
        errors: dict[int, RowError] = {}
        for at, entry in enumerate(source.rows(block)):
            if isinstance(entry, RowError):
                errors[at] = entry
                continue
            rows[at] = entry
            try:
                texts[at] = self._text(entry)
            except ApiError as refusal:
                errors[at] = RowError(entry.line, refusal.code, str(refusal))
        answers: dict[int, Mapping[str, Any]] = {}
        for at, outcome in zip(texts, self._outcomes(list(texts.values()), run), strict=True):
            if isinstance(outcome, ApiError):
                errors[at] = RowError(rows[at].line, outcome.code, str(outcome))
            else:
                answers[at] = outcome
        return Scored(
            [rows[at] for at in answers], list(answers), list(answers.values()), [errors[at] for at in sorted(errors)]
        )

    def _text(self, row: Row) -> str:
        """The row's text, by the rules of the server.

        Raises:
            ApiError: there is none that may be scored.
        """
        name = self._options.text_column
        if taken := sorted(self._columns.keys() & row.values.keys()):
            raise ApiError(
                422, "column_exists", f"has a column {taken[0]!r} already; give the new ones another --prefix"
            )
        if name not in row.values:
            raise ApiError(422, "missing_text", f"has no column {name!r}")
        if not isinstance(text := row.values[name], str):
            raise ApiError(422, "wrong_type", f"column {name!r} is not a string")
        try:
            text.encode()
        except UnicodeEncodeError:
            raise ApiError(422, "invalid_text", f"column {name!r} has half of a surrogate pair") from None
        return checked_text(text, name, self._limits)

    def _outcomes(self, texts: Sequence[str], run: CallMap) -> Iterator[Mapping[str, Any] | ApiError]:
        tokenized = self._engine.tokenizer.tokenize(texts)
        computed = [text for text in tokenized if text.rows <= self._limits.windows_max]
        numbers = self._numbers({row.ids for text in computed for row in text.split()}, run)
        for text in tokenized:
            if text.rows > self._limits.windows_max:
                message = f"the text would be read in {text.rows} windows; at most {self._limits.windows_max} are"
                yield ApiError(422, "text_too_long", message)
                continue
            parts = [part for row in text.split() if (part := numbers[row.ids]) is not None]
            if len(parts) < text.rows:
                yield ApiError(500, "inference_failed", "the model's output is not finite")
            else:
                yield self._answer(text, parts)

    def _numbers(self, rows: set[TokenIds], run: CallMap) -> dict[TokenIds, Floats | None]:
        """Return what the engine gives for each row, or None where that is not finite. Equal rows are computed once."""
        calls = list(self._calls(sorted(rows, key=lambda ids: (-len(ids), ids))))
        found = run(self._run, calls)
        return {
            ids: numbers
            for call, of_call in zip(calls, found, strict=True)
            for ids, numbers in zip(call, of_call, strict=True)
        }

    def _calls(self, rows: Sequence[TokenIds]) -> Iterator[Call]:
        """Neighbours in length share a call; the longest come first, so that no core is left with one at the end."""
        start = 0
        while start < len(rows):
            width = self._engine.width(len(rows[start]))
            size = max(1, min(self._call_size.rows, self._call_size.tokens // width))
            yield rows[start : start + size]
            start += size

    def _run(self, call: Call) -> Sequence[Floats | None]:
        try:
            return list(self._engine.run([TokenizedText(ids, len(ids), 0) for ids in call]))
        except FloatingPointError:  # one row's failure is not the others'
            return [None] if len(call) == 1 else [found for ids in call for found in self._run([ids])]

    def _answer(self, text: TokenizedText, parts: Sequence[Floats]) -> Mapping[str, Any]:
        """Return what the server would write for the text, and how sure it is of its label, under the names of the
        run."""
        document = json.loads(self._write(text, self._engine.merge(text, parts)))
        if "label" in document:
            document["confidence"] = document["probabilities"][document["label"]]
        prefix = self._options.prefix
        return {name: document[name.removeprefix(prefix)] for name in self._columns}


def _call_size(manifest: Manifest) -> CallSize:
    """By the version alone: its numbers are the same wherever it runs."""
    if manifest.variant is Variant.INT8:
        return CALL_OF_INT8
    return CALL_OF_SMALL_GRAPH if graph_bytes(manifest) < SMALL_GRAPH_BYTES else CALL


def added_columns(manifest: Manifest, options: Options) -> Columns:
    """Return what a version's answers add to a row, in order."""
    kinds: dict[str, Kind] = {}
    if manifest.rules.task is Task.EMBEDDING:
        kinds["embedding"] = Kind.VECTOR
    elif manifest.rules.task is Task.TOKEN_CLASSIFICATION:
        kinds["entities"] = Kind.ENTITIES
    else:
        kinds |= {"label": Kind.NAME, "confidence": Kind.NUMBER}
        if options.probabilities:
            kinds["probabilities"] = Kind.SHARES
    kinds["truncated"] = Kind.FLAG
    if manifest.rules.windows is not None:
        kinds["windows"] = Kind.COUNT
    return Columns({options.prefix + name: kind for name, kind in kinds.items()}, manifest.labels)
