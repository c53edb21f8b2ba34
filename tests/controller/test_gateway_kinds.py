"""What users got, as other gateways count it: on expositions that were written by hand from their documentation."""

import json
import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import pytest

from controller.adapters.kubernetes.names import names_like, resource_name, version_of
from controller.adapters.prometheus.gateway import GatewayReader
from controller.adapters.prometheus.gateway_service import summed
from controller.adapters.prometheus.gateway_words import GatewayWords
from controller.adapters.prometheus.targets import Matrix
from controller.errors import TransientError
from serving.contract import CODE_CLASS_LABEL
from tests.controller.gateway_support import (
    JOB,
    LATER_S,
    NOW_S,
    Scraped,
    first_look,
    looked,
    place_of,
    reader,
    recorded,
)
from tests.patience import PATIENCE_S

needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool is not on PATH: make setup puts it there"
)
COUNTED = {
    # requests and errors of version 6, of version 7, copies to it, and what it was sent
    "istio": ((90, 0), (13, 5), None, 13),
    "nginx": ((91, 0), (10, 2), 30, 10),
    "cilium": ((90, 0), (10, 2), 30, 10),
    "hubble": ((90, 0), (10, 2), None, 10),
}
TIMED = {
    "istio": ((10.0, 25.0), (60, 28, 2), (10, 2, 1)),
    "cilium": ((10.0, 25.0), (60, 28, 2), (5, 2, 3)),
    "hubble": ((10.0, 25.0), (60, 28, 2), (5, 2, 3)),
}


@pytest.mark.parametrize("kind", COUNTED)
def test_each_version_has_what_was_answered_between_two_looks(kind: str) -> None:
    """Of other namespaces, other services and copies nothing; of pods that came and went what they did while there."""
    scraped = Scraped()
    cursor = first_look(kind, scraped)
    scraped.scrape(NOW_S + LATER_S, recorded(kind)[1])
    found = looked(kind, scraped, cursor)
    six, seven, copies, sent = COUNTED[kind]
    assert [(arm.requests, arm.errors) for arm in (found.live["6"], found.live["7"])] == [six, seven]
    assert found.copies.get("7") == copies
    assert found.sent["7"] == sent
    again = looked(kind, scraped, found.cursor)
    assert [arm.requests for arm in again.live.values()] == [0, 0]


@pytest.mark.parametrize("kind", TIMED)
def test_times_are_told_in_milliseconds_whatever_the_unit(kind: str) -> None:
    scraped = Scraped()
    cursor = first_look(kind, scraped)
    scraped.scrape(NOW_S + LATER_S, recorded(kind)[1])
    found = looked(kind, scraped, cursor)
    edges, six, seven = TIMED[kind]
    assert found.latency_edges_ms == edges
    assert (found.live["6"].latency_counts, found.live["7"].latency_counts) == (six, seven)
    assert not found.times_untold


@pytest.mark.parametrize("kind", COUNTED)
def test_pods_of_one_gateway_add_up_each_by_itself(kind: str) -> None:
    """One of them was there before, one began anew: it counts from zero, and takes nothing from the other."""
    scraped = Scraped()
    cursor = first_look(kind, scraped, one="10.0.0.1:15020", other="10.0.0.2:15020")
    before, after = recorded(kind)
    scraped.scrape(NOW_S + LATER_S, after, "10.0.0.1:15020")
    anew = [
        (name, labels, 3.0 if name == "envoy_server_uptime" else value - value // 2) for name, labels, value in before
    ]
    scraped.scrape(NOW_S + LATER_S, anew, "10.0.0.2:15020")
    alone = Scraped()
    alone_cursor = first_look(kind, alone)
    alone.scrape(NOW_S + LATER_S, anew)
    alone_found = looked(kind, alone, alone_cursor)
    both = looked(kind, scraped, cursor)
    requests, errors = COUNTED[kind][1]
    assert alone_found.live["7"].requests == 50 + 1
    assert both.live["7"].requests == requests + alone_found.live["7"].requests
    assert both.live["7"].errors == errors + 1


def test_a_series_that_is_away_for_a_scrape_and_comes_back_counts_nothing_twice() -> None:
    """A peer that NGINX leaves out while it reads its configuration anew: what it did before is of no window since."""
    scraped = Scraped()
    cursor = first_look("nginx", scraped)
    after = recorded("nginx")[1]
    away = "10.0.1.6:8000"
    without = [one for one in after if one[1]["nginx_peer_address"] != away]
    scraped.scrape(NOW_S + LATER_S, without)
    scraped.end(NOW_S + LATER_S, nginx_peer_address=away)
    scraped.scrape(NOW_S + 2 * LATER_S, after)
    found = looked("nginx", scraped, cursor, at_s=NOW_S + 2 * LATER_S)
    assert found.live["6"].requests == COUNTED["nginx"][0][0]


@pytest.mark.parametrize("kind", COUNTED)
def test_what_a_gateway_had_counted_before_it_was_first_scraped_is_nobodys(kind: str) -> None:
    scraped = Scraped()
    cursor = first_look(kind, scraped)
    before, after = recorded(kind)
    scraped.scrape(NOW_S + LATER_S, after, "10.0.0.1:15020")
    scraped.scrape(NOW_S + LATER_S, before, "10.0.0.2:15020")
    assert looked(kind, scraped, cursor).live["7"].requests == COUNTED[kind][1][0]


@pytest.mark.parametrize(
    ("kind", "without", "said"),
    [
        ("istio", "envoy_server_uptime", "does not export envoy_server_uptime"),
        ("cilium", "envoy_server_uptime", "does not export envoy_server_uptime"),
        (
            "istio",
            "istio_request_duration_milliseconds_bucket",
            "istio_request_duration_milliseconds_bucket is missing",
        ),
        (
            "hubble",
            "hubble_http_request_duration_seconds_bucket",
            "hubble_http_request_duration_seconds_bucket is missing",
        ),
    ],
)
def test_a_metric_that_is_missing_is_an_error_that_names_it(kind: str, without: str, said: str) -> None:
    scraped = Scraped()
    pages = [[sample for sample in page if sample[0] != without] for page in recorded(kind)]
    scraped.scrape(NOW_S, pages[0])
    with pytest.raises(TransientError, match=said) as told:  # noqa: PT012 - the first look may say it already
        cursor = looked(kind, scraped, at_s=NOW_S).cursor
        scraped.scrape(NOW_S + LATER_S, pages[1])
        looked(kind, scraped, cursor)
    assert told.value.source == "gateway"


@pytest.mark.parametrize("kind", COUNTED)
def test_without_its_requests_a_gateway_counts_nothing_and_nothing_passes(kind: str) -> None:
    """No requests are no evidence: gates that need users' requests wait for them."""
    scraped = Scraped()
    name = place_of(kind).kind.requests
    pages = [[one for one in page if one[0] not in (name, place_of(kind).kind.sent)] for page in recorded(kind)]
    scraped.scrape(NOW_S, pages[0])
    cursor = looked(kind, scraped, at_s=NOW_S).cursor
    scraped.scrape(NOW_S + LATER_S, pages[1])
    assert [arm.requests for arm in looked(kind, scraped, cursor).live.values()] == [0, 0]


@pytest.mark.parametrize("kind", COUNTED)
def test_requests_without_their_status_are_an_error_that_names_the_label(kind: str) -> None:
    """As Hubble's `http`, where it should be `httpV2`: all of them would be no errors."""
    label = place_of(kind).kind.status_label
    page = [
        (name, {key: one for key, one in labels.items() if key != label}, n) for name, labels, n in recorded(kind)[0]
    ]
    scraped = Scraped()
    scraped.scrape(NOW_S, page)
    with pytest.raises(TransientError, match=f"has no label {label}: errors cannot be counted"):
        looked(kind, scraped, at_s=NOW_S)


def test_nginx_tells_no_times_and_says_so() -> None:
    scraped = Scraped()
    cursor = first_look("nginx", scraped)
    scraped.scrape(NOW_S + LATER_S, recorded("nginx")[1])
    found = looked("nginx", scraped, cursor)
    assert found.latency_edges_ms == ()
    assert found.times_untold == "NGINX exports the average response time only, and no histogram"


def test_what_nginx_passed_on_and_nobody_answered_is_not_taken_for_well() -> None:
    """It answers such a request itself, and counts that nowhere by version."""
    scraped = Scraped()
    cursor = first_look("nginx", scraped)
    lost = "nginx_http_upstream_peer_requests_total"
    page = [(name, labels, value + 40 * (name == lost)) for name, labels, value in recorded("nginx")[1]]
    scraped.scrape(NOW_S + LATER_S, page)
    with pytest.raises(
        TransientError, match=r"version 7 ended without an answer from it: .* not reported by this gateway"
    ):
        reader("nginx", scraped).counts("intent", ("7",), cursor, at_s=NOW_S + LATER_S)


def test_envoy_gateway_tells_no_versions_apart_and_says_so() -> None:
    scraped = Scraped()
    scraped.scrape(NOW_S, recorded("envoy-gateway")[0])
    with pytest.raises(TransientError, match="not reported by this gateway: Envoy Gateway makes one cluster") as told:
        looked("envoy-gateway", scraped, at_s=NOW_S)
    assert told.value.source == "gateway"


@pytest.mark.parametrize("kind", COUNTED)
def test_what_a_look_keeps_does_not_grow_with_the_labels_of_others(kind: str) -> None:
    """Every look records it: labels that Serin does not ask for are kept as a hash."""
    scraped = Scraped()
    cursor = first_look(kind, scraped)
    assert cursor.values
    assert max(map(len, cursor.values)) < 120


def test_a_name_is_a_versions_by_its_hash_and_not_by_its_look() -> None:
    """Another model's version may be called alike; of a long name the number is cut off."""
    for model in ("intent", "a" * 38, "a" * 60):
        name = resource_name(model, "12")
        assert version_of(model, name) == "12"
    assert version_of("intent", resource_name("intent-v6", "1")) is None
    assert version_of("intent", "intent-v6-aaaaaaaaaa") is None
    assert names_like("intent").startswith("intent")


def test_service_errors_are_those_of_the_models_own_versions() -> None:
    """A query that Prometheus sums up by backend; what only looks like one is left out."""
    scraped = Scraped()
    scraped.scrape(NOW_S, recorded("istio")[0])
    summed_up: Matrix = [
        {"metric": {"backend": backend, "envoy_response_code_class": code, "window": "60.0"}, "value": [NOW_S, value]}
        for backend, code, value in [
            (resource_name("intent", "6"), "200", "90"),
            (resource_name("intent", "7"), "503", "2.2"),
            ("intent-v8-aaaaaaaaaa", "503", "50"),
        ]
    ]
    asked: list[str] = []

    def query(promql: str, at_s: float) -> Matrix:
        asked.append(promql)
        return summed_up if "increase" in promql else scraped.query(promql, at_s)

    found = GatewayReader(query, stale_after_s=45.0, lookback_s_max=600.0, place=place_of("istio"))
    assert found.service_errors("intent", (60.0,), at_s=NOW_S) == {60.0: (2, 92)}
    assert json.dumps("prod") in asked[-1]


@needs_promtool
@pytest.mark.parametrize("kind", [*COUNTED, "envoy-gateway"])
def test_prometheus_sums_up_the_errors_of_a_service(kind: str, tmp_path: Path) -> None:
    """Each series of the first scrape grows by 2 every 15 s; one of 5 errors begins within the window."""
    place = place_of(kind)
    words, label, status = GatewayWords(place), place.kind.backend_label, place.kind.status_label
    grown: Counter[tuple[str, str]] = Counter()
    series = {"up": (target({}), "1x80")}
    for name, labels, value in recorded(kind)[0]:
        if name == place.kind.requests:
            series[f"{name} {labels}"] = target({"__name__": name, **labels}), f"{value:g}+2x80"
            if re.fullmatch(words.of_model("intent"), labels[label]) and ours(place.kind.only, labels):
                grown[labels[label], labels[status]] += 40
    backend = next(iter(grown))[0]
    alike = next(labels for name, labels, _ in recorded(kind)[0] if labels.get(label) == backend and status in labels)
    begun = {"__name__": place.kind.requests, **alike, status: "599"}
    series["begun"] = target(begun), "_x70 5x10"
    expected = [sample(label, status, *one, part="grown", value=value) for one, value in grown.items()]
    expected += [
        sample(label, status, backend, "599", part=part, value=value) for part, value in (("grown", 0), ("begun", 5))
    ]
    query = f"round({' or '.join(summed('intent', 300.0, words))})"
    test = {
        "interval": "15s",
        "input_series": [{"series": said, "values": values} for said, values in series.values()],
        "promql_expr_test": [{"expr": query, "eval_time": "20m", "exp_samples": expected}],
    }
    (tmp_path / "test.yml").write_text(json.dumps({"tests": [test]}))
    command = ["promtool", "test", "rules", "test.yml"]
    told = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert told.returncode == 0, told.stdout + told.stderr
    assert sum(grown.values()) > 0


def target(labels: Mapping[str, str]) -> str:
    every = {"__name__": "up", **labels, "job": JOB, "instance": "10.0.0.1:15020"}
    return f"{every.pop('__name__')}{{{','.join(f'{name}={json.dumps(value)}' for name, value in every.items())}}}"


def ours(only: Mapping[str, str], labels: Mapping[str, str]) -> bool:
    return all(labels[name] == said.format(namespace="prod") for name, said in only.items())


def sample(label: str, status: str, backend: str, code: str, *, part: str, value: int) -> dict[str, object]:
    labels = {label: backend, status: code, "backend": backend, CODE_CLASS_LABEL: code, "window": "300.0", "part": part}
    return {"labels": f"{{{','.join(f'{name}={json.dumps(said)}' for name, said in labels.items())}}}", "value": value}
