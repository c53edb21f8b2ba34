"""The alerts of how one model's releases proceed, and of what its gates warn of."""

from collections.abc import Iterator
from typing import Final

from controller.core.policy import ReleasePolicy
from controller.monitoring.rule import OF_VERSION, WHO, About, Alert, Severity, number, series
from gates.policy import DriftPolicy
from serving import contract as names

_WAITED_S: Final = 900.0  # before a person is told that a release waits for one
_OVERDUE_S: Final = 300.0
_TOLD_S: Final = 3_600.0  # how long the end of a release is told
_BLIND_S: Final = 600.0
_LOOKS_MISSED: Final = 5
_UNWATCHED_S: Final = 3_600.0  # a fleet of hundreds is looked at in minutes
_SHORT_LOOK_S: Final = 60.0
_SINCE: Final = "{{ $value | humanizeDuration }}"
_EXPOSED: Final = "canary|promoting"
_BY_GATE: Final = f"{OF_VERSION}, {names.GATE_LABEL}"
_SETTING_UP: Final = ("pending", "preflight", "promoting", "rolling_back")


def alerts(policy: ReleasePolicy) -> Iterator[Alert]:
    """Every alert about the releases of the policy's model."""
    if policy.gates.drift is not None:
        yield _drift(policy.model, policy.gates.drift)
    yield from _waiting(policy)
    yield from _watching(policy)
    yield from _ended(policy.model)
    yield from _champion(policy.model)


def _champion(model: str) -> Iterator[Alert]:
    asked = f"increase({series(model, names.RETRAIN_ASKED_METRIC)}[1h])"
    yield Alert(
        "SerinRetrainAsked",
        f"max by ({names.MODEL_LABEL}, {names.CAUSE_LABEL}) ({asked}) > 0",
        Severity.TICKET,
        About.RELEASE,
        "{{ $labels.model }}: retraining is asked for (cause: {{ $labels.cause }}); `serin status` says why",
    )
    looked = f"max by ({names.MODEL_LABEL}) ({series(model, names.CHAMPION_LOOK_METRIC)})"
    yield Alert(
        "SerinWatchStopped",
        f"(time() - {looked}) > {_UNWATCHED_S:g}",
        Severity.TICKET,
        About.SERIN,
        f"{{{{ $labels.model }}}}: the watch last looked at the serving version {_SINCE} ago",
        for_s=300,
    )


def _drift(model: str, drift: DriftPolicy) -> Alert:
    """Warnings of the gates, which settle nothing: far enough, on enough samples, and not told to be alike."""
    guards = {"reference": drift.reference_guard, "drift": drift.guard, "agreement": drift.disagreement_max}
    parts = []
    for gates, guard in guards.items():
        ours = f'{names.GATE_LABEL}=~"{gates}[.].*"'
        value = f"{series(model, names.GATE_VALUE_METRIC, ours)} >= {number(guard)}"
        enough = f"{series(model, names.GATE_SAMPLES_METRIC, ours)} >= {drift.samples_min}"
        unsettled = series(model, names.GATE_METRIC, ours, f'{names.OUTCOME_LABEL}!="pass"')
        parts.append(f"({value} and on ({_BY_GATE}) ({enough}) and on ({_BY_GATE}) ({unsettled} == 1))")
    return Alert(
        "SerinDrift",
        f"max by ({_BY_GATE}) ({' or '.join(parts)})",
        Severity.TICKET,
        About.RELEASE,
        f"{WHO}: {{{{ $labels.gate }}}} is at {{{{ $value | humanize }}}}: label fresh requests, consider retraining",
        for_s=600,
    )


def _age(model: str, *phases: str) -> str:
    """Seconds for which a release is in one of the phases. Each controller tells; one that stands by tells the same."""
    since = series(model, names.PHASE_TIME_METRIC, f'{names.PHASE_LABEL}=~"{"|".join(phases)}"')
    return f"(time() - max by ({OF_VERSION}, {names.PHASE_LABEL}) ({since}))"


def _waiting(policy: ReleasePolicy) -> Iterator[Alert]:
    model = policy.model
    half_s, overdue_s = policy.deadline_s / 2, policy.start_timeout_s + _OVERDUE_S
    yield Alert(
        "SerinCanaryStuck",
        f"{_age(model, 'shadow', 'canary')} > {number(half_s)}",
        Severity.TICKET,
        About.RELEASE,
        f"{WHO} has been in {{{{ $labels.phase }}}} for {_SINCE}, half of the time before its deadline",
    )
    yield Alert(
        "SerinReleaseStuck",
        f"{_age(model, *_SETTING_UP)} > {number(overdue_s)}",
        Severity.TICKET,
        About.RELEASE,
        f"{WHO} has been in {{{{ $labels.phase }}}} for {_SINCE}",
    )  # fmt: skip
    yield Alert(
        "SerinReleaseHeld",
        f"{_age(model, 'held')} > {number(_WAITED_S)}",
        Severity.TICKET,
        About.RELEASE,
        f"{WHO} has been held for {_SINCE}: a person has to decide",
    )


def _watching(policy: ReleasePolicy) -> Iterator[Alert]:
    model = policy.model
    phases = series(model, names.PHASE_TIME_METRIC, f'{names.PHASE_LABEL}=~"{_EXPOSED}"')
    fault = f"max by ({OF_VERSION}, {names.SOURCE_LABEL}) ({series(model, names.FAULT_METRIC)}) == 1"
    for severity, word in ((Severity.PAGE, "and"), (Severity.TICKET, "unless")):
        yield Alert(
            "SerinReleaseBlind",
            f"{fault} {word} on ({OF_VERSION}) {phases}",
            severity,
            About.RELEASE,
            f"{WHO}: {{{{ $labels.source }}}} cannot be read, so no gate can judge by it",
            for_s=_BLIND_S,
        )
    yield Alert(
        "SerinObjectiveMissed",
        f"max by ({_BY_GATE}) ({series(model, names.BREACH_METRIC)}) == 1",
        Severity.PAGE,
        About.RELEASE,
        f"{WHO}: {{{{ $labels.gate }}}} misses its objective; with nothing to compare it to, nothing is rolled back",
    )
    for phase, probation in (("shadow|canary", False), ("probation", True)):
        allowed_s = max(_SHORT_LOOK_S, _LOOKS_MISSED * policy.written_every_s(probation=probation))
        watched = series(model, names.PHASE_TIME_METRIC, f'{names.PHASE_LABEL}=~"{phase}"')
        looked = f"max by ({OF_VERSION}) ({series(model, names.LOOK_TIME_METRIC)})"
        yield Alert(
            "SerinLooksStopped",
            f"(time() - {looked}) > {number(allowed_s)} and on ({OF_VERSION}) {watched}",
            Severity.TICKET if probation else Severity.PAGE,
            About.RELEASE,
            f"{WHO}: the last look at its evidence was {_SINCE} ago",
        )


def _ended(model: str) -> Iterator[Alert]:
    blamed = series(model, names.BLAMED_METRIC)
    by = f"{{{{ range query `{blamed}` }}}}{{{{ .Labels.{names.GATE_LABEL} }}}} {{{{ end }}}}failed"
    for name, phase, severity, what in (
        ("SerinReleaseRolledBack", "rolled_back", Severity.PAGE, f"was rolled back: {by}. The former version serves"),
        ("SerinReleaseRejected", "rejected", Severity.TICKET, f"was rejected before any user saw it: {by}"),
        ("SerinModelChanged", "probation", Severity.INFO, "answers all users now"),
    ):  # fmt: skip
        query = f"{_age(model, phase)} < {number(_TOLD_S)}"
        yield Alert(name, query, severity, About.RELEASE, f"{WHO} {what}")
