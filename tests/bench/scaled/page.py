"""The page that is made of the simulation: ``docs/scale.md``."""

import math
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from tests.bench.scaled import day, queue, sporadic
from tests.bench.scaled.figures import Encoder, Figures

PEAK_PER_S: Final = 10_000.0
OBJECTIVE_P95_MS: Final = 180.0
CANARY_RATIO: Final = 0.05
HEADROOM_RATIO: Final = 0.85  # of the load at which P95 meets the objective: what the autoscaler aims at
SCRAPE_S: Final = 15
IDLE_S: Final = 60.0  # Knative's stable window, by default
POD_S: Final = 2.0  # assumed: from the request to a container that runs, image and package on the node
CORE_HOUR_PRICE: Final = 0.04  # assumed, in whatever currency
CALLS_PER_H: Final = (1, 10, 60, 600, 6_000)
SIMULATED: Final = 200  # replicas of the queue's simulation: with more, the luck of one matters less
TEXTS: Final = 60_000
SEED: Final = 11

_INTRODUCTION: Final = """# At scale

Written by `make bench-scale`; do not edit. A simulation, based on measurements of one replica, of two services: 10,000
requests a second on a cluster, and a few calls an hour, each paid for by itself. Nothing here was run on a cluster of
that size.
"""


@dataclass(frozen=True, slots=True)
class Service:
    """An encoder at the peak, and what a day of it takes without and with a canary."""

    encoder: Encoder
    load: float  # the greatest at which P95 meets the objective
    waited: queue.Waited
    per_s: float  # of one replica, always busy
    plain: day.Day
    canary: day.Day

    @property
    def price(self) -> float:
        """Return the price of 1,000 requests."""
        return self.plain.per_1000(CORE_HOUR_PRICE)


def service(encoder: Encoder) -> Service | None:
    """The service as simulated; None where a text alone takes longer than the objective."""
    load = queue.greatest_load(SIMULATED, encoder.service_s, p95_ms=OBJECTIVE_P95_MS, texts=TEXTS, seed=SEED)
    if not load:
        return None
    target = load * HEADROOM_RATIO
    per_s = 1000 / encoder.served_cpu_ms
    traffic = day.traffic_per_s(PEAK_PER_S, seed=SEED)
    start_s = encoder.start_s + POD_S
    extra = math.ceil(CANARY_RATIO * PEAK_PER_S / (per_s * target))
    days = [
        day.play(traffic, replica_per_s=per_s, target_load=target, start_s=start_s, extra=canary)
        for canary in (0, extra)
    ]
    waited = queue.play(SIMULATED, target, encoder.service_s, texts=TEXTS, seed=SEED + 1)
    return Service(encoder, load, waited, per_s, *days)


def lines(figures: Figures, capture_ratios: Mapping[float, float]) -> Iterator[str]:
    """The page, line by line. ``capture_ratios``: the share of requests that gates ask for at the peak, by the share of
    those that are labelled."""
    services = [(encoder, service(encoder)) for encoder in figures.encoders]
    yield _INTRODUCTION
    yield from _measured(figures)
    yield from _fleet(services)
    most = max(one.canary.most for _, one in services if one is not None and one.encoder.name == "DistilBERT int8")
    yield from _around(figures, capture_ratios, most)
    yield from _sporadic(figures)


def _measured(figures: Figures) -> Iterator[str]:
    yield "## Measured\n"
    yield _prose(
        f"On {figures.machine}, one core per replica, one encoder after the other; random weights, so only speed means "
        "anything here; texts of 38 tokens on average. The machine was also doing other work: a quiet one takes some "
        "0.6 of these times ([serving](benchmarks/serving.md)), and needs some 0.6 of the replicas and prices; the "
        "ratios between encoders hold."
    )
    rows = [
        [
            encoder.name,
            f"{encoder.parameters_m:g}",
            f"{encoder.served_cpu_ms:.1f}",
            f"{max(encoder.text_cpu_ms):.0f}",
            f"{encoder.start_s:.1f}",
            f"{encoder.memory_mb:.0f}",
        ]
        for encoder in figures.encoders
    ]
    yield from _table(
        ["encoder", "M parameters", "processor ms per text, served", "longest text, ms", "start, s", "memory, MB"], rows
    )


def _fleet(services: Sequence[tuple[Encoder, Service | None]]) -> Iterator[str]:
    yield f"\n## 10,000 requests a second, P95 below {OBJECTIVE_P95_MS:g} ms\n"
    yield _prose(
        "Each replica answers one text at a time; the gateway picks the less loaded of two replicas. *Load* is the "
        "share of its time that a replica may be busy before P95 reaches the objective (found by simulating "
        f"{TEXTS:,} requests on {SIMULATED} replicas); the autoscaler aims at {HEADROOM_RATIO:.0%} of it. At night "
        f"traffic falls to {day.NIGHT_RATIO:.0%} of the peak; {day.BURSTS} bursts a day add half as much again. The "
        f"autoscaler is the HPA with its defaults (it looks every {day.SYNC_S} s, tolerates {day.TOLERANCE_RATIO:.0%} "
        f"and waits {day.CALM_S} s before it removes replicas). *Late* requests came in a second with more requests "
        f"than could be answered. A replica costs {CORE_HOUR_PRICE} an hour (assumed: your "
        "own price changes the last columns, not their ratio)."
    )
    rows = []
    reference = next((one for encoder, one in services if one is not None and encoder.name == "BERT fp32"), None)
    for encoder, one in services:
        if one is None:
            rows.append([encoder.name, "its longest texts alone take longer", *[""] * 7])
            continue
        rows.append(
            [
                encoder.name,
                f"{one.load:.2f}",
                f"{one.per_s * one.load * HEADROOM_RATIO:.0f}",
                f"{one.waited.p50_ms:.0f} / {one.waited.p95_ms:.0f} / {one.waited.p99_ms:.0f}",
                f"{one.plain.least} to {one.plain.most}",
                f"{one.canary.most - one.plain.most}",
                f"{one.plain.late_ratio:.2%}",
                f"{one.price:.5f}",
                "" if reference is None else f"{one.price / reference.price:.2f}",
            ]
        )
    yield from _table(
        [
            "encoder",
            "load",
            "requests/s per replica",
            "P50 / P95 / P99, ms",
            "replicas during the day",
            "extra for a 5 % canary",
            "late",
            "price of 1,000",
            "relative to BERT fp32",
        ],
        rows,
    )
    yield from _thirds(services)


def _thirds(services: Sequence[tuple[Encoder, Service | None]]) -> Iterator[str]:
    """What DistilBERT costs of BERT in the same precision: the scenario asks for two thirds."""
    found = {encoder.name: one for encoder, one in services}
    for precision in ("int8", "fp32"):
        small, large = found.get(f"DistilBERT {precision}"), found.get(f"BERT {precision}")
        if small is not None and large is not None:
            ratio = small.price / large.price
            yield f"\nIn {precision}, DistilBERT costs {ratio:.0%} of BERT per request (required: at most 67 %)."
        elif small is not None:
            yield f"\nIn {precision}, BERT cannot meet the objective on such cores at any load; DistilBERT can."


def _around(figures: Figures, capture_ratios: Mapping[float, float], replicas: int) -> Iterator[str]:
    series = replicas * figures.replica_series + 2 * figures.gateway_series
    yield f"\n## What else that takes, at the peak of a canary of DistilBERT int8 ({replicas} replicas)\n"
    yield _prose(
        f"Prometheus holds {series:,} series ({figures.replica_series} per replica, {figures.gateway_series} per "
        f"version at the gateway) and takes {series / SCRAPE_S:,.0f} samples a second, scraping every {SCRAPE_S} s. "
        f"The journal grows by {figures.journal_mb_day:g} MB for each day that a release is in probation, whatever the "
        "traffic (`make bench-journal`). How many answers are sampled during a release depends on what the gates need "
        "(`serin plan`; here by the default policy): the fewer requests are labelled, the more have to be sampled so "
        "that labels meet samples."
    )
    rows = []
    for labelled, captured in capture_ratios.items():
        per_s = 2 * PEAK_PER_S * captured  # of both versions
        rows.append(
            [
                f"{labelled:.1%}",
                f"{captured:.1%}",
                f"{per_s:,.0f}",
                f"{per_s / figures.intake_per_cpu_s:.2f}",
                f"{per_s * 3600 * figures.sample_bytes / 1e9:,.1f}",
            ]
        )
    head = ["requests labelled", "sampled", "samples a second", "cores of the controller", "GB per hour of release"]
    yield from _table(head, rows)
    yield "\n`samples_mb_max` bounds what is kept, however much arrives."


def _sporadic(figures: Figures) -> Iterator[str]:
    encoder = figures.encoder("DistilBERT int8")
    yield "\n## Paid per call\n"
    yield _prose(
        "The same image on a platform that stops idle replicas (Knative Serving, or KServe in "
        "its serverless mode): it listens on one port, is ready when its engine answers, and drains at "
        f"SIGTERM. DistilBERT int8 starts in {encoder.start_s:.1f} s, and {POD_S:g} s are assumed for the "
        f"pod, its image and package on the node. A replica is stopped {IDLE_S:g} s after its last answer "
        "(Knative's default). Calls come at random moments; a call that comes after a longer gap waits for a start."
    )
    rows = []
    for calls in CALLS_PER_H:
        one = sporadic.per_call(
            calls, start_s=encoder.start_s + POD_S, idle_s=IDLE_S, answer_s=encoder.served_cpu_ms / 1000
        )
        price = one.price(CORE_HOUR_PRICE)
        beside = f"{price * calls / CORE_HOUR_PRICE:.2f}"
        rows.append([f"{calls:,}", f"{one.cold_ratio:.1%}", f"{one.billed_s:.1f}", f"{1000 * price:.3f}", beside])
    yield from _table(
        [
            "calls an hour",
            "wait for a start",
            "seconds paid per call",
            "price of 1,000 calls",
            "relative to a replica that always runs",
        ],
        rows,
    )
    yield ""
    yield _prose(
        "To keep cold starts below 1 % with few calls, keep one replica running "
        '(`autoscaling.knative.dev/min-scale: "1"`): from some 60 calls an hour on it costs little more. A release '
        "needs both versions running for as long as it "
        "lasts, however few calls come: capacity that is not ready gets no traffic."
    )


def _prose(text: str) -> str:
    return textwrap.fill(text, 120, break_long_words=False, break_on_hyphens=False) + "\n"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|{' --- |' * len(head)}"
    for row in rows:
        yield f"| {' | '.join(row)} |"
