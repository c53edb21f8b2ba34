"""A notice as an event for programs, and a message as lines for people."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from controller.core.commands import ANY_MODEL
from controller.core.notices import Message, Notice, Severity
from serving.text.printable import one_line

SPEC_VERSION: Final = "1.0"
CLOUD_EVENT_TYPE: Final = "application/cloudevents+json"
TYPE_PREFIX: Final = "serin."
_LINE_CHARS_MAX: Final = 500
_MARKS: Final = {Severity.PAGE: "PAGE", Severity.TICKET: "Ticket", Severity.INFO: "Info"}


def cloud_event(notice: Notice, region: str) -> dict[str, Any]:
    """Return the notice as a CloudEvent (version 1.0, JSON). Its ``id`` is the same at each attempt; its ``subject`` is
    the model and, if there is one, the version."""
    data = {
        "severity": notice.severity,
        "title": notice.title,
        "reason": notice.reason,
        "model": None if notice.model == ANY_MODEL else notice.model,
        "model_version": notice.version or None,
        "release": notice.release_id or None,
        "gates": list(notice.gates),
        "by": notice.by or None,
        "owner": notice.owner or None,
        "contact": notice.contact or None,
        "region": region,
    }
    return {
        "specversion": SPEC_VERSION,
        "id": notice.id,
        "source": f"/serin/{region}",
        "type": TYPE_PREFIX + notice.kind,
        "subject": "/".join(part for part in (notice.model, notice.version) if part),
        "time": instant(notice.at_s),
        "datacontenttype": "application/json",
        "data": data,
    }


def cloud_event_text(notice: Notice, region: str) -> str:
    """Return the CloudEvent as a text in ASCII."""
    return json.dumps(cloud_event(notice, region), separators=(",", ":"))


def instant(at_s: float) -> str:
    """Return the unix time in the form of RFC 3339, in UTC."""
    return datetime.fromtimestamp(at_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@dataclass(frozen=True, slots=True)
class Lines:
    """A message for people: a headline, a line for each notice, and further facts. Each is one line, whatever others
    wrote in it."""

    headline: str
    body: tuple[str, ...]
    facts: tuple[tuple[str, str], ...]


def lines_of(message: Message, region: str) -> Lines:
    """Return the message as lines for people."""
    last = message.notices[-1]
    count = f" (and {len(message.notices) - 1} before it)" if len(message.notices) > 1 else ""
    facts = [
        ("release", last.release_id),
        ("gates", ", ".join(last.gates)),
        ("by", last.by),
        ("owner", last.owner),
        ("contact", last.contact),
        ("region", region),
        ("look", f"serin status {last.model}" if last.model != ANY_MODEL else "serin status"),
        ("way back", f"serin rollback {last.model}" if message.severity is Severity.PAGE else ""),
    ]
    return Lines(
        _cut(f"[{_MARKS[message.severity]}] {last.title}{count}"),
        tuple(_cut(f"{instant(notice.at_s)}  {notice.title}. {notice.reason}") for notice in message.notices),
        tuple((name, _cut(value)) for name, value in facts if value),
    )


def _cut(text: str) -> str:
    line = one_line(text)
    return line if len(line) <= _LINE_CHARS_MAX else line[: _LINE_CHARS_MAX - 1] + "…"
