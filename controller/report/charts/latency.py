"""The latency distributions of both versions on a logarithmic axis, from bucket counts alone."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from markupsafe import Markup

from controller.report.data import Latency, LatencyArm
from controller.report.drawing import Point, Scale, element, line, log_ticks, path, picture, text

_BUCKET_RATIO_MIN = 1.05  # narrower buckets, which an objective's own edge makes, are drawn with the next one
_SEEN = 0.0005  # the share of answers that may lie below the axis
_NOTE = 14.0  # height of an objective's note, in pixels
_TICK = 44.0  # the least distance between two ticks' labels, in pixels

Bucket = tuple[float, float, float]  # from ms, to ms, share of answers per unit of log time


@dataclass(frozen=True, slots=True)
class Frame:
    """The width of the picture, and the beginning and end of its axis, in pixels."""

    width: float
    left: float
    right: float


WIDE: Final = Frame(960.0, 78.0, 948.0)
NARROW: Final = Frame(364.0, 72.0, 340.0)  # for a phone, where the chart is not scaled down
_PLOT = 192.0


def latency_chart(latency: Latency, stable_name: str, candidate_name: str, frame: Frame = WIDE) -> Markup:
    """Return the picture, as wide as the frame."""
    arms = {"stable": latency.stable, "candidate": latency.candidate}
    shapes = {name: _densities(arm, latency.edges_ms) for name, arm in arms.items()}
    low, high = _range(latency)
    x = Scale(low, high, frame.left, frame.right, log=True)
    most = max((density for shape in shapes.values() for *_, density in shape), default=1.0)
    top = 30.0 + _NOTE * max(len(latency.objectives_ms) - 1, 0)
    bottom = top + _PLOT
    y = Scale(0, most * 1.06, bottom, top)
    contents = [*_axis(x, bottom), *_objectives(latency, x, top, bottom)]
    for name, shape in shapes.items():
        outline = _outline(shape, x, y)
        if outline:
            contents += [path(outline, f"area {name}", closed=True), path(outline, f"curve {name}")]
    strips = {"stable": bottom + 40, "candidate": bottom + 62}
    for name, label in (("stable", stable_name), ("candidate", candidate_name)):
        contents += _percentiles(arms[name], name, label, x, strips[name])
    return picture(frame.width, bottom + 98, f"Latency of {stable_name} and {candidate_name}", contents)


def _densities(arm: LatencyArm, edges_ms: Sequence[float]) -> list[Bucket]:
    """Return the buckets with the density of answers. Answers beyond the last edge are left out: their bucket has no
    width."""
    found: list[Bucket] = []
    low, count = edges_ms[0] / 1.1, 0
    for edge, inside in zip(edges_ms, arm.counts, strict=False):
        count += inside
        if edge / low < _BUCKET_RATIO_MIN:
            continue
        found.append((low, edge, count / max(arm.total, 1) / math.log(edge / low)))
        low, count = edge, 0
    return found


def _range(latency: Latency) -> tuple[float, float]:
    """Return the range of the axis in ms: from the first answers to the last answers or the last objective."""
    counts = [sum(both) for both in zip(latency.stable.counts, latency.candidate.counts, strict=True)]
    total, seen = sum(counts), 0
    first, last = latency.edges_ms[0], latency.edges_ms[0]
    for edge, count in zip(latency.edges_ms, counts, strict=False):
        seen += count
        if seen <= _SEEN * total:
            first = edge
        if count:
            last = edge
    return first / 1.15, max(last, *latency.objectives_ms, first) * 1.12


def _axis(x: Scale, bottom: float) -> Iterator[Markup]:
    yield line((x.start, bottom), (x.end, bottom), "axis")
    last = -_TICK
    for tick in log_ticks(x.low, x.high):
        yield line((x(tick), bottom), (x(tick), bottom + 4), "axis")
        if x(tick) - last >= _TICK:
            last = x(tick)
            name = f"{tick:g} ms" if tick < 1000 else f"{tick / 1000:g} s"
            yield text(name, last, bottom + 18, class_="tick", anchor="middle")


def _objectives(latency: Latency, x: Scale, top: float, bottom: float) -> Iterator[Markup]:
    """Yield a line for each objective, with a note above the earlier ones."""
    for place, objective in enumerate(latency.objectives_ms):
        at, up = x(objective), top - 8 - _NOTE * place
        yield line((at, up), (at, bottom), "threshold")
        yield text(f"objective {objective:g} ms", at - 5, up - 4, class_="tick", anchor="end")


def _outline(shape: Sequence[Bucket], x: Scale, y: Scale) -> list[Point]:
    """Return the outline of the histogram, from the axis and back to it; empty if there are no answers."""
    shown = [bucket for bucket in shape if bucket[1] > x.low and bucket[0] < x.high]
    if not any(density for *_, density in shown):
        return []
    bottom = y(0)
    points = [(max(x(shown[0][0]), x.start), bottom)]
    for low, high, density in shown:
        points += [(max(x(low), x.start), y(density)), (min(x(high), x.end), y(density))]
    return [*points, (points[-1][0], bottom)]


def _percentiles(arm: LatencyArm, name: str, label: str, x: Scale, y: float) -> Iterator[Markup]:
    """Yield the version's label, and a line from its first to its last percentile with a mark at each."""
    yield text(label, 0, y + 4, class_="row")
    known = [
        (which, edge) for which, edge in arm.percentiles_ms.items() if edge is not None and x.low <= edge <= x.high
    ]
    if not known:
        return
    yield line((x(known[0][1]), y), (x(known[-1][1]), y), f"curve {name}")
    for place, (which, edge) in enumerate(known):
        note = element("title", f"{label}: {which} within {edge:g} ms")
        yield element("circle", note, cx=x(edge), cy=y, r=(4.5, 4.0, 3.5)[min(place, 2)], class_=f"dot {name}")
