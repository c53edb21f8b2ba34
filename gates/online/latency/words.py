"""The sentence of latency.p95 and latency.p99 about an objective that is not met yet."""

from gates.online.latency.policy import Percentile
from gates.online.latency.state import ObjectiveState
from gates.wording import more, of


def why_not_under(asked: Percentile, objective: ObjectiveState, needed: int | None) -> str:
    """Return the sentence, without its end, of a gate that only the objective keeps from a pass. ``needed``: the number
    of requests that settles the objective."""
    seen, arms = objective.safe, objective.ratio.arms
    within = f"{asked.label.upper()} is within {asked.margin_ratio:g} times stable's"
    slow = f"slower in {of(seen.events, seen.total, 'requests')}"
    if seen.share < asked.tail:
        yet = more(needed, seen.total, "requests")
        return f"{within}; its objective of {asked.ms_max:g} ms is not settled yet: {slow}; {yet}"
    misses = f"{within}, but misses its objective of {asked.ms_max:g} ms: {slow}"
    if arms.stable_events <= asked.tail * arms.stable_total:
        return misses
    of_stable = of(arms.stable_events, arms.stable_total, "requests")
    return f"{misses}, as stable is in {of_stable}; set latency.{asked.label}_ms_max to what the service can promise"
