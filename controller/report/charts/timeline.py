"""The time line: one row for each phase, and below them the candidate's share of live traffic and the sources that
could not be read."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from markupsafe import Markup

from controller.core.release import TERMINAL, Phase
from controller.report.data import PhaseSpan, ReportData
from controller.report.drawing import Scale, element, line, path, picture, text
from controller.report.timescale import time_scale
from controller.report.words import duration


@dataclass(frozen=True, slots=True)
class Frame:
    """The width of the picture, the beginning and end of its axis (in pixels), and about how many ticks it has."""

    width: float
    left: float
    right: float
    ticks: int


WIDE: Final = Frame(960.0, 168.0, 858.0, 8)
NARROW: Final = Frame(364.0, 116.0, 290.0, 2)  # for a phone, where the chart is not scaled down
_ROW, _BAR = 26.0, 14.0
_STRIP = 54.0
_TOP = 8.0
_TONES = {
    Phase.PENDING: "wait",
    Phase.HELD: "wait",
    Phase.ROLLING_BACK: "back",
    Phase.PROMOTING: "good",
    Phase.PROBATION: "good",
}


def timeline(report: ReportData, frame: Frame = WIDE) -> Markup:
    """Return the picture, as wide as the frame."""
    return _Drawing(report, frame).picture()


class _Drawing:
    """The drawing of one release in one frame."""

    def __init__(self, report: ReportData, frame: Frame) -> None:
        self._report = report
        self._frame = frame
        self._scale = time_scale(report.phases, report.facts.as_of_s)
        self._rows = [span for span in report.phases if span.phase not in TERMINAL]

    def picture(self) -> Markup:
        """Return the whole picture."""
        strip_top = _TOP + len(self._rows) * _ROW + 26
        faults_top = strip_top + _STRIP + 14
        sources = sorted({fault.source for fault in self._report.faults})
        axis = (faults_top + len(sources) * _ROW) if sources else strip_top + _STRIP + 6
        contents = [
            *self._grid(axis),
            *(drawn for place, span in enumerate(self._rows) for drawn in self._row(span, _TOP + place * _ROW)),
            *self._events(),
            *self._share(strip_top),
            *self._faults(sources, faults_top),
        ]
        return picture(self._frame.width, axis + 30, "Timeline of the release", contents)

    def _x(self, at_s: float) -> float:
        return self._frame.left + self._scale(at_s) * (self._frame.right - self._frame.left)

    def _at_the_end(self, words: str, y: float) -> Markup:
        return text(words, self._frame.width, y, class_="tick", anchor="end")

    def _grid(self, axis: float) -> Iterator[Markup]:
        origin = self._report.facts.started_at_s
        for at_s in self._scale.ticks(self._frame.ticks):
            x = self._x(at_s)
            yield line((x, _TOP), (x, axis), "grid")
            yield text(duration(at_s - origin) if at_s > origin else "0", x, axis + 16, class_="tick", anchor="middle")
        yield text("since the start", 0, axis + 16, class_="tick")

    def _row(self, span: PhaseSpan, y: float) -> Iterator[Markup]:
        end_s = self._report.facts.as_of_s if span.end_s is None else span.end_s
        x, end = self._x(span.start_s), self._x(end_s)
        width = max(end - x, 3.0)
        x = min(x, self._frame.right - width)
        length = duration(end_s - span.start_s)
        note = element("title", f"{span.title}, {length}: {span.reason}")
        yield text(span.title, 0, y + _ROW / 2 + 4, class_="row")
        tone = _TONES.get(span.phase, "active")
        top = y + (_ROW - _BAR) / 2
        yield element("rect", note, x=x, y=top, width=width, height=_BAR, rx=3.0, class_=f"bar {tone}")
        if any(piece.shortened and piece.start_s == span.start_s for piece in self._scale.pieces) and width > 16:
            yield _break(x + width / 2, y + _ROW / 2)
        lasting = " so far" if span.end_s is None and self._frame is WIDE else ""
        yield self._at_the_end(length + lasting, y + _ROW / 2 + 4)

    def _events(self) -> Iterator[Markup]:
        """Yield a mark for each failed gate and each command of a person."""
        for decision in self._report.decisions:
            symbol = "✕" if decision.blamed else "●" if decision.title.startswith("Asked to") else ""
            if not symbol:
                continue
            place = max((i for i, span in enumerate(self._rows) if span.start_s < decision.at_s), default=0)
            y = _TOP + place * _ROW + _ROW / 2
            x = self._x(decision.at_s)
            note = element("title", f"{decision.title}: {decision.reason}")
            tone = "fail" if decision.blamed else "person"
            yield element(
                "g",
                note,
                element("circle", cx=x, cy=y, r=8.0, class_=f"mark {tone}"),
                text(symbol, x, y + 3.6, class_="sign", anchor="middle"),
            )

    def _share(self, top: float) -> Iterator[Markup]:
        """Yield the curve of the candidate's share as the data plane confirmed it."""
        left, right = self._frame.left, self._frame.right
        number = self._report.facts.candidate.number
        bottom = top + _STRIP
        y = Scale(0, 100, bottom, top)
        yield text("Live traffic", 0, top + 14, class_="row")
        yield text(f"to version {number}", 0, top + 30, class_="tick")
        yield line((left, bottom), (right, bottom), "axis")
        for pct in (50.0, 100.0):
            yield line((left, y(pct)), (right, y(pct)), "grid")
            yield self._at_the_end(f"{pct:g} %", y(pct) + 4)
        share_pct, x_last, points = 0.0, left, [(left, bottom)]
        labels: list[Markup] = []
        for change in self._report.traffic:
            x, following = self._x(change.at_s), change.weights_pct.get(number, 0.0)
            points += [(x, y(share_pct)), (x, y(following))]
            if following != share_pct and following and x - x_last > 30:
                labels.append(text(f"{following:g} %", x + 4, y(following) - 5, class_="tick strong"))
                x_last = x
            share_pct = following
        end = self._x(self._report.facts.as_of_s)
        points += [(end, y(share_pct)), (end, bottom)]
        yield path(points, "area candidate", closed=True)
        yield path(points[:-1], "curve candidate")
        yield from labels

    def _faults(self, sources: list[str], top: float) -> Iterator[Markup]:
        for place, source in enumerate(sources):
            y = top + place * _ROW
            yield text(f"no {source}", 0, y + _ROW / 2 + 4, class_="row")
            missing_s = 0.0
            for fault in self._report.faults:
                if fault.source != source:
                    continue
                end_s = self._report.facts.as_of_s if fault.end_s is None else fault.end_s
                missing_s += end_s - fault.start_s
                x, end = self._x(fault.start_s), self._x(end_s)
                note = element("title", f"{duration(end_s - fault.start_s)}: {fault.reason}")
                width = max(end - x, 3.0)
                bar_top = y + (_ROW - _BAR) / 2
                yield element("rect", note, x=x, y=bar_top, width=width, height=_BAR, rx=3.0, class_="bar error")
            yield self._at_the_end(duration(missing_s), y + _ROW / 2 + 4)


def _break(x: float, y: float) -> Markup:
    """Return two slanted strokes, which show that the bar is not to scale."""
    half = _BAR / 2 + 3
    strokes = (path(((x + shift - 3, y + half), (x + shift + 3, y - half)), "break") for shift in (-3.0, 3.0))
    return element("g", element("title", "not to scale"), *strokes)
