"""The reliability diagram of one version: its accuracy by confidence, with the number of answers."""

import math
from collections.abc import Iterator

from markupsafe import Markup

from controller.core.counted import counted
from controller.report.data import Reliability, ReliabilityBin
from controller.report.drawing import Scale, element, line, picture, text
from controller.report.words import compact
from gates.wording import pct

WIDTH, HEIGHT = 452.0, 400.0
_LEFT, _RIGHT = 54.0, 434.0
_TOP, _BOTTOM = 10.0, 270.0
_COUNTS_TOP, _COUNTS_BOTTOM = 306.0, 350.0
_TICKS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)


def reliability_diagram(found: Reliability, arm: str, title: str) -> Markup:
    """Return the diagram. ``arm``: stable or candidate; it gives the colour."""
    x, y = Scale(0, 1, _LEFT, _RIGHT), Scale(0, 1, _BOTTOM, _TOP)
    contents = [*_axes(x, y)]
    for part in found.bins:
        contents += _bin(part, arm, x, y, most=max(other.count for other in found.bins))
    return picture(WIDTH, HEIGHT, title, contents)


def _axes(x: Scale, y: Scale) -> Iterator[Markup]:
    for tick in _TICKS:
        yield line((_LEFT, y(tick)), (_RIGHT, y(tick)), "grid")
        yield text(pct(tick, 0), _LEFT - 7, y(tick) + 4, class_="tick", anchor="end")
        yield text(pct(tick, 0), x(tick), _COUNTS_BOTTOM + 17, class_="tick", anchor="middle")
    yield line((x(0), y(0)), (x(1), y(1)), "diagonal")
    yield text("answers", _LEFT - 7, _COUNTS_BOTTOM, class_="tick", anchor="end")
    yield line((_LEFT, _COUNTS_BOTTOM), (_RIGHT, _COUNTS_BOTTOM), "axis")
    yield text("confidence", (_LEFT + _RIGHT) / 2, HEIGHT - 8, class_="tick", anchor="middle")
    yield text("share right", _LEFT + 8, _TOP + 12, class_="tick")


def _bin(part: ReliabilityBin, arm: str, x: Scale, y: Scale, *, most: int) -> Iterator[Markup]:
    """Yield a dot whose area grows with the count, its interval, and a bar for the count."""
    at, share = x(part.confidence), part.count / most
    note = f"{counted(part.count, 'answer')}, {pct(part.confidence, 1)} sure on average, {pct(part.accuracy, 1)} right"
    low, high = _wilson(part.accuracy, part.count)
    yield line((at, y(low)), (at, y(high)), f"whisker {arm}")
    dot = element("title", note)
    yield element("circle", dot, cx=at, cy=y(part.accuracy), r=2.5 + 5 * share**0.5, class_=f"dot {arm}")
    height = max(share * (_COUNTS_BOTTOM - _COUNTS_TOP), 1.0)
    left = x(part.low) + 3
    yield element(
        "rect",
        element("title", note),
        x=left,
        y=_COUNTS_BOTTOM - height,
        width=x(part.high) - x(part.low) - 6,
        height=height,
        class_=f"count {arm}",
    )
    middle = (x(part.low) + x(part.high)) / 2
    yield text(compact(part.count), middle, _COUNTS_BOTTOM - height - 5, class_="tick", anchor="middle")


def _wilson(share: float, count: int) -> tuple[float, float]:
    """Return Wilson's 95 % interval of one share at one time (E. B. Wilson 1927). It is only drawn; no gate uses it."""
    z2 = 1.96**2
    middle = (share + z2 / (2 * count)) / (1 + z2 / count)
    half = math.sqrt(z2 * (share * (1 - share) + z2 / (4 * count)) / count) / (1 + z2 / count)
    return max(middle - half, 0.0), min(middle + half, 1.0)
