"""The model as LitServe sees it: a LitAPI with its hooks, and the loop that an inference worker runs."""

import logging
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Annotated, Any, Final

from fastapi import Depends, Request
from litserve import LitAPI
from litserve.loops import LitLoop
from starlette.responses import Response

from serving.artifact import read_manifest
from serving.calls import Call
from serving.contract import PREDICT_ROUTE
from serving.link import Job, LinkClosedError, Outcome, Row, WorkerEnd
from serving.settings import Batching, Settings

_log = logging.getLogger(__name__)

_WARM_UP_TOKENS: Final = (8, 16, 32, 64, 128)


async def _admit(request: Request) -> Call:
    call: Call = await request.app.state.front.admit(request)
    return call


class TextClassifier(LitAPI):  # type: ignore[misc]  # LitServe is not typed
    """Texts in, rows out.

    LitServe reads the annotation of ``decode_request``: as a dependency it runs in the HTTP process, so that a bad
    request is refused there and never reaches a worker.
    """

    def __init__(self, settings: Settings) -> None:
        super().__init__(
            max_batch_size=settings.batching.texts_max,
            batch_timeout=settings.batching.wait_ms / 1000,
            api_path=PREDICT_ROUTE,
            loop=BatchLoop(settings.batching),
        )
        self._settings = settings
        self.is_ready: Callable[[], bool] = lambda: False

    def health(self) -> bool:
        """For LitServe's health page: whether a worker is ready."""
        return self.is_ready()

    def setup(self, device: str) -> None:
        """Load and warm the engine; called once, in the worker. ``device`` is LitServe's; the engine runs on CPU."""
        from serving.engine import Engine
        from serving.metrics import WorkerMetrics

        settings = self._settings
        manifest, _ = read_manifest(settings.artifact)
        self._engine = Engine(settings.artifact, manifest, threads=settings.threads)
        self._metrics = WorkerMetrics(settings.model, settings.version)
        for batch_size in {1, settings.batching.texts_max}:
            self._engine.warm_up(_WARM_UP_TOKENS, batch_size)
        _log.debug("engine ready on %s", device)

    async def authorize(self) -> None:
        """Who may call. A coroutine, since LitServe would run a plain function in a thread for each request."""

    def decode_request(self, request: Annotated[Call, Depends(_admit)]) -> tuple[str, ...]:
        return request.texts

    def predict(self, texts: Sequence[str]) -> list[Row]:
        self._metrics.batch(len(texts))
        return self._engine.predict(texts)

    def encode_response(self, output: Response) -> Response:
        return output


class BatchLoop(LitLoop):  # type: ignore[misc]  # LitServe is not typed
    """Waits without polling, then works batch by batch: what arrives during one engine call makes the next."""

    def __init__(self, batching: Batching) -> None:
        super().__init__()
        self._batching = batching

    def __call__(self, lit_api: TextClassifier, device: str, worker_id: int, request_queue: WorkerEnd, *_: Any) -> None:
        waiting: deque[Job] = deque()
        try:
            request_queue.send_ready()
            while True:
                waiting += request_queue.receive(0.0 if waiting else None)
                self._wait_for_company(waiting, request_queue)
                batch = take(waiting, self._batching.texts_max)
                request_queue.send(answer_jobs(batch, lit_api.predict, self._batching.texts_max))
        except LinkClosedError:
            _log.debug("worker %d on %s ends: the HTTP process has gone", worker_id, device)

    def _wait_for_company(self, waiting: deque[Job], end: WorkerEnd) -> None:
        deadline_s = time.monotonic() + self._batching.wait_ms / 1000
        while sum(len(job.texts) for job in waiting) < self._batching.texts_max:
            remaining_s = deadline_s - time.monotonic()
            if remaining_s <= 0:
                return
            waiting += end.receive(remaining_s)


def take(waiting: deque[Job], texts_max: int) -> list[Job]:
    """The oldest jobs that fit one engine call together; at least one, however many texts it has."""
    batch = [waiting.popleft()]
    texts = len(batch[0].texts)
    while waiting and texts + len(waiting[0].texts) <= texts_max:
        batch.append(waiting.popleft())
        texts += len(batch[-1].texts)
    return batch


def answer_jobs(jobs: Sequence[Job], predict: Callable[[Sequence[str]], list[Row]], texts_max: int) -> list[Outcome]:
    """Outcomes of the jobs. One that fails does not fail the others: a failed batch is tried again job by job."""
    now_s = time.monotonic()
    live = [job for job in jobs if job.expires_at_s > now_s]
    expired = [Outcome(job.uid, error="nobody waited for it any more") for job in jobs if job.expires_at_s <= now_s]
    return [*expired, *_answer_live(live, predict, texts_max)]


def _answer_live(
    jobs: Sequence[Job], predict: Callable[[Sequence[str]], list[Row]], texts_max: int
) -> Iterable[Outcome]:
    texts = [text for job in jobs for text in job.texts]
    try:
        rows = iter([row for at in range(0, len(texts), texts_max) for row in predict(texts[at : at + texts_max])])
    except Exception:  # noqa: BLE001  (whatever the engine raises is this batch's failure, not the worker's)
        if len(jobs) > 1:
            return [outcome for job in jobs for outcome in _answer_live([job], predict, texts_max)]
        _log.exception("the engine failed")  # its message names shapes and operators, never texts
        return [Outcome(job.uid, error="the engine failed") for job in jobs]
    return [Outcome(job.uid, tuple(next(rows) for _ in job.texts)) for job in jobs]
