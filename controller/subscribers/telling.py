"""The entries of the journal that people are told of, and in which words. Pure."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from controller.core.commands import ANY_MODEL
from controller.core.events import Leaving, PhaseEntered, Started, TrafficRestored
from controller.core.notices import Kind, Notice, Severity
from controller.core.release import Phase, Purpose
from controller.journal.notes import CandidateRefused, CommandDiscarded, FreezeEnded, FreezeLifted, Frozen, RetrainAsked
from controller.ports.journal import RecordedEntry, ReleaseSummary
from controller.report.words import phase_title, utc

OF_RELEASES: Final = (Started.__name__, PhaseEntered.__name__, Leaving.__name__, TrafficRestored.__name__)
_NOTES: Final = (Frozen, FreezeLifted, FreezeEnded, CommandDiscarded, CandidateRefused, RetrainAsked)
OF_OTHERS: Final = tuple(one.__name__ for one in _NOTES)
KINDS: Final = (*OF_RELEASES, *OF_OTHERS)
SERIN: Final = "serin"
_ID_CHARS: Final = 32  # of the entry's hash: it is of the stream, the place in it, and all that stands there


@dataclass(frozen=True, slots=True)
class _Said:
    kind: Kind
    severity: Severity
    title: str
    reason: str
    by: str = ""
    gates: tuple[str, ...] = ()


def notice_of_release(entry: RecordedEntry, event: object, release: ReleaseSummary) -> Notice | None:
    """Return what people are told of the release's event; None: nothing."""
    said = _OF_EVENTS[type(event)](event, release) if type(event) in _OF_EVENTS else None
    return _notice(entry, said, release.model, release.version, release.release_id) if said is not None else None


def notice_of_note(entry: RecordedEntry, note: object) -> Notice | None:
    """Return what people are told of what happened outside of a release; None: nothing."""
    match note:
        case Frozen() | FreezeLifted() | FreezeEnded():
            return _notice(entry, _of_freeze(note), note.model)
        case CommandDiscarded():
            said = f"{note.model}: `{note.ask}` by {note.by} came to nothing"
            found = _Said(Kind.COMMAND_DISCARDED, Severity.INFO, said, note.outcome, note.by)
            return _notice(entry, found, note.model, note.version or "")
        case CandidateRefused() if note.reason:
            said = f"{note.model}: version {note.version} is refused, and its alias candidate starts no release"
            found = _Said(Kind.CANDIDATE_REFUSED, Severity.TICKET, said, note.reason)
            return _notice(entry, found, note.model, note.version)
        case RetrainAsked():
            said = f"{note.model}: retraining is asked for, in the place of version {note.version}"
            found = _Said(Kind.RETRAIN_ASKED, Severity.TICKET, said, note.asking.reason)
            return _notice(entry, found, note.model, note.version)
        case _:
            return None


def _of_freeze(note: Frozen | FreezeLifted | FreezeEnded) -> _Said:
    match note:
        case Frozen():
            until = "" if note.ends_at_s is None else f" until {utc(note.ends_at_s)}"
            told = ", and nobody is told of it" if note.silent else ""
            said = f"{_model(note.model)} frozen{until}{told}"
            return _Said(Kind.FREEZE_BEGAN, Severity.INFO, said, note.reason, note.by)
        case FreezeLifted():
            said = f"{_model(note.model)} frozen no more"
            return _Said(Kind.FREEZE_LIFTED, Severity.INFO, said, note.reason, note.by)
        case FreezeEnded():
            of = "every model" if note.model == ANY_MODEL else note.model
            said = f"The time of the freeze of {of} by {note.by} is over"
            return _Said(Kind.FREEZE_LIFTED, Severity.INFO, said, note.reason)


def _model(model: str) -> str:
    return "Every model is" if model == ANY_MODEL else f"{model} is"


def _started(event: Started, release: ReleaseSummary) -> _Said:
    if event.purpose is Purpose.RESTORE:
        said = f"{release.model} goes back to version {release.version}"
        return _Said(Kind.RELEASE_ROLLING_BACK, Severity.TICKET, said, event.reason, event.by)
    what = "rehearsal" if event.purpose is Purpose.REHEARSE else "release"
    said = f"{release.model}: a {what} of version {release.version} begins"
    return _Said(Kind.RELEASE_BEGAN, Severity.INFO, said, event.reason, event.by)


def _left(event: Leaving, release: ReleaseSummary) -> _Said | None:
    """Only of what users may have seen: the others are told where they come to rest."""
    if event.ending is not Phase.ROLLED_BACK:
        return None
    severity = Severity.PAGE if event.by == SERIN else Severity.TICKET  # who did it by hand is awake
    said = f"{release.model}: version {release.version} is being rolled back"
    return _Said(Kind.RELEASE_ROLLING_BACK, severity, said, event.reason, event.by, event.blamed)


_ENDS: Final[Mapping[Phase, tuple[Kind, Severity, str]]] = {
    Phase.PROBATION: (Kind.RELEASE_PROMOTED, Severity.INFO, "answers all users now"),
    Phase.PROMOTED: (Kind.RELEASE_SETTLED, Severity.INFO, "stays"),
    Phase.ROLLED_BACK: (Kind.RELEASE_ROLLED_BACK, Severity.INFO, "was rolled back"),
    Phase.REJECTED: (Kind.RELEASE_REJECTED, Severity.TICKET, "was rejected before any user saw it"),
    Phase.HELD: (Kind.RELEASE_HELD, Severity.TICKET, "is held: a person decides"),
    Phase.SUPERSEDED: (Kind.RELEASE_ENDED, Severity.INFO, "was superseded by a newer version"),
    Phase.ABORTED: (Kind.RELEASE_ENDED, Severity.INFO, "was aborted"),
}
_GOES_ON: Final = frozenset({Phase.SHADOW, Phase.CANARY})


def _entered(event: PhaseEntered, release: ReleaseSummary) -> _Said | None:
    own = f"{release.model}: version {release.version}"
    if event.phase in _GOES_ON:
        step = f", step {event.step + 1}" if event.phase is Phase.CANARY else ""
        return _Said(Kind.RELEASE_WENT_ON, Severity.INFO, f"{own}: {phase_title(event.phase)}{step}", event.reason)
    if event.phase not in _ENDS or (event.phase is Phase.PROBATION and event.step):  # its second step moves nobody
        return None
    kind, severity, words = _ENDS[event.phase]
    return _Said(kind, severity, f"{own} {words}", event.reason)


def _restored(event: TrafficRestored, release: ReleaseSummary) -> _Said:
    said = f"{release.model}: the traffic table was edited past Serin, and put back"
    return _Said(Kind.TRAFFIC_RESTORED, Severity.TICKET, said, event.what, event.by)


_OF_EVENTS: Final[Mapping[type, Callable[[Any, ReleaseSummary], _Said | None]]] = {
    Started: _started,
    Leaving: _left,
    PhaseEntered: _entered,
    TrafficRestored: _restored,
}


def _notice(entry: RecordedEntry, said: _Said, model: str, version: str = "", release_id: str = "") -> Notice:
    return Notice(
        id=entry.hash[:_ID_CHARS],
        kind=said.kind,
        severity=said.severity,
        model=model,
        version=version,
        at_s=entry.at_s,
        title=said.title,
        reason=said.reason,
        release_id=release_id,
        gates=said.gates,
        by="" if said.by == SERIN else said.by,
    )
