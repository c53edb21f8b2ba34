"""The course of each gate: its value with the interval, the threshold, and the outcomes below."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from markupsafe import Markup

from controller.report.data import ReportData, Trace, TracePoint
from controller.report.drawing import Point, Scale, element, line, path, picture, round_ticks, text
from controller.report.timescale import TimeScale, time_scale
from controller.report.words import duration, exact


@dataclass(frozen=True, slots=True)
class Frame:
    """The size of a picture and the place of its axes, in pixels."""

    width: float
    height: float
    left: float
    right: float
    top: float
    bottom: float

    @property
    def strip_top(self) -> float:
        """The upper edge of the strip of outcomes, below the axis."""
        return self.bottom + 8.0

    def inside(self, y: float) -> float:
        """Return ``y``, limited to the frame."""
        return min(max(y, self.top), self.bottom)


SMALL: Final = Frame(308.0, 152.0, 42.0, 302.0, 8.0, 112.0)  # three in a row
LARGE: Final = Frame(960.0, 300.0, 58.0, 952.0, 10.0, 256.0)  # one in a row
_STRIP: Final = 6.0


def traces(report: ReportData) -> tuple[tuple[Trace, Markup], ...]:
    """Return each gate's trace with its picture, which begins at the first value."""
    return tuple((trace, trace_picture(report, trace)) for trace in report.traces)


def trace_picture(report: ReportData, trace: Trace, frame: Frame = SMALL) -> Markup:
    """Return the picture of one gate's trace, which must have a value."""
    scale = time_scale(report.phases, report.facts.as_of_s)
    known = next(place for place, point in enumerate(trace.points) if point.value is not None)
    return _Drawing(replace(trace, points=trace.points[known:]), scale, report.facts.started_at_s, frame).picture()


class _Drawing:
    """The drawing of one trace, whose first point has a value."""

    def __init__(self, trace: Trace, scale: TimeScale, started_at_s: float, frame: Frame) -> None:
        self._trace = trace
        self._frame = frame
        self._scale = scale
        self._started_at_s = started_at_s
        ends = (trace.points[0].at_s, trace.points[-1].at_s)
        self._across = Scale(scale(ends[0]), scale(ends[1]), frame.left, frame.right)
        self._y = Scale(*_range(trace), frame.bottom, frame.top)

    def picture(self) -> Markup:
        trace, frame = self._trace, self._frame
        contents = [*self._axes(), *self._band(), *self._threshold(), *self._curve(), *self._strip()]
        first_s, last_s = (trace.points[place].at_s - self._started_at_s for place in (0, -1))
        contents.append(text(duration(first_s), frame.left, frame.height - 10, class_="tick"))
        if last_s > first_s:
            contents.append(text(duration(last_s), frame.right, frame.height - 10, class_="tick", anchor="end"))
        return picture(frame.width, frame.height, f"{trace.gate} over time, in {trace.unit}", contents)

    def _x(self, point: TracePoint) -> float:
        return self._across(self._scale(point.at_s))

    def _at(self, value: float) -> float:
        return self._frame.inside(self._y(value))

    def _axes(self) -> Iterator[Markup]:
        frame, y = self._frame, self._y
        for tick in round_ticks(y.low, y.high, 4):
            yield line((frame.left, y(tick)), (frame.right, y(tick)), "grid")
            yield text(exact(tick), frame.left - 6, y(tick) + 4, class_="tick", anchor="end")

    def _band(self) -> Iterator[Markup]:
        for known, group in itertools.groupby(self._trace.points, key=lambda point: point.low is not None):
            if not known:
                continue
            points = list(group)
            upper = [(self._x(point), self._at(point.high)) for point in points if point.high is not None]
            lower = [(self._x(point), self._at(point.low)) for point in points if point.low is not None]
            yield path([*upper, *reversed(lower)], "area candidate", closed=True)

    def _threshold(self) -> Iterator[Markup]:
        if self._trace.threshold is not None:
            at = self._y(self._trace.threshold)
            yield line((self._frame.left, at), (self._frame.right, at), "threshold")

    def _curve(self) -> Iterator[Markup]:
        for known, group in itertools.groupby(self._trace.points, key=lambda point: point.value is not None):
            if known:
                points: list[Point] = [(self._x(p), self._at(p.value)) for p in group if p.value is not None]
                yield path(points, "curve candidate")
                yield element("circle", cx=points[-1][0], cy=points[-1][1], r=2.6, class_="dot candidate")

    def _strip(self) -> Iterator[Markup]:
        """Yield the outcomes over time, as a coloured strip."""
        start = self._frame.left
        for outcome, group in itertools.groupby(self._trace.points, key=lambda point: point.outcome):
            end = max(self._x(list(group)[-1]), start + 2)
            yield element(
                "rect",
                element("title", outcome.value),
                x=start,
                y=self._frame.strip_top,
                width=end - start,
                height=_STRIP,
                class_=f"outcome {outcome.value}",
            )
            start = end


def _range(trace: Trace) -> tuple[float, float]:
    """Return the range of the axis: of the values, the threshold and the last interval. Earlier intervals, which are
    very wide, are cut off."""
    seen = [point.value for point in trace.points[len(trace.points) // 8 :] if point.value is not None]
    seen = seen or [point.value for point in trace.points if point.value is not None]
    final = next((point for point in reversed(trace.points) if point.low is not None), None)
    seen += [bound for bound in (final.low, final.high) if bound is not None] if final else []
    seen += [trace.threshold] if trace.threshold is not None else []
    low, high = min(seen), max(seen)
    pad = 0.15 * (high - low) or abs(high) * 0.1 or 1.0
    return low - pad, high + pad
