"""The keys of budget.burn, and of the hold on releases of a service that burns."""

from dataclasses import dataclass
from typing import Annotated

from gates.keys import AlphaShare, Guarded, require
from gates.stats.burn import BURN_TABLE, PERIOD_S, BurnWindow


@dataclass(frozen=True, slots=True)
class BudgetPolicy:
    """budget.burn: how fast the candidate spends the service's error budget; and how fast the service itself does.

    Errors are counted by cluster where ``errors_live`` counts them so: both look at the same requests.
    """

    GUARDED = (Guarded("guard_ratio"),)

    alpha_share: AlphaShare = 0.35
    objective_ratio: Annotated[float, "of requests answered without server error"] = 0.999
    rollback_burn: Annotated[
        float, "the candidate is rolled back for a burn that is shown to be more than this many times the budget's own"
    ] = 2.0
    freeze_burn: Annotated[float, "from such a burn on, all model changes of the service are frozen, too"] = 4.0
    guard_ratio: Annotated[
        float,
        "and only for a ratio of the error rates above it, candidate over stable: a burn that both share blames nobody",
    ] = 1.2
    requests_min: Annotated[int, "live requests of the candidate, needed to conclude anything"] = 50
    period_s: Annotated[float, "of the service's budget"] = PERIOD_S
    service_windows: Annotated[
        tuple[BurnWindow, ...], "a row that fires for the service holds its releases; `[]`: never"
    ] = BURN_TABLE
    service_errors_min: Annotated[int, "fewer errors than this in a row's long window hold no release"] = 10

    def __post_init__(self) -> None:
        require(self, "alpha_share", "rollback_burn", "period_s")
        require(self, "objective_ratio", below=1.0)
