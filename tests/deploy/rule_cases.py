"""An installation in which all is well, and what goes wrong in it: series of a value a minute, as promtool plays them,
and the alerts that fire then, as ``NAME/SEVERITY`` or ``NAME/SEVERITY/WINDOW``."""

from collections.abc import Mapping

from serving import contract as names

ALL_BUCKETS = (50, 200, 500, 1000)


def answered(version: str, per_minute: int, code_class: str = "2", cluster: str = "") -> str:
    name = f"intent-v{version}{cluster}"
    own = f'job="serin-gateway", instance="gateway", envoy_cluster_name="{name}"'
    return f'envoy_cluster_upstream_rq_xx{{{own}, envoy_response_code_class="{code_class}"}} 0+{per_minute}x70'


def timed(version: str, per_minute: Mapping[int, int]) -> list[str]:
    """Requests a minute that took less than each edge, in ms."""
    own = f'job="serin-gateway", instance="gateway", envoy_cluster_name="intent-v{version}"'
    edges = {**{str(edge): number for edge, number in per_minute.items()}, "+Inf": max(per_minute.values())}
    metric = "envoy_cluster_upstream_rq_time_bucket"
    return [f'{metric}{{{own}, le="{edge}"}} 0+{number}x70' for edge, number in edges.items()]


def replica(metric: str, values: str, version: str = "6", **labels: str) -> str:
    more = "".join(f', {name}="{value}"' for name, value in labels.items())
    return f'{metric}{{model="intent", model_version="{version}"{more}}} {values}'


def controller(metric: str, values: str, **labels: str) -> str:
    own = {"job": "serin-controller", "instance": "controller", **labels}
    told = ", ".join(f'{name}="{value}"' for name, value in own.items())
    return f"{metric}{{{told}}} {values}"


def release(metric: str, values: str, **labels: str) -> str:
    return controller(metric, values, model="intent", model_version="7", **labels)


def phase(name: str, since: str) -> str:
    return release(names.PHASE_TIME_METRIC, since, phase=name)


ALWAYS = "+60x70"  # as time goes on
WELL = (
    answered("6", 600),
    *timed("6", dict.fromkeys(ALL_BUCKETS, 600)),
    replica("up", "1x70", job="serin", instance="intent-v6"),
    'up{job="serin-gateway", instance="gateway"} 1x70',
    controller("up", "1x70"),
    controller(names.LEADS_METRIC, "1x70"),
    controller(names.ROUND_TIME_METRIC, f"0{ALWAYS}"),
    controller(names.UNREADABLE_METRIC, "0x70", part="journal"),
    controller(names.POLICY_FAULTS_METRIC, "0x70"),
    controller(names.DISK_FREE_METRIC, "1000000000000x70"),
    controller(names.JOURNAL_ENTRIES_METRIC, "0+6x70"),
    controller(names.API_REFUSED_METRIC, "0+1x70"),
    controller(names.FROZEN_METRIC, "0x70", model="intent"),
    controller(names.WEIGHT_METRIC, "1x70", model="intent", model_version="6"),
    'envoy_http_no_cluster{job="serin-gateway", instance="gateway"} 0x70',
    replica(names.QUEUE_DEPTH_METRIC, "1x70"),
    replica(names.CORES_METRIC, "2x70"),
    replica(names.CPU_METRIC, "0+60x70"),
    replica(names.CPU_THROTTLED_METRIC, "0+1x70"),
    replica(names.RESIDENT_MEMORY_METRIC, "500x70"),
    replica(names.MEMORY_LIMIT_METRIC, "1000x70"),
    replica(names.REQUESTS_METRIC, "0+600x70", code="200"),
    replica(names.COLD_REQUESTS_METRIC, "0x70"),
    replica(names.UNKNOWN_TOKENS_METRIC, "0x70"),
    replica(names.TRUNCATED_METRIC, "0x70"),
    replica(f"{names.TOKENS_METRIC}_sum", "0+6000x70"),
    replica(f"{names.TOKENS_METRIC}_count", "0+600x70"),
    replica(names.OOM_KILLS_METRIC, "0x70"),
    replica(names.WORKER_RESTARTS_METRIC, "3x70"),
    replica(names.GPU_UTILIZATION_METRIC, "0.7x70", gpu="0"),
    replica(names.ACCESS_REFUSED_METRIC, "0+1x70", reason="no token"),
)


def gate(name: str, outcome: str, value: str, samples: str) -> tuple[str, ...]:
    return (
        release(names.GATE_METRIC, "1x70", gate=name, outcome=outcome),
        release(names.GATE_VALUE_METRIC, f"{value}x70", gate=name),
        release(names.GATE_SAMPLES_METRIC, f"{samples}x70", gate=name),
    )


CANDIDATE_UP = replica("up", "1x70", version="7", job="serin", instance="intent-v7")
CASES: Mapping[str, tuple[tuple[str, ...], str, set[str]]] = {
    "all is well": ((), "40m", set()),
    "copies that fail are nobody's": ((answered("6", 600, "5", cluster="-shadow"),), "20m", set()),
    "a fast burn pages, the slow rows with it": (
        (answered("6", 60, "5"),),
        "40m",
        {f"SerinErrorBudgetBurns/{row}" for row in ("page/1h", "page/6h", "ticket/3d")} | {"SerinUsersGetErrors/page"},
    ),
    "a slow burn is a ticket": ((answered("6", 2, "5"),), "40m", {"SerinErrorBudgetBurns/ticket/3d"}),
    "too few errors are none": ((answered("6", 1, "5"),), "6m", set()),
    "a small canary spends little of the budget and pages by itself": (
        (answered("6", 60_000), answered("7", 30), answered("7", 10, "5"), CANDIDATE_UP),
        "40m",
        {"SerinUsersGetErrors/page"},
    ),
    "half of the requests beyond the objective of P95": (
        tuple(timed("6", {50: 0, 200: 300, 500: 600, 1000: 600})),
        "20m",
        {"SerinSlowP95/page"},
    ),
    "two of a hundred beyond the objective of P99": (
        tuple(timed("6", {50: 0, 200: 588, 500: 588, 1000: 600})),
        "20m",
        {"SerinSlowP99/ticket"},
    ),
    "slow answers to nearly nobody": (
        (answered("6", 4), *timed("6", {50: 0, 200: 0, 500: 0, 1000: 4})),
        "20m",
        set(),
    ),
    "a replica in every trouble": (
        (replica(names.QUEUE_DEPTH_METRIC, "0x5 40x64"),
         replica(names.RESIDENT_MEMORY_METRIC, "950x70"),
         replica(names.CPU_METRIC, "0+100x70"),
         replica(names.GPU_UTILIZATION_METRIC, "0.97x70", gpu="0"),
         replica(names.COLD_REQUESTS_METRIC, "0+30x70"),
         replica(names.UNKNOWN_TOKENS_METRIC, "0+600x70"),
         replica(names.TRUNCATED_METRIC, "0+30x70"),
         replica(names.OOM_KILLS_METRIC, "0x28 1x41"),
         replica(names.WORKER_RESTARTS_METRIC, "3x28 4x41"),
         replica(names.CPU_THROTTLED_METRIC, "0+60x70"),
         replica(names.ACCESS_REFUSED_METRIC, "0+60x70", reason="no token")),
        "35m",
        {"SerinQueueing/page", "SerinOutOfMemory/page"} | {f"Serin{name}/ticket" for name in (
            "MemoryNearLimit", "CpuBusy", "GpuBusy", "ColdStarts", "UnknownTokens", "Truncated", "WorkersLost",
            "Throttled", "AccessRefused")},
    ),
    "an objective is missed and nothing tells by whose fault": (
        (phase("probation", "0x70"), release(names.LOOK_TIME_METRIC, f"0{ALWAYS}"),
         release(names.BREACH_METRIC, "_x10 1x60", gate="latency.p95")),
        "70m",
        {"SerinObjectiveMissed/page"},
    ),
    "requests waited for a moment": ((replica(names.QUEUE_DEPTH_METRIC, "0x5 40x64"),), "7m", set()),
    "a replica is not scraped": (
        (replica("up", "0x70", job="serin", instance="intent-v6"),), "20m", {"SerinTargetMissing/ticket"}
    ),
    "a version with users and no target": (
        (controller(names.WEIGHT_METRIC, "0.05x70", model="intent", model_version="7"),),
        "20m",
        {"SerinVersionUnwatched/ticket"},
    ),
    "the gateway is not scraped": (
        ('up{job="serin-gateway", instance="gateway"} 0x70',), "20m", {"SerinGatewayUnwatched/page"}
    ),
    "the controller is down": (
        (controller("up", "1x12 0x57"), controller(names.LEADS_METRIC, "1x12 stale"),
         controller(names.ROUND_TIME_METRIC, "0+60x12 stale")),
        "20m",
        {"SerinControllerDown/page"},
    ),
    "rounds have stopped": (
        (controller(names.ROUND_TIME_METRIC, "0+60x10 600x59"),), "20m", {"SerinControllerStopped/page"}
    ),
    "nobody leads": ((controller(names.LEADS_METRIC, "0x70"),), "20m", {"SerinControllerStopped/page"}),
    "one stands by": (
        (f'{names.LEADS_METRIC}{{instance="other"}} 0x70', f'{names.ROUND_TIME_METRIC}{{instance="other"}} 0x70'),
        "20m",
        set(),
    ),
    "an installation in every trouble": (
        (controller(names.UNREADABLE_METRIC, "1x70", part="journal"),
         controller(names.POLICY_FAULTS_METRIC, "1x70"),
         controller(names.DISK_FREE_METRIC, "10000000-20000x70"),
         controller(names.JOURNAL_ENTRIES_METRIC, "0+600x70"),
         controller(names.FROZEN_METRIC, "1x70", model="intent"),
         controller(names.NOTICES_OLDEST_METRIC, "0x70", target="pager"),
         controller(names.API_REFUSED_METRIC, "0+60x70"),
         'envoy_http_no_cluster{job="serin-gateway", instance="gateway"} 0+10x70'),
        "40m",
        {"SerinControllerBlind/page", "SerinNobodyAnswers/page", "SerinFrozen/none"} | {
            f"Serin{name}/ticket" for name in (
                "PolicyNotFollowed", "NoticesWait", "InterfaceRefused", "DiskFilling", "JournalGrows")},
    ),
    "a canary proceeds": (
        (phase("canary", "0x70"), release(names.LOOK_TIME_METRIC, f"0{ALWAYS}")), "30m", set()
    ),
    "a canary is stuck": (
        (phase("canary", "0x70"), release(names.LOOK_TIME_METRIC, f"0{ALWAYS}")), "62m", {"SerinCanaryStuck/ticket"}
    ),
    "a start takes too long": ((phase("preflight", "0x70"),), "20m", {"SerinReleaseStuck/ticket"}),
    "held": ((phase("held", "0x70"),), "20m", {"SerinReleaseHeld/ticket"}),
    "blind with users": (
        (phase("canary", "0x70"), release(names.LOOK_TIME_METRIC, f"0{ALWAYS}"),
         release(names.FAULT_METRIC, "1x70", source="metrics")),
        "20m",
        {"SerinReleaseBlind/page"},
    ),
    "blind before users": (
        (phase("shadow", "0x70"), release(names.LOOK_TIME_METRIC, f"0{ALWAYS}"),
         release(names.FAULT_METRIC, "1x70", source="metrics")),
        "20m",
        {"SerinReleaseBlind/ticket"},
    ),
    "nobody looks": (
        (phase("canary", "0x70"), release(names.LOOK_TIME_METRIC, "0x70")), "5m", {"SerinLooksStopped/page"}
    ),
    "nobody looks in probation": (
        (phase("probation", "0x70"), release(names.LOOK_TIME_METRIC, "0x70")), "30m",
        {"SerinLooksStopped/ticket", "SerinModelChanged/info"},
    ),
    "rolled back": (
        (phase("rolled_back", "0x70"), release(names.BLAMED_METRIC, "1x70", gate="accuracy.live")),
        "20m",
        {"SerinReleaseRolledBack/page"},
    ),
    "rolled back long ago": ((phase("rolled_back", "0x70"),), "62m", set()),
    "rejected": ((phase("rejected", "0x70"),), "20m", {"SerinReleaseRejected/ticket"}),
    "promoted": (
        (phase("probation", "0x70"), release(names.LOOK_TIME_METRIC, f"0{ALWAYS}")), "20m", {"SerinModelChanged/info"}
    ),
    "drift that is shown": (
        (phase("shadow", "0x70"), release(names.LOOK_TIME_METRIC, f"0{ALWAYS}"),
         *gate("reference.classes", "inconclusive", "0.3", "400")),
        "20m",
        {"SerinDrift/ticket"},
    ),
    "a distance of a few samples, or one that passed": (
        (phase("shadow", "0x70"), release(names.LOOK_TIME_METRIC, f"0{ALWAYS}"),
         *gate("reference.classes", "inconclusive", "0.3", "20"), *gate("drift.classes", "pass", "0.06", "4000")),
        "20m",
        set(),
    ),
    "retraining is asked for": (
        (controller(names.RETRAIN_ASKED_METRIC, "0x10 1x60", model="intent", cause="drift"),),
        "20m",
        {"SerinRetrainAsked/ticket"},
    ),
    "the version that serves is looked at no more": (
        (controller(names.CHAMPION_LOOK_METRIC, "0x70", model="intent", model_version="6"),),
        "68m",
        {"SerinWatchStopped/ticket"},
    ),
}  # fmt: skip
