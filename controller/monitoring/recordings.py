"""The series that are computed once for all alerts and panels: of every model and version, whatever their policies."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from controller.monitoring.rule import OF_VERSION, Group, Recording, duration
from controller.monitoring.users import UserSeries
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


def errors_in(window_s: float) -> str:
    """The name under which a version's server errors within the window stand, as users got them."""
    return f"serin:user_errors:increase{duration(window_s)}"


def requests_in(window_s: float) -> str:
    """The name under which a version's requests within the window stand, as users sent them."""
    return f"serin:user_requests:increase{duration(window_s)}"


def groups(windows_s: Iterable[float], models: Sequence[str], users: UserSeries) -> Sequence[Group]:
    """The groups of recordings; ``windows_s`` are those of the policies' error budgets."""
    of_replicas = Group("serin-replicas", _replicas(), EVERY_S)
    if not users.can_tell(models):
        return [of_replicas]
    windows = sorted({*windows_s, LATENCY_S, TAIL_S})
    quick = [rule for window_s in windows if window_s < _SLOW_FROM_S for rule in _counts(window_s, models, users)]
    slow = [rule for window_s in windows if window_s >= _SLOW_FROM_S for rule in _counts(window_s, models, users)]
    of_users = Group("serin-users", [*quick, *_users(models, users)], EVERY_S)
    budgets = [Group("serin-users-long", slow, SLOW_EVERY_S)] if slow else []
    return [of_users, *budgets, of_replicas]


def _counts(window_s: float, models: Sequence[str], users: UserSeries) -> Sequence[Recording]:
    every, errors = users.all_in(models, window_s), users.failed_in(models, window_s)
    return (
        Recording(errors_in(window_s), f"{errors} or 0 * {_whole(every)}"),
        Recording(requests_in(window_s), every),
    )


def _whole(query: str) -> str:
    return f"({query})" if " or " in query else query


def _users(models: Sequence[str], users: UserSeries) -> Iterator[Recording]:
    errors, requests = errors_in(LATENCY_S), requests_in(LATENCY_S)
    yield Recording(REQUEST_RATE, f"{requests} / {LATENCY_S:g}")
    yield Recording(ERROR_RATIO, f"{errors} / ({requests} > 0)")
    for name, quantile, window_s in ((P95, 0.95, LATENCY_S), (P99, 0.99, TAIL_S)):
        if query := users.quantile_ms(models, quantile, window_s):
            yield Recording(name, query)


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
