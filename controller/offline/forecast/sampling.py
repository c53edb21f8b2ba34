"""The share of requests that has to be sampled, from the forecasts of the gates that read samples.

**During a release** it is the smallest of 1, 1/2, 1/4, … for which the following holds even if only ``1 / MARGIN`` of
the expected requests come:

* each gate that promotion waits for settles within ``2 d + s`` seconds (``pass_s`` of a candidate that changes nothing,
  and ``fail_s`` of one as bad as the margin), where labels come ``d`` seconds after the answer, and the steps last at
  least ``s`` seconds. So gathering evidence takes no longer than the release waits anyway;
* compared with sampling all requests, no gate loses more than ``CHANCE_LOST`` of its chance to fail by the deadline,
  or, if promotion waits for it, of its chance to pass;
* the steps give as many sampled live answers of each version as the warnings of drift need.

If a gate does not settle in that time even with all requests, all are sampled; also if the number of requests or labels
is not known. A share ``r`` is forecast as traffic of which only ``r`` is mirrored and labelled.

**Between releases** only stable's answers of the last ``reference_s`` are read later: ``MARGIN`` times as many as a
release reads are enough, but not less than one request in 32.
"""

import math
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final

from controller.core.policy import ReleasePolicy, Step
from controller.core.sampling import ALL, Need, Seen
from controller.offline.forecast.rollout import all_steps_seconds, gate_plans, least_seconds
from controller.offline.forecast.traffic import ReleaseTraffic
from controller.ports.samples import REFERENCE_ANSWERS_MAX
from gates.checks import LABELS, PREDICTIONS
from gates.offline.plan import GatePlan
from gates.policy import GatePolicy
from gates.table import configured

MARGIN: Final = 2.0
CHANCE_LOST: Final = 0.05
RATIO_MIN: Final = 2.0**-7
BETWEEN_MIN: Final = 2.0**-5
"""The smallest share between releases: with fewer samples, a label source whose labels match no request would not be
noticed when the next release begins."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """The shares, 0 to 1, of a plan: during the release, and before and after it."""

    in_release: float
    between: float


def planned(policy: ReleasePolicy, traffic: ReleaseTraffic) -> Sampling:
    """Return the shares for this traffic."""
    between = ratio_between(policy, Seen(traffic.requests_per_s, traffic.requests_per_s))
    return Sampling(least_ratio(policy, traffic), between.ratio)


def ratio_in_release(policy: ReleasePolicy, seen: Seen) -> Need:
    """Return the share that a release under this policy needs, at the smaller of the hour's and the day's rate."""
    rate = min(seen.hour_per_s, seen.day_per_s)
    average = "the last hour's" if rate == seen.hour_per_s else "the last day's"
    if rate <= 0:
        return Need(ALL, "it is not known how many requests arrive")
    labels = seen.labels
    if labels is None:
        return Need(ALL, "it is not known how many labels arrive")
    traffic = ReleaseTraffic(
        requests_per_s=_power(rate),
        steps=(),
        mirror_ratio=policy.mirror_pct / 100,
        label_ratio=_power(labels.ratio),
        live_label_ratio=_power(labels.ratio),
        label_delay_s=_power(labels.delay_s),
    )
    ratio = least_ratio(policy, traffic)
    need = "its gates need all of them" if ratio == ALL else "its gates need no more"
    reason = f"{need}, at {average} {rate:.3g} requests a second, {100 * labels.ratio:.3g} % of them labelled"
    return Need(ratio, reason)


def ratio_between(policy: ReleasePolicy, seen: Seen) -> Need:
    """Return the share needed between releases, for the answers that the next release will read."""
    drift = policy.gates.drift
    if drift is None:
        return Need(BETWEEN_MIN, "no gate compares with the time before a release")
    if seen.day_per_s <= 0:
        return Need(ALL, "it is not known how many requests arrive")
    needed = MARGIN * REFERENCE_ANSWERS_MAX / (seen.day_per_s * drift.reference_s)
    ratio = min(max(2.0 ** math.ceil(math.log2(needed)), BETWEEN_MIN), ALL)
    rate = f"the last day's {seen.day_per_s:.3g} requests a second"
    return Need(ratio, f"the next release reads no more of them, at {rate}")


def least_ratio(policy: ReleasePolicy, traffic: ReleaseTraffic) -> float:
    """Return the share, 0 to 1, that a release needs on this traffic. The steps are filled in here."""
    bare = replace(traffic, steps=(), suite_texts=0)  # answers to texts of suites are all kept
    return _least(policy.gates, policy.steps, policy.warm_up_s, policy.deadline_s, bare)


@lru_cache(maxsize=1_000)
def _least(
    gates: GatePolicy, steps: tuple[Step, ...], warm_up_s: float, deadline_s: float, traffic: ReleaseTraffic
) -> float:
    """Return `least_ratio`. Cached, because many models may have the same policy and similar traffic."""
    policy = ReleasePolicy(model="", gates=gates, steps=steps, warm_up_s=warm_up_s, deadline_s=deadline_s)
    reads = {gate.name for one in configured(gates) for gate in one.gates() if gate.sources & {LABELS, PREDICTIONS}}
    until_s = 2 * traffic.label_delay_s + all_steps_seconds(policy, traffic)
    whole = gate_plans(policy, traffic, reads)
    ratio = ALL
    while ratio / 2 >= RATIO_MIN:
        share = ratio / 2 / MARGIN
        fewer = gate_plans(policy, sampled(traffic, share), reads)
        settled = all(_is_as_good(one, before, until_s) for one, before in zip(fewer, whole, strict=True))
        if not settled or _of_each_version(policy, traffic, share) < _for_drift(gates):
            break
        ratio /= 2
    return ratio


def sampled(traffic: ReleaseTraffic, share: float) -> ReleaseTraffic:
    """Return the traffic as gates that read samples see it, if ``share`` of the requests is sampled."""
    return replace(
        traffic,
        mirror_ratio=traffic.mirror_ratio * share,
        live_label_ratio=traffic.live_label_ratio * share,
    )


def _is_as_good(plan: GatePlan, whole: GatePlan, until_s: float) -> bool:
    """Return whether the gate settles within ``until_s`` and about as surely as with all requests (``whole``)."""
    likely = plan.fail_chance >= whole.fail_chance - CHANCE_LOST
    if not plan.required:
        return likely
    times = (plan.pass_s, *((plan.fail_s,) if whole.fail_s is not None else ()))
    likely = likely and plan.pass_chance >= whole.pass_chance - CHANCE_LOST
    return likely and all(at_s is not None and at_s <= until_s for at_s in times)


def _of_each_version(policy: ReleasePolicy, traffic: ReleaseTraffic, share: float) -> float:
    """Return the expected number of sampled live answers, in all steps, of the version with the smaller share in each
    step."""
    parts = ((step.weight_pct / 100, least_seconds(policy, step, traffic)) for step in policy.steps)
    return sum(min(weight, 1 - weight) * traffic.requests_per_s * lasts_s for weight, lasts_s in parts) * share


def _for_drift(gates: GatePolicy) -> float:
    return gates.drift.samples_min if gates.drift is not None else 0.0


def _power(value: float) -> float:
    """Return the greatest power of two not above the value; 0 for 0. Similar traffic is thus forecast only once, and
    never with more than there is."""
    return 2.0 ** math.floor(math.log2(value)) if value > 0 else 0.0
