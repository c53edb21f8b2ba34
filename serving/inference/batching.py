"""The choice of waiting texts for the next engine call: texts of similar length, soon, and none stuck behind a long
one.

A job's texts are scheduled one by one, so that a long list is not a wall for those who come after it. The next call is
built around the text that is due first; a text is due at its arrival plus what it costs, lists adding up. So a short
text overtakes long ones that came shortly before it, and a long one is overtaken for a bounded time only. Nobody waits
for company while the engine is free unless told to: what arrives during one call makes the next.
"""

import bisect
import heapq
import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from serving.inference.tokenizer import TokenizedText

PATIENCE_RATIO: Final = 1.0
"""A text may be overtaken by cheaper ones that arrive within so many times its own cost; more, and the long texts are
the ones that miss the objective under overload."""
WINDOWS_SHARE_MIN: Final = 1 / 8
"""A text of n windows may claim an n-th of the engine while others wait, and never less than this. With all of it, two
such texts at a time would be everything that is due, and short texts would wait for all of their windows."""
CALL_COST_TOKENS: Final = 16
"""What an engine call costs beyond its tokens, in tokens: 7 to 20 for models of 2 to 6 layers. Less padding than that
is cheaper than a call more."""
PACE_FIRST_S: Final = 0.0002
"""Time for a token until one was measured; the warm-up measures."""
_PACE_WEIGHT: Final = 0.1


@dataclass(slots=True)
class Task:
    """A job in work: how many of its texts have no answer yet."""

    uid: int
    texts: int
    cancelled: bool = False


@dataclass(slots=True)
class Piece:
    """One text of a job."""

    task: Task
    index: int
    text: TokenizedText
    due_s: float
    taken: bool = field(default=False)


class Pace:
    """Seconds that the engine takes for a token, padding included: a moving average of what calls took."""

    def __init__(self) -> None:
        self.token_s = PACE_FIRST_S

    def observe(self, tokens: int, took_s: float) -> None:
        self.token_s += _PACE_WEIGHT * (took_s / tokens - self.token_s)


class Batcher:
    """The texts that wait in a worker. ``call_s_max`` bounds what one call may take, beyond its first text.

    ``padded(tokens)`` is the width of a call whose longest text has so many tokens.
    """

    def __init__(
        self, pace: Pace, texts_max: int, call_s_max: float, padded: Callable[[int], int] = lambda tokens: tokens
    ) -> None:
        self._pace = pace
        self._padded = padded
        self._texts_max = texts_max
        self._call_s_max = call_s_max
        self._tasks: dict[int, Task] = {}
        self._by_due: list[tuple[float, int, int, Piece]] = []
        self._by_width: list[tuple[int, int, Piece]] = []
        self._order = itertools.count()

    def __len__(self) -> int:
        return len(self._by_width)

    def add(self, uid: int, texts: Sequence[TokenizedText], now_s: float, *, share: float = 1.0) -> None:
        """``share``: what the job may claim of the engine while others wait. A free engine it gets at once."""
        task = Task(uid, len(texts))
        self._tasks[uid] = task
        cost_s = 0.0
        for index, text in enumerate(texts):
            width = self._padded(len(text.ids))
            cost_s += (width + CALL_COST_TOKENS) * self._pace.token_s / share
            piece = Piece(task, index, text, now_s + PATIENCE_RATIO * cost_s)
            order = next(self._order)
            heapq.heappush(self._by_due, (piece.due_s, width, order, piece))
            bisect.insort(self._by_width, (width, order, piece))

    def cancel(self, uids: Iterable[int]) -> None:
        """Forget what is not yet in the engine of these jobs; unknown ones are skipped."""
        tasks = [task for uid in uids if (task := self._tasks.pop(uid, None)) is not None]
        for task in tasks:
            task.cancelled = True
        if tasks:  # one pass for all: clients go away in crowds
            self._by_width = [entry for entry in self._by_width if not entry[2].task.cancelled]

    def finish(self, task: Task) -> None:
        """All texts of the job are answered."""
        del self._tasks[task.uid]

    @property
    def is_full(self) -> bool:
        """Return whether a call would be full with what waits."""
        return len(self._by_width) >= self._texts_max

    def take(self) -> list[Piece]:
        """The next call: the text that is due first, and those nearest to it in length that cost less with it."""
        width, order = self._first()
        low = bisect.bisect_left(self._by_width, (width, order))
        high = low + 1  # the call is by_width[low:high]
        area_max = self._call_s_max / self._pace.token_s
        while high - low < self._texts_max:
            lower = self._by_width[low - 1][0] if low else None
            upper = self._by_width[high][0] if high < len(self._by_width) else None
            rows = high - low
            if lower is not None and (upper is None or width - lower <= upper - width):
                if width > lower + CALL_COST_TOKENS or (rows + 1) * width > area_max:
                    break
                low -= 1
            elif upper is not None:
                if rows * (upper - width) > CALL_COST_TOKENS or (rows + 1) * upper > area_max:
                    break
                width = upper
                high += 1
            else:
                break
        pieces = [piece for _, _, piece in self._by_width[low:high]]
        del self._by_width[low:high]
        for piece in pieces:
            piece.taken = True
        return pieces

    def _first(self) -> tuple[int, int]:
        """Width and order of the text that is due first."""
        while True:
            _, width, order, piece = heapq.heappop(self._by_due)
            if not (piece.taken or piece.task.cancelled):
                return width, order
