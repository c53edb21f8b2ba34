"""The page of a drill: one self-contained HTML file in the style of a release's report, and the drill as JSON."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Final

from controller.core.drills import Counted, Drilled, sentence
from controller.report.templating import environment_of
from controller.report.words import duration
from gates.outcome import Outcome

SCHEMA: Final = "serin.drill/v1"
_TONES: Final = {
    Outcome.PASS: ("pass", "✓"),
    Outcome.FAIL: ("fail", "✕"),
    Outcome.INCONCLUSIVE: ("inconclusive", "…"),
    Outcome.ERROR: ("fail", "!"),
}


def render_html(drilled: Drilled) -> str:
    """Return the drill as one self-contained HTML page. All text from outside is escaped."""
    since_s = drilled.injected_at_s if drilled.injected_at_s is not None else drilled.began_at_s
    return (
        environment_of("controller.report")
        .get_template("drill.html")
        .render(
            drilled=drilled,
            drill=drilled.drill,
            tone=_TONES[drilled.outcome],
            headline=sentence(drilled),
            since_s=since_s,
            users=(("Before", drilled.before), ("Until all was as before", drilled.during), ("After", drilled.after)),
            lasted=duration(drilled.ended_at_s - drilled.began_at_s),
        )
    )


def as_document(drilled: Drilled) -> dict[str, Any]:
    """Return the drill as JSON values."""
    return {
        "schema": SCHEMA,
        "mode": drilled.drill.mode,
        "title": drilled.drill.title,
        "model": drilled.model,
        "outcome": drilled.outcome,
        "sentence": sentence(drilled),
        "stopped": drilled.stopped,
        "began_at_s": drilled.began_at_s,
        "injected_at_s": drilled.injected_at_s,
        "seen_at_s": drilled.seen.at_s if drilled.seen is not None else None,
        "undone_at_s": drilled.undone_at_s,
        "over_at_s": drilled.over_at_s,
        "ended_at_s": drilled.ended_at_s,
        "runbook": drilled.drill.runbook,
        "promise": drilled.drill.promise,
        "checks": [asdict(check) for check in drilled.checks],
        "course": [asdict(one) for one in drilled.course],
        "users": {"before": _users(drilled.before), "during": _users(drilled.during), "after": _users(drilled.after)},
    }


def _users(counted: Counted) -> Mapping[str, Any]:
    return {
        "sent": counted.sent,
        "answered": counted.answered,
        "failed": counted.failed,
        "failures": dict(counted.failures or {}),
        "p50_ms": counted.p50_ms,
        "p95_ms": counted.p95_ms,
    }
