"""One run, from a job to its output: what is left to do, where it is done, and the result."""

import hashlib
import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Protocol

from serving.batch.job import BatchError, Job, OnError, Options, bad_row
from serving.batch.layouts import Layout, layout_for
from serving.batch.local import Work, parts
from serving.batch.parts import Part, opened
from serving.batch.progress import Meter, say
from serving.batch.scoring import Columns, Scorer, added_columns
from serving.batch.sources import STANDARD_STREAM, Block, Place, Source, format_of, open_source, require_pyarrow
from serving.package.artifact import read_manifest


@dataclass(frozen=True, slots=True)
class Where:
    """The place of the engine calls: threads here, or a Ray cluster."""

    threads: int
    ray_address: str | None = None


@dataclass(frozen=True, slots=True)
class Summary:
    """The result of a run, and how it says so."""

    rows: int
    skipped: int
    said: str


class Sink(Protocol):
    """The taker of parts: a ``PartStore``, or a stream."""

    def done(self) -> frozenset[int]: ...

    def commit(self, part: Part) -> None: ...

    def skipped(self) -> int: ...

    def first_error(self) -> str: ...

    def finish(self, layout: Layout, blocks: int) -> None: ...


class StreamSink:
    """Standard output: parts as they come, which is in order; a stream cannot be continued."""

    def __init__(self, layout: Layout) -> None:
        self._skipped = 0
        self._first_error = ""
        sys.stdout.buffer.write(layout.head)

    def done(self) -> frozenset[int]:
        return frozenset()

    def commit(self, part: Part) -> None:
        sys.stdout.buffer.write(part.data)
        sys.stdout.buffer.flush()
        for error in part.errors:
            said = f"line {error.line}: {error.message}"
            self._first_error = self._first_error or said
            say(said)
        self._skipped += len(part.errors)

    def skipped(self) -> int:
        return self._skipped

    def first_error(self) -> str:
        return self._first_error

    def finish(self, layout: Layout, blocks: int) -> None:
        """Everything is out already."""


def make_job(artifact: Path, source: Path, target: Path, options: Options) -> Job:
    """Raises: BatchError, if input and output cannot be used as asked."""
    if STANDARD_STREAM not in (source, target) and target.exists() and source.samefile(target):
        raise BatchError(f"{target} is the input")
    if source != STANDARD_STREAM and source.exists() and not source.is_file():
        raise BatchError(f"{source} is not a file that can be read twice; - reads JSONL from standard input")
    for path in (source, target):
        if path.suffix.lower() == ".parquet":
            require_pyarrow(path)
    return Job(
        artifact=artifact,
        fingerprint=read_manifest(artifact)[1],
        source=source,
        source_format=format_of(source),
        target_format=format_of(target),
        input_digest=None if source == STANDARD_STREAM else _digest(source),
        options=options,
    )


def run(job: Job, target: Path, where: Where, *, overwrite: bool) -> Summary:
    """Score what is not yet scored.

    Raises:
        BatchError: why it stopped, or did not start.
        ArtifactError: the version cannot be run.
        OSError: a file cannot be read or written.
    """
    source = open_source(job.source, job.options)
    before = _state(job.source)
    added = added_columns(read_manifest(job.artifact)[0], job.options)
    blocks = source.blocks()
    first = next(blocks, None)
    _check_columns(source, job.options, added)
    layout = layout_for(job.target_format, added, source, first)
    blocks = chain([] if first is None else [first], blocks)
    with ExitStack() as stack:
        sink: Sink
        if target == STANDARD_STREAM:
            sink = StreamSink(layout)
        else:
            sink = stack.enter_context(opened(target, job.identity(), overwrite=overwrite))
        meter = stack.enter_context(Meter())
        tally = Tally(source, sink.done(), meter)
        if where.ray_address is None:
            _on_this_machine(job, source, layout, tally.left(blocks), sink, where.threads, tally)
        else:
            _on_ray(job, target, layout, tally.left(blocks), where.ray_address, tally)
        if _state(job.source) != before:
            raise BatchError(f"{job.source} was changed while it was read")
        skipped = sink.skipped()
        if tally.rows and skipped == tally.rows:
            raise BatchError(f"{job.source}: not one of {tally.rows:,} rows could be scored ({sink.first_error()})")
        sink.finish(layout, tally.blocks)
    return Summary(tally.rows - skipped, skipped, meter.said)


class Tally:
    """Counts blocks as they are read and as they are done."""

    def __init__(self, source: Source, done: frozenset[int], meter: Meter) -> None:
        self.rows = self.blocks = 0
        self._total = source.total
        self._done = done
        self._meter = meter
        self._finished = 0

    def left(self, blocks: Iterable[Block]) -> Iterator[Block]:
        """Those that no run has done yet."""
        for block in blocks:
            self.rows += block.place.rows
            self.blocks += 1
            if block.place.index in self._done:
                self._finished += block.place.size
                self._meter.resume(block.place.rows)
            else:
                yield block

    def add(self, place: Place, skipped: int) -> None:
        """A block is done."""
        self._finished += place.size
        self._meter.add(place.rows, skipped, self._finished / self._total if self._total else None)


def _on_this_machine(
    job: Job, source: Source, layout: Layout, blocks: Iterable[Block], sink: Sink, threads: int, tally: Tally
) -> None:
    with closing(parts(blocks, Work(source, Scorer(job), layout), threads)) as done:
        for block, part in done:
            if part.errors and job.options.on_error is OnError.FAIL:
                raise BatchError(bad_row(job.source, part.errors[0]))
            sink.commit(part)
            tally.add(block.place, len(part.errors))


def _on_ray(job: Job, target: Path, layout: Layout, blocks: Iterable[Block], address: str, tally: Tally) -> None:
    from serving.batch.cluster import score_on_ray

    for place, skipped in score_on_ray(job, target, layout, [block.place for block in blocks], address):
        tally.add(place, skipped)


def _check_columns(source: Source, options: Options, added: Columns) -> None:
    if source.columns is None:
        return
    if options.text_column not in source.columns:
        raise BatchError(
            f"{source.path} has no column {options.text_column!r}, but {', '.join(source.columns)}; name "
            "the texts with --text-column"
        )
    if taken := sorted(set(source.columns) & set(added.kinds)):
        raise BatchError(f"{source.path} has a column {taken[0]!r} already; give the new ones another --prefix")


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _state(path: Path) -> tuple[int, int] | None:
    """Return what changes when a file is written to."""
    if path == STANDARD_STREAM:
        return None
    found = path.stat()
    return found.st_size, found.st_mtime_ns
