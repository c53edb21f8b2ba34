"""The limits: each is a key of the policy and a row of a table. A new limit on a figure that looks have needs both, in
this file alone."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Annotated, Final

from gates.evidence import NO_PROFILE, NO_RESOURCES, Resources
from gates.online.limits.gate import LimitGate, Measured, Reader, Used
from gates.online.limits.tokens import LengthGate

Making = Callable[[float], LimitGate | LengthGate]


@dataclass(frozen=True, slots=True)
class LimitPolicy:
    """Limits on what the candidate uses, as warnings; ``null`` switches one off."""

    memory_ratio_max: Annotated[float | None, "resident memory, of what the replica may use"] = 0.9
    cpu_ratio_max: Annotated[float | None, "CPU, of the cores that the replica may use"] = 0.7
    gpu_ratio_max: Annotated[float | None, "of the GPU that is used most"] = 0.9
    gpu_ratio_min: Annotated[float | None, "below it, a GPU is paid for and idle"] = 0.6
    queue_depth_max: Annotated[float | None, "requests accepted and not yet answered, on average"] = 5.0
    cold_start_ratio_max: Annotated[float | None, "of requests, that met a replica still warming up"] = 0.01
    restarts_max: Annotated[float | None, "of workers, since the release started"] = 0.0
    unknown_token_ratio_max: Annotated[float | None, "of tokens, that the tokenizer does not know"] = 0.05
    truncated_ratio_max: Annotated[float | None, "of texts, cut to the longest length that the model takes"] = 0.01
    tokens_p95_max: Annotated[
        float | None, "of a text's tokens, the 95th percentile; 0: as many as the candidate reads of a text"
    ] = 0.0
    throughput_ratio_min: Annotated[float | None, "answers per second of computing, candidate over stable"] = 0.8
    replica_hour_price: Annotated[
        float | None, "in the currency of `cost_per_1000_max`; without it no cost is known"
    ] = None
    cost_per_1000_max: Annotated[float | None, "of 1,000 requests; set by the business"] = None


def limit_gates(policy: LimitPolicy) -> Iterator[LimitGate | LengthGate]:
    """Yield one gate for each limit that is set, and one for the cost, which is shown with or without a limit."""
    for key, make in _ROWS.items():
        limit = getattr(policy, key)
        if limit is not None:
            yield make(limit)
    unknown = "the candidate has not answered yet"
    if policy.replica_hour_price is None:
        unknown = "the policy names no price of a replica's hour (gates.limits.replica_hour_price)"
    what, limit = "Cost of 1,000 requests", policy.cost_per_1000_max
    yield LimitGate("cost.per_1000", what, limit, _cost, sums=True, unknown=unknown)


def _level(field: str) -> Reader:
    def read(look: Used) -> Measured | None:
        value = getattr(look.candidate_resources, field) if look.candidate_resources is not None else None
        return None if value is None else (value, 1.0)

    return read


def _resources(look: Used) -> tuple[Resources, int]:
    """Return the candidate's resources and the number of its requests, mirrored ones included: these meet cold replicas
    and cost money, too."""
    arms = (look.candidate, look.shadow)
    return look.candidate_resources or NO_RESOURCES, sum(arm.requests for arm in arms if arm is not None)


def _cold_starts(look: Used) -> Measured | None:
    used, requests = _resources(look)
    return None if used.cold_starts is None else (used.cold_starts, requests)


def _cost(look: Used) -> Measured | None:
    used, requests = _resources(look)
    return None if used.cost is None else (1000 * used.cost, requests)


def _unknown_tokens(look: Used) -> Measured | None:
    profile = look.candidate_profile or NO_PROFILE
    return (profile.unknown_tokens, profile.tokens) if profile.tokens else None


def _truncated(look: Used) -> Measured | None:
    profile = look.candidate_profile or NO_PROFILE
    return (profile.truncated, profile.requests) if profile.requests else None


def _throughput(look: Used) -> Measured | None:
    candidate, stable = look.candidate_resources, look.stable_resources
    if candidate is None or stable is None:
        return None
    if candidate.requests_per_busy_s is None or not stable.requests_per_busy_s:
        return None
    return candidate.requests_per_busy_s, stable.requests_per_busy_s


def _last(gate: str, what: str, read: Reader, *, at_least: bool = False) -> Making:
    """Return the function that makes the gate of a limit on the last look's measure."""
    return lambda limit: LimitGate(gate, what, limit, read, sums=False, at_least=at_least)


def _sum(gate: str, what: str, read: Reader, *, at_least: bool = False) -> Making:
    """Return the function that makes the gate of a limit on the measures added up over the release."""
    return lambda limit: LimitGate(gate, what, limit, read, sums=True, at_least=at_least)


_ROWS: Final[dict[str, Making]] = {
    "cold_start_ratio_max": _sum("resources.cold_starts", "Share of requests that met a cold replica", _cold_starts),
    "unknown_token_ratio_max": _sum("tokenization.unknown", "Share of unknown tokens", _unknown_tokens),
    "truncated_ratio_max": _sum("tokenization.truncated", "Share of truncated requests", _truncated),
    "memory_ratio_max": _last("resources.memory", "Memory used, of the limit,", _level("memory_ratio")),
    "cpu_ratio_max": _last("resources.cpu", "CPU used, of the cores given,", _level("cpu_ratio")),
    "gpu_ratio_max": _last("resources.gpu", "GPU used", _level("gpu_ratio")),
    "restarts_max": _last("resources.restarts", "The number of restarts since the release started", _level("restarts")),
    "queue_depth_max": _last("resources.queue", "Queue depth", _level("queue_depth")),
    "gpu_ratio_min": _last("resources.gpu_idle", "GPU used", _level("gpu_ratio"), at_least=True),
    "tokens_p95_max": LengthGate,
    "throughput_ratio_min": _sum(
        "throughput", "Answers per second of computing, candidate over stable,", _throughput, at_least=True
    ),
}
"""The functions that make the gate of a limit, by the limit's key in the policy."""
