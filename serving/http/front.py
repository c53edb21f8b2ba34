"""The prediction route: admits requests, sends them to the workers, and turns outcomes into answers."""

import asyncio
import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from starlette.types import Receive

from serving.contract import Traffic
from serving.http.admission import Admission
from serving.http.calls import Answer, Call, Caller, Headers, captured, read_body
from serving.http.schema import parse_texts
from serving.ipc.dispatcher import Dispatcher
from serving.ipc.progress import Progress
from serving.ipc.shared import Place
from serving.messages import Identity, Job, Outcome
from serving.observe.capture import Capture
from serving.observe.metrics import ApiMetrics
from serving.observe.mirror import Mirror
from serving.package.artifact import Manifest
from serving.refusals import ApiError
from serving.settings import Settings

_SWEEP_S: Final = 0.05
"""How often requests under way are looked after: whether their client has gone, whether their time is over. Most are
answered before the first look, which is why none of this costs them anything."""
_PAUSED_S: Final = 1.0
_SILENT_S: Final = 0.5
"""A worker that has been silent for longer is checked: whether it does anything."""


@dataclass(slots=True)
class _Open:
    """A request whose outcome is awaited."""

    call: Call
    cost: int
    outcome: "asyncio.Future[Outcome | None]"  # None: the client has gone
    receive: Receive
    since_s: float
    watcher: "asyncio.Task[None] | None" = field(default=None)


class Front:
    """One for an HTTP process."""

    def __init__(
        self,
        settings: Settings,
        identity: Identity,
        manifest: Manifest,
        metrics: ApiMetrics,
        capture: Capture,
        place: Place,
        *,
        mirror: Mirror | None = None,
    ) -> None:
        rows_max = settings.limits.windows_max if manifest.rules.windows else 1
        tokens_max = manifest.max_tokens * rows_max
        self.admission = Admission(settings.limits, tokens_max, settings.api_processes, settings.workers)
        self._max_tokens = manifest.max_tokens
        self.dispatcher = Dispatcher(self._deliver, self._observe)
        self._settings = settings
        self._identity = identity
        self._metrics = metrics
        self._capture = capture
        self._mirror = mirror
        self._uids: Iterator[int] = itertools.count(place.number, settings.api_processes)
        self._open: dict[int, _Open] = {}
        self._sweeping = False
        self._sweep_due_s = 0.0
        self._progress = Progress(settings.limits.stuck_after_s)
        self._place = place
        self._tail = b', "model": %b, "model_version": %b, "request_id": ' % (
            json.dumps(identity.model, ensure_ascii=False).encode(),
            json.dumps(identity.version, ensure_ascii=False).encode(),
        )

    async def predict(self, caller: Caller, headers: Headers, receive: Receive) -> Answer | None:
        """The answer, or None if nobody waits for it any more.

        Raises:
            ApiError: the request cannot be answered.
        """
        self.admission.check()
        limits = self._settings.limits
        body = await read_body(headers, receive, limits.body_bytes_max)
        texts, many = parse_texts(body, limits)
        if self._mirror is not None and caller.traffic is Traffic.LIVE:
            self._mirror.offer(caller.request_id, headers, body)
        call = Call(caller, texts, many)
        outcome = await self._submitted(call, receive)
        if outcome is None:
            return None
        if caller.trace is not None:
            caller.trace.answered(outcome)
        if outcome.error is not None:
            raise ApiError(500, "inference_failed", outcome.error, failure=outcome.failure)
        if outcome.too_long is not None:
            raise self._too_long(call, *outcome.too_long)
        self._note(call, outcome)
        return Answer(self._body(call, outcome), len(texts), sum(row[1] for row in outcome.rows))

    def is_well(self) -> bool:
        """Return whether a worker can answer. Each is asked for a sign of life, so that one that hangs is found by who
        asks for our health before a request finds it."""
        self.dispatcher.ask()
        if not self._sweeping and self.dispatcher.is_owed:
            self._sweep_soon(asyncio.get_running_loop())
        return self.dispatcher.ready

    def _submitted(self, call: Call, receive: Receive) -> "asyncio.Future[Outcome | None]":
        loop = asyncio.get_running_loop()
        uid = next(self._uids)
        cost = self.admission.cost(call.texts)
        future: asyncio.Future[Outcome | None] = loop.create_future()
        self._open[uid] = _Open(call, cost, future, receive, loop.time())
        self.admission.enter(cost)
        self._metrics.depth(len(self._open))
        if not self._sweeping:
            self._sweep_soon(loop)
        if not self.dispatcher.ready:
            self._metrics.cold()
        trace = call.caller.trace
        self.dispatcher.submit(Job(uid, call.texts, cost, None if trace is None else trace.submitted()))
        return future

    def _observe(self, busy_s: float, cost: int) -> None:
        self.admission.observe(busy_s, cost)
        self._metrics.busy(busy_s)

    def _deliver(self, outcome: Outcome) -> None:
        entry = self._close(outcome.uid)
        if entry is not None and not entry.outcome.done():  # else it was given up, and answered so
            entry.outcome.set_result(outcome)

    def _close(self, uid: int) -> _Open | None:
        entry = self._open.pop(uid, None)
        if entry is not None:
            self.admission.leave(entry.cost)
            self._metrics.depth(len(self._open))
        return entry

    def _sweep(self) -> None:
        loop = asyncio.get_running_loop()
        now_s = loop.time()
        for uid, entry in list(self._open.items()):
            if now_s - entry.since_s > self._settings.limits.answer_timeout_s:
                self._give_up(uid, ApiError(504, "timeout", "the model did not answer in time"))
            elif entry.watcher is None and now_s - entry.since_s >= _SWEEP_S:
                entry.watcher = loop.create_task(self._watch(uid, entry.receive))
        on_time = now_s - self._sweep_due_s < _PAUSED_S  # else this machine stood still, and the workers with it
        for pid in self.dispatcher.hung(now_s - self._settings.limits.answer_timeout_s):
            if on_time:
                self._place.end_worker(pid)
        self._end_stuck(now_s, set(self.dispatcher.silent(now_s - _SILENT_S)) if on_time else set())
        self._sweeping = False
        if self._open or self.dispatcher.is_owed:
            self._sweep_soon(loop)

    def _end_stuck(self, now_s: float, silent: set[int]) -> None:
        self._progress.forget_but(silent)
        for pid in silent:
            if self._progress.is_stuck(pid, now_s):
                self.dispatcher.give_up(pid)
                self._place.end_worker(pid)

    def _sweep_soon(self, loop: asyncio.AbstractEventLoop) -> None:
        self._sweeping = True
        self._sweep_due_s = loop.time() + _SWEEP_S
        loop.call_at(self._sweep_due_s, self._sweep)

    async def _watch(self, uid: int, receive: Receive) -> None:
        """The body is read, so all that can come is the end: of the connection, or of the response."""
        await receive()
        self._give_up(uid, None)

    def _give_up(self, uid: int, error: ApiError | None) -> None:
        """Free the request's place, and let nobody compute it if it has not been computed yet."""
        if (entry := self._close(uid)) is None:
            return
        self.dispatcher.cancel(uid)
        if entry.outcome.done():
            return
        if error is None:
            entry.outcome.set_result(None)
        else:
            entry.outcome.set_exception(error)

    def _note(self, call: Call, outcome: Outcome) -> None:
        for _, tokens, unknown, truncated, windows in outcome.rows:
            self._metrics.text(call.caller.traffic, tokens, unknown, truncated=truncated, windows=windows)
        if call.caller.is_question:  # what it asks is recorded already, and would be kept anew
            return
        if chance := self._capture.chance_of(call.caller.request_id):
            for prediction in captured(call, outcome, self._identity, self._settings.capture, chance):
                self._capture.offer(prediction)

    def _too_long(self, call: Call, index: int | None, windows: int) -> ApiError:
        """More than is computed for one request: others wait for the same engine."""
        windows_max, rows_max = self._settings.limits.windows_max, self._settings.limits.rows_max
        if index is None:
            message = f"the texts would be read in {windows} windows together; at most {rows_max} are"
            return ApiError(422, "too_many_windows", message, field="texts")
        message = f"the text would be read in {windows} windows of {self._max_tokens} tokens; at most {windows_max} are"
        return ApiError(422, "text_too_long", message, field=f"texts[{index}]" if call.many else "text")

    def _body(self, call: Call, outcome: Outcome) -> bytes:
        """The workers' JSON objects, put into the answer unchanged."""
        predictions = [row[0] for row in outcome.rows]
        head = b'{"predictions": [%b]' % b", ".join(predictions) if call.many else predictions[0][:-1]
        return b"%b%b%b}" % (head, self._tail, json.dumps(call.caller.request_id).encode())
