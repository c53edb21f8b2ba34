"""The page's contents as plain values: what a service and a release look like to a reader. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from controller.core.commands import ANY_MODEL, Freeze
from controller.core.condition import Condition
from controller.core.release import Release
from controller.core.traffic import TrafficTable
from controller.ports.journal import ReleaseSummary
from controller.ports.runtime import DeploymentStatus
from controller.report.awaited import Awaited, awaited, is_required_open
from controller.report.data import Trace, TracePoint
from controller.report.words import frozen_by
from controller.web.pulse import Pulse, Served
from gates.kind import Lever
from gates.outcome import Outcome
from gates.table import configured
from gates.verdict import Stage, Verdict

POINTS_SHOWN: Final = 24  # rows of the table behind a chart
_WORST: Final = (Outcome.FAIL, Outcome.ERROR, Outcome.INCONCLUSIVE)
_STAGES: Final = tuple(Stage)
_OF_LABELS: Final = frozenset({Lever.LABELS, Lever.DIRECTED_LABELS, Lever.LIVE_LABELS})


@dataclass(frozen=True, slots=True)
class VersionView:
    """One version of a service. ``weight_pct`` None: it gets no users' requests. ``served`` None: not known now."""

    number: str
    role: str
    weight_pct: float | None
    mirrored_pct: float | None
    served: Served | None
    replicas: int
    replicas_ready: int
    detail: str  # why not all of them are


@dataclass(frozen=True, slots=True)
class ServiceView:
    """One model as it stands. ``release`` and ``awaits`` of one in progress that this version of Serin can read."""

    model: str
    versions: tuple[VersionView, ...]
    pulse: Pulse | None
    newest: ReleaseSummary | None
    release: Release | None
    awaits: Awaited | None
    freezes: tuple[Freeze, ...]
    override: str  # by whom and why the table was set by hand


@dataclass(frozen=True, slots=True)
class Progress:
    """A gate's samples against what it needs. ``share``: 0 to 1; None: what it needs is not known, or it is settled."""

    verdict: Verdict
    share: float | None


def service_view(
    model: str,
    *,
    table: TrafficTable | None,
    running: Mapping[str, DeploymentStatus],
    pulse: Pulse | None,
    newest: ReleaseSummary | None,
    release: Release | None,
    freezes: Sequence[Freeze],
    now_s: float,
) -> ServiceView:
    """One model, from what was seen of it."""
    numbers = sorted({*(table.asked if table is not None else ()), *running}, key=natural)
    own = held_by(freezes, model)
    held = [frozen_by(freeze, now_s) for freeze in own]
    return ServiceView(
        model=model,
        versions=tuple(_version(number, table, running.get(number), release, pulse) for number in numbers),
        pulse=pulse,
        newest=newest,
        release=release,
        awaits=awaited(release, now_s, frozen=held) if release is not None else None,
        freezes=own,
        override=f"set by {table.override.by}: {table.override.reason}" if table and table.override else "",
    )


def held_by(freezes: Iterable[Freeze], model: str) -> tuple[Freeze, ...]:
    """The freezes that hold the model."""
    return tuple(freeze for freeze in freezes if freeze.model in (model, ANY_MODEL))


def _version(
    number: str,
    table: TrafficTable | None,
    status: DeploymentStatus | None,
    release: Release | None,
    pulse: Pulse | None,
) -> VersionView:
    mirror = table.mirror if table is not None else None
    endpoints = status.endpoints if status is not None else ()
    return VersionView(
        number=number,
        role=_role(number, table, release),
        weight_pct=table.weights_pct.get(number) if table is not None else None,
        mirrored_pct=mirror.pct if mirror is not None and mirror.version == number else None,
        served=pulse.versions.get(number) if pulse is not None else None,
        replicas=len(endpoints),
        replicas_ready=sum(endpoint.condition is Condition.READY for endpoint in endpoints),
        detail=status.detail if status is not None else "",
    )


def _role(number: str, table: TrafficTable | None, release: Release | None) -> str:
    if release is not None and number == release.candidate.number:
        return "candidate"
    if release is not None and release.stable is not None and number == release.stable.number:
        return "stable"
    if table is not None and number in table.weights_pct:
        return "serves"
    return "known good" if table is not None and number == table.known_good else "runs"


def natural(number: str) -> tuple[int, int, str]:
    """A key by which version 10 comes after version 9."""
    return (0, int(number), "") if number.isascii() and number.isdecimal() else (1, 0, number)


# --- one release ------------------------------------------------------------------------------------------------------
def blocking(release: Release) -> Verdict | None:
    """The required gate that keeps the release from going on, or ended it: the worst, and of those that wait the one
    with the smallest part of what it needs. None where none does."""
    if release.blamed:
        return next((release.verdicts[gate] for gate in release.blamed if gate in release.verdicts), None)
    waiting = [one for one in release.verdicts.values() if is_required_open(one)] if release.active else []
    return min(waiting, key=_rank, default=None)


def _rank(verdict: Verdict) -> tuple[int, float, int]:
    share = share_of(verdict)
    return _WORST.index(verdict.outcome), 1.0 if share is None else share, _STAGES.index(verdict.stage)


def share_of(verdict: Verdict) -> float | None:
    """The part of the samples needed that is there, 0 to 1; None where nobody says how many are."""
    return min(verdict.samples / verdict.samples_needed, 1.0) if verdict.samples_needed else None


def labels_of(release: Release) -> tuple[Progress, ...]:
    """The gates that rest on labels, with how many came and how many are needed."""
    of_labels = {
        gate.name for one in configured(release.policy.gates) if one.kind.levers & _OF_LABELS for gate in one.gates()
    }
    found = (release.verdicts.get(name) for name in sorted(of_labels))
    return tuple(Progress(verdict, share_of(verdict)) for verdict in found if verdict is not None)


def settled(release: Release) -> tuple[list[Verdict], list[Verdict], list[Verdict]]:
    """The verdicts that a reader wants first (failed, or not passed and required), those that passed, and the advisory
    ones."""
    ordered = sorted(release.verdicts.values(), key=lambda one: _STAGES.index(one.stage))
    required = [one for one in ordered if not one.advisory]
    return (
        sorted((one for one in required if one.outcome is not Outcome.PASS), key=_rank),
        [one for one in required if one.outcome is Outcome.PASS],
        [one for one in ordered if one.advisory],
    )


def points_of(trace: Trace) -> tuple[TracePoint, ...]:
    """The points of a chart that its table shows: the last one, and others evenly before it."""
    valued = [point for point in trace.points if point.value is not None]
    step = -(-len(valued) // POINTS_SHOWN) or 1
    return tuple(reversed(valued[::-1][::step]))


def clock(at_s: float) -> str:
    """``22:04:09``, of the day in UTC."""
    return f"{datetime.fromtimestamp(at_s, UTC):%H:%M:%S}"


def iso(at_s: float) -> str:
    """The moment as HTML's ``datetime`` has it."""
    return f"{datetime.fromtimestamp(at_s, UTC):%Y-%m-%dT%H:%M:%SZ}"


def day_and_time(at_s: float) -> str:
    """``26 Nov 2026, 22:04 UTC``."""
    return f"{datetime.fromtimestamp(at_s, UTC):%d %b %Y, %H:%M} UTC"
