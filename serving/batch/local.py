"""A run on the cores of this machine.

One graph is loaded, and each core runs engine calls on a thread: ONNX Runtime and the tokenizer release Python's lock,
so processes would gain nothing, and each would hold a copy of the weights.
"""

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final, TypeVar

from serving.batch.layouts import Layout
from serving.batch.parts import Part
from serving.batch.scoring import CallMap, Scorer
from serving.batch.sources import Block, Source

BLOCKS_AT_ONCE: Final = 2
"""While one block is read and written, the engine calls of another keep the cores busy."""

_In = TypeVar("_In")
_Out = TypeVar("_Out")


class StoppedError(Exception):
    """The run was told to stop."""


class Work:
    """The work on one block, wherever it is done."""

    def __init__(self, source: Source, scorer: Scorer, layout: Layout) -> None:
        self._source = source
        self._scorer = scorer
        self._layout = layout

    def part(self, block: Block, run: CallMap = map) -> Part:
        """Raises: BatchError, if the format of the output cannot hold a row."""
        scored = self._scorer.score(self._source, block, run)
        return Part(block.place.index, self._layout.encode(block, scored), scored.errors)


def parts(blocks: Iterable[Block], work: Work, threads: int) -> Generator[tuple[Block, Part]]:
    """The blocks' parts, in order. Closing it, as an exception does, stops after the engine calls that run."""
    stop = threading.Event()
    pending: deque[tuple[Block, Future[Part]]] = deque()
    with ThreadPoolExecutor(threads) as cores, ThreadPoolExecutor(BLOCKS_AT_ONCE) as makers:

        def run(function: Callable[[_In], _Out], calls: Iterable[_In]) -> Iterator[_Out]:
            def unless_stopped(call: _In) -> _Out:
                if stop.is_set():
                    raise StoppedError
                return function(call)

            return cores.map(unless_stopped, calls)

        try:
            for block in blocks:
                pending.append((block, makers.submit(work.part, block, run)))
                if len(pending) > BLOCKS_AT_ONCE:
                    done, future = pending.popleft()
                    yield done, future.result()
            while pending:
                done, future = pending.popleft()
                yield done, future.result()
        finally:
            stop.set()
            for _, future in pending:
                future.cancel()
