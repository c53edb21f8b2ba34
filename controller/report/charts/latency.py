"""The latency distributions of both versions on a logarithmic axis, from bucket counts alone."""

import math
from collections.abc import Iterator, Sequence

from markupsafe import Markup

from controller.report.data import Latency, LatencyArm
from controller.report.drawing import Point, Scale, element, line, log_ticks, path, picture, text

WIDTH, HEIGHT = 960.0, 320.0
_LEFT, _RIGHT = 78.0, 948.0
_TOP, _BOTTOM = 30.0, 222.0
_STRIPS = {"stable": 262.0, "candidate": 284.0}
_BUCKET_RATIO_MIN = 1.05  # an objective's own edge splits a bucket: the slivers are drawn with their neighbour
_SEEN = 0.0005  # the share of answers that may lie outside the axis at its lower end

Bucket = tuple[float, float, float]  # from ms, to ms, share of answers per unit of log time


def latency_chart(latency: Latency, stable_name: str, candidate_name: str) -> Markup:
    arms = {"stable": latency.stable, "candidate": latency.candidate}
    shapes = {name: _densities(arm, latency.edges_ms) for name, arm in arms.items()}
    low, high = _range(latency)
    x = Scale(low, high, _LEFT, _RIGHT, log=True)
    top = max((density for shape in shapes.values() for *_, density in shape), default=1.0)
    y = Scale(0, top * 1.06, _BOTTOM, _TOP)
    contents = [*_axis(x), *_objectives(latency, x)]
    for name, shape in shapes.items():
        outline = _outline(shape, x, y)
        if outline:
            contents += [path(outline, f"area {name}", closed=True), path(outline, f"curve {name}")]
    for name, label in (("stable", stable_name), ("candidate", candidate_name)):
        contents += _percentiles(arms[name], name, label, x)
    return picture(WIDTH, HEIGHT, f"Latency of {stable_name} and {candidate_name}", contents)


def _densities(arm: LatencyArm, edges_ms: Sequence[float]) -> list[Bucket]:
    """Counts over the buckets' widths; what lies beyond the last edge has no width and is said in words."""
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
    """From where the first answers lie to the last of them, and to the last objective."""
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


def _axis(x: Scale) -> Iterator[Markup]:
    yield line((_LEFT, _BOTTOM), (_RIGHT, _BOTTOM), "axis")
    for tick in log_ticks(x.low, x.high):
        yield line((x(tick), _BOTTOM), (x(tick), _BOTTOM + 4), "axis")
        name = f"{tick:g} ms" if tick < 1000 else f"{tick / 1000:g} s"
        yield text(name, x(tick), _BOTTOM + 18, class_="tick", anchor="middle")


def _objectives(latency: Latency, x: Scale) -> Iterator[Markup]:
    for objective in latency.objectives_ms:
        at = x(objective)
        yield line((at, _TOP - 8), (at, _BOTTOM), "threshold")
        yield text(f"objective {objective:g} ms", at - 5, _TOP - 12, class_="tick", anchor="end")


def _outline(shape: Sequence[Bucket], x: Scale, y: Scale) -> list[Point]:
    """The steps of a histogram, from the axis and back to it."""
    shown = [bucket for bucket in shape if bucket[1] > x.low and bucket[0] < x.high]
    if not any(density for *_, density in shown):
        return []
    points = [(max(x(shown[0][0]), _LEFT), _BOTTOM)]
    for low, high, density in shown:
        points += [(max(x(low), _LEFT), y(density)), (min(x(high), _RIGHT), y(density))]
    return [*points, (points[-1][0], _BOTTOM)]


def _percentiles(arm: LatencyArm, name: str, label: str, x: Scale) -> Iterator[Markup]:
    """A line from the first to the last percentile, with a mark at each."""
    y = _STRIPS[name]
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
