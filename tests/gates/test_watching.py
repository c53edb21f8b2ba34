"""What holds a release or warns: experiment checks, drift, agreement, limits, the tokenizer."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import multinomial

from gates.evidence import ArmCounts, Profile, Resources
from gates.gate_set import GateSet, state_from_json, state_to_json
from gates.outcome import Outcome, combine
from gates.policy import GatePolicy, LimitPolicy
from gates.stats.homogeneity import HomogeneityState
from tests.gates.support import NONE_TIMED, World, look

NOTHING = GatePolicy(
    accuracy_shadow=None, accuracy_slices=None, accuracy_live=None, calibration_shadow=None, errors_shadow=None,
    errors_live=None, latency=None, budget=None,
)  # fmt: skip
GATES = GateSet(NOTHING)
CLASSES = ("refund", "cancel", "other")


def judged(changes, looks=20, gate_set=GATES, share=0.05):
    """The last verdicts by gate after equal looks with ``changes(rng)``, through JSON at every look."""
    rng, state = np.random.default_rng(3), gate_set.start()
    for sequence in range(1, looks + 1):
        seen = replace(look(rng, sequence, World(shadow_looks=0)), classes=CLASSES, token_edges=(8, 16), pairs=())
        state, verdicts = gate_set.look(state_from_json(state_to_json(state)), replace(seen, **changes(rng)))
    return {verdict.gate: verdict for verdict in verdicts}


def counts(rng, total, chances):
    return tuple(int(n) for n in rng.multinomial(total, chances))


def profiles(stable, candidate, field):
    return lambda rng: {
        "stable_profile": Profile(**{field: counts(rng, 1000, stable)}),
        "candidate_profile": Profile(**{field: counts(rng, 60, candidate)}),
    }


EVEN, SHIFTED = (0.5, 0.3, 0.2), (0.3, 0.4, 0.3)


@pytest.mark.parametrize("sizes", [(2, 2), (1, 5)])
def test_evidence_of_a_difference_is_at_most_one_when_there_is_none(sizes):
    """Exact enumeration of the second look, for any common distribution and a first look that misled."""
    first = HomogeneityState().add((3, 0, 1), (1, 9, 2))
    for chances in ((0.2, 0.5, 0.3), (0.9, 0.05, 0.05), (1 / 3, 1 / 3, 1 / 3)):
        total = 0.0
        outcomes = [[o for o in itertools.product(range(n + 1), repeat=3) if sum(o) == n] for n in sizes]
        for x, y in itertools.product(*outcomes):
            chance = multinomial.pmf(x, sizes[0], chances) * multinomial.pmf(y, sizes[1], chances)
            total += chance * math.exp(first.add(x, y).log_e - first.log_e)
        assert total <= 1 + 1e-12


def test_equal_versions_raise_no_alarm():
    verdicts = judged(profiles(EVEN, EVEN, "class_counts"))
    assert verdicts["drift.classes"].outcome is Outcome.PASS
    assert verdicts["experiment.ratio"].outcome is Outcome.PASS


def test_other_inputs_hold_the_release_and_blame_the_experiment():
    verdict = judged(profiles(EVEN, SHIFTED, "token_counts"))["experiment.inputs"]
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert not verdict.advisory
    assert "experiment is broken" in verdict.reason


@pytest.mark.parametrize(
    ("gate", "field"), [("drift.classes", "class_counts"), ("drift.confidence", "confidence_counts")]
)
def test_other_predictions_warn_and_ask_for_labels(gate, field):
    verdict = judged(profiles(EVEN, SHIFTED, field))[gate]
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert verdict.advisory
    assert "label" in verdict.reason


def test_traffic_not_divided_as_configured_holds():
    """5 % configured, 10 % realised."""

    def double(rng):
        arms = [ArmCounts(n, 0, (n, *NONE_TIMED[1:])) for n in (1080, 120)]
        return {"stable": arms[0], "candidate": arms[1]}

    verdict = judged(double)["experiment.ratio"]
    assert (verdict.outcome, verdict.advisory) == (Outcome.INCONCLUSIVE, False)
    assert "10 % of the requests" in verdict.reason


def test_the_window_in_which_a_share_changes_is_not_held_against_the_routing():
    rng, state = np.random.default_rng(1), GATES.start()
    for sequence in range(1, 41):
        share = 0.01 if sequence % 2 else 0.5
        arms = [ArmCounts(n, 0, (n, *NONE_TIMED[1:])) for n in (900, 300)]
        seen = replace(look(rng, sequence, World()), candidate_share=share, stable=arms[0], candidate=arms[1])
        state, verdicts = GATES.look(state, seen)
    assert next(v for v in verdicts if v.gate == "experiment.ratio").advisory


def test_agreement_is_reported_and_never_blocks():
    often = judged(lambda _: {"pairs_agreed": 80, "pairs_disagreed": 20})["agreement.shadow"]
    rarely = judged(lambda _: {"pairs_agreed": 99, "pairs_disagreed": 1})["agreement.shadow"]
    assert (often.outcome, often.advisory) == (Outcome.INCONCLUSIVE, True)
    assert rarely.outcome is Outcome.PASS


USED = Resources(memory_ratio=0.5, cpu_ratio=0.5, queue_depth=2.0, cold_starts=0, restarts=0, requests_per_busy_s=90.0)


@pytest.mark.parametrize(
    ("used", "gate"),
    [
        (replace(USED, memory_ratio=0.97), "resources.memory"),
        (replace(USED, cpu_ratio=0.9), "resources.cpu"),
        (replace(USED, gpu_ratio=0.99), "resources.gpu"),
        (replace(USED, queue_depth=30.0), "resources.queue"),
        (replace(USED, cold_starts=30), "resources.cold_starts"),
        (replace(USED, restarts=2), "resources.restarts"),
        (replace(USED, requests_per_busy_s=50.0), "throughput"),
        (replace(USED, cost=40.0), "cost.per_1000"),
    ],
)
def test_each_seed_measure_has_a_limit_that_warns(used, gate):
    """Shown as a failure, recorded, and without a say: combine over the required verdicts is not a failure."""
    gate_set = GateSet(replace(NOTHING, limits=LimitPolicy(cost_per_1000_max=10.0)))
    fine = judged(lambda _: {"candidate_resources": USED, "stable_resources": USED}, gate_set=gate_set)
    over = judged(lambda _: {"candidate_resources": used, "stable_resources": USED}, gate_set=gate_set)
    assert fine[gate].outcome in (Outcome.PASS, Outcome.INCONCLUSIVE)
    assert over[gate].outcome is Outcome.FAIL
    assert combine(v.outcome for v in over.values() if not v.advisory) is not Outcome.FAIL


CUT = Profile(truncated=640, requests=1000, token_counts=(10, 10, 80))


@pytest.mark.parametrize(
    ("stable", "candidate", "outcomes"),
    [
        (CUT, replace(CUT, truncated=660), {Outcome.INCONCLUSIVE}),  # of the service
        (replace(CUT, truncated=5, token_counts=(98, 1, 1)), CUT, {Outcome.FAIL}),  # of the candidate
        (replace(CUT, truncated=400, token_counts=(98, 1, 1)), CUT, {Outcome.FAIL}),  # more than the service's own
    ],
)
def test_what_stable_exceeds_just_as_much_is_the_services_and_not_the_candidates(stable, candidate, outcomes):
    gate_set = GateSet(replace(NOTHING, limits=LimitPolicy(tokens_p95_max=8.0)))
    found = judged(
        lambda _: {"stable_profile": stable, "candidate_profile": candidate, "token_edges": (8, 16)}, gate_set=gate_set
    )
    verdicts = [found[name] for name in ("tokenization.truncated", "tokenization.tokens_p95")]
    assert {verdict.outcome for verdict in verdicts} == outcomes
    if outcomes == {Outcome.INCONCLUSIVE}:
        assert "is 0.66, it should be at most 0.01; stable's is 0.64: so is the service" in verdicts[0].reason
        assert all("so is the service" in verdict.reason for verdict in verdicts)


def test_a_machine_that_idles_under_both_versions_is_the_services():
    """A limit from below; and a candidate that uses even less is told of."""
    both = lambda own: lambda _: {  # noqa: E731
        "stable_resources": replace(USED, gpu_ratio=0.3), "candidate_resources": replace(USED, gpu_ratio=own)
    }  # fmt: skip
    assert judged(both(0.29))["resources.gpu_idle"].outcome is Outcome.INCONCLUSIVE
    assert judged(both(0.1))["resources.gpu_idle"].outcome is Outcome.FAIL


def test_a_warning_ends_when_its_cause_does():
    """Unlike a failure it is not kept."""
    calls = itertools.count()
    verdicts = judged(lambda _: {"candidate_resources": replace(USED, cpu_ratio=0.9 if next(calls) < 19 else 0.4)})
    assert verdicts["resources.cpu"].outcome is Outcome.PASS


def test_unknown_tokens_and_truncation_are_watched():
    profile = Profile(tokens=1000, unknown_tokens=200, truncated=5, requests=100)
    verdicts = judged(lambda _: {"candidate_profile": profile})
    assert verdicts["tokenization.unknown"].outcome is Outcome.FAIL
    assert verdicts["tokenization.truncated"].outcome is Outcome.FAIL


def test_a_tokenizer_other_than_the_pinned_one_fails_the_release():
    """Lessons, mteb 5377: silently other token ids."""
    same = judged(lambda _: {"candidate_profile": Profile(tokenizer="ab12"), "tokenizer_pinned": "ab12"})
    other = judged(lambda _: {"candidate_profile": Profile(tokenizer="cd34"), "tokenizer_pinned": "ab12"})
    assert same["tokenization.fingerprint"].outcome is Outcome.PASS
    assert (other["tokenization.fingerprint"].outcome, other["tokenization.fingerprint"].advisory) == (
        Outcome.FAIL,
        False,
    )


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"candidate_profile": Profile(class_counts=(1, 2))}, "candidate_profile.class_counts"),
        ({"candidate_profile": Profile(token_counts=(1, -2, 0))}, "candidate_profile.token_counts"),
        ({"candidate_profile": Profile(tokens=1, unknown_tokens=2)}, "candidate_profile"),
        (
            {"stable_profile": Profile(confidence_counts=(1,)), "candidate_profile": Profile(confidence_counts=(1, 2))},
            "confidence_counts: the profiles have different bins",
        ),
        ({"candidate_resources": Resources(cpu_ratio=math.nan)}, "resources.cpu"),
        ({"candidate_resources": Resources(queue_depth=-1.0)}, "resources.queue"),
    ],
)
def test_bad_profiles_and_resources_are_errors_that_name_the_field(change, field):
    errors = [v.reason for v in judged(lambda _: change, looks=1).values() if v.outcome is Outcome.ERROR]
    assert errors
    assert all(field in reason for reason in errors)


def with_lengths(*per_look):
    return lambda _: {"candidate_profile": Profile(token_counts=per_look, requests=sum(per_look))}


@pytest.mark.parametrize(
    ("per_look", "limit", "outcome", "value"),
    [
        ((90, 9, 1), 16.0, Outcome.PASS, 16.0),
        ((96, 3, 1), 8.0, Outcome.PASS, 8.0),
        ((90, 9, 1), 8.0, Outcome.FAIL, 16.0),
        ((10, 10, 80), 512.0, Outcome.FAIL, None),
        ((0, 0, 0), 512.0, Outcome.INCONCLUSIVE, None),
    ],
)
def test_the_length_of_texts_is_watched(per_look, limit, outcome, value):
    """The 95th percentile of tokens; above the last edge nobody knows how far."""
    gate_set = GateSet(replace(NOTHING, limits=LimitPolicy(tokens_p95_max=limit)))
    verdict = judged(with_lengths(*per_look), gate_set=gate_set)["tokenization.tokens_p95"]
    assert (verdict.outcome, verdict.value, verdict.advisory) == (outcome, value, True)


@pytest.mark.parametrize(
    ("reads", "outcome", "words"),
    [
        (16, Outcome.PASS, "at most 16 in 2,000 live texts, 16 is what it reads of a text."),
        (8, Outcome.FAIL, "at most 16 in 2,000 live texts, 8 is what it reads of a text: the rest is cut."),
        (0, Outcome.INCONCLUSIVE, "how many the version reads is unknown"),
    ],
)
def test_texts_are_as_long_as_the_version_reads_unless_a_policy_says_otherwise(reads, outcome, words):
    """A limit that training left, and nobody asked for, shows where texts are longer."""
    changes = lambda number: {**with_lengths(90, 9, 1)(number), "tokens_max": reads}  # noqa: E731
    verdict = judged(changes)["tokenization.tokens_p95"]
    assert (verdict.outcome, verdict.advisory) == (outcome, True)
    assert words in verdict.reason


def test_lengths_by_different_tokenizers_are_not_compared():
    """A candidate with a tokenizer of its own makes other lengths of the same texts: the experiment is not broken."""
    changes = lambda _: {  # noqa: E731
        "stable_profile": Profile(token_counts=(90, 5, 5), tokenizer="one"),
        "candidate_profile": Profile(token_counts=(5, 5, 90), tokenizer="other"),
    }
    verdict = judged(changes)["experiment.inputs"]
    assert (verdict.outcome, verdict.advisory) == (Outcome.INCONCLUSIVE, True)
    assert "different tokenizers" in verdict.reason


def test_an_idle_gpu_is_told():
    assert judged(lambda _: {"candidate_resources": Resources(gpu_ratio=0.2)})["resources.gpu_idle"].outcome is (
        Outcome.FAIL
    )


@pytest.mark.parametrize(
    ("policy", "cost", "words"),
    [
        (LimitPolicy(), None, "the policy names no price of a replica's hour (gates.limits.replica_hour_price)"),
        (LimitPolicy(replica_hour_price=1.0), None, "has not answered yet"),
        (LimitPolicy(replica_hour_price=1.0), 2.0, "; the policy sets no limit"),
        (LimitPolicy(replica_hour_price=1.0, cost_per_1000_max=1000.0), 2.0, "at most 1000 is fine"),
    ],
)
def test_the_cost_is_told_or_why_it_is_not_known(policy, cost, words):
    """What 1,000 requests may cost is the business's to say; nothing is claimed without a price."""
    verdict = judged(
        lambda _: {"candidate_resources": Resources(cost=cost)}, gate_set=GateSet(replace(NOTHING, limits=policy))
    )
    assert words in verdict["cost.per_1000"].reason


def test_mirrored_requests_meet_cold_replicas_and_cost_money_too():
    """In shadow there are no others, and the shares are of all that the candidate answered."""
    changes = lambda _: {  # noqa: E731
        "candidate": ArmCounts(0, 0, NONE_TIMED),
        "shadow": ArmCounts(100, 0, NONE_TIMED),
        "candidate_resources": Resources(cold_starts=1, cost=0.5),
    }
    verdicts = judged(changes)
    assert verdicts["resources.cold_starts"].value == pytest.approx(0.01)
    assert verdicts["cost.per_1000"].value == pytest.approx(5.0)
