"""The pages as HTML, from templates. Everything that others wrote is escaped, and made harmless to read."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from importlib.resources import files
from typing import Any, Final

from jinja2 import Environment
from markupsafe import Markup

from controller.api.access import Caller
from controller.core.foresight import Standing
from controller.core.release import Phase
from controller.report.build import conclusion_of
from controller.report.charts.timeline import NARROW, timeline
from controller.report.charts.traces import LARGE, trace_picture
from controller.report.data import ReportData
from controller.report.page import TONES
from controller.report.templating import environment_of
from controller.report.words import (
    compact,
    phase_title,
    threshold,
)
from controller.skew import own_release
from controller.web import views
from controller.web.board import OverviewPage, ReleaseList, ReleasePage
from controller.web.deeds import Act, Preview

PREFIX: Final = "/web"
DECISIONS_SHOWN: Final = 12
_STATIC: Final = {
    "page.css": "text/css; charset=utf-8",
    "page.js": "text/javascript; charset=utf-8",
    "htmx.min.js": "text/javascript; charset=utf-8",
    "htmx-sse.min.js": "text/javascript; charset=utf-8",
    "LICENSES.txt": "text/plain; charset=utf-8",
}


@dataclass(frozen=True, slots=True)
class Asset:
    """A file that pages ask for, under an address that changes with it."""

    body: bytes
    media_type: str
    digest: str


@cache
def assets() -> Mapping[str, Asset]:
    """The files by name. The style sheet begins with what it shares with the report."""
    found = {}
    for name, media_type in _STATIC.items():
        body = files("controller.web").joinpath("static", name).read_bytes()
        if name == "page.css":
            body = files("controller.report").joinpath("templates", "ground.css").read_bytes() + b"\n" + body
        found[name] = Asset(body, media_type, sha256(body).hexdigest()[:12])
    return found


def prepare() -> None:
    """Read and compile every template: a sixth of a second, which the first who looks need not wait for."""
    environment = _environment()
    for name in environment.list_templates():
        environment.get_template(name)


# --- pages ------------------------------------------------------------------------------------------------------------
def overview_page(seen: OverviewPage, caller: Caller) -> str:
    """The services and the newest releases."""
    return _page("overview.html", caller, title="Services", seen=seen, topic=f"overview/{seen.page}")


def releases_page(found: ReleaseList, caller: Caller) -> str:
    """Older releases."""
    return _page("releases.html", caller, title="Releases", seen=found, topic="")


def release_page(
    seen: ReleasePage, course: ReportData | None, broken: str, caller: Caller, offered: tuple[Act, ...]
) -> str:
    """One release. ``broken``: why its course cannot be read."""
    title = f"{seen.record.model} version {seen.record.version}"
    topic = f"release/{seen.record.release_id}"
    values = {**_of_release(seen), **_of_course(seen, course), "broken": broken}
    return _page("release.html", caller, title=title, topic=topic, acts=offered, **values)


@dataclass(frozen=True, slots=True)
class Form:
    """The form of a deed: what it carries, and what was filled in before. ``fault`` says why nothing was done then."""

    mark: str
    word: str
    key: str
    fault: str
    reason: str
    for_s: str


def deed_page(act: Act, now: Standing, preview: Preview, caller: Caller, form: Form) -> str:
    """The preview of a deed, and the form that does it."""
    title = f"{act.asks} {now.model}"
    return _page("deed.html", caller, title=title, topic="", act=act, now=now, preview=preview, form=form)


def asked_page(command_id: str, *, waits: bool, outcome: str | None, caller: Caller) -> str:
    """The outcome of a command."""
    values = {"command_id": command_id, "waits": waits, "outcome": outcome}
    return _page("asked.html", caller, title="Asked", topic="", **values)


def at_once_page(model: str, caller: Caller) -> str:
    """The outcome of a way back that no command was kept of."""
    return _page("at_once.html", caller, title="Done at once", topic="", model=model)


def session_page(caller: Caller | None, *, word: str, fault: str, wanted: str) -> str:
    """The name that one goes by, and the form to sign in or out with. ``wanted``: the page to go to then."""
    return _page("session.html", caller, title="Sign in", topic="", word=word, fault=fault, wanted=wanted)


def error_page(title: str, sentence: str, caller: Caller | None) -> str:
    """An error, as a page."""
    return _page("error.html", caller, title=title, topic="", sentence=sentence)


# --- fragments --------------------------------------------------------------------------------------------------------
def overview_fragments(seen: OverviewPage) -> Mapping[str, str]:
    """The parts of the overview that change."""
    return {"services": _part("_services.html", seen=seen), "releases": _part("_releases.html", seen=seen)}


def release_fragments(seen: ReleasePage, course: ReportData | None, broken: str) -> Mapping[str, str]:
    """The parts of a release's page that change."""
    return {
        "head": _part("_head.html", **_of_release(seen)),
        "now": _part("_now.html", **_of_release(seen)),
        "course": _part("_course.html", **_of_release(seen), **_of_course(seen, course), broken=broken),
    }


def beat_fragment(now_s: float, trouble: str) -> str:
    """The sign of life: as of when the page is, or why that is not known."""
    return _part("_beat.html", now_s=now_s, trouble=trouble)


def _of_release(seen: ReleasePage) -> dict[str, Any]:
    release = seen.release
    if release is None:
        return {"seen": seen, "release": None}
    first, passed, advisory = views.settled(release)
    return {
        "seen": seen,
        "release": release,
        "conclusion": conclusion_of(release),
        "blocking": views.blocking(release),
        "labels": views.labels_of(release),
        "first": first,
        "passed": passed,
        "advisory": advisory,
    }


def _of_course(seen: ReleasePage, course: ReportData | None) -> dict[str, Any]:
    if course is None or seen.release is None:
        return {"course": None}
    gate = views.blocking(seen.release)
    trace = next((one for one in course.traces if gate is not None and one.gate == gate.gate), None)
    return {
        "course": course,
        "trace": trace,
        "chart": trace and {"wide": trace_picture(course, trace, LARGE), "narrow": trace_picture(course, trace)},
        "points": views.points_of(trace) if trace is not None else (),
        "timeline": {"wide": timeline(course), "narrow": timeline(course, NARROW)},
        "decisions": [one for one in course.decisions if not one.routine][-DECISIONS_SHOWN:],
    }


def _page(template: str, caller: Caller | None, **values: Any) -> str:
    return _environment().get_template(template).render(caller=caller, **values)


def _part(template: str, **values: Any) -> str:
    return _environment().get_template(template).render(**values)


@cache
def _environment() -> Environment:
    environment = environment_of("controller.web")
    filters: dict[str, Any] = {
        "clock": views.clock,
        "compact": compact,
        "day_and_time": views.day_and_time,
        "iso": views.iso,
        "threshold": threshold,
    }
    environment.filters.update(filters)
    environment.globals.update(
        PREFIX=PREFIX,
        asset=_address,
        phase_title=_titled,
        share_of=views.share_of,
        tone=_tone,
        version=own_release(),
    )
    return environment


def _address(name: str) -> Markup:
    """The address of an asset."""
    return Markup("{}/assets/{}?v={}").format(PREFIX, name, assets()[name].digest)


def _titled(phase: str, weight_pct: float | None = None) -> str:
    return phase_title(Phase(phase), weight_pct)


def _tone(phase: str) -> tuple[str, str]:
    return TONES.get(Phase(phase), ("active", "●"))
