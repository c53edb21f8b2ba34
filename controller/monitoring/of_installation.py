"""The alerts that no policy has a say in: the controller, what it is told by, and what ends a replica's process."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Final

from controller.core.policy import ReleasePolicy
from controller.monitoring import recordings as kept
from controller.monitoring.rule import OF_VERSION, WHO, About, Alert, Group, Severity
from controller.monitoring.users import UserSeries
from serving import contract as names

_ROUND_S: Final = 60.0  # rounds begin several times a second
_MISSING_S: Final = 120.0
_UNTOLD_S: Final = 600.0  # of the notice that waits for longest
_ENTRIES_BESIDE: Final = 1.0  # a second: events, notes and what people do, of all models
_ENTRIES_FACTOR: Final = 3.0  # times what the looks of every model would write
_DISK_AHEAD_S: Final = 3 * 86_400.0
_REFUSED_MIN: Final = 100
_HOW: Final = "(401, 403 or 429)"
_CONTROLLER: Final = f'{{job="{names.CONTROLLER_JOB}"}}'


def group(policies: Mapping[str, ReleasePolicy], users: UserSeries) -> Group:
    """The alerts of an installation with these policies."""
    alerts = [*_controller(), *_targets(users), _journal(policies.values()), *_processes(), *_signals()]
    return Group("serin-installation", alerts, kept.EVERY_S)


def _controller() -> Iterator[Alert]:
    up = f"up{_CONTROLLER}"
    stopped = f"time() - max({names.ROUND_TIME_METRIC} and on (instance) {names.LEADS_METRIC} == 1) > {_ROUND_S:g}"
    yield Alert(
        "SerinControllerDown",
        f"(max({up}) == 0) or absent({up})",
        Severity.PAGE,
        About.SERIN,
        "No controller answers: traffic stays as it is, and no release advances or is rolled back",
        for_s=_MISSING_S,
    )
    yield Alert(
        "SerinControllerStopped",
        f"({stopped}) or (max({names.LEADS_METRIC}) == 0)",
        Severity.PAGE,
        About.SERIN,
        "The controller answers but does nothing: it has lost the lease, or its rounds have stopped",
        for_s=60,
    )
    yield Alert(
        "SerinControllerBlind",
        f"max by (part) ({names.UNREADABLE_METRIC}) == 1",
        Severity.PAGE,
        About.SERIN,
        "The controller cannot read its {{ $labels.part }}",
        for_s=300,
    )
    yield Alert(
        "SerinPolicyNotFollowed",
        f"max({names.POLICY_FAULTS_METRIC}) > 0",
        Severity.TICKET,
        About.SERIN,
        "Policies not followed: {{ $value }}. `serin policy check` says why",
        for_s=300,
    )
    yield Alert(
        "SerinNoticesWait",
        f"time() - min by ({names.TARGET_LABEL}) ({names.NOTICES_OLDEST_METRIC}) > {_UNTOLD_S:g}",
        Severity.TICKET,
        About.SERIN,
        "Notices to {{ $labels.target }} are not delivered: `serin status` says why",
        for_s=60,
    )
    yield Alert(
        "SerinInterfaceRefused",
        f"sum(increase({names.API_REFUSED_METRIC}[15m])) > {_REFUSED_MIN}",
        Severity.TICKET,
        About.SERIN,
        f"The controller's interface refused {{{{ $value | humanize }}}} requests in 15 minutes {_HOW}",
    )
    yield Alert(
        "SerinDiskFilling",
        f"min(predict_linear({names.DISK_FREE_METRIC}[6h], {_DISK_AHEAD_S:g})) < 0",
        Severity.TICKET,
        About.SERIN,
        "At this rate the disk of Serin's home is full within three days",
        for_s=1_800,
    )


def _journal(policies: Collection[ReleasePolicy]) -> Alert:
    """Beyond what the looks of every model would write, were a release of each under way all the time."""
    looks_per_s = sum(1 / policy.look_every_s for policy in policies)
    most = _ENTRIES_FACTOR * looks_per_s + _ENTRIES_BESIDE
    return Alert(
        "SerinJournalGrows",
        f"max(rate({names.JOURNAL_ENTRIES_METRIC}[1h])) > {most:.6g}",
        Severity.TICKET,
        About.SERIN,
        f"The journal grows by {{{{ $value | humanize }}}} entries a second; the policies explain {most:.3g}",
        for_s=1_800,
    )  # fmt: skip


def _targets(users: UserSeries) -> Iterator[Alert]:
    gateway = f"up{{{users.target}}}"
    replicas = f'up{{job="{names.REPLICA_JOB}"}}'
    yield Alert(
        "SerinGatewayUnwatched",
        f"(max({gateway}) == 0) or absent({gateway})",
        Severity.PAGE,
        About.SERIN,
        "The gateway's metrics are missing: alerts about users cannot fire, and releases wait",
        for_s=_MISSING_S,
    )
    yield Alert(
        "SerinTargetMissing",
        f"min by ({OF_VERSION}, instance) ({replicas}) == 0",
        Severity.TICKET,
        About.REPLICA,
        f"{WHO}: {{{{ $labels.instance }}}} does not answer scrapes",
        for_s=_MISSING_S,
    )
    yield Alert(
        "SerinVersionUnwatched",
        f"max by ({OF_VERSION}) ({names.WEIGHT_METRIC}) > 0 unless on ({OF_VERSION}) {replicas}",
        Severity.TICKET,
        About.REPLICA,
        f"{WHO} serves users, but Prometheus has no target for it",
        for_s=_MISSING_S,
    )
    yield Alert(
        "SerinNobodyAnswers",
        f"sum(increase({names.GATEWAY_NO_CLUSTER_METRIC}[5m])) > 10",
        Severity.PAGE,
        About.USERS,
        "{{ $value | humanize }} requests in 5 minutes were for a model with no version to answer them",
    )


def _processes() -> Iterator[Alert]:
    def gained(metric: str, how: str) -> str:
        return f"{how} by ({OF_VERSION}) (increase({metric}[15m]))"

    throttled = f"rate({names.CPU_THROTTLED_METRIC}[5m]) / {names.CORES_METRIC}"
    yield Alert(
        "SerinOutOfMemory",
        f"{gained(names.OOM_KILLS_METRIC, 'max')} > 0",
        Severity.PAGE,
        About.REPLICA,
        f"{WHO}: the OOM killer ended a process",
    )
    yield Alert(
        "SerinWorkersLost",
        f"{gained(names.WORKER_RESTARTS_METRIC, 'sum')} > 0",
        Severity.TICKET,
        About.REPLICA,
        f"{WHO}: inference workers died and were replaced",
    )
    yield Alert(
        "SerinThrottled",
        f"max by ({OF_VERSION}) ({throttled}) > 0.1",
        Severity.TICKET,
        About.REPLICA,
        f"{WHO}: throttled by its CPU quota",
        for_s=600,
    )
    yield Alert(
        "SerinAccessRefused",
        f"{gained(names.ACCESS_REFUSED_METRIC, 'sum')} > {_REFUSED_MIN}",
        Severity.TICKET,
        About.REPLICA,
        f"{WHO}: {{{{ $value | humanize }}}} requests were refused in 15 minutes {_HOW}",
    )


def _signals() -> Sequence[Alert]:
    """Nobody is told of these: a freeze holds back what a frozen release cannot help; the watchdog says that alerts are
    evaluated, to whoever misses it when it stops."""
    return (
        Alert(
            "SerinFrozen",
            f"max by ({names.MODEL_LABEL}) ({names.FROZEN_METRIC}) > 0",
            Severity.NONE,
            About.RELEASE,
            "{{ $labels.model }} is frozen",
        ),
        Alert("SerinWatchdog", "vector(1)", Severity.NONE, About.SERIN, "Alerts are being evaluated"),
    )
