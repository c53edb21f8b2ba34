"""The status of a ModelRelease: what the journal says of the release, and nothing else. Pure."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Final

from controller.adapters.kubernetes.releases.evidence import NAMES, readiness_of
from controller.core.release import SERVED, Phase, Release
from gates.verdict import Verdict

REASON_CHARS_MAX: Final = 1_000
PROGRESSING: Final = "Progressing"
PAUSED: Final = "Paused"
ENDS: Final[Mapping[str, Phase]] = {
    "Promoted": Phase.PROMOTED,
    "RolledBack": Phase.ROLLED_BACK,
    "Rejected": Phase.REJECTED,
    "Held": Phase.HELD,
    "Superseded": Phase.SUPERSEDED,
    "Aborted": Phase.ABORTED,
}
"""The condition for each end. The one that the release has come to is True, and never another with it."""
OURS: Final = frozenset({PROGRESSING, *ENDS, PAUSED, *NAMES})
"""The types of the conditions that are written here. Conditions of other types are left as they are."""
_WAITING: Final = "Waiting"


@dataclass(frozen=True, slots=True)
class Gate:
    """One gate at the last look."""

    name: str
    stage: str
    outcome: Annotated[str, "pass, fail, inconclusive or error"]
    reason: Annotated[str, "the gate's sentence, with its numbers"]
    samples: Annotated[int, "how many samples the value is based on"]
    samples_needed: Annotated[int | None, "about how many samples would settle the verdict"] = None
    value: Annotated[float | None, "what was observed, in `unit`"] = None
    low: Annotated[float | None, "the lower end of the value's interval, which is valid at every look"] = None
    high: Annotated[float | None, "the upper end of the interval"] = None
    bound: Annotated[float | None, "the limit that the policy sets for the value"] = None
    unit: str = ""
    advisory: Annotated[bool, "shown and recorded; neither blocks nor rolls back"] = False


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition, as `kubectl wait` reads it."""

    type: str
    status: str
    reason: str
    message: str
    observed_generation: int
    last_transition_time: str


@dataclass(frozen=True, slots=True)
class ReleaseStatus:
    """The view of one release."""

    phase: str
    reason: Annotated[str, "the journal's sentence"]
    observed_generation: int
    release: Annotated[str, "the id by which `serin why` and `serin report` know it"] = ""
    stable: Annotated[str | None, "the version that the candidate is compared with"] = None
    weight_pct: Annotated[float, "the share of users that the candidate is to answer, in percent"] = 0.0
    started_at: str | None = None
    phase_since: str | None = None
    gates: tuple[Gate, ...] = ()
    conditions: tuple[Condition, ...] = ()


def status_of(release: Release, generation: int) -> dict[str, Any]:
    """Return the status of an object whose spec has this generation. The same release always gives the same status."""
    return _status(
        ReleaseStatus(
            phase=release.phase.value,
            reason=_short(release.reason),
            observed_generation=generation,
            release=release.id,
            stable=release.stable.number if release.stable is not None else None,
            weight_pct=_weight_pct(release),
            started_at=_time(release.started_at_s),
            phase_since=_time(release.phase_since_s),
            gates=tuple(_gate(verdict) for verdict in release.verdicts.values()),
            conditions=tuple(_conditions(release, generation)),
        )
    )


def refused_status(why: str, generation: int, since: str) -> dict[str, Any]:
    """Return the status of an object from which no release will come. ``since``: a time as the API writes it."""
    return _without_release("refused", why, generation, since, refused=True)


def waiting_status(why: str, generation: int, since: str) -> dict[str, Any]:
    """Return the status of an object from which a release may still come. ``since``: a time as the API writes it."""
    return _without_release("waiting", why, generation, since, refused=False)


def _status(status: ReleaseStatus) -> dict[str, Any]:
    found: dict[str, Any] = as_json(status)
    return found


def as_json(status: Any) -> Any:
    """Return the status with the field names of the API, without fields that are None."""
    if is_dataclass(status):
        values = {field.name: getattr(status, field.name) for field in fields(status)}
        return {camel(name): as_json(value) for name, value in values.items() if value is not None}
    return [as_json(item) for item in status] if isinstance(status, tuple) else status


def camel(name: str) -> str:
    """Return the name as the API writes the names of fields: ``weightPct``."""
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() for part in rest)


def _without_release(phase: str, why: str, generation: int, since: str, *, refused: bool) -> dict[str, Any]:
    said = _short(why)
    reason = "Refused" if refused else _WAITING
    progressing = Condition(PROGRESSING, "False", reason, said, generation, since)
    ends = [Condition(name, str(refused and name == "Rejected"), reason, said, generation, since) for name in ENDS]
    return _status(ReleaseStatus(phase, said, generation, conditions=(progressing, *ends)))


def _conditions(release: Release, generation: int) -> Iterator[Condition]:
    """Yield the conditions. Their times are the journal's, so that a status that was lost comes back the same."""
    said, since = _short(release.reason), _time(release.phase_since_s)
    reason = "".join(part.capitalize() for part in release.phase.value.split("_"))
    going_on = release.active and release.phase is not Phase.HELD
    yield Condition(PROGRESSING, str(going_on), reason, said, generation, since)
    for name, end in ENDS.items():
        reached = release.phase is end
        at = since if reached else _time(release.started_at_s)
        yield Condition(name, str(reached), reason, said if reached else "", generation, at)
    yield _paused(release, generation)
    for one in readiness_of(release):
        yield Condition(one.type, one.status, one.reason, _short(one.message), generation, _time(one.since_s))


def _paused(release: Release, generation: int) -> Condition:
    """Return the condition that says whether a person keeps the release on its step, and if so, who and why."""
    pause = release.pause
    if pause is None:
        return Condition(PAUSED, "False", "NotPaused", "", generation, _time(release.started_at_s))
    said = _short(f"Paused by {pause.by}: {pause.reason}")
    return Condition(PAUSED, "True", "Asked", said, generation, _time(pause.since_s))


def _gate(verdict: Verdict) -> Gate:
    interval = verdict.interval
    return Gate(
        name=verdict.gate,
        stage=verdict.stage.value,
        outcome=verdict.outcome.value,
        reason=_short(verdict.reason),
        samples=verdict.samples,
        samples_needed=verdict.samples_needed,
        value=_finite(verdict.value),
        low=_finite(interval.low) if interval is not None else None,
        high=_finite(interval.high) if interval is not None else None,
        bound=_finite(verdict.threshold),
        unit=verdict.unit,
        advisory=verdict.advisory,
    )


def _weight_pct(release: Release) -> float:
    if release.phase is Phase.CANARY:
        return release.canary_step.weight_pct
    return 100.0 if release.phase in SERVED or (release.phase is Phase.PROMOTING and release.routed) else 0.0


def _finite(value: float | None) -> float | None:
    """Return the value if JSON can express it, else None."""
    return float(value) if value is not None and math.isfinite(value) else None


def _short(text: str) -> str:
    return text if len(text) <= REASON_CHARS_MAX else f"{text[: REASON_CHARS_MAX - 1]}…"


def _time(at_s: float) -> str:
    return datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
