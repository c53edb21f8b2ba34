"""Recorded evidence as a file of JSON Lines, read strictly and written without loss.

A line is a look, or the evidence of a run of suites. It holds the fields of `gates.evidence.Look` or
`gates.suite_evidence.SuiteEvidence` under their own names, as the journal stores them, and a few more: the schema (kind
of line and version of the format), the release, and the place in the release. Since every line has all of these, a file
can be cut, sorted by release, and joined with others.
"""

import dataclasses
import math
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from controller.core.events import ClockStepped, Judged, Looked, Started, Verified
from controller.core.origin import Origin
from controller.errors import UsageError
from controller.journal.notes import LooksThinned
from controller.journal.standing import told_of
from controller.offline.strict_json import compact_json, described, hints_of, quoted, read, schema_of, unknown_key
from controller.ports.journal import RecordedEntry
from gates.codec import encode
from gates.evidence import Look, before_it_was_set
from gates.suite_evidence import SuiteEvidence
from serving.text.jsonlines import Unreadable, lines, loads_marked, read_bounded, whole

SCHEMA: Final = "serin.evidence/v2"
SUITES_SCHEMA: Final = "serin.evidence.suites/v2"
READABLE: Final = ("serin.evidence/v1", SCHEMA)
"""The schemas of looks that are read. The first one has fewer fields; all later fields may be left out."""
SUITES_READABLE: Final = ("serin.evidence.suites/v1", SUITES_SCHEMA)
STDIN: Final = Path("-")
_SUM_OF: Final = "looks"
_ORIGIN: Final = "origin"
_TOLD: Final = frozenset(kind.__name__ for kind in (Started, Verified, Judged, Looked, ClockStepped))  # kinds read
BYTES_MAX: Final = 2**30
"""The largest file that is read: its contents take several times as much memory."""


@dataclass(frozen=True, slots=True)
class RecordedLook:
    """One line with a look. ``deadline_s``: the gates' deadline, unix time. ``looks``: the number of looks that it is
    the sum of; its sequence is that of the last one."""

    look: Look
    release: str = ""
    deadline_s: float | None = None
    looks: int = 1


@dataclass(frozen=True, slots=True)
class RecordedSuites:
    """One line with the evidence of one run of the suites. ``at_s``: unix time of its record. ``origin``: of the
    candidate, as its manifest says."""

    suites: SuiteEvidence
    release: str = ""
    run: int = 1  # a release that was held and resumed may run its suites again
    at_s: float | None = None
    origin: Origin | None = None


Recorded = RecordedLook | RecordedSuites


@dataclass(frozen=True, slots=True)
class Evidence:
    """The evidence of a file: its looks and its runs of suites, each in the file's order."""

    looks: tuple[RecordedLook, ...]
    suites: tuple[RecordedSuites, ...] = ()

    @property
    def releases(self) -> tuple[str, ...]:
        """The releases in the file, each once: those of suites first, then those of looks, in the file's order."""
        return tuple(dict.fromkeys([*(line.release for line in self.suites), *(line.release for line in self.looks)]))


# --- writing ----------------------------------------------------------------------------------------------------------
def line_of(recorded: Recorded) -> str:
    """Return the line, without a newline. `parse_line` returns an equal value."""
    kind = _kind_of(recorded)
    outer: dict[str, Any] = {name: getattr(recorded, name) for name in kind.outer}
    if outer.get(_SUM_OF) == 1:  # left out, so that earlier versions of Serin can read the line
        del outer[_SUM_OF]
    if (origin := outer.pop(_ORIGIN, None)) is not None:
        outer[_ORIGIN] = encode(origin)
    return compact_json({"schema": kind.written} | outer | encode(getattr(recorded, kind.inner)))


def evidence_of(entries: Iterable[RecordedEntry]) -> Iterator[Recorded]:
    """Yield the evidence in the journal of a release, in order.

    Raises:
        PermanentError: this version of Serin cannot read an entry.
    """
    release, run, stepped_s = "", 0, 0.0
    origin: Origin | None = None
    for recorded in entries:
        if recorded.kind not in _TOLD:
            continue
        match told_of(recorded):
            case Started(id=release):
                pass
            case Verified() as verified:
                origin = verified.origin
            case ClockStepped(by_s=by_s):
                stepped_s += by_s
            case Looked(look=look, deadline_s=deadline_s):
                yield _on_one_time(RecordedLook(look, release, deadline_s), stepped_s)
            case LooksThinned(look=look, deadline_s=deadline_s) as thinned:
                yield _on_one_time(RecordedLook(look, release, deadline_s, thinned.looks), stepped_s)
            case Judged(suites=SuiteEvidence() as suites):
                run += 1
                yield RecordedSuites(suites, release, run, recorded.at_s, origin)


def _on_one_time(recorded: RecordedLook, stepped_s: float) -> RecordedLook:
    """Return the look and its deadline in the time of the clock before it was set, by ``stepped_s`` seconds in all."""
    look = before_it_was_set(recorded.look, stepped_s)
    deadline_s = recorded.deadline_s - stepped_s if recorded.deadline_s is not None else None
    return replace(recorded, look=look, deadline_s=deadline_s)


def looks_of(entries: Iterable[RecordedEntry]) -> Iterator[RecordedLook]:
    """Return an iterator over the looks in the journal of a release, in order. Raises as `evidence_of`."""
    return (recorded for recorded in evidence_of(entries) if isinstance(recorded, RecordedLook))


# --- reading ----------------------------------------------------------------------------------------------------------
def read_evidence(path: Path) -> Evidence:
    """Return the evidence in a file, or in standard input if the path is ``-``. Blank lines are skipped.

    Raises:
        UsageError: the file cannot be read, or a line is not evidence; names the file, the line and the field.
    """
    try:
        content = whole(sys.stdin.buffer, BYTES_MAX) if path == STDIN else read_bounded(path, BYTES_MAX)
    except Unreadable as error:
        raise UsageError(f"{path}: {error}") from error
    found = [parse_line(line, f"{path}, line {number}") for number, line in lines(content)]
    return Evidence(
        looks=tuple(line for line in found if isinstance(line, RecordedLook)),
        suites=tuple(line for line in found if isinstance(line, RecordedSuites)),
    )


def parse_line(line: bytes | str, name: str = "evidence") -> Recorded:
    """Return the look or the run of suites in a line. Fields with a default may be missing; unknown fields are errors.

    Raises:
        UsageError: the line is not valid; the message begins with ``name`` and names the field.
    """
    try:
        return _recorded(loads_marked(line))
    except Unreadable as error:
        raise UsageError(f"{name}: {error}") from error


@dataclass(frozen=True, slots=True)
class _Kind:
    """A kind of line. It holds the fields of the value in ``inner``, and the class's other fields (``outer``)."""

    cls: type[Recorded]
    inner: str
    written: str  # the schema that is written
    read: tuple[str, ...]  # the schemas that are read

    @property
    def hints(self) -> dict[str, Any]:
        return hints_of(self.cls)

    @property
    def outer(self) -> tuple[str, ...]:
        return tuple(field.name for field in dataclasses.fields(self.cls) if field.name != self.inner)


_KINDS: Final = (
    _Kind(RecordedLook, "look", SCHEMA, READABLE),
    _Kind(RecordedSuites, "suites", SUITES_SCHEMA, SUITES_READABLE),
)


def _kind_of(recorded: Recorded) -> _Kind:
    return next(kind for kind in _KINDS if isinstance(recorded, kind.cls))


def _recorded(document: Any) -> Recorded:
    if not isinstance(document, dict):
        raise Unreadable(f"expected an object, found {described(document)}")
    kind = next((kind for kind in _KINDS if document.get("schema") in kind.read), None)
    if kind is None:
        known = quoted(schema for kind in _KINDS for schema in kind.read)
        raise Unreadable(f"expected one of {known}", "schema")
    hints = kind.hints
    keys = {"schema", *kind.outer, *hints_of(hints[kind.inner])}
    for key in document:
        if key not in keys:
            raise unknown_key(key, keys)
    fields = {key: value for key, value in document.items() if key != "schema"}
    outer = {key: fields.pop(key) for key in kind.outer if key in fields}
    inner = read(hints[kind.inner], fields)
    for key, value in outer.items():
        try:
            outer[key] = read(hints[key], value)
        except Unreadable as error:
            raise error.within(key) from error
        if isinstance(outer[key], float) and not math.isfinite(outer[key]):
            raise Unreadable(f"expected a finite number, found {value!r}", key)
    looks, last = outer.get(_SUM_OF, 1), getattr(inner, "sequence", 1)
    if looks != 1 and not 1 <= looks <= last:
        raise Unreadable(f"expected a number from 1 to {last}, which is that of the look, found {looks}", _SUM_OF)
    return kind.cls(inner, **outer)


# --- the format, for other programs -----------------------------------------------------------------------------------
def json_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of one line."""
    definitions: dict[str, Any] = {}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"A line of recorded evidence: {SCHEMA} or {SUITES_SCHEMA}",
        "oneOf": [_line_schema(kind, definitions) for kind in _KINDS],
        "$defs": definitions,
    }


def _line_schema(kind: _Kind, definitions: dict[str, Any]) -> dict[str, Any]:
    hints = kind.hints
    schema_of(hints[kind.inner], definitions)
    inner = definitions.pop(hints[kind.inner].__name__)
    outer = {key: schema_of(hints[key], definitions) for key in kind.outer}
    return {
        **inner,
        "properties": {"schema": {"enum": list(kind.read)}, **outer, **inner["properties"]},
        "required": ["schema", *inner["required"]],
    }
