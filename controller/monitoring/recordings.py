"""The series that are computed once for all alerts and panels: of every model and version, whatever their policies."""

from collections.abc import Iterable, Sequence
from typing import Final

from controller.monitoring.rule import OF_VERSION, Group, Recording, duration
from serving import contract as names

EVERY_S: Final = 15.0
LATENCY_S: Final = 300.0  # of P95
TAIL_S: Final = 1_800.0  # of P99: a hundredth of few requests says nothing
SLOW_EVERY_S: Final = 60.0  # of windows that span hours
_SLOW_FROM_S: Final = 3_600.0
P95: Final = f"serin:user_latency_ms:p95_{duration(LATENCY_S)}"
P99: Final = f"serin:user_latency_ms:p99_{duration(TAIL_S)}"
ERROR_RATIO: Final = "serin:user_error_ratio:rate5m"
REQUEST_RATE: Final = "serin:user_requests:rate5m"
CPU_RATIO: Final = "serin:cpu_ratio:rate5m"
MEMORY_RATIO: Final = "serin:memory_ratio"
COLD_RATIO: Final = "serin:cold_ratio:rate15m"
UNKNOWN_RATIO: Final = "serin:unknown_token_ratio:rate15m"
TRUNCATED_RATIO: Final = "serin:truncated_ratio:rate15m"
TOKENS_P95: Final = "serin:tokens:p95_15m"
QUEUE_DEPTH: Final = "serin:queue_depth:avg5m"
GPU_RATIO: Final = "serin:gpu_ratio:avg5m"
COST: Final = "serin:cost_per_1000:rate5m"  # where a policy knows the price of a replica
_NO_COPIES: Final = f'{{job="{names.GATEWAY_JOB}", {names.CLUSTER_LABEL}!~".*-shadow"}}'
_ERRORS: Final = f'{{job="{names.GATEWAY_JOB}", {names.CODE_CLASS_LABEL}="5", {names.CLUSTER_LABEL}!~".*-shadow"}}'
_PARTS: Final = "(.+)-v([^-]+)"  # of a cluster's name: no version has a hyphen


def errors_in(window_s: float) -> str:
    """The name under which a version's server errors within the window stand, as users got them."""
    return f"serin:user_errors:increase{duration(window_s)}"


def requests_in(window_s: float) -> str:
    """The name under which a version's requests within the window stand, as users sent them."""
    return f"serin:user_requests:increase{duration(window_s)}"


def groups(windows_s: Iterable[float]) -> Sequence[Group]:
    """The groups of recordings; ``windows_s`` are those of the policies' error budgets."""
    windows = sorted({*windows_s, LATENCY_S, TAIL_S})
    quick = [rule for window_s in windows if window_s < _SLOW_FROM_S for rule in _counts(window_s)]
    slow = [rule for window_s in windows if window_s >= _SLOW_FROM_S for rule in _counts(window_s)]
    users = Group("serin-users", [*quick, *_users()], EVERY_S)
    budgets = [Group("serin-users-long", slow, SLOW_EVERY_S)] if slow else []
    return [users, *budgets, Group("serin-replicas", _replicas(), EVERY_S)]


def _counts(window_s: float) -> Sequence[Recording]:
    length = duration(window_s)
    every = f"increase({names.GATEWAY_REQUESTS_METRIC}{_NO_COPIES}[{length}])"
    errors = f"increase({names.GATEWAY_REQUESTS_METRIC}{_ERRORS}[{length}])"
    return (
        Recording(errors_in(window_s), f"{_by_version(errors)} or 0 * {_by_version(every)}"),
        Recording(requests_in(window_s), _by_version(every)),
    )


def _users() -> Sequence[Recording]:
    errors, requests = errors_in(LATENCY_S), requests_in(LATENCY_S)
    return (
        Recording(REQUEST_RATE, f"{requests} / {LATENCY_S:g}"),
        Recording(ERROR_RATIO, f"{errors} / ({requests} > 0)"),
        *(Recording(name, _quantile(quantile, window_s)) for name, quantile, window_s in (
            (P95, 0.95, LATENCY_S),
            (P99, 0.99, TAIL_S),
        )),
    )  # fmt: skip


def _quantile(quantile: float, window_s: float) -> str:
    buckets = f"rate({names.GATEWAY_TIME_METRIC}_bucket{_NO_COPIES}[{duration(window_s)}])"
    return f"histogram_quantile({quantile:g}, {_by_version(buckets, 'le')})"


def _by_version(query: str, *more: str) -> str:
    """The gateway knows clusters: their names say model and version."""
    model = f'label_replace({query}, "{names.MODEL_LABEL}", "$1", "{names.CLUSTER_LABEL}", "{_PARTS}")'
    both = f'label_replace({model}, "{names.VERSION_LABEL}", "$2", "{names.CLUSTER_LABEL}", "{_PARTS}")'
    return f"sum by ({', '.join((OF_VERSION, *more))}) ({both})"


def _replicas() -> Sequence[Recording]:
    def summed(metric: str, window: str) -> str:
        return f"sum by ({OF_VERSION}) (rate({metric}[{window}]))"

    def share(part: str, whole: str) -> str:
        return f"{summed(part, '15m')} / ({summed(whole, '15m')} > 0)"

    tokens, depth = names.TOKENS_METRIC, names.QUEUE_DEPTH_METRIC
    buckets = f"sum by ({OF_VERSION}, le) (rate({tokens}_bucket[15m]))"
    memory = f"{names.RESIDENT_MEMORY_METRIC} / {names.MEMORY_LIMIT_METRIC}"
    return (
        Recording(CPU_RATIO, f"{summed(names.CPU_METRIC, '5m')} / sum by ({OF_VERSION}) ({names.CORES_METRIC})"),
        Recording(MEMORY_RATIO, f"max by ({OF_VERSION}) ({memory})"),
        Recording(QUEUE_DEPTH, f"avg by ({OF_VERSION}) (avg_over_time({depth}[5m]))"),
        Recording(COLD_RATIO, share(names.COLD_REQUESTS_METRIC, names.REQUESTS_METRIC)),
        Recording(UNKNOWN_RATIO, share(names.UNKNOWN_TOKENS_METRIC, f"{tokens}_sum")),
        Recording(TRUNCATED_RATIO, share(names.TRUNCATED_METRIC, f"{tokens}_count")),
        Recording(TOKENS_P95, f"histogram_quantile(0.95, {buckets})"),
        Recording(GPU_RATIO, f"max by ({OF_VERSION}) (avg_over_time({names.GPU_UTILIZATION_METRIC}[5m]))"),
    )
