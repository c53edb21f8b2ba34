"""How a candidate of a forecast differs from stable."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Candidate:
    """One that changes nothing, but for what is said."""

    loss_ratio: float = 0.0  # of the answers, that are wrong where stable's are right
    slice: str = ""  # to which the loss is confined; empty: it is everywhere
    error_ratio: float | None = None  # of the requests, server errors; None: as many as stable's
    slower_ratio: float = 1.0  # its latency over stable's
    gap: float = 0.0  # of its confidence over its accuracy, beyond stable's


UNCHANGED = Candidate()
