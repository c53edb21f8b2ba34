"""The difference of a forecast's candidate from stable."""

from dataclasses import dataclass

from gates.forecast.traffic import Traffic


@dataclass(frozen=True, slots=True)
class Candidate:
    """One that changes nothing, but for what is said."""

    loss_ratio: float = 0.0  # of the answers, that are wrong where stable's are right
    slice: str = ""  # to which the loss is confined; empty: it is everywhere
    error_ratio: float | None = None  # of the requests, server errors; None: as many as stable's
    slower_ratio: float = 1.0  # its latency over stable's
    gap: float = 0.0  # of its confidence over its accuracy, beyond stable's

    def loss_of_all(self, traffic: Traffic) -> float:
        """Return the loss over all requests, where it is confined to a slice of them."""
        return self.loss_ratio * (traffic.slice_named(self.slice).share_ratio if self.slice else 1.0)

    def error_ratio_on(self, traffic: Traffic) -> float:
        """Return the share of its requests that are server errors."""
        return traffic.error_ratio if self.error_ratio is None else self.error_ratio


UNCHANGED = Candidate()
