"""The candidate of a forecast, by its differences from stable."""

from dataclasses import dataclass

from gates.forecast.traffic import Traffic


@dataclass(frozen=True, slots=True)
class Candidate:
    """A candidate; by default it does not differ from stable."""

    loss_ratio: float = 0.0  # share of the answers that are wrong where stable's are right
    slice: str = ""  # the slice that the loss is confined to; empty: it is everywhere
    error_ratio: float | None = None  # share of the requests that are server errors; None: as stable's
    slower_ratio: float = 1.0  # its latency over stable's
    gap: float = 0.0  # excess of its confidence over its accuracy, beyond stable's excess

    def loss_of_all(self, traffic: Traffic) -> float:
        """Return the loss as a share of all requests, where it may be confined to a slice of them."""
        return self.loss_ratio * (traffic.slice_named(self.slice).share_ratio if self.slice else 1.0)

    def error_ratio_on(self, traffic: Traffic) -> float:
        """Return the share of the candidate's requests that are server errors."""
        return traffic.error_ratio if self.error_ratio is None else self.error_ratio


UNCHANGED = Candidate()
