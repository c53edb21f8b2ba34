"""The way each gate came to its outcome: the value, the interval around it, the threshold, and the outcome beneath."""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import replace

from markupsafe import Markup

from controller.report.data import ReportData, Trace, TracePoint
from controller.report.drawing import Point, Scale, element, line, path, picture, round_ticks, text
from controller.report.timescale import TimeScale, time_scale
from controller.report.words import duration, exact

WIDTH, HEIGHT = 308.0, 152.0
_LEFT, _RIGHT = 42.0, 302.0
_TOP, _BOTTOM = 8.0, 112.0
_STRIP_TOP, _STRIP = 120.0, 6.0
XOf = Callable[[TracePoint], float]


def traces(report: ReportData) -> tuple[tuple[Trace, Markup], ...]:
    """Each gate's trace with its picture, from its first value on."""
    scale = time_scale(report.phases, report.facts.as_of_s)
    return tuple((trace, _picture(trace, scale, report.facts.started_at_s)) for trace in report.traces)


def _picture(trace: Trace, scale: TimeScale, started_at_s: float) -> Markup:
    known = next(place for place, point in enumerate(trace.points) if point.value is not None)
    trace = replace(trace, points=trace.points[known:])
    first_s, last_s = trace.points[0].at_s, trace.points[-1].at_s
    across = Scale(scale(first_s), scale(last_s), _LEFT, _RIGHT)
    low, high = _range(trace)
    y = Scale(low, high, _BOTTOM, _TOP)

    def x(point: TracePoint) -> float:
        return across(scale(point.at_s))

    contents = [*_axes(y), *_band(trace, x_of=x, y=y), *_threshold(trace, y), *_curve(trace, x_of=x, y=y)]
    contents += _strip([(x(point), point) for point in trace.points])
    contents.append(text(duration(first_s - started_at_s), _LEFT, HEIGHT - 10, class_="tick"))
    if last_s > first_s:
        contents.append(text(duration(last_s - started_at_s), _RIGHT, HEIGHT - 10, class_="tick", anchor="end"))
    return picture(WIDTH, HEIGHT, f"{trace.gate} over time, in {trace.unit}", contents)


def _range(trace: Trace) -> tuple[float, float]:
    """Return the range of the values, the threshold and the last interval. Early intervals are wide as can be: they are
    cut off."""
    seen = [point.value for point in trace.points[len(trace.points) // 8 :] if point.value is not None]
    seen = seen or [point.value for point in trace.points if point.value is not None]
    final = next((point for point in reversed(trace.points) if point.low is not None), None)
    seen += [bound for bound in (final.low, final.high) if bound is not None] if final else []
    seen += [trace.threshold] if trace.threshold is not None else []
    low, high = min(seen), max(seen)
    pad = 0.15 * (high - low) or abs(high) * 0.1 or 1.0
    return low - pad, high + pad


def _axes(y: Scale) -> Iterator[Markup]:
    for tick in round_ticks(y.low, y.high, 4):
        yield line((_LEFT, y(tick)), (_RIGHT, y(tick)), "grid")
        yield text(exact(tick), _LEFT - 6, y(tick) + 4, class_="tick", anchor="end")


def _inside(value: float) -> float:
    return min(max(value, _TOP), _BOTTOM)


def _band(trace: Trace, *, x_of: XOf, y: Scale) -> Iterator[Markup]:
    for known, group in itertools.groupby(trace.points, key=lambda point: point.low is not None):
        if not known:
            continue
        points = list(group)
        upper = [(x_of(point), _inside(y(point.high))) for point in points if point.high is not None]
        lower = [(x_of(point), _inside(y(point.low))) for point in points if point.low is not None]
        yield path([*upper, *reversed(lower)], "area candidate", closed=True)


def _threshold(trace: Trace, y: Scale) -> Iterator[Markup]:
    if trace.threshold is not None:
        at = y(trace.threshold)
        yield line((_LEFT, at), (_RIGHT, at), "threshold")


def _curve(trace: Trace, *, x_of: XOf, y: Scale) -> Iterator[Markup]:
    for known, group in itertools.groupby(trace.points, key=lambda point: point.value is not None):
        if known:
            points: list[Point] = [(x_of(p), _inside(y(p.value))) for p in group if p.value is not None]
            yield path(points, "curve candidate")
            yield element("circle", cx=points[-1][0], cy=points[-1][1], r=2.6, class_="dot candidate")


def _strip(points: list[tuple[float, TracePoint]]) -> list[Markup]:
    """The outcome at each look, as a coloured line."""
    drawn = []
    start = _LEFT
    for outcome, group in itertools.groupby(points, key=lambda placed: placed[1].outcome):
        end = max(list(group)[-1][0], start + 2)
        drawn.append(
            element(
                "rect",
                element("title", outcome.value),
                x=start,
                y=_STRIP_TOP,
                width=end - start,
                height=_STRIP,
                class_=f"outcome {outcome.value}",
            )
        )
        start = end
    return drawn
