"""The chronicle of an installation, across releases: which version served when, who decided, and what was frozen."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from controller.core.commands import ANY_MODEL
from controller.core.events import (
    CommandTaken,
    Event,
    Leaving,
    PhaseEntered,
    Started,
    TrafficConfirmed,
    TrafficRestored,
)
from controller.core.release import Phase, Purpose
from controller.errors import UnreadableError
from controller.journal.codec import event_of, note_of
from controller.journal.notes import CommandDiscarded, FreezeEnded, FreezeLifted, Frozen, PolicyGone, PolicyRead
from controller.ports.journal import RecordedEntry
from controller.report.words import phase_title, utc

OF_RELEASES: Final = tuple(
    kind.__name__ for kind in (Started, PhaseEntered, Leaving, CommandTaken, TrafficConfirmed, TrafficRestored)
)
OF_MODELS: Final = tuple(
    kind.__name__ for kind in (Frozen, FreezeLifted, FreezeEnded, CommandDiscarded, PolicyRead, PolicyGone)
)
_SERVED: Final = "users are answered by "
_REPLACED: Final = "an edit of the traffic table was replaced"
_BEGINS: Final = {
    Purpose.PROMOTE: "release begins",
    Purpose.REHEARSE: "rehearsal begins",
    Purpose.RESTORE: "restore begins",
}
_SETTLING: Final = frozenset(
    {Phase.PROMOTING, Phase.PROBATION, Phase.PROMOTED, Phase.HELD, Phase.ROLLED_BACK, Phase.REJECTED}
    | {Phase.SUPERSEDED, Phase.ABORTED}
)


@dataclass(frozen=True, slots=True)
class Happening:
    """One thing that happened, at ``at_s`` (unix time). ``what``: a few words. ``why``: a sentence, or empty. ``by``:
    the person or pipeline that decided it; empty if Serin did. ``version`` and ``release_id`` are empty if it concerns
    none."""

    at_s: float
    model: str
    what: str
    why: str = ""
    by: str = ""
    version: str = ""
    release_id: str = ""


def of_release(
    release_id: str, model: str, version: str, entries: Iterable[RecordedEntry], *, since_s: float
) -> Iterator[Happening]:
    """Yield what happened to a release since ``since_s`` (unix time). ``entries``: all its entries of the kinds
    ``OF_RELEASES``, because the first one holds its purpose. Entries that cannot be read are left out."""
    purpose = Purpose.PROMOTE
    for entry in entries:
        try:
            event = event_of(entry)
        except (UnreadableError, ValueError):
            continue
        if isinstance(event, Started):
            purpose = event.purpose
        if entry.at_s >= since_s and (told := _told(event, purpose)) is not None:
            what, why, by = told
            yield Happening(entry.at_s, model, what, why, by, version, release_id)


def of_model(entries: Iterable[RecordedEntry]) -> Iterator[Happening]:
    """Yield what happened outside releases, from entries of the kinds ``OF_MODELS``. Entries that cannot be read are
    left out."""
    for entry in entries:
        try:
            note = note_of(entry)
        except (UnreadableError, ValueError):
            continue
        match note:
            case Frozen(model, reason, by):
                until = "" if note.ends_at_s is None else f" until {utc(note.ends_at_s)}"
                yield Happening(entry.at_s, model, f"frozen{until}", reason, by)
            case FreezeLifted(model, reason, by):
                yield Happening(entry.at_s, model, "freeze lifted", reason, by)
            case FreezeEnded(model, reason, by):
                yield Happening(entry.at_s, model, "freeze ended by itself", f"{by} had frozen it: {reason}")
            case CommandDiscarded():
                asked = f"asked to {note.ask}{f' version {note.version}' if note.version else ''}, in vain"
                yield Happening(entry.at_s, note.model, asked, note.outcome, note.by, note.version or "")
            case PolicyRead(policy):
                yield Happening(entry.at_s, policy.model, "policy in force changed")
            case PolicyGone(model):
                yield Happening(entry.at_s, model, "policy gone", "Nothing new begins.")
            case _:
                continue


def news(happenings: Iterable[Happening]) -> Iterator[Happening]:
    """Yield the happenings without repetitions of who answers users: every step confirms the weights, even if only the
    copies changed."""
    served: dict[str, str] = {}
    for one in happenings:
        if one.what == _REPLACED:
            served.pop(one.model, None)
        if one.what.startswith(_SERVED):
            if served.get(one.model) == one.what:
                continue
            served[one.model] = one.what
        yield one


def bears_on(happening: Happening, model: str | None) -> bool:
    """Return whether the happening concerns the model; true if ``model`` is None."""
    return model is None or happening.model in (model, ANY_MODEL)


def _told(event: Event, purpose: Purpose) -> tuple[str, str, str] | None:  # noqa: PLR0911 - one branch an event
    """Return what happened, why, and who decided it; None if the event is not shown."""
    match event:
        case Started():
            return _BEGINS[event.purpose], event.reason, "" if event.by == "registry" else event.by
        case PhaseEntered() if event.phase in _SETTLING and not event.step:
            return phase_title(event.phase, purpose=purpose).lower(), event.reason, ""
        case Leaving():
            ends = event.ending.value.replace("_", " ")
            return f"going back, to be {ends}", event.reason, "" if event.by == "serin" else event.by
        case CommandTaken():
            return f"asked to {event.ask}", event.reason, event.by
        case TrafficConfirmed():
            return f"{_SERVED}{_shares(event.weights_pct)}", "", ""
        case TrafficRestored():
            return _REPLACED, event.what, event.by
        case _:
            return None


def _shares(weights_pct: Mapping[str, float]) -> str:
    if len(weights_pct) == 1:
        return f"version {next(iter(weights_pct))}"
    return ", ".join(f"version {version} ({pct:g} %)" for version, pct in sorted(weights_pct.items()))
