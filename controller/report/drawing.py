"""The tools to draw charts: SVG elements with escaped contents, scales and ticks."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from serving.text.printable import printable

Point = tuple[float, float]


def element(name: str, *contents: str, **attributes: str | float | None) -> Markup:
    """Return an SVG element, as of ``element("text", "v7", x=3, class_="label")``. Contents and values are escaped,
    ``_`` in names becomes ``-``, and attributes of None are left out."""
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(_value(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    inner = "".join(escape(content if isinstance(content, Markup) else printable(content)) for content in contents)
    return Markup(f"<{name}{written}>{inner}</{name}>")  # noqa: S704 - names are written in this package


def picture(width: float, height: float, title: str, contents: Iterable[str]) -> Markup:
    """Return the ``svg`` element. ``title``: what a screen reader reads out."""
    return element(
        "svg",
        *contents,
        viewBox=f"0 0 {width:g} {height:g}",
        width=width,
        height=height,
        role="img",
        aria_label=title,
        xmlns="http://www.w3.org/2000/svg",
    )


def text(content: str, x: float, y: float, *, class_: str = "", anchor: str = "start") -> Markup:
    return element("text", content, x=x, y=y, class_=class_ or None, text_anchor=None if anchor == "start" else anchor)


def line(start: Point, end: Point, class_: str) -> Markup:
    return element("line", x1=start[0], y1=start[1], x2=end[0], y2=end[1], class_=class_)


def path(points: Sequence[Point], class_: str, *, closed: bool = False) -> Markup:
    steps = " ".join(f"{'L' if place else 'M'}{x:.1f} {y:.1f}" for place, (x, y) in enumerate(points))
    return element("path", d=steps + (" Z" if closed else ""), class_=class_)


def _value(value: str | float | None) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)


# --- scales -----------------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Scale:
    """A scale from the values ``low`` to ``high`` to the pixels ``start`` to ``end``; ``log``: logarithmic."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        low, high = (math.log(self.low), math.log(self.high)) if self.log else (self.low, self.high)
        place = math.log(value) if self.log else value
        share = (place - low) / (high - low) if high > low else 0.0
        return self.start + share * (self.end - self.start)


def round_ticks(low: float, high: float, count: int) -> tuple[float, ...]:
    """Return about ``count`` round numbers from ``low`` to ``high``."""
    if not high > low:
        return (low,)
    raw = (high - low) / count
    power = 10 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= raw * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return tuple(round(place * step, 10) for place in range(first, last + 1))


def log_ticks(low: float, high: float) -> tuple[float, ...]:
    """Return 1, 2 and 5 times the powers of ten from ``low`` to ``high``."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks = (factor * 10.0**power for power in powers for factor in (1, 2, 5))
    return tuple(tick for tick in ticks if low <= tick <= high)
