"""The server beside the bare engine: throughput, latency, memory, start, overload, and the hop through Envoy."""

import json
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final, NamedTuple

import psutil

from controller.adapters.envoy.traffic import EnvoyTraffic
from controller.core.traffic import TrafficTable
from serving.contract import PREDICT_ROUTE
from serving.inference.engine import Engine
from serving.package.artifact import read_manifest
from tests.bench._table import Bar
from tests.bench.served.measure import (
    CONNECTIONS,
    Bare,
    Speed,
    Target,
    at_rate,
    median,
    one_by_one,
    overloaded,
    pooled,
    saturated,
)
from tests.bench.served.models import MODEL, VERSION, Models, Subject
from tests.contracts.traffic import is_served
from tests.controller.envoy_support import running_envoy, set_endpoint
from tests.patience import eventually
from tests.serving.replica import REPOSITORY, Replica, end, replica, until

ROUNDS: Final = 4
STARTS: Final = 5
HOPS: Final = 5
OVERLOAD: Final = 3
OVERLOAD_S: Final = 10.0
REFUSED_MS: Final = 50.0
ONE_THREAD: Final = ("--threads", "1")
SATURATED, PERFECT = "saturated", "bare, perfect batches"


class Round(NamedTuple):
    single: Speed
    batches: Speed
    full: Speed
    half: Speed


def target_of(running: Replica) -> Target:
    return Target("Serin", running.url + PREDICT_ROUTE, running.family())


def speed_rows(subject: Subject, *, memory_mb_max: float | None = None, bars: bool = True) -> Iterator[Bar]:
    bare, texts, passes = Bare(subject), subject.texts, subject.passes
    rounds = []
    with replica(subject.package, *ONE_THREAD, version=VERSION) as it:
        target = target_of(it)
        saturated(target, texts[: 2 * CONNECTIONS], 1)
        for _ in range(ROUNDS):
            single, batches = bare.singles(), bare.perfect_batches()
            full = saturated(target, texts, 2 * passes)
            rounds.append(Round(single, batches, full, at_rate(target, texts, passes, full.per_s / 2)))
        memory_mb = target.memory_mb()
    name = subject.name
    yield from _ratio_rows(name, rounds, bars=bars)
    for what, speeds in (
        ("bare, single", [one.single for one in rounds]),
        (PERFECT, [one.batches for one in rounds]),
        (SATURATED, [one.full for one in rounds]),
        ("half of that rate", [one.half for one in rounds]),
    ):
        yield Bar(f"{name}: {what}", median(speed.per_s for speed in speeds), "texts/s")
        for percent in () if what == PERFECT else (50, 99):
            yield Bar(f"{name}: {what}", pooled(speeds, percent), f"P{percent} ms")
        yield Bar(f"{name}: {what}", median(speed.cpu_ms for speed in speeds), "processor ms/text")
    yield Bar(f"{name}: the load's share of a core", max(one.full.load_ratio for one in rounds), "ratio")
    yield Bar(f"{name}: memory of the replica, all processes", memory_mb, "MB", at_most=memory_mb_max)


def _ratio_rows(name: str, rounds: Sequence[Round], *, bars: bool) -> Iterator[Bar]:
    throughput = [one.full.per_s / one.batches.per_s for one in rounds]
    spent = [one.batches.cpu_ms / one.full.cpu_ms for one in rounds]
    what = f"{name}: saturated requests/s ÷ perfect batches"
    share = 0.92 if bars else None
    yield Bar(what, median(throughput), "ratio", at_least=share)
    yield Bar(f"{what}, least of {len(rounds)} rounds", min(throughput), "ratio")
    yield Bar(f"{what}, most of {len(rounds)} rounds", max(throughput), "ratio")
    what = f"{name}: processor time of a perfect batch's text ÷ a served one's"
    yield Bar(what, median(spent), "ratio", at_least=share)
    single, half = [one.single for one in rounds], [one.half for one in rounds]
    for percent, at_most in ((99, 3.0 if bars else None), (50, None)):
        what = f"{name}: P{percent} at half of that rate ÷ P{percent} of bare single texts"
        yield Bar(what, pooled(half, percent) / pooled(single, percent), "ratio", at_most=at_most)


def overload_rows(subject: Subject) -> Iterator[Bar]:
    objective = ("--objective-ms", f"{subject.objective_ms:g}", "--max-wait-ms", f"{subject.objective_ms / 2:g}")
    with replica(subject.package, *ONE_THREAD, version=VERSION) as it:
        rate_per_s = saturated(target_of(it), subject.texts, 2 * subject.passes).per_s
    # A connection holds one request at a time: enough of them that those which wait do not thin out the offer.
    connections = int(OVERLOAD * rate_per_s * subject.objective_ms / 1000) + CONNECTIONS
    with replica(subject.package, *ONE_THREAD, *objective, version=VERSION) as it:
        target = target_of(it)
        one_by_one(target, subject.texts)
        found = overloaded(target, subject.texts, OVERLOAD * rate_per_s, connections, OVERLOAD_S)
    name = f"{subject.name}: {OVERLOAD} times the saturated rate"
    yield Bar(f"{name}, P99 of the accepted ÷ objective", found.accepted_p99_ms / subject.objective_ms, "ratio", 1.0)
    yield Bar(f"{name}, P99 of the refused", found.refused_p99_ms, "ms", REFUSED_MS)
    yield Bar(f"{name}, refused", found.refused_ratio, "ratio")
    yield Bar(f"{name}, answered ÷ the saturated rate", found.goodput_per_s / rate_per_s, "ratio")


def start_rows(models: Models) -> Iterator[Bar]:
    for subject, at_most in ((models.int8, 1.5), (models.fp32, 2.5)):
        text = subject.texts[0]
        expected = Engine(subject.package, read_manifest(subject.package)[0]).predict([text])[0].probabilities
        starts = [start(subject.package, text, max(expected)) for _ in range(STARTS)]
        what = f"{subject.name}: process start to first correct answer"
        yield Bar(what, median(took_s for took_s, _ in starts), "s", at_most=at_most)
        yield Bar(f"{what}, processor time", median(spent_s for _, spent_s in starts), "s")


def start(package: Path, text: str, expected: float) -> tuple[float, float]:
    """From the start of the process to the first correct answer, and the processor time of all its processes, in s."""
    with tempfile.TemporaryDirectory() as folder:
        port_file = Path(folder) / "port"
        began_s = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, "-m", "serving", "--artifact", str(package), "--model", MODEL, "--version", VERSION,
             "--port", "0", "--port-file", str(port_file), *ONE_THREAD],
            cwd=REPOSITORY, stdout=subprocess.DEVNULL, text=True, start_new_session=True,
        )  # fmt: skip
        try:
            until(port_file.exists, "the replica listens")
            url = f"http://127.0.0.1:{port_file.read_text().strip()}{PREDICT_ROUTE}"
            request = urllib.request.Request(url, json.dumps({"text": text}).encode())
            with urllib.request.urlopen(request) as answer:  # noqa: S310  (waits until a worker is ready)
                took_s = time.perf_counter() - began_s
                found = max(json.load(answer)["probabilities"].values())
            family = [root := psutil.Process(process.pid), *root.children(recursive=True)]
            spent_s = sum(times.user + times.system for times in (one.cpu_times() for one in family))
            if abs(found - expected) > 1e-5:
                raise RuntimeError(f"the first answer is {found}, where {expected} is right")
            return took_s, spent_s
        finally:
            end(process)


def envoy_rows(subject: Subject) -> Iterator[Bar]:
    """What a hop through Envoy adds, with one request at a time."""
    hops = []
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        it = stack.enter_context(replica(subject.package, *ONE_THREAD, version=VERSION))
        envoy = stack.enter_context(running_envoy(Path(folder)))
        traffic = EnvoyTraffic(envoy.directory)
        set_endpoint(traffic, MODEL, VERSION, it.url)
        traffic.write(TrafficTable(MODEL, {VERSION: 100.0}, generation=1))
        eventually(lambda: is_served(traffic, MODEL, 1), what="Envoy to route")
        direct = target_of(it)
        through = Target("Envoy", f"{envoy.url}/models/{MODEL}{PREDICT_ROUTE}", it.family())
        for _ in range(HOPS):
            both = [one_by_one(target, subject.texts).pct(50) for target in (through, direct)]
            hops.append(both[0] - both[1])
    yield Bar("a hop through Envoy, P50", median(hops), "ms", at_most=0.5)
