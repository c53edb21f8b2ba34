"""What users got decides, by whoever answered them: the gateway's counts, each gate by its own figure."""

from dataclasses import replace

import numpy as np
import pytest

from gates.evidence import ArmCounts, Fault, Look, UserCounts
from gates.gate import Timing
from gates.gate_set import GateSet, state_from_json, state_to_json
from gates.online.latency.gate import LatencyGate
from gates.online.latency.policy import Percentile
from gates.outcome import Outcome
from gates.policy import GatePolicy
from gates.verdict import Verdict, Window
from serving.contract import gateway_edges_ms
from tests.gates.support import EDGES_MS, NONE_TIMED, latencies

USERS_EDGES_MS = gateway_edges_ms()
BY_USERS = ("errors.live", "budget.burn", "experiment.ratio")
WATCHING = Timing(0.0, due=False)


def waited(rng: np.random.Generator, requests: int, median_ms: float) -> tuple[int, ...]:
    """Times as the gateway counts them: whole milliseconds, cut off."""
    taken = np.floor(rng.lognormal(np.log(median_ms), 0.3, requests))
    places = np.searchsorted(USERS_EDGES_MS, taken, side="right")
    return tuple(int(count) for count in np.bincount(places, minlength=len(USERS_EDGES_MS) + 1))


def got(requests: int, errors: int, times: tuple[int, ...] = (0,) * (len(USERS_EDGES_MS) + 1)) -> ArmCounts:
    return ArmCounts(requests, errors, times, errors)


def look(number: int, **fields: object) -> Look:
    """A minute of a canary at a fifth, as perfect replicas count it."""
    fine = {
        "latency_edges_ms": EDGES_MS,
        "stable": ArmCounts(800, 0, NONE_TIMED, 0),
        "candidate": ArmCounts(200, 0, NONE_TIMED, 0),
    }
    return Look(number, Window(60.0 * (number - 1), 60.0 * number), 0.2, **{**fine, **fields})  # type: ignore[arg-type]


def judged(*looks: Look) -> dict[str, Verdict]:
    gate_set = GateSet(GatePolicy())
    state, verdicts = gate_set.start(), ()
    for one in looks:
        state, verdicts = gate_set.look(state_from_json(state_to_json(state)), one)  # type: ignore[assignment]
    return {verdict.gate: verdict for verdict in verdicts}


def users(stable: ArmCounts, candidate: ArmCounts) -> UserCounts:
    return UserCounts(stable, candidate, USERS_EDGES_MS)


def test_errors_that_no_replica_saw_are_the_versions_that_the_requests_were_dealt_to() -> None:
    """A candidate whose replica is gone answers nobody: its users got errors, and it fails for them."""
    found = judged(*(look(n, users=users(got(800, 0), got(200, 60))) for n in range(1, 6)))
    assert found["errors.live"].outcome is found["budget.burn"].outcome is Outcome.FAIL
    assert "failed 300 of 1,000" in found["errors.live"].reason


def test_stables_death_is_shown_and_never_the_candidates_failure() -> None:
    """15 % of stable's requests were answered 503 by the gateway, and its replica counted none of them."""
    found = judged(*(look(n, users=users(got(940, 140), got(200, 0))) for n in range(1, 11)))
    assert "stable 1,400 of 9,400 requests (15 %)" in found["errors.live"].reason
    assert not [name for name, verdict in found.items() if verdict.outcome is Outcome.FAIL]


def test_users_counts_are_judged_while_the_replicas_cannot_be_read() -> None:
    """Just while one is down: what needs the replicas is an error of this look, what users got is not."""
    away = {"stable": None, "candidate": None, "faults": (Fault("metrics", "up is 0"),), "latency_edges_ms": ()}
    found = judged(*(look(n, users=users(got(800, 0), got(200, 60)), **away) for n in range(1, 6)))
    assert {name for name in BY_USERS if found[name].outcome is Outcome.ERROR} == set()
    assert found["errors.live"].outcome is Outcome.FAIL
    assert found["errors.shadow"].outcome is Outcome.ERROR


def test_without_the_gateway_the_gates_that_need_it_are_errors_that_name_it() -> None:
    """No data of users is no perfect service; what replicas tell of themselves goes on."""
    found = judged(look(1, faults=(Fault("gateway", "the gateway is not scraped"),)))
    for name in (*BY_USERS, "latency.p95", "latency.p99"):
        assert found[name].outcome is Outcome.ERROR
        assert "gateway: the gateway is not scraped" in found[name].reason
    assert found["errors.shadow"].outcome is not Outcome.ERROR


def test_evidence_from_before_the_gateway_was_read_is_judged_as_it_was() -> None:
    """The replicas' counts stand for what users got, with all that is wrong with them."""
    found = judged(*(look(n, candidate=ArmCounts(200, 60, NONE_TIMED, 60)) for n in range(1, 6)))
    assert found["errors.live"].outcome is Outcome.FAIL
    away = judged(look(1, stable=None, candidate=None, faults=(Fault("metrics", "away"),)))
    assert {away[name].outcome for name in BY_USERS} == {Outcome.ERROR}


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (got(200, 201), "users.candidate.errors"),
        (got(-1, 0), "users.candidate.requests"),
        (replace(got(200, 0), latency_counts=(1, 2)), "users.candidate.latency_counts"),
    ],
)
def test_users_counts_that_cannot_be_are_errors_by_name(bad: ArmCounts, said: str) -> None:
    """Of the gates that read them, and no others."""
    found = judged(look(1, users=users(got(800, 0), bad)))
    assert all(found[name].outcome is Outcome.ERROR and said in found[name].reason for name in BY_USERS)
    assert found["errors.shadow"].outcome is not Outcome.ERROR


def test_times_may_be_a_scrape_behind_the_requests() -> None:
    """The gateway's histogram is: a window with more times than requests is no contradiction."""
    late = got(5, 0, (200, *(0,) * len(USERS_EDGES_MS)))
    found = judged(look(1, users=users(got(800, 0), late)))
    assert not [name for name in BY_USERS if found[name].outcome is Outcome.ERROR]


# --- latency ----------------------------------------------------------------------------------------------------------
def percentile(margin: float) -> LatencyGate:
    asked = Percentile(0.95, margin, None, 1.04, 200, 500, 5_000)
    return LatencyGate(asked, alpha=0.005, promotion_alpha=0.01)


def watched(gate: LatencyGate, looks: list[Look]) -> Verdict:
    state, verdict = gate.start(), None
    for one in looks:
        state, verdict = gate.look(state, one, WATCHING)
    assert verdict is not None
    return verdict


def timed(users_ms: tuple[float, float], replicas_ms: tuple[float, float], looks: int = 12) -> list[Look]:
    """Of stable and the candidate, as users waited and as the replicas took."""
    rng = np.random.default_rng(5)
    return [
        look(
            number,
            stable=ArmCounts(1_600, 0, latencies(rng, 1_600, replicas_ms[0] / 40)),
            candidate=ArmCounts(400, 0, latencies(rng, 400, replicas_ms[1] / 40)),
            users=users(got(1_600, 0, waited(rng, 1_600, users_ms[0])), got(400, 0, waited(rng, 400, users_ms[1]))),
        )
        for number in range(1, looks + 1)
    ]


def test_how_long_users_waited_decides() -> None:
    """A replica that is as quick as stable's and whose users wait longer fails: the rest is its doing too."""
    verdict = watched(percentile(1.1), timed((40.0, 60.0), (40.0, 40.0)))
    assert verdict.outcome is Outcome.FAIL
    assert "as users waited" in verdict.reason


def test_a_few_milliseconds_are_judged_by_the_replicas_finer_times_and_the_reason_says_so() -> None:
    """No whole millisecond lies between 4 and 1.1 times 4: the gateway's edges cannot tell."""
    slower = watched(percentile(1.1), timed((2.5, 2.5), (2.5, 4.0)))
    assert slower.outcome is Outcome.FAIL
    assert "inside the replicas (the gateway's whole milliseconds cannot tell the margin)" in slower.reason
    assert "as users waited" in watched(percentile(1.5), timed((4.0, 4.0), (2.5, 4.0))).reason


def test_the_gateways_edges_tell_every_margin_from_ten_milliseconds_on() -> None:
    """Of any percentile from 10 ms to 10 s there is an edge within 1.1 times of it, and at the usual objectives."""
    reach = [max(edge for edge in USERS_EDGES_MS if edge <= 1.1 * from_ms + 1e-9) for from_ms in USERS_EDGES_MS]
    apart = [edge for edge, farther in zip(USERS_EDGES_MS, reach, strict=True) if farther == edge]
    assert [edge for edge in apart if 10 <= edge < USERS_EDGES_MS[-1]] == []
    assert {50.0, 100.0, 200.0, 250.0, 500.0, 1000.0} <= set(USERS_EDGES_MS)
    assert all(edge == round(edge) and float(f"{edge:.2g}") == edge for edge in USERS_EDGES_MS)
