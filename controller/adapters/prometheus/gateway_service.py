"""The errors of a whole service within windows of hours and days, as queries that Prometheus sums up itself."""

import json
import re
from collections.abc import Iterator
from typing import Final

from controller.adapters.prometheus.gateway_words import GatewayWords
from serving.contract import (
    CLUSTER_LABEL,
    CODE_CLASS_LABEL,
    GATEWAY_COMPLETED_METRIC,
    GATEWAY_NO_CLUSTER_METRIC,
    GATEWAY_REQUESTS_METRIC,
    deployment_name,
)

BACKEND: Final = "backend"


def summed(model: str, window_s: float, words: GatewayWords) -> Iterator[str]:
    """Yield the PromQL of requests by status within the window; for a gateway other than our own, by backend too."""
    sums = _of_ours(model, window_s, words.job) if words.place.is_own else _of_others(model, window_s, words)
    for part, query in sums.items():
        yield f'label_replace(label_replace({query}, "window", "{window_s!r}", "", ""), "part", "{part}", "", "")'


def _of_ours(model: str, window_s: float, job: str) -> dict[str, str]:
    """Return the queries for requests by class of status within the window, and for those that no version was known
    for.

    A class is counted from its first request on, so its series begins at a number that no increase shows. That number
    is added if the series did not exist when the window began, although its cluster did or began within the window.
    """
    # Versions have no hyphen, so this matches neither clusters of copies nor those of another model.
    name = json.dumps(f"{re.escape(deployment_name(model, ''))}[A-Za-z0-9._]+")
    length, counted = f"{round(window_s * 1000)}ms", f"{{{job},{CLUSTER_LABEL}=~{name}}}"
    classes, completed = f"{GATEWAY_REQUESTS_METRIC}{counted}", f"{GATEWAY_COMPLETED_METRIC}{counted}"
    seen_begin = f"(min_over_time({completed}[{length}]) == 0 or {completed} offset {length})"
    begun = f"(min_over_time({classes}[{length}]) unless {classes} offset {length})"
    same = f"and on (instance, {CLUSTER_LABEL})"
    lost = f"increase({GATEWAY_NO_CLUSTER_METRIC}{{{job}}}[{length}])"
    return {
        "grown": f"sum by ({CODE_CLASS_LABEL}) (increase({classes}[{length}]))",
        "begun": f"sum by ({CODE_CLASS_LABEL}) ({begun} {same} {seen_begin})",
        "lost": f'label_replace(sum({lost}), "{CODE_CLASS_LABEL}", "5", "", "")',
    }


def _of_others(model: str, window_s: float, words: GatewayWords) -> dict[str, str]:
    """Return the same queries for other gateways. A series that did not exist when the window began is added with its
    first value, if its gateway was scraped then. What a gateway counted before anybody scraped it is not known."""
    kind, processes = words.place.kind, ", ".join(words.place.process_labels)
    length = f"{round(window_s * 1000)}ms"
    like = json.dumps(words.of_model(model))
    counted = f"{kind.requests}{{{words.job},{kind.backend_label}=~{like}{words.more()}}}"
    known = f"(up{{{words.job}}} offset {length})"
    by = f"by ({kind.backend_label}, {kind.status_label})"
    sums = {
        "grown": f"sum {by} (increase({counted}[{length}]))",
        "begun": (
            f"sum {by} ((min_over_time({counted}[{length}]) unless {counted} offset {length}) "
            f"and on ({processes}) {known})"
        ),
    }
    return {part: _renamed(query, kind.backend_label, kind.status_label) for part, query in sums.items()}


def _renamed(query: str, backend_label: str, status_label: str) -> str:
    with_backend = f'label_replace({query}, "{BACKEND}", "$1", "{backend_label}", "(.*)")'
    return f'label_replace({with_backend}, "{CODE_CLASS_LABEL}", "$1", "{status_label}", "(.*)")'
