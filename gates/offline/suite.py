"""accuracy.suite and calibration.suite: labelled cases of our own, judged once, before any traffic.

The first version of a model has nothing to be compared with: the absolute floors judge it. Later versions are also
compared with the stable version on the same cases, which can find a loss that stays above the floor.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

import numpy as np
from scipy.special import ndtri

from gates.checks import is_number, is_within
from gates.offline.findings import Finding, worst
from gates.offline.suite_cases import Reading, SuiteResult, distinct, odd_cases, told
from gates.offline.suite_classes import classes_lost
from gates.outcome import Outcome
from gates.policy import CostPolicy, GatePolicy, PairedAccuracyPolicy, SuitePolicy
from gates.stats import uneven
from gates.stats.betting import Trinomial, mean_bounds
from gates.stats.calibration import CalibrationError, Floats, debiased_l2, expected_calibration_error, temperature
from gates.stats.exact import share_bounds, upper_tail
from gates.stats.uneven import Span
from gates.stats.weighted import Drawn, Estimate, drawn, hajek
from gates.verdict import Interval, Limit, Rule, Stage, Verdict
from gates.wording import changed, nearest_name, perhaps

__all__ = ["GATES", "SuiteResult", "judge_suite", "unusable"]

GATES: Final = ("accuracy.suite", "calibration.suite")
_BETS = PairedAccuracyPolicy().bets


def judge_suite(
    results: Sequence[SuiteResult],
    baseline: Sequence[SuiteResult] | None,
    policy: GatePolicy,
    *,
    reading: Reading = Reading.UNKNOWN,
) -> tuple[Verdict, ...]:
    """Return a verdict for accuracy and one for calibration; each distinct text counts once.

    ``results``: the candidate's answers; ``baseline``: stable's answers to the same cases, None without a stable
    version. ``reading``: how texts were told apart. Answers that cannot be judged give two errors that name the field.
    """
    problem = next(_problems(results, baseline), None)
    if problem is not None:
        return unusable(problem, samples=len(results))
    cases = distinct(results)
    stable = {result.case_id: result for result in baseline or ()}
    pairs = [(stable[case.case_id], case) for case in cases if case.case_id in stable]
    notes = told(results, baseline, len(cases), reading)
    asked = list(_class_floors(cases, policy))
    if pairs and policy.costs is not None:
        asked.append(_costs(pairs, policy.costs, policy.suite.alpha))
    return _accuracy(cases, pairs, policy.suite, notes, asked), _calibration(cases, pairs, policy.suite)


def unusable(problem: str, *, samples: int) -> tuple[Verdict, ...]:
    """Return the verdicts on answers that cannot be judged; ``problem`` names the field."""
    reason = f"Could not judge the suite: {problem}."
    return tuple(Verdict(gate, Stage.SUITE, Outcome.ERROR, reason, samples=samples) for gate in GATES)


def _accuracy(
    results: Sequence[SuiteResult],
    pairs: Sequence[tuple[SuiteResult, SuiteResult]],
    policy: SuitePolicy,
    notes: str,
    asked: Sequence[Finding],
) -> Verdict:
    """Return the verdict for accuracy. ``asked``: the findings on classes and costs that the policy names."""
    estimate = _estimate(results, policy.alpha)
    findings = [_floor("accuracy", estimate, len(results), policy.accuracy_min), *_slices(results, policy), *asked]
    if pairs:
        findings.append(_beside_stable(pairs, policy))
    if len(results) < policy.cases_min:
        findings.append(Finding(Outcome.INCONCLUSIVE, f"{len(results)} cases of {policy.cases_min} that are needed"))
    found = worst(findings)
    return Verdict(
        "accuracy.suite",
        Stage.SUITE,
        found.outcome,
        f"Suite: {found.reason}{notes}.",
        value=estimate.mean,
        unit="accuracy",
        interval=Interval(estimate.low, estimate.high, 1 - 2 * policy.alpha),
        threshold=policy.accuracy_min,
        samples=len(results),
        samples_needed=policy.cases_min if len(results) < policy.cases_min else None,
        limits=found.limits,
    )


def _estimate(results: Sequence[SuiteResult], alpha: float) -> Estimate:
    """Return the accuracy with two one-sided bounds, each at ``alpha``."""
    return _share([result.correct for result in results], results, alpha)


def _share(right: Sequence[bool], results: Sequence[SuiteResult], alpha: float) -> Estimate:
    """Return the share of ``right`` cases, with two one-sided bounds, each at ``alpha``: exact ones, or weighted where
    cases were sampled unevenly."""
    probabilities = [result.inclusion_probability for result in results]
    if min(probabilities) < max(probabilities):
        return hajek(drawn(map(float, right), probabilities), 2 * alpha)
    return Estimate(sum(right) / len(results), *share_bounds(sum(right), len(results), 2 * alpha))


def _floor(what: str, estimate: Estimate, cases: int, floor: float) -> Finding:
    """Return the finding of a floor: proven above passes, proven below fails, anything else is inconclusive."""
    limits = (Limit(Rule.FLOOR, floor, estimate.mean, what, at_least=True),)
    seen = f"{what} {100 * estimate.mean:.1f} % of {cases:,} cases"
    if estimate.high < floor:
        return Finding(Outcome.FAIL, f"{seen} is below the floor of {100 * floor:g} %", limits)
    seen += f", at least {100 * estimate.low:.1f} % for sure"
    if estimate.low < floor:
        reason = f"{seen}; the floor of {100 * floor:g} % is not proven, more cases would tell"
        return Finding(Outcome.INCONCLUSIVE, reason, limits)
    return Finding(Outcome.PASS, f"{seen}, above the floor of {100 * floor:g} %", limits)


def _slices(results: Sequence[SuiteResult], policy: SuitePolicy) -> Iterator[Finding]:
    """Yield the finding of each slice with a floor: it fails where the slice is proven to be below its floor, and is
    inconclusive where the slice merely looks so.

    Slices are often too small for a proof of the opposite, so an estimate that reaches the floor passes.
    """
    members: defaultdict[str, list[SuiteResult]] = defaultdict(list)
    for result in results:
        for name in result.slices:
            members[name].append(result)
    own = dict(policy.slice_floors)
    for name in sorted(own.keys() - members.keys()):
        yield Finding(Outcome.INCONCLUSIVE, f"slice {name} has a floor but no case")
    judged = {
        name: own.get(name, policy.slice_accuracy_min)
        for name, cases in sorted(members.items())
        if name in own or len(cases) >= policy.slice_cases_min
    }
    for name, floor in judged.items():
        if floor is None:
            continue
        estimate = _estimate(members[name], policy.alpha / len(judged))
        finding = _floor(f"slice {name}", estimate, len(members[name]), floor)
        looks_fine = finding.outcome is Outcome.INCONCLUSIVE and estimate.mean >= floor
        yield replace(finding, outcome=Outcome.PASS) if looks_fine else finding


def _class_floors(results: Sequence[SuiteResult], policy: GatePolicy) -> Iterator[Finding]:
    """Yield the finding of each floor of a class that holds online, judged as those of slices: for the cases of the
    class that are found (recall), or the cases of other classes that are not taken for it."""
    for floor in policy.floors:
        asked = [result for result in results if (result.truth == floor.label) is floor.is_recall]
        known = {name for result in results for name in (*result.classes, result.truth, result.label)}
        if floor.label not in known or not asked:
            hint = perhaps(floor.label, nearest_name(floor.label, sorted(known - {floor.label})))
            yield Finding(Outcome.INCONCLUSIVE, f"{floor.name} has a floor but no case{f' ({hint})' if hint else ''}")
            continue
        what = floor.name if floor.is_recall else f"{floor.name}: not taken for it"
        right = [(result.label == floor.label) is floor.is_recall for result in asked]
        estimate = _share(right, asked, policy.suite.alpha / len(policy.floors))
        finding = _floor(what, estimate, len(asked), 1 - floor.ceiling)
        looks_fine = finding.outcome is Outcome.INCONCLUSIVE and estimate.mean >= 1 - floor.ceiling
        yield replace(finding, outcome=Outcome.PASS) if looks_fine else finding


def _costs(pairs: Sequence[tuple[SuiteResult, SuiteResult]], costs: CostPolicy, alpha: float) -> Finding:
    """Return the finding on the cost of wrong answers against stable's, by a bound on the mean change."""
    changes = [costs.change(candidate.truth, stable.label, candidate.label) for stable, candidate in pairs]
    sample = Drawn().add_all(changes, [1.0] * len(changes))
    low, _ = uneven.mean_bounds(sample, 1.0, Span(-1.0, 1.0), costs.bets, 2 * alpha)
    points = 100 * sample.mean
    seen = f"wrong answers cost {points / 100 * costs.dearest:+.3g} a case ({points:+.2f} points) against stable's"
    limits = (Limit(Rule.GUARD, costs.guard_points, points, "points of cost"),)
    if low > 0 and points >= costs.guard_points:
        return Finding(Outcome.FAIL, f"{seen}, more", limits)
    return Finding(Outcome.PASS, f"{seen}, not surely more", limits)


def _against_stable(pairs: Sequence[tuple[SuiteResult, SuiteResult]], policy: SuitePolicy) -> Finding:
    """Return the finding of the exact McNemar test and, where a margin is set, of a bound on the loss."""
    lost = sum(stable.correct and not candidate.correct for stable, candidate in pairs)
    won = sum(candidate.correct and not stable.correct for stable, candidate in pairs)
    mean, high = _loss(pairs, 2 * policy.alpha)
    points = 100 * mean
    seen = f"{changed(lost, won)} in {len(pairs):,} cases ({-points:+.1f} points)"
    guard = (Limit(Rule.GUARD, policy.guard_points, points, "points lost"),)
    if upper_tail(lost, lost + won, 0.5) <= policy.alpha and points >= policy.guard_points:
        return Finding(Outcome.FAIL, f"less accurate than the stable version: {seen}", guard)
    if policy.margin_points is None:
        return Finding(Outcome.PASS, f"no loss against the stable version shows: {seen}", guard)
    margin = (Limit(Rule.MARGIN, policy.margin_points, points, "points lost"),)
    if 100 * high >= policy.margin_points:
        reason = (
            f"a loss of {policy.margin_points:g} points against stable is not excluded: {seen}; more cases would tell"
        )
        return Finding(Outcome.INCONCLUSIVE, reason, margin)
    said = f"a loss of {policy.margin_points:g} points against stable is excluded: {seen}"
    return Finding(Outcome.PASS, said, margin)


def _beside_stable(pairs: Sequence[tuple[SuiteResult, SuiteResult]], policy: SuitePolicy) -> Finding:
    """Return the finding over all cases, or of the class that lost most if only that fails; if both fail, both are
    named."""
    found, guard = _against_stable(pairs, policy), policy.class_guard_points
    lost = next(classes_lost(pairs, policy.alpha, guard), None) if guard is not None else None
    if lost is None:
        return found
    return replace(found, reason=f"{found.reason}; {lost.reason}") if found.outcome is Outcome.FAIL else lost


def _loss(pairs: Sequence[tuple[SuiteResult, SuiteResult]], alpha: float) -> tuple[float, float]:
    """Return the mean loss per case and the upper end of its interval at ``1 - alpha``; weighted where cases were
    sampled unevenly."""
    changes = [float(stable.correct) - float(candidate.correct) for stable, candidate in pairs]
    probabilities = [candidate.inclusion_probability for _, candidate in pairs]
    if min(probabilities) < max(probabilities):
        found = hajek(drawn([(1 + change) / 2 for change in changes], probabilities), alpha)
        return 2 * found.mean - 1, 2 * found.high - 1
    lost, won = changes.count(1.0), changes.count(-1.0)
    counts = Trinomial(lost, won, len(pairs) - lost - won)
    return counts.mean, mean_bounds(counts, _BETS, alpha)[1]


def _calibration(
    results: Sequence[SuiteResult], pairs: Sequence[tuple[SuiteResult, SuiteResult]], policy: SuitePolicy
) -> Verdict:
    confidence = np.array([result.confidence for result in results])
    correct = np.array([float(result.correct) for result in results])
    error = debiased_l2(confidence, correct, 2 * policy.alpha)
    plain = expected_calibration_error(confidence, correct)
    remedy = _remedy(results)
    findings = [_gap("calibration error", error, policy, remedy), *_classwise(results, policy)]
    if pairs and all(case.probabilities for pair in pairs for case in pair):
        findings.append(_brier(pairs, policy))
    if len(results) < policy.cases_min:  # the interval is too narrow then: it may hold a release, not reject one
        needed = Finding(Outcome.INCONCLUSIVE, f"{len(results)} cases of {policy.cases_min} that are needed")
        findings = [needed, *(replace(found, outcome=Outcome.INCONCLUSIVE) for found in findings)]
    found = worst(findings)
    return Verdict(
        "calibration.suite",
        Stage.SUITE,
        found.outcome,
        f"Suite: {found.reason} (confidence {confidence.mean():.3f}, accuracy {correct.mean():.3f}, ECE {plain:.3f}).",
        value=error.value,
        unit="L2 calibration error",
        interval=Interval(error.low, error.high, 1 - 2 * policy.alpha),
        threshold=policy.calibration_gap_max,
        samples=len(results),
        samples_needed=policy.cases_min if len(results) < policy.cases_min else None,
        limits=found.limits,
    )


def _gap(what: str, error: CalibrationError, policy: SuitePolicy, remedy: str) -> Finding:
    limit, margin = policy.calibration_gap_max, max(policy.calibration_gap_max, policy.calibration_margin_gap)
    seen = f"{what} {error.value:.3f} (debiased, {error.low:.3f} to {error.high:.3f})"
    if error.low > limit:
        guard = (Limit(Rule.GUARD, limit, error.value, what),)
        return Finding(Outcome.FAIL, f"{seen} is above {limit:g}{remedy}", guard)
    limits = (Limit(Rule.MARGIN, margin, error.value, what),)
    if error.high > margin:
        reason = f"{seen}, not proven to be below {margin:g}{remedy}; more cases would tell"
        return Finding(Outcome.INCONCLUSIVE, reason, limits)
    return Finding(Outcome.PASS, f"{seen} is surely below {margin:g}", limits)


def _remedy(results: Sequence[SuiteResult]) -> str:
    if not all(result.probabilities for result in results):
        return ""
    probabilities = np.array([result.probabilities for result in results])
    truth = np.array(
        [result.classes.index(result.truth) if result.truth in result.classes else -1 for result in results]
    )
    known = truth >= 0
    if not known.any():
        return ""
    return f"; dividing the logits by {temperature(probabilities[known], truth[known]):.2f} would help most"


def _classwise(results: Sequence[SuiteResult], policy: SuitePolicy) -> Iterator[Finding]:
    """Yield a failure for each frequent class whose probability is surely off from how often it was the truth."""
    frequent = [name for name, count in Counter(r.truth for r in results).items() if count >= policy.class_labels_min]
    for name in sorted(frequent):
        judged = [result for result in results if name in result.classes]
        if len(judged) < policy.class_labels_min:
            continue
        chance = np.array([result.probabilities[result.classes.index(name)] for result in judged])
        true = np.array([float(result.truth == name) for result in judged])
        error = debiased_l2(chance, true, 2 * policy.alpha / len(frequent))
        if error.low > policy.calibration_gap_max:
            yield _gap(f"calibration error of class {name}", error, policy, "")


def _brier(pairs: Sequence[tuple[SuiteResult, SuiteResult]], policy: SuitePolicy) -> Finding:
    """Return the finding on the part of the paired Brier difference that is due to miscalibration, with normal bounds:
    one look at a fixed sample.

    The probabilities of a version alone give an expected Brier score, which a calibrated version has on average,
    however accurate and sharp it is (Spiegelhalter 1986). A version that is too sure has a higher score, one that is
    not sure enough a lower one. The candidate is worse if it moved away from its expected score, either way; a change
    of the expected score itself is not held against it.
    """
    scores = np.array([(_brier_score(candidate), _brier_score(stable)) for stable, candidate in pairs])
    beyond = scores - np.array([(_brier_expected(candidate), _brier_expected(stable)) for stable, candidate in pairs])
    change, rise = beyond[:, 0] - beyond[:, 1], float((scores[:, 0] - scores[:, 1]).mean())
    own, mean = float(beyond[:, 0].mean()), float(change.mean())
    spread = float(change.std(ddof=1)) / math.sqrt(len(change)) if len(change) > 1 else math.inf
    moved = abs(mean) + float(ndtri(policy.alpha / 2)) * spread > 0 and abs(mean) >= policy.guard_brier
    seen = f"Brier score {rise:+.4f} against stable's, and {mean:+.4f} beyond what its own confidence promises"
    worse = moved and abs(own) > abs(own - mean)
    limits = (Limit(Rule.GUARD, policy.guard_brier, abs(mean), "Brier score beyond what was promised"),)
    word = "worse" if worse else "not worse"
    return Finding(Outcome.FAIL if worse else Outcome.PASS, f"{seen}, {word}", limits)


def _brier_score(result: SuiteResult) -> float:
    """Return the Brier score of one answer. A true class that the version lacks costs 1: it had probability 0."""
    truth: Floats = np.array([float(name == result.truth) for name in result.classes])
    missing = float(result.truth not in result.classes)
    return float(((np.array(result.probabilities) - truth) ** 2).sum()) + missing


def _brier_expected(result: SuiteResult) -> float:
    """Return the expected Brier score of one answer if its probabilities are right."""
    return 1 - float((np.array(result.probabilities) ** 2).sum())


def _problems(results: Sequence[SuiteResult], baseline: Sequence[SuiteResult] | None) -> Iterator[str]:
    if not results:
        yield "candidate: there is no case"
    for name, side in (("candidate", results), ("stable", baseline or ())):
        seen: set[str] = set()
        for result in side:
            if result.case_id in seen:
                yield f"{name}[{result.case_id}]: appears twice"
            seen.add(result.case_id)
            yield from (f"{name}[{result.case_id}].{problem}" for problem in _case_problems(result))
    yield from odd_cases(results, baseline)
    if baseline is not None and results and not {r.case_id for r in results} & {r.case_id for r in baseline}:
        yield "stable: shares no case with the candidate"
    truths = {result.case_id: result.truth for result in baseline or ()}
    for result in results:
        if truths.get(result.case_id, result.truth) != result.truth:
            yield f"stable[{result.case_id}].truth: {truths[result.case_id]!r}, but {result.truth!r} for the candidate"


def _case_problems(result: SuiteResult) -> Iterator[str]:
    if not is_within(result.confidence, 1.0):
        yield f"confidence: {result.confidence!r} is not between 0 and 1"
    if not (is_number(result.inclusion_probability) and 0 < result.inclusion_probability <= 1):
        yield f"inclusion_probability: {result.inclusion_probability!r} is not in (0, 1]"
    if len(result.probabilities) != len(result.classes):
        yield f"probabilities: {len(result.probabilities)} for {len(result.classes)} classes"
    if not all(is_within(value, 1.0) for value in result.probabilities):
        yield "probabilities: one is not between 0 and 1"
    elif result.probabilities and abs(sum(result.probabilities) - 1) > 0.01:
        yield f"probabilities: they sum to {sum(result.probabilities):.4f}"
