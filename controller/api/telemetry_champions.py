"""The metrics of the version that serves everybody, as the watch last found it."""

from collections.abc import Iterable, Sequence
from typing import Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from controller.core.champion import Bounds, Cause
from controller.loop.champions import Told
from serving import contract as names

_OF_VERSION: Final = (names.MODEL_LABEL, names.VERSION_LABEL)
_FIGURES: Final = (
    ("p95_ms", names.CHAMPION_P95_METRIC, "P95 of users' requests between the last two looks, in ms."),
    ("cold_ratio", names.CHAMPION_COLD_METRIC, "Share of requests that met a replica still warming up."),
    ("cost_per_1000", names.CHAMPION_COST_METRIC, "Cost of 1,000 requests, in the policy's currency."),
    ("requests", names.CHAMPION_REQUESTS_METRIC, "Users' requests between the last two looks."),
    ("errors", names.CHAMPION_ERRORS_METRIC, "Those of them that failed."),
)


def champion_families(told: Iterable[Told]) -> Sequence[Metric]:
    """The families, by model and version. What is not known is left out."""
    found = {attribute: _gauge(name, about) for attribute, name, about in _FIGURES}
    bound, mix, window = names.BOUND_LABEL, names.MIX_LABEL, names.WINDOW_LABEL
    accuracy = _gauge(names.CHAMPION_ACCURACY_METRIC, "Share of labelled answers that are right.", bound)
    gap = _gauge(names.CHAMPION_OVERCONFIDENCE_METRIC, "Confidence less accuracy of labelled answers.", bound)
    labels = _gauge(names.CHAMPION_LABELS_METRIC, "Labelled answers since it was first watched.")
    lag = _gauge(names.CHAMPION_LAG_METRIC, "How late labels came, the median of the last look that had any.")
    far = _gauge(names.CHAMPION_DISTANCE_METRIC, "Distance of the last whole cycle from the first.", mix, bound)
    burns = _gauge(names.CHAMPION_BURN_METRIC, "How many times too fast the error budget is spent.", window)
    since = _gauge(names.CHAMPION_SINCE_METRIC, "Since when it serves everybody.")
    looked = _gauge(names.CHAMPION_LOOK_METRIC, "When its counters were last looked at.")
    name = names.RETRAIN_ASKED_METRIC.removesuffix("_total")  # the library adds it
    asked = CounterMetricFamily(
        name, "How often retraining was asked for.", labels=(names.MODEL_LABEL, names.CAUSE_LABEL)
    )
    for one in told:
        champion = one.watched.champion
        own = (champion.model, champion.version)
        _add(accuracy, own, one.accuracy)
        _add(gap, own, one.overconfidence)
        labels.add_metric(own, champion.labels)
        since.add_metric(own, champion.since_s)
        if champion.lag_s is not None:
            lag.add_metric(own, champion.lag_s)
        for kind, state in champion.mixes.items():
            if state.moved is not None:
                for which, value in zip(("value", "low"), state.moved, strict=True):
                    far.add_metric((*own, kind, which), value)
        for cause in Cause:
            asked.add_metric((champion.model, cause), one.watched.asked.get(cause, 0))
        if (figures := one.figures) is None:
            continue
        looked.add_metric(own, figures.at_s)
        for attribute, family in found.items():
            if (value := getattr(figures, attribute)) is not None:
                family.add_metric(own, value)
        for length_s, value in figures.burns.items():
            burns.add_metric((*own, f"{length_s:g}"), value)
    return (accuracy, gap, labels, lag, far, burns, since, looked, asked, *found.values())


def _add(family: GaugeMetricFamily, own: tuple[str, str], bounds: Bounds | None) -> None:
    if bounds is not None:
        for which in ("value", "low", "high"):
            family.add_metric((*own, which), getattr(bounds, which))


def _gauge(name: str, about: str, *more: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, about, labels=(*_OF_VERSION, *more))
