"""The model as LitServe sees it: a LitAPI with its hooks, and the loop that an inference worker runs."""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

from litserve import LitAPI
from litserve.loops import LitLoop

from serving.contract import EXIT_REFUSED, EXIT_SHORTAGE, PREDICT_ROUTE
from serving.inference.batching import WINDOWS_SHARE_MIN, Batcher, Pace, Piece
from serving.inference.tokenizer import TokenizedText
from serving.ipc.worker_end import DisconnectedError, Inbox, WorkerEnd
from serving.messages import Job, Outcome, Row
from serving.observe.metrics import WorkerMetrics
from serving.observe.trails import Trails
from serving.package.artifact import GRAPH_FILE, ArtifactError, read_manifest
from serving.resources.bounds import is_memory_refused, memory_refused
from serving.resources.cores import usable_cores
from serving.settings import Limits, Settings

if TYPE_CHECKING:
    from serving.inference.heads import Floats  # numpy is the workers': the HTTP process does without

_log = logging.getLogger(__name__)

_WARM_UP_TOKENS: Final = (8, 16, 32, 64, 128)
_WARM_UP_S: Final = 0.25
_CALL_RATIO: Final = 0.25
"""What one engine call may take of the latency objective: a text that comes just after a call began waits for its end,
for a call before its own perhaps, and for its own."""


class TextClassifier(LitAPI):  # type: ignore[misc]  # LitServe is not typed
    """Texts in, rows out. Its ``setup`` and loop run in the worker, ``health`` in the HTTP process."""

    metrics: WorkerMetrics
    """Set in each worker separately."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(
            max_batch_size=settings.batching.texts_max,
            batch_timeout=settings.batching.wait_ms / 1000,
            api_path=PREDICT_ROUTE,
            loop=BatchLoop(settings),
        )
        self._settings = settings
        self.pace = Pace()
        self.is_ready: Callable[[], bool] = lambda: False

    def health(self) -> bool:
        """For LitServe's health page: whether a worker is ready."""
        return self.is_ready()

    def setup(self, device: str) -> None:
        """Load and warm the engine; called once, in the worker. ``device`` is LitServe's; the engine runs on CPU."""
        from serving.inference.answers import writer_for
        from serving.inference.engine import Engine, ProviderError
        from serving.inference.golden import golden_texts

        settings = self._settings
        manifest, _ = read_manifest(settings.artifact)
        cores = usable_cores() // settings.workers
        try:
            self._engine = Engine(
                settings.artifact, manifest, threads=settings.threads, provider=settings.provider, cores=cores
            )
            golden_texts(self._engine.tokenizer, manifest)  # a millisecond; a digest cannot see an upgraded library
            self._warm_up(settings.batching.texts_max)
        except ArtifactError as error:  # another worker would find the same
            _log.error("artifact refused: %s", error)
            raise SystemExit(EXIT_REFUSED) from error
        except (ProviderError, OSError) as error:
            _log.error("this machine cannot serve it: %s", error)
            raise SystemExit(EXIT_SHORTAGE) from error
        self._write = writer_for(manifest)
        _log.debug("engine ready on %s", device)

    def _warm_up(self, texts_max: int) -> None:
        """Every length alone and together, as long as that is quick: the first calls touch all weights anyway."""
        began_s = time.perf_counter()
        for tokens, texts in ((tokens, texts) for texts in (1, texts_max) for tokens in _WARM_UP_TOKENS):
            if time.perf_counter() - began_s + tokens * texts * self.pace.token_s > _WARM_UP_S:
                continue
            try:
                self.pace.observe(tokens * texts, self._engine.warm_up(tokens, texts))
            except Exception as error:
                if not is_memory_refused(error):
                    raise
                raise memory_refused(GRAPH_FILE, error) from error

    def tokenize(self, texts: Sequence[str]) -> list[TokenizedText]:
        return self._engine.tokenizer.tokenize(texts)

    def width(self, tokens: int) -> int:
        return self._engine.width(tokens)

    def predict(self, rows: Sequence[TokenizedText]) -> "Floats":
        """One engine call: numbers for each row."""
        began_s = time.perf_counter()
        numbers = self._engine.run(rows)
        area = len(rows) * self._engine.width(max(len(row.ids) for row in rows))
        self.pace.observe(area, time.perf_counter() - began_s)
        self.metrics.batch(len(rows))
        return numbers

    def answer(self, text: TokenizedText, numbers: "Sequence[Floats]") -> Row:
        """A text's answer, from the numbers of its rows."""
        answer = self._write(text, self._engine.merge(text, numbers))
        return answer, text.tokens, text.unknown, text.truncated, text.rows


class BatchLoop(LitLoop):  # type: ignore[misc]  # LitServe is not typed
    """Takes what has arrived, runs the texts that belong together as one engine call, and sends back what is whole."""

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self._texts_max = settings.batching.texts_max
        self._wait_s = settings.batching.wait_ms / 1000
        self._call_s_max = _CALL_RATIO * settings.batching.objective_ms / 1000
        self._limits = settings.limits

    def __call__(self, lit_api: TextClassifier, device: str, worker_id: int, request_queue: WorkerEnd, *_: Any) -> None:
        batcher = Batcher(lit_api.pace, self._texts_max, self._call_s_max, lit_api.width)
        work = Work(batcher, lit_api, self._limits)
        try:
            request_queue.send_ready()
            sent_s = time.monotonic()
            while True:
                if not work.waiting:
                    work.take_in(request_queue.receive(None))
                    sent_s = time.monotonic()  # it was idle until now
                work.take_in(request_queue.receive(0.0))
                self._wait_for_company(work, request_queue)
                if outcomes := work.run():
                    now_s = time.monotonic()
                    request_queue.send(outcomes, now_s - sent_s)
                    sent_s = now_s
                request_queue.sign(time.monotonic())
        except DisconnectedError:
            _log.debug("worker %d on %s ends: the HTTP process has gone", worker_id, device)

    def _wait_for_company(self, work: "Work", end: WorkerEnd) -> None:
        """At most the wait that was asked for, and never longer than an engine call may take."""
        deadline_s = time.monotonic() + min(self._wait_s, self._call_s_max)
        while not work.is_full and (remaining_s := deadline_s - time.monotonic()) > 0:
            work.take_in(end.receive(remaining_s))


class Answering(Protocol):
    """The means by which the work is done: see ``TextClassifier``."""

    def tokenize(self, texts: Sequence[str]) -> list[TokenizedText]: ...

    def predict(self, rows: Sequence[TokenizedText]) -> "Sequence[Floats]": ...

    def answer(self, text: TokenizedText, numbers: "Sequence[Floats]") -> Row: ...


@dataclass(slots=True)
class _Open:
    """A job in work: its texts, and the numbers of their rows, text after text, as they become known."""

    texts: Sequence[TokenizedText]
    numbers: "list[Floats | None]"


class Work:
    """The jobs of a worker from their arrival to their outcome.

    A text that is read in windows is several rows, which the batcher schedules one by one like texts of their own.
    """

    def __init__(self, batcher: Batcher, engine: Answering, limits: Limits) -> None:
        self._batcher = batcher
        self._engine = engine
        self._limits = limits
        self._open: dict[int, _Open] = {}
        self._trails = Trails()
        self._done: list[Outcome] = []

    @property
    def waiting(self) -> int:
        return len(self._batcher)

    @property
    def is_full(self) -> bool:
        return self._batcher.is_full

    def take_in(self, inbox: Inbox) -> None:
        if inbox.traces:
            self._trails.begin(inbox.traces)
        if inbox.jobs:
            self._add(inbox.jobs, time.monotonic())
        if inbox.cancelled:
            for uid in inbox.cancelled:
                self._open.pop(uid, None)
                self._trails.end(uid)
            self._batcher.cancel(inbox.cancelled)

    def run(self) -> list[Outcome]:
        """One engine call, if anything waits; the outcomes of the jobs that it completed."""
        if self.waiting:
            self._done += self._answered(self._batcher.take())
        done, self._done = self._done, []
        return done

    def _add(self, jobs: Sequence[Job], now_s: float) -> None:
        began_ns = time.time_ns() if self._trails else 0
        try:
            texts = iter(self._engine.tokenize([text for job in jobs for text in job.texts]))
        except Exception:  # noqa: BLE001  (as in _answered)
            if len(jobs) > 1:
                for job in jobs:
                    self._add([job], now_s)
                return
            uid = jobs[0].uid
            _log.exception("the tokenizer failed%s", self._trails.suffix(uid))
            self._done.append(Outcome(uid, error="the tokenizer failed", trail=self._trails.end(uid)))
            return
        if self._trails:
            self._trails.tokenized((job.uid for job in jobs), began_ns)
        for job in jobs:
            self._schedule(job.uid, [next(texts) for _ in job.texts], now_s)

    def _schedule(self, uid: int, texts: Sequence[TokenizedText], now_s: float) -> None:
        rows, share = texts, 1.0
        if any(text.windows for text in texts):
            share = max(WINDOWS_SHARE_MIN, 1 / max(text.rows for text in texts))
            rows = [row for text in texts for row in text.split()]
            if (too_long := self._too_long(texts, len(rows))) is not None:
                self._done.append(Outcome(uid, too_long=too_long, trail=self._trails.end(uid)))
                return
        self._open[uid] = _Open(texts, [None] * len(rows))
        self._batcher.add(uid, rows, now_s, share=share)

    def _too_long(self, texts: Sequence[TokenizedText], rows: int) -> tuple[int | None, int] | None:
        for index, text in enumerate(texts):
            if text.rows > self._limits.windows_max:
                return index, text.rows
        return (None, rows) if rows > self._limits.rows_max else None

    def _answered(self, pieces: Sequence[Piece]) -> Iterator[Outcome]:
        """One failing row does not fail the others: a failed batch is tried again row by row."""
        began_ns = time.time_ns() if self._trails else 0
        try:
            numbers = self._engine.predict([piece.text for piece in pieces])
        except Exception:  # noqa: BLE001  (whatever the engine raises is this batch's failure, not the worker's)
            if len(pieces) > 1:
                for piece in pieces:
                    yield from self._answered([piece])
                return
            suffix = self._trails.suffix(pieces[0].task.uid)
            _log.exception("the engine failed%s", suffix)  # its message names shapes and operators, never texts
            yield from self._failed(pieces[0])
            return
        if self._trails:
            self._trails.called((piece.task.uid for piece in pieces), began_ns, len(pieces))
        for piece, found in zip(pieces, numbers, strict=True):
            yield from self._completed(piece, found)

    def _completed(self, piece: Piece, numbers: "Floats") -> Iterator[Outcome]:
        task = piece.task
        if (job := self._open.get(task.uid)) is None:
            return  # another text of the job has failed, or nobody waits for it any more
        job.numbers[piece.index] = numbers
        task.texts -= 1
        if task.texts:
            return
        try:
            rows = self._answers(job)
        except Exception:  # noqa: BLE001  (as in _answered)
            _log.exception("an answer could not be made%s", self._trails.suffix(task.uid))
            yield from self._failed(piece)
            return
        del self._open[task.uid]
        self._batcher.finish(task)
        yield Outcome(task.uid, rows, trail=self._trails.end(task.uid) if self._trails else None)

    def _answers(self, job: _Open) -> list[Row]:
        found = [numbers for numbers in job.numbers if numbers is not None]
        if len(found) == len(job.texts):
            return [self._engine.answer(text, (numbers,)) for text, numbers in zip(job.texts, found, strict=True)]
        numbers = iter(found)
        return [self._engine.answer(text, [next(numbers) for _ in range(text.rows)]) for text in job.texts]

    def _failed(self, piece: Piece) -> Iterator[Outcome]:
        if self._open.pop(piece.task.uid, None) is not None:
            self._batcher.cancel((piece.task.uid,))
            yield Outcome(piece.task.uid, error="the engine failed", trail=self._trails.end(piece.task.uid))
