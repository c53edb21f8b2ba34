"""A value, its limit and the outcome agree, whichever rule decided: "pass 0.106, limit 0.1" reads like a defect."""

from collections import Counter

import pytest

from gates.gate_set import GateSet
from gates.offline.suite import judge_suite
from gates.outcome import Outcome
from gates.policy import GatePolicy, SuitePolicy
from gates.verdict import Limit, Rule, Verdict
from tests.gates.suite_support import flipped, results
from tests.gates.support import World, run

WORLDS = {
    "equal": World(requests_per_s=200.0, share=0.5, shadow_looks=60),
    "failing": World(requests_per_s=200.0, share=0.5, error=0.01, error_factor=5.0),
    "slow": World(requests_per_s=200.0, share=0.5, slow=1.6),
    "wrong": World(requests_per_s=200.0, share=0.5, worse=0.15),
    "overconfident": World(requests_per_s=200.0, share=0.5, overconfidence=0.6),
}


def is_held(limit: Limit) -> bool:
    """Whether what was measured is on the good side."""
    assert limit.measured is not None, limit
    if limit.rule is Rule.CEILING:
        return limit.measured <= limit.value
    return limit.measured >= limit.value if limit.at_least else limit.measured < limit.value


def agrees(verdict: Verdict) -> bool:
    if verdict.outcome is Outcome.PASS:
        return all(map(is_held, verdict.limits))
    return verdict.outcome is not Outcome.FAIL or not all(map(is_held, verdict.limits))


@pytest.mark.parametrize("name", WORLDS)
def test_every_outcome_online_agrees_with_the_limits_that_it_shows(name: str) -> None:
    """At every look, of every gate that can roll back or certify; each kind of outcome is met."""
    gate_set = GateSet(GatePolicy())
    _, looks = run(gate_set, gate_set.start(), WORLDS[name], looks=35, seed=7)
    odd = [(one.gate, one.outcome, one.limits) for seen in looks for one in seen.values() if not agrees(one)]
    assert not odd
    decided = Counter(one.outcome for one in looks[-1].values() if one.limits)
    assert decided[Outcome.PASS if name == "equal" else Outcome.FAIL]


def test_every_outcome_of_a_suite_agrees_with_the_limits_that_it_shows() -> None:
    cases = results(2000)
    for judged in (
        judge_suite(cases, None, GatePolicy()),
        judge_suite(results(2000, signal=1.5), None, GatePolicy()),
        judge_suite(flipped(cases, 40), cases, GatePolicy()),
        judge_suite(results(2000, sharpness=3.0), None, GatePolicy()),
        judge_suite(cases, cases, GatePolicy(suite=SuitePolicy(margin_points=1.0))),
    ):
        for verdict in judged:
            assert verdict.limits, verdict.reason
            assert agrees(verdict), (verdict.outcome, verdict.limits)
    assert judge_suite(flipped(cases, 40), cases, GatePolicy())[0].limits[0].unit == "points lost"
