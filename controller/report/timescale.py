"""The time axis of a release: phases in which it only waits are shortened, all others are to scale."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from controller.core.release import Phase
from controller.report.data import PhaseSpan

WAITING = frozenset({Phase.PENDING, Phase.HELD, Phase.PROBATION})
_WAIT_SHARE_MAX = 0.15  # of the other phases' time: a day of probation must not hide ten minutes of canary
_STEPS_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 14_400, 21_600, 43_200, 86_400)


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of time (unix seconds) and its stretch of the axis (0 to 1). ``shortened``: not to scale."""

    start_s: float
    end_s: float
    start: float
    end: float
    shortened: bool


@dataclass(frozen=True, slots=True)
class TimeScale:
    """A scale from unix seconds to a place on the axis, 0 to 1."""

    pieces: tuple[Piece, ...]

    def __call__(self, at_s: float) -> float:
        if not self.pieces or at_s <= self.pieces[0].start_s:
            return 0.0
        for piece in self.pieces:
            if at_s <= piece.end_s:
                share = (at_s - piece.start_s) / (piece.end_s - piece.start_s)
                return min(piece.start + share * (piece.end - piece.start), 1.0)
        return 1.0

    def ticks(self, count: int) -> Iterator[float]:
        """Yield about ``count`` unix times at round intervals since the start, where the axis is to scale."""
        if not self.pieces:
            return
        origin = self.pieces[0].start_s
        active_s = sum(p.end_s - p.start_s for p in self.pieces if not p.shortened)
        step = next((step for step in _STEPS_S if step * count >= active_s), 7 * 86_400)
        last = float("-inf")
        for piece in self.pieces:
            if piece.shortened:
                continue
            first = -(-(piece.start_s - origin) // step)
            while origin + first * step <= piece.end_s:
                at_s = origin + first * step
                if self(at_s) - last >= 0.7 / count:
                    yield at_s
                    last = self(at_s)
                first += 1


def time_scale(phases: Sequence[PhaseSpan], as_of_s: float) -> TimeScale:
    """Return the axis of these phases; a phase that still lasts is drawn up to ``as_of_s``."""
    spans = [(span, (as_of_s if span.end_s is None else span.end_s) - span.start_s) for span in phases]
    active_s = sum(length for span, length in spans if span.phase not in WAITING)
    longest_wait_s = _WAIT_SHARE_MAX * active_s if active_s else float("inf")
    shown = [
        (span, length, min(length, longest_wait_s) if span.phase in WAITING else length)
        for span, length in spans
        if length > 0
    ]
    total = sum(width for *_, width in shown)
    pieces: list[Piece] = []
    at = 0.0
    for span, length, width in shown:
        end = at + width / total
        pieces.append(Piece(span.start_s, span.start_s + length, at, end, width < length))
        at = end
    return TimeScale(tuple(pieces))
