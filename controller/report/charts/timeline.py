"""The time line: one row a phase, beneath it the candidate's share of live traffic and what could not be read."""

from collections.abc import Iterator

from markupsafe import Markup

from controller.core.release import TERMINAL, Phase
from controller.report.data import PhaseSpan, ReportData
from controller.report.drawing import Scale, element, line, path, picture, text
from controller.report.timescale import TimeScale, time_scale
from controller.report.words import duration

WIDTH = 960.0
_LEFT, _RIGHT = 168.0, 858.0
_ROW, _BAR = 26.0, 14.0
_STRIP = 54.0
_TONES = {
    Phase.PENDING: "wait",
    Phase.HELD: "wait",
    Phase.ROLLING_BACK: "back",
    Phase.PROMOTING: "good",
    Phase.PROBATION: "good",
}


def timeline(report: ReportData) -> Markup:
    rows = [span for span in report.phases if span.phase not in TERMINAL]
    scale = time_scale(report.phases, report.facts.as_of_s)
    top = 8.0
    strip_top = top + len(rows) * _ROW + 26
    faults_top = strip_top + _STRIP + 14
    sources = sorted({fault.source for fault in report.faults})
    axis = (faults_top + len(sources) * _ROW) if sources else strip_top + _STRIP + 6
    contents = [
        *_grid(report, scale, top, axis),
        *(drawn for place, span in enumerate(rows) for drawn in _row(report, span, scale, top + place * _ROW)),
        *_events(report, rows, scale, top),
        *_share(report, scale, strip_top),
        *_faults(report, scale, sources, faults_top),
    ]
    return picture(WIDTH, axis + 30, "Time line of the release", contents)


def _x(scale: TimeScale, at_s: float) -> float:
    return _LEFT + scale(at_s) * (_RIGHT - _LEFT)


def _grid(report: ReportData, scale: TimeScale, top: float, axis: float) -> Iterator[Markup]:
    origin = report.facts.started_at_s
    for at_s in scale.ticks(8):
        x = _x(scale, at_s)
        yield line((x, top), (x, axis), "grid")
        yield text(duration(at_s - origin) if at_s > origin else "0", x, axis + 16, class_="tick", anchor="middle")
    yield text("since the start", 0, axis + 16, class_="tick")


def _row(report: ReportData, span: PhaseSpan, scale: TimeScale, y: float) -> Iterator[Markup]:
    end_s = report.facts.as_of_s if span.end_s is None else span.end_s
    x, end = _x(scale, span.start_s), _x(scale, end_s)
    width = max(end - x, 3.0)
    x = min(x, _RIGHT - width)
    length = duration(end_s - span.start_s)
    note = element("title", f"{span.title}, {length}: {span.reason}")
    yield text(span.title, 0, y + _ROW / 2 + 4, class_="row")
    tone = _TONES.get(span.phase, "active")
    yield element("rect", note, x=x, y=y + (_ROW - _BAR) / 2, width=width, height=_BAR, rx=3.0, class_=f"bar {tone}")
    if any(piece.shortened and piece.start_s == span.start_s for piece in scale.pieces) and width > 16:
        yield _break(x + width / 2, y + _ROW / 2)
    lasting = " so far" if span.end_s is None else ""
    yield text(length + lasting, WIDTH, y + _ROW / 2 + 4, class_="tick", anchor="end")


def _break(x: float, y: float) -> Markup:
    """Two slanted strokes: this bar is shorter than its time."""
    half = _BAR / 2 + 3
    strokes = (path(((x + shift - 3, y + half), (x + shift + 3, y - half)), "break") for shift in (-3.0, 3.0))
    return element("g", element("title", "not to scale"), *strokes)


def _events(report: ReportData, rows: list[PhaseSpan], scale: TimeScale, top: float) -> Iterator[Markup]:
    """Yield what ended a phase early: a failed gate, or a person's word."""
    for decision in report.decisions:
        symbol = "✕" if decision.blamed else "●" if decision.title.startswith("Asked to") else ""
        if not symbol:
            continue
        place = max((i for i, span in enumerate(rows) if span.start_s < decision.at_s), default=0)
        y = top + place * _ROW + _ROW / 2
        x = _x(scale, decision.at_s)
        note = element("title", f"{decision.title}: {decision.reason}")
        tone = "fail" if decision.blamed else "person"
        yield element(
            "g",
            note,
            element("circle", cx=x, cy=y, r=8.0, class_=f"mark {tone}"),
            text(symbol, x, y + 3.6, class_="sign", anchor="middle"),
        )


def _share(report: ReportData, scale: TimeScale, top: float) -> Iterator[Markup]:
    """The candidate's share as the data plane confirmed it, a step at each change."""
    number = report.facts.candidate.number
    bottom = top + _STRIP
    y = Scale(0, 100, bottom, top)
    yield text("Live traffic", 0, top + 14, class_="row")
    yield text(f"to version {number}", 0, top + 30, class_="tick")
    yield line((_LEFT, bottom), (_RIGHT, bottom), "axis")
    for pct in (50.0, 100.0):
        yield line((_LEFT, y(pct)), (_RIGHT, y(pct)), "grid")
        yield text(f"{pct:g} %", WIDTH, y(pct) + 4, class_="tick", anchor="end")
    share_pct, x_last, points = 0.0, _LEFT, [(_LEFT, bottom)]
    labels: list[Markup] = []
    for change in report.traffic:
        x, following = _x(scale, change.at_s), change.weights_pct.get(number, 0.0)
        points += [(x, y(share_pct)), (x, y(following))]
        if following != share_pct and following and x - x_last > 30:
            labels.append(text(f"{following:g} %", x + 4, y(following) - 5, class_="tick strong"))
            x_last = x
        share_pct = following
    end = _x(scale, report.facts.as_of_s)
    points += [(end, y(share_pct)), (end, bottom)]
    yield path(points, "area candidate", closed=True)
    yield path(points[:-1], "curve candidate")
    yield from labels


def _faults(report: ReportData, scale: TimeScale, sources: list[str], top: float) -> Iterator[Markup]:
    for place, source in enumerate(sources):
        y = top + place * _ROW
        yield text(f"no {source}", 0, y + _ROW / 2 + 4, class_="row")
        missing_s = 0.0
        for fault in report.faults:
            if fault.source != source:
                continue
            end_s = report.facts.as_of_s if fault.end_s is None else fault.end_s
            missing_s += end_s - fault.start_s
            x, end = _x(scale, fault.start_s), _x(scale, end_s)
            note = element("title", f"{duration(end_s - fault.start_s)}: {fault.reason}")
            yield element(
                "rect",
                note,
                x=x,
                y=y + (_ROW - _BAR) / 2,
                width=max(end - x, 3.0),
                height=_BAR,
                rx=3.0,
                class_="bar error",
            )
        yield text(duration(missing_s), WIDTH, y + _ROW / 2 + 4, class_="tick", anchor="end")
