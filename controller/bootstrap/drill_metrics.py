"""Alerts, sizes of calls and counts of requests of one model, as a Prometheus tells them to a drill."""

import json
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import quote

from controller.adapters.local.loopback import get
from controller.core.drills import Batches
from controller.errors import Source, TransientError, in_words
from controller.monitoring.rule import ABOUT_LABEL, About
from serving.contract import (
    ACCESS_REFUSED_METRIC,
    BATCH_SIZE_METRIC,
    MODEL_LABEL,
    QUEUE_DEPTH_METRIC,
    REQUESTS_METRIC,
    TRAFFIC_LABEL,
    VERSION_LABEL,
)

ALERTS: Final = "prometheus: alerts"
"""Names who tells of alerts, in faults."""

_WITHIN_S: Final = 2.0
_LATELY_S: Final = 10.0
_SCRAPES: Final = 4.0  # a rate wants two of them


def alerts_of(prometheus: str, model: str) -> tuple[Mapping[str, str], Mapping[str, str]]:
    """Return the alerts of the model about what its users got and its replicas do: pending, or firing where one of the
    name does. And the fault of who should tell them."""
    about = f"{About.USERS}|{About.REPLICA}"
    query = f'ALERTS{{{MODEL_LABEL}="{model}", {ABOUT_LABEL}=~"{about}"}}'
    found: dict[str, str] = {}
    try:
        for name, state in _told(_asked(prometheus, query)):
            if found.get(name) != "firing":
                found[name] = state
    except (OSError, ValueError, KeyError) as error:
        return {}, {ALERTS: f"cannot be read: {in_words(error)}"}
    return found, {}


def batches(prometheus: str, scrape_interval_s: float, model: str) -> Batches | None:
    """Return what Prometheus has of the model's calls and queues lately; None where it does not say."""
    of = f'{{{MODEL_LABEL}="{model}"}}[{max(_LATELY_S, _SCRAPES * scrape_interval_s):.0f}s]'
    calls = f"sum(rate({BATCH_SIZE_METRIC}_sum{of})) / (sum(rate({BATCH_SIZE_METRIC}_count{of})) > 0)"
    try:
        texts, waiting = (
            float(found[0]["value"][1]) if (found := _asked(prometheus, query)) else 0.0
            for query in (calls, f"max(max_over_time({QUEUE_DEPTH_METRIC}{of}))")
        )
    except (OSError, ValueError, KeyError):
        return None
    return Batches(texts, waiting)


def requests_of(prometheus: str, model: str, within_s: float, version: str) -> Mapping[str, float] | None:
    """Return how many requests the version's replicas had within that time, by traffic; None where Prometheus does not
    say."""
    of = f'{REQUESTS_METRIC}{{{MODEL_LABEL}="{model}", {VERSION_LABEL}="{version}"}}[{within_s:.0f}s]'
    try:
        found = _asked(prometheus, f"sum by ({TRAFFIC_LABEL}) (max_over_time({of}))")
        return {one["metric"][TRAFFIC_LABEL]: float(one["value"][1]) for one in found}
    except (OSError, ValueError, KeyError):
        return None


def refused_of(prometheus: str, model: str) -> Mapping[str, float]:
    """Return how many requests the model's replicas have refused, as one count: replicas come and go.

    Raises:
        TransientError: Prometheus cannot be read.
    """
    try:
        found = _asked(prometheus, f'sum({ACCESS_REFUSED_METRIC}{{{MODEL_LABEL}="{model}"}})')
        return {model: sum(float(one["value"][1]) for one in found)}
    except (OSError, ValueError, KeyError) as error:
        raise TransientError(Source.METRICS, f"{prometheus} cannot be read: {in_words(error)}") from error


def _asked(prometheus: str, query: str) -> list[Any]:
    """Raises OSError, ValueError or KeyError: Prometheus cannot be read."""
    status, body = get(f"{prometheus}/api/v1/query?query={quote(query)}", timeout_s=_WITHIN_S)
    if status != HTTPStatus.OK:  # what nobody counts is not nothing
        raise OSError(f"it answers with status {status}")
    try:
        return list(json.loads(body)["data"]["result"])
    except TypeError as error:
        raise ValueError("it answers with something else than a result") from error


def _told(result: list[Mapping[str, Mapping[str, str]]]) -> Iterator[tuple[str, str]]:
    for one in result:
        yield one["metric"]["alertname"], one["metric"]["alertstate"]
