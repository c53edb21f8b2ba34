"""One release in the world: the real gate set, and the promotion rule on top of its verdicts.

The rule is that of ``controller.core.decide``, without the plumbing: shadow until every gate of that stage passes; then
the steps, each for its warm-up, its least time and requests; a promotion at the last step once every required gate
passes; back at the first failure.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from gates.evidence import Look
from gates.gate_set import GateSet
from gates.offline.summing import summed
from gates.outcome import Outcome, combine
from gates.verdict import Stage, Verdict
from tests.bench.world.scenarios import Scenario
from tests.bench.world.traffic import Both, Traffic


@dataclass(frozen=True, slots=True)
class Ended:
    """How a release went; looks are counted from 1, None is never.

    ``labels`` is what was labelled when it failed, or by its end. ``waited`` names the gates that had not passed by the
    end, where it was not promoted.
    """

    failed_at: int | None
    blamed: tuple[str, ...]
    exposed_at: int | None
    promoted_at: int | None
    labels: int
    pairs: int
    waited: tuple[str, ...]
    held: str = ""  # what a gate could not judge at the end, and why, in its words


class Progress:
    """Where a release stands. ``share`` is the candidate's share of the traffic during the next look."""

    def __init__(self, scenario: Scenario) -> None:
        self._scenario = scenario
        self._step = -1  # in shadow
        self._step_s, self._step_requests = 0.0, 0
        self.exposed_at = None if scenario.steps else 1
        self.promoted_at: int | None = None

    @property
    def share(self) -> float:
        if self._scenario.probation is not None and self.promoted_at is not None:
            return 1.0
        if not self._scenario.steps:
            return self._scenario.share
        return self._scenario.steps[self._step].weight_pct / 100 if self._step >= 0 else 0.0

    @property
    def warming(self) -> bool:
        """Whether the next look is one of a version that warms up at its share."""
        return self.share > 0 and self._step_s < self._scenario.warm_up_s

    def judge(self, look: Look, verdicts: Sequence[Verdict]) -> None:
        before_exposure, before_promotion = _outcome(verdicts, Stage.SHADOW), _outcome(verdicts, *Stage)
        self._step_s += look.window.length_s
        self._step_requests += look.candidate.requests if look.candidate is not None else 0
        if self._scenario.steps and self._step < 0:
            if before_exposure is Outcome.PASS:
                self._enter(0)
                self.exposed_at = look.sequence
        elif self._last:
            if before_promotion is Outcome.PASS and self.promoted_at is None and self._served:
                self.promoted_at = look.sequence
        elif self._served and before_promotion not in (Outcome.ERROR, Outcome.FAIL):
            self._enter(self._step + 1)

    def _enter(self, step: int) -> None:
        self._step, self._step_s, self._step_requests = step, 0.0, 0

    @property
    def _last(self) -> bool:
        return self._step + 1 == len(self._scenario.steps) or not self._scenario.steps

    @property
    def _served(self) -> bool:
        if not self._scenario.steps:
            return True
        step = self._scenario.steps[self._step]
        return self._step_s >= self._scenario.warm_up_s + step.min_s and self._step_requests >= step.min_requests


def _outcome(verdicts: Sequence[Verdict], *stages: Stage) -> Outcome:
    return combine(verdict.outcome for verdict in verdicts if verdict.stage in stages and not verdict.advisory)


def play(scenario: Scenario, rng: np.random.Generator) -> tuple[Ended, list[Both]]:
    """One release from its first look to its end; and, where ``watch_on``, all numbers that other rules would see."""
    traffic, gate_set, progress = Traffic(scenario, rng), GateSet(scenario.policy), Progress(scenario)
    state = gate_set.start(deadline_s=scenario.looks * scenario.look_s)
    seen: list[Both] = []
    verdicts: tuple[Verdict, ...] = ()
    missed: list[Look] = []
    failed_at, labels, pairs = None, 0, 0
    number, last = 0, scenario.looks
    while number < last:
        number += 1
        look, both = traffic.look(number, progress.share)
        look = replace(look, warming=progress.warming)
        if both is not None:
            seen.append(both)
        if failed_at is not None:
            continue
        missed.append(look)
        if number in scenario.away:
            continue
        look = replace(summed(missed), warming=any(one.warming for one in missed))
        missed.clear()
        state, verdicts = gate_set.look(state, look)
        labels += len(look.pairs)
        pairs += look.pairs_agreed + look.pairs_disagreed
        if any(verdict.outcome is Outcome.FAIL and not verdict.advisory for verdict in verdicts):
            failed_at = number
        else:
            progress.judge(look, verdicts)
        if progress.promoted_at == number and scenario.probation is not None and not failed_at:
            traffic.promoted(number + 1, scenario.probation)
            last = number + scenario.probation_looks
        elif (failed_at or (progress.promoted_at and scenario.probation is None)) and not scenario.watch_on:
            break
    blamed = _named(verdicts, Outcome.FAIL) if failed_at else ()
    waiting = not (failed_at or progress.promoted_at)
    waited = _named(verdicts, Outcome.INCONCLUSIVE, Outcome.ERROR) if waiting else ()
    held = next((one.reason for one in verdicts if one.outcome is Outcome.ERROR), "") if waiting else ""
    ended = Ended(failed_at, blamed, progress.exposed_at, progress.promoted_at, labels, pairs, waited, held)
    return ended, seen


def _named(verdicts: Sequence[Verdict], *outcomes: Outcome) -> tuple[str, ...]:
    return tuple(verdict.gate for verdict in verdicts if verdict.outcome in outcomes and not verdict.advisory)
