"""The answer of `serin why`: the sentence that decides, the gates behind it, and the way there."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Final

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from controller.core.release import TERMINAL, Release
from controller.journal.codec import event_of, release_of
from controller.ports.journal import RecordedEntry, ReleaseRecord
from controller.report.awaited import Awaited, awaited, is_required_open
from controller.report.data import Decision
from controller.report.history import History
from controller.report.words import clock, duration, utc
from controller.status.gates import DrawnGates, stands_in
from gates.verdict import Verdict
from serving.text.printable import printable

SCHEMA: Final = "serin.why/v1"


@dataclass(frozen=True, slots=True)
class LookedInto:
    """``decided``: the gates that failed, or of one that goes on those that keep it; ``course``: what was decided and
    done, in order."""

    release: Release
    now_s: float
    awaited: Awaited
    decided: tuple[Verdict, ...]
    course: tuple[Decision, ...]


def looked_into(record: ReleaseRecord, entries: Iterable[RecordedEntry], now_s: float) -> LookedInto:
    """The release, from its state and its entries. Raises UnreadableError where this version cannot read it."""
    release = release_of(record)
    history = History(release.policy)
    for entry in entries:
        if entry.text is not None and entry.kind != "Looked":
            history.add(entry.sequence, entry.at_s, event_of(entry))
    blamed = tuple(release.verdicts[gate] for gate in release.blamed if gate in release.verdicts)
    open_ = tuple(one for one in release.verdicts.values() if is_required_open(one))
    over = release.phase in TERMINAL and not release.blamed
    decided = blamed or (() if over else open_)
    return LookedInto(release, now_s, awaited(release, now_s), decided, tuple(history.decisions))


def as_document(found: LookedInto) -> dict[str, Any]:
    """The same as JSON values."""
    release = found.release
    return {
        "schema": SCHEMA,
        "release_id": release.id,
        "model": release.model,
        "version": release.candidate.number,
        "stable": release.stable.number if release.stable is not None else None,
        "phase": release.phase,
        "reason": release.reason,
        "sentence": found.awaited.sentence,
        "there": found.awaited.there,
        "settled_at_s": found.awaited.settled_at_s,
        "faults": dict(release.faults) if release.active else {},
        "decided_by": [_gate(verdict) for verdict in found.decided],
        "course": [asdict(one) for one in found.course],
    }


def _gate(verdict: Verdict) -> dict[str, Any]:
    return {
        "gate": verdict.gate,
        "outcome": verdict.outcome,
        "reason": verdict.reason,
        "value": verdict.value,
        "unit": verdict.unit,
        "limit": verdict.threshold,
        "limits": [asdict(one) for one in verdict.limits],
        "samples": verdict.samples,
        "samples_needed": verdict.samples_needed,
    }


def drawn(found: LookedInto) -> RenderableType:
    """The same for a person."""
    release, now_s = found.release, found.now_s
    since = f"since {clock(release.phase_since_s, now_s)}, {duration(now_s - release.phase_since_s)} ago"
    parts: list[RenderableType] = [
        Text.assemble((printable(release.id), "bold"), f"  {since}"),
        Padding(Text(printable(found.awaited.sentence), "bold"), (0, 0, 0, 2)),
    ]
    if found.awaited.way_on:
        parts.append(Padding(Text(printable(f"Way on: {found.awaited.way_on}")), (0, 0, 0, 2)))
    above = found.awaited.sentence
    if found.decided:
        told = "What decided it" if release.blamed else "What keeps it"
        parts += [Text(f"\n{told}", "dim"), Padding(DrawnGates(found.decided, above), (0, 0, 0, 2))]
    parts += [Text("\nHow it got there", "dim"), Padding(_course(found.course, above), (0, 0, 0, 2))]
    parts.append(Text(f"\nAll of it: serin report {release.id}", "dim"))
    return Group(*parts)


def _course(course: Iterable[Decision], above: str) -> Table:
    """Draw each decision with its reason, but for one that stands above, or in the line before."""
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True, style="dim")
    table.add_column()
    before = ""
    for one in course:
        if one.routine:
            continue
        said = Text(printable(one.title), "bold")
        said.append(printable(f" by {one.by}") if one.by else "")
        if not stands_in(one.reason, above) and one.reason != before:
            said.append(printable(f". {one.reason}"), "not bold")
        before = one.reason
        table.add_row(utc(one.at_s).removesuffix(" UTC"), said)
    return table
