"""The alerts of one model, by its policy: what users got, what its replicas use."""

from collections.abc import Iterator
from typing import Final

from controller.core.policy import ReleasePolicy
from controller.monitoring import of_releases
from controller.monitoring import recordings as kept
from controller.monitoring.rule import WHO, About, Alert, Group, Recording, Severity, duration, number, series
from gates.policy import BudgetPolicy
from gates.stats.burn import Urgency
from serving import contract as names

_SERVED_ENOUGH: Final = 5  # times as many requests as a percentile needs to have one beyond it
_ERRORS_S: Final = 300.0
_ERROR_RATIO_MAX: Final = 0.01  # where the policy knows no budget
_SHARE: Final = "{{ $value | humanizePercentage }}"


def group(policy: ReleasePolicy) -> Group:
    """The alerts of the policy's model."""
    model = _Model(policy)
    rules = [*model.users(), *model.replicas(), *of_releases.alerts(policy)]
    return Group(f"serin-model-{policy.model}", rules, kept.EVERY_S)


class _Model:
    def __init__(self, policy: ReleasePolicy) -> None:
        self._policy = policy

    def _in(self, metric: str, *matchers: str) -> str:
        return series(self._policy.model, metric, *matchers)

    # --- what users got ----------------------------------------------------------------------------------------------
    def users(self) -> Iterator[Alert]:
        budget, latency = self._policy.gates.budget, self._policy.gates.latency
        if budget is not None:
            yield from self._burns(budget)
        yield self._errors(budget)
        if latency is not None and latency.p95_ms_max is not None:
            yield self._slow("SerinSlowP95", kept.P95, 0.95, latency.p95_ms_max, kept.LATENCY_S, Severity.PAGE)
        if latency is not None and latency.p99_ms_max is not None:
            yield self._slow("SerinSlowP99", kept.P99, 0.99, latency.p99_ms_max, kept.TAIL_S, Severity.TICKET)

    def _burns(self, budget: BudgetPolicy) -> Iterator[Alert]:
        """One alert for each row of the policy's table; the row says what it is worth to people."""
        for row in budget.service_windows:
            allowed = row.factor(budget.period_s) * (1 - budget.objective_ratio)
            both = [f"({self._ratio(length_s)} >= {number(allowed)})" for length_s in (row.long_s, row.short_s)]
            enough = f"({self._sum(kept.errors_in(row.long_s))} >= {budget.service_errors_min})"
            worst = self._in(kept.errors_in(row.short_s))
            window, most = duration(row.long_s), f"{{{{ . | first | label `{names.VERSION_LABEL}` }}}}"
            yield Alert(
                "SerinErrorBudgetBurns",
                " and ".join((*both, enough)),
                Severity(row.urgency.value),
                About.USERS,
                f"{{{{ $labels.model }}}}: {_SHARE} of users' requests failed in {window}; "
                f"a share of {number(allowed)} spends {row.budget_ratio:.0%} of the error budget in that time; "
                "most errors are from version "
                f"{{{{ with query `topk(1, {worst})` }}}}{most}{{{{ end }}}}",
                labels={"window": window},
            )

    def _sum(self, recorded: str) -> str:
        return f"sum by ({names.MODEL_LABEL}) ({self._in(recorded)})"

    def _ratio(self, window_s: float) -> str:
        return f"{self._sum(kept.errors_in(window_s))} / ({self._sum(kept.requests_in(window_s))} > 0)"

    def _errors(self, budget: BudgetPolicy | None) -> Alert:
        """A version by itself: a small canary spends little of the service's budget."""
        at_most, least = _ERROR_RATIO_MAX, 1
        if budget is not None:
            rows = [row.factor(budget.period_s) for row in budget.service_windows if row.urgency is Urgency.PAGE]
            at_most = min(max(rows, default=1.0) * (1 - budget.objective_ratio), 1.0) if rows else at_most
            least = budget.service_errors_min
        return Alert(
            "SerinUsersGetErrors",
            f"{self._in(kept.ERROR_RATIO)} >= {number(at_most)} and {self._in(kept.errors_in(_ERRORS_S))} >= {least}",
            Severity.PAGE,
            About.USERS,
            f"{WHO}: {_SHARE} of users' requests fail",
            for_s=120,
        )

    def _slow(self, name: str, recorded: str, quantile: float, ms_max: float, window_s: float, how: Severity) -> Alert:
        requests = round(_SERVED_ENOUGH / (1 - quantile))
        return Alert(
            name,
            f"{self._in(recorded)} > {number(ms_max)} and {self._in(kept.requests_in(window_s))} >= {requests}",
            how,
            About.USERS,
            f"{WHO}: P{100 * quantile:.0f} is {{{{ $value | humanize }}}} ms; the objective is {number(ms_max)} ms",
            for_s=300,
        )

    # --- what its replicas do ----------------------------------------------------------------------------------------
    def replicas(self) -> Iterator[Alert | Recording]:
        limits = self._policy.gates.limits
        if limits is None:
            return
        if limits.replica_hour_price is not None:
            yield self._cost(limits.replica_hour_price)
        ticket, page = Severity.TICKET, Severity.PAGE
        table = (
            ("Queueing", kept.QUEUE_DEPTH, limits.queue_depth_max, page, 300,
             "{{ $value | humanize }} requests are waiting"),
            ("MemoryNearLimit", kept.MEMORY_RATIO, limits.memory_ratio_max, ticket, 600,
             f"{_SHARE} of its memory is in use"),
            ("CpuBusy", kept.CPU_RATIO, limits.cpu_ratio_max, ticket, 900,
             f"its cores are {_SHARE} busy"),
            ("GpuBusy", kept.GPU_RATIO, limits.gpu_ratio_max, ticket, 900,
             f"its busiest GPU is {_SHARE} busy"),
            ("ColdStarts", kept.COLD_RATIO, limits.cold_start_ratio_max, ticket, 900,
             f"{_SHARE} of requests met a cold worker"),
            ("UnknownTokens", kept.UNKNOWN_RATIO, limits.unknown_token_ratio_max, ticket, 900,
             f"{_SHARE} of tokens are unknown"),
            ("Truncated", kept.TRUNCATED_RATIO, limits.truncated_ratio_max, ticket, 900,
             f"{_SHARE} of texts are truncated"),
        )  # fmt: skip
        for name, recorded, most, severity, for_s, what in table:
            if most is not None:
                query = f"{self._in(recorded)} > {number(most)}"
                yield Alert(f"Serin{name}", query, severity, About.REPLICA, f"{WHO}: {what}", for_s)

    def _cost(self, replica_hour_price: float) -> Recording:
        """The price of all its replicas, by the hour, for each thousand requests of users."""
        up = self._in("up", f'job="{names.REPLICA_JOB}"')
        hourly = f"{number(replica_hour_price)} * count by ({names.MODEL_LABEL}) ({up} == 1)"
        return Recording(kept.COST, f"{hourly} / ({self._sum(kept.REQUEST_RATE)} * 3.6 > 0)")
