"""For who pays: what it does, what it costs, how good it is, and what changed."""

from typing import Final

from controller.monitoring import recordings as kept
from controller.monitoring.dashboards.common import BY_GATE, BY_MODEL, Limits, picked, summed
from controller.monitoring.dashboards.panel import Dashboard, Kind, Panel, Query, Unit
from controller.monitoring.rule import OF_VERSION
from serving import contract as names

_BY_BOUND: Final = "{{model}} {{model_version}} {{bound}}"
_BY_MIX: Final = "{{model}} {{model_version}} {{mix}}"
_BY_CAUSE: Final = "{{model}} {{cause}}"


def _gate(*gates: str) -> str:
    matcher = f'{names.GATE_LABEL}=~"{"|".join(gates)}"'
    return f"max by ({names.MODEL_LABEL}, {names.GATE_LABEL}) ({picked(names.GATE_VALUE_METRIC, matcher)})"


def _availability() -> Query:
    errors, requests = summed(picked(kept.errors_in(kept.LATENCY_S))), summed(picked(kept.requests_in(kept.LATENCY_S)))
    return Query(f"1 - {errors} / ({requests} > 0)", BY_MODEL)


def executive(limits: Limits) -> Dashboard:
    """The dashboard."""
    latest = f'{names.PHASE_LABEL}=~"promoted|probation|rolled_back|rejected|held"'
    changes = f"1000 * max by ({OF_VERSION}, {names.PHASE_LABEL}) ({picked(names.PHASE_TIME_METRIC, latest)})"
    firing = f'count by (alertname, {names.MODEL_LABEL}) (ALERTS{{alertstate="firing", severity="page"}}) or vector(0)'
    return Dashboard(
        "serin-executive",
        "Serin: executive",
        "What it does, what it costs, how good it is, and what changed.",
        {
            "Service": (
                Panel(
                    "Requests",
                    "Requests of users a second, by model, as the gateway counted them.",
                    Unit.PER_S,
                    (Query(summed(picked(kept.REQUEST_RATE)), BY_MODEL),),
                    width=8,
                ),
                Panel(
                    "Availability",
                    "Share of users' requests answered without a server error, over 5 minutes.",
                    Unit.SHARE,
                    (_availability(),),
                    width=8,
                    below=limits.objective,
                ),
                Panel(
                    "Cost of 1,000 requests",
                    "Of all replicas, by the hour's price in the policy.",
                    Unit.MONEY,
                    (Query(picked(kept.COST), BY_MODEL),),
                    width=8,
                    beyond=limits.least(lambda one: one.cost_per_1000_max),
                ),
            ),
            "Quality": (
                Panel(
                    "Accuracy",
                    "Of the version that serves: the share of labelled answers that are right, with its bounds.",
                    Unit.SHARE,
                    (Query(picked(names.CHAMPION_ACCURACY_METRIC), _BY_BOUND),),
                    width=8,
                ),
                Panel(
                    "Calibration",
                    "Of the version that serves: confidence minus accuracy, with its bounds.",
                    Unit.COUNT,
                    (Query(picked(names.CHAMPION_OVERCONFIDENCE_METRIC), _BY_BOUND),),
                    width=8,
                ),
                Panel(
                    "Drift",
                    "Distance of the last whole day of the version that serves from its first, 0 same, 1 disjoint.",
                    Unit.SHARE,
                    (Query(picked(names.CHAMPION_DISTANCE_METRIC, f'{names.BOUND_LABEL}="value"'), _BY_MIX),),
                    width=8,
                    beyond=limits.drift,
                ),
            ),
            "Releases": (
                Panel(
                    "Accuracy of the release",
                    "As the gates measured it last: change in points against stable, and share right on suites.",
                    Unit.COUNT,
                    (Query(_gate("accuracy[.].*"), BY_GATE),),
                    width=8,
                ),
                Panel(
                    "Calibration of the release",
                    "Confidence minus accuracy, as the gates measured it last.",
                    Unit.COUNT,
                    (Query(_gate("calibration[.].*"), BY_GATE),),
                    width=8,
                ),
                Panel(
                    "Retraining asked for",
                    "How often the watch asked for it, by cause.",
                    Unit.COUNT,
                    (
                        Query(
                            f"max by ({names.MODEL_LABEL}, {names.CAUSE_LABEL}) ({picked(names.RETRAIN_ASKED_METRIC)})",
                            _BY_CAUSE,
                        ),
                    ),
                    Kind.NUMBER,
                    width=8,
                ),
            ),
            "Changes and incidents": (
                Panel(
                    "Pages that fire",
                    "Alerts that page somebody now.",
                    Unit.COUNT,
                    (Query(firing, "{{alertname}} {{model}}"),),
                    Kind.NUMBER,
                    width=8,
                    beyond=1,
                ),
                Panel(
                    "Last change",
                    "Where the newest release of each model stands, and since when.",
                    Unit.DATE,
                    (Query(changes, "{{model}} {{model_version}} {{phase}}"),),
                    Kind.TABLE,
                    width=16,
                ),
            ),
        },
    )
