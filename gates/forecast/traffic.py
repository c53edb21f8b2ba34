"""The service as it is known before a release: its requests, labels, errors and latencies, and the steps ahead."""

from dataclasses import dataclass

SLICE_SHARE = 0.1  # of the requests, where nothing is known about a slice


@dataclass(frozen=True, slots=True)
class PlannedStep:
    """A step of the release, or a part of one: the candidate's share of live traffic (0 in shadow) and how long it
    lasts."""

    share_ratio: float
    duration_s: float
    warming: bool = False  # a version warms up during the step (`Look.warming`)
    replayed_per_s: float = 0.0  # recorded requests that are asked again
    replayed_label_ratio: float = 0.0  # of those, with a label that counts as one by chance


@dataclass(frozen=True, slots=True)
class PlannedSlice:
    """A slice of the policy as the traffic shows it: its share of all pairs, and how many of its own disagree."""

    name: str
    share_ratio: float = SLICE_SHARE
    disagreement_ratio: float = 0.07


@dataclass(frozen=True, slots=True)
class Traffic:
    """The service as it is known: observed, or assumed by whoever asks for the plan. Ratios are shares of 1."""

    requests_per_s: float
    steps: tuple[PlannedStep, ...]
    mirror_ratio: float = 1.0  # of stable's requests, mirrored to the candidate
    label_ratio: float = 0.1  # of the pairs, labelled by chance
    directed_ratio: float = 0.0  # of the disagreements, labelled because of the disagreement
    live_label_ratio: float = 0.1  # of the live answers of each version, labelled by chance
    wrong_ratio: float = 0.1  # of stable's labelled live answers
    label_delay_s: float = 600.0  # within which nearly all labels of a time have come
    disagreement_ratio: float = 0.07  # of the pairs
    error_ratio: float = 0.001
    latency_spread: float = 0.5  # standard deviation of the log of latency
    latency_median_ms: float = 50.0
    gap_spread: float = 0.3  # standard deviation of the change of the confidence gap on one pair
    brier_spread: float = 0.4  # standard deviation of the change of the Brier score on one pair
    error_effect: float = 1.0  # server errors that count as one, because they come together
    slow_effect: float = 1.0  # slow requests that count as one
    wrong_effect: float = 1.0  # wrong live answers that count as one
    pair_effect: float = 1.0  # labelled pairs that count as one, because texts that are alike come together
    error_apart: float = 0.0  # ratio, less 1, by which errors of parts of stable, or of its users, differ
    slow_apart: float = 0.0  # likewise of slow requests
    slices: tuple[PlannedSlice, ...] = ()
    slice_ratio: float = 1.0  # of the requests, those that are looked at; below 1 for a slice

    def slice_named(self, name: str) -> PlannedSlice:
        """Return what is known of the slice; if nothing, a usual share of pairs that disagree as all pairs do."""
        found = (part for part in self.slices if part.name == name)
        return next(found, PlannedSlice(name, disagreement_ratio=self.disagreement_ratio))

    @property
    def deadline_s(self) -> float:
        return sum(step.duration_s for step in self.steps)

    def mirrored(self, step: PlannedStep) -> float:
        """Return the pairs per second of requests that stable serves and the mirror copies."""
        return self.requests_per_s * (1 - step.share_ratio) * self.mirror_ratio

    def pairs(self, step: PlannedStep) -> float:
        """Return all pairs per second: mirrored ones, and those of recorded requests that are asked again."""
        return self.mirrored(step) + self._replayed(step)

    def labelled(self, step: PlannedStep, directed_ratio: float = 0.0) -> float:
        """Return the pairs per second that get a label: those labelled by chance, plus ``directed_ratio`` of all pairs,
        which are labelled because the versions disagree."""
        live = self.mirrored(step) * min(self.label_ratio + directed_ratio, 1.0)
        return live + self._replayed(step) * min(step.replayed_label_ratio + directed_ratio, 1.0)

    def _replayed(self, step: PlannedStep) -> float:
        return step.replayed_per_s * self.slice_ratio

    def to_candidate(self, step: PlannedStep) -> float:
        """Return the live requests per second to the candidate."""
        return self.requests_per_s * step.share_ratio

    def to_stable(self, step: PlannedStep) -> float:
        return self.requests_per_s * (1 - step.share_ratio)
