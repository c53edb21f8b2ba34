"""What is measured against which limit: a row each."""

from collections.abc import Iterator

from gates.evidence import Look, Profile, Resources
from gates.online.limits.gate import LimitGate, Measured, Reader
from gates.online.limits.policy import LimitPolicy
from gates.online.limits.tokens import LengthGate


def limit_gates(policy: LimitPolicy) -> Iterator[LimitGate | LengthGate]:
    """One gate for each limit that is set, and one for the cost, which is told in any case."""
    of_release: tuple[tuple[str, str, float | None, Reader], ...] = (
        (
            "resources.cold_starts",
            "Share of requests that met a cold replica",
            policy.cold_start_ratio_max,
            _cold_starts,
        ),
        ("tokenization.unknown", "Share of unknown tokens", policy.unknown_token_ratio_max, _unknown_tokens),
        ("tokenization.truncated", "Share of truncated requests", policy.truncated_ratio_max, _truncated),
    )
    of_look: tuple[tuple[str, str, float | None, Reader], ...] = (
        ("resources.memory", "Memory used, of the limit,", policy.memory_ratio_max, _level("memory_ratio")),
        ("resources.cpu", "CPU used, of the cores given,", policy.cpu_ratio_max, _level("cpu_ratio")),
        ("resources.gpu", "GPU used", policy.gpu_ratio_max, _level("gpu_ratio")),
        (
            "resources.restarts",
            "The number of restarts since the release started",
            policy.restarts_max,
            _level("restarts"),
        ),
        ("resources.queue", "Queue depth", policy.queue_depth_max, _level("queue_depth")),
    )
    for sums, rows in ((True, of_release), (False, of_look)):
        for name, what, limit, read in rows:
            if limit is not None:
                yield LimitGate(name, what, limit, read, sums)
    if policy.gpu_ratio_min is not None:
        idle = _level("gpu_ratio")
        yield LimitGate("resources.gpu_idle", "GPU used", policy.gpu_ratio_min, idle, sums=False, at_least=True)
    if policy.tokens_p95_max is not None:
        yield LengthGate(policy.tokens_p95_max)
    if policy.throughput_ratio_min is not None:
        what = "Answers per second of computing, candidate over stable,"
        yield LimitGate("throughput", what, policy.throughput_ratio_min, _throughput, sums=True, at_least=True)
    yield LimitGate(
        "cost.per_1000", "Cost of 1,000 requests", policy.cost_per_1000_max, _cost, sums=True, unknown=_no_cost(policy)
    )


def _no_cost(policy: LimitPolicy) -> str:
    if policy.replica_hour_price is None:
        return "the policy names no price of a replica's hour (gates.limits.replica_hour_price)"
    return "the candidate has not answered yet"


def _level(field: str) -> Reader:
    def read(look: Look) -> Measured | None:
        value = getattr(look.candidate_resources, field) if look.candidate_resources is not None else None
        return None if value is None else (value, 1.0)

    return read


def _resources(look: Look) -> tuple[Resources, int]:
    """With all requests of the candidate: mirrored ones meet cold replicas and cost money, too."""
    arms = (look.candidate, look.shadow)
    return look.candidate_resources or Resources(), sum(arm.requests for arm in arms if arm is not None)


def _cold_starts(look: Look) -> Measured | None:
    used, requests = _resources(look)
    return None if used.cold_starts is None else (used.cold_starts, requests)


def _cost(look: Look) -> Measured | None:
    used, requests = _resources(look)
    return None if used.cost is None else (1000 * used.cost, requests)


def _unknown_tokens(look: Look) -> Measured | None:
    profile = look.candidate_profile or Profile()
    return (profile.unknown_tokens, profile.tokens) if profile.tokens else None


def _truncated(look: Look) -> Measured | None:
    profile = look.candidate_profile or Profile()
    return (profile.truncated, profile.requests) if profile.requests else None


def _throughput(look: Look) -> Measured | None:
    candidate, stable = look.candidate_resources, look.stable_resources
    if candidate is None or stable is None:
        return None
    if candidate.requests_per_busy_s is None or not stable.requests_per_busy_s:
        return None
    return candidate.requests_per_busy_s, stable.requests_per_busy_s
