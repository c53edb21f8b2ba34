"""For who is on call: what users get now, who answers them, and what the release does."""

from controller.monitoring import recordings as kept
from controller.monitoring.dashboards.common import BY_MODEL, BY_REPLICA, Limits, picked, summed
from controller.monitoring.dashboards.panel import Dashboard, Kind, Panel, Query, Unit
from controller.monitoring.rule import OF_VERSION
from serving import contract as names


def on_call(limits: Limits) -> Dashboard:
    """The dashboard."""
    up = f"min by ({OF_VERSION}, instance) ({picked('up', f'job={chr(34)}{names.REPLICA_JOB}{chr(34)}')})"
    phase = f"time() - max by ({OF_VERSION}, {names.PHASE_LABEL}) ({picked(names.PHASE_TIME_METRIC)})"
    gates = f"max by ({names.MODEL_LABEL}, {names.GATE_LABEL}, {names.OUTCOME_LABEL}) ({picked(names.GATE_METRIC)})"
    look = f"time() - max by ({OF_VERSION}) ({picked(names.LOOK_TIME_METRIC)})"
    return Dashboard(
        "serin-on-call",
        "Serin: on call",
        "What users get now, who answers them, and what the release does. Runbooks: deploy/runbooks.",
        {
            "Users": (
                Panel(
                    "P95",
                    "95 % of users wait less, over 5 minutes, at the gateway.",
                    Unit.MS,
                    (Query(picked(kept.P95)),),
                    width=8,
                    beyond=limits.p95_ms,
                ),
                Panel(
                    "P99",
                    "99 % of users wait less, over 30 minutes, at the gateway.",
                    Unit.MS,
                    (Query(picked(kept.P99)),),
                    width=8,
                    beyond=limits.p99_ms,
                ),
                Panel(
                    "Errors",
                    "Share of users' requests that end in a server error, over 5 minutes.",
                    Unit.SHARE,
                    (Query(picked(kept.ERROR_RATIO)),),
                    width=8,
                    beyond=limits.error_ratio,
                ),
                Panel(
                    "Requests by version",
                    "Requests of users a second, by the version that answered.",
                    Unit.PER_S,
                    (Query(picked(kept.REQUEST_RATE)),),
                    width=8,
                ),
                Panel(
                    "Shares",
                    "Share of users' requests, as they are dealt.",
                    Unit.SHARE,
                    (Query(f"max by ({OF_VERSION}) ({picked(names.WEIGHT_METRIC)})"),),
                    width=8,
                ),
                Panel(
                    "Requests that wait",
                    "Accepted and not yet answered, on average over 5 minutes.",
                    Unit.COUNT,
                    (Query(picked(kept.QUEUE_DEPTH)),),
                    width=8,
                    beyond=limits.least(lambda one: one.queue_depth_max),
                ),
            ),
            "Instances": (
                Panel(
                    "Replicas that answer scrapes",
                    "1 where the replica answers, 0 where it does not.",
                    Unit.COUNT,
                    (Query(up, BY_REPLICA),),
                    width=8,
                    below=1,
                ),
                Panel(
                    "Workers",
                    "Inference workers that are running, and how many were lost within the hour.",
                    Unit.COUNT,
                    (
                        Query(summed(picked(names.WORKERS_METRIC), OF_VERSION)),
                        Query(
                            summed(f"increase({picked(names.WORKER_RESTARTS_METRIC)}[1h])", OF_VERSION),
                            "{{model}} {{model_version}} lost",
                        ),
                    ),
                    width=8,
                ),
                Panel(
                    "Memory",
                    "Of what the replica may use.",
                    Unit.SHARE,
                    (Query(picked(kept.MEMORY_RATIO)),),
                    width=8,
                    beyond=limits.least(lambda one: one.memory_ratio_max),
                ),
            ),
            "Release": (
                Panel(
                    "Phase",
                    "How long the newest release has been in its phase.",
                    Unit.SECONDS,
                    (Query(phase, "{{model}} {{model_version}} {{phase}}"),),
                    Kind.TABLE,
                ),
                Panel(
                    "Gates",
                    "The latest outcome of each gate of the newest release.",
                    Unit.COUNT,
                    (Query(gates, "{{gate}} {{outcome}}"),),
                    Kind.TABLE,
                ),
                Panel(
                    "Since the last look",
                    "Seconds since the evidence of a release under way was looked at.",
                    Unit.SECONDS,
                    (Query(look),),
                    width=8,
                ),
                Panel(
                    "Controller",
                    "1 where a controller leads; none: no release goes on.",
                    Unit.COUNT,
                    (Query(f"max({names.LEADS_METRIC})", "leads"),),
                    Kind.NUMBER,
                    width=8,
                    below=1,
                ),
                Panel(
                    "Freezes",
                    "Freezes in force, by model.",
                    Unit.COUNT,
                    (Query(f"max by ({names.MODEL_LABEL}) ({picked(names.FROZEN_METRIC)})", BY_MODEL),),
                    Kind.NUMBER,
                    width=8,
                    beyond=1,
                ),
            ),
        },
    )
