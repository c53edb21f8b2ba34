"""The journal of a large installation: what a day of probation takes, and how soon it answers beside a long release.

A release is played by the real gates and the real decision into probation and through a day of it; each look tells what
a service of 60 requests a second does. Then one release has looked for 30 days in a database of 500 models, each with
former releases. What the machine does beside is no part of the figures: of short work the best of several tries counts,
of reports, made by processes of their own, the processor's time; what a clock on the wall says is told too.
"""

import argparse
import io
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
from rich.console import Console

from controller.adapters.sql.store import Store
from controller.api.access import ANYBODY
from controller.api.entries import EntryRoutes
from controller.api.http import JSON_LINES_TYPE, Call, Chunks, Raw
from controller.config.settings import Home, Settings
from controller.core.actions import look_is_due
from controller.core.condition import Condition
from controller.core.decide import after_events, decide
from controller.core.events import Looked, Started, fold
from controller.core.facts import Fact, Routed, Serving
from controller.core.release import Cursors, Phase, Release, Version
from controller.core.traffic import TrafficTable
from controller.journal.codec import entry_of, record_of
from controller.loop.identities import Identities
from controller.overview import Overview, current
from controller.status import status_table
from gates.evidence import ArmCounts, LabelSource, Look, Profile, Resources, UserCounts
from gates.verdict import Window
from suites.intents.demo.installation import SERIN
from tests.bench._table import Bar, machine, report
from tests.controller.releases import taken
from tests.controller.report_support import EDGES_MS, POLICY, Journal, Scene, look, play, started
from tests.stores import new_store

DAY_S: Final = 86_400.0
LONG_DAYS: Final = 30
MODELS: Final = 500
FORMER: Final = 2  # releases of each model that have ended
TRIES: Final = 7
MS_MAX: Final = 100.0
SCENE: Final = Scene(stop_after_s=3_000.0)
CLASSES: Final = tuple(f"class-{number}" for number in range(20))
TOKEN_EDGES: Final = (8, 16, 32, 64, 128, 256, 512)


# By a small process: the most memory that a process held counts what it was forked from.
MEASURING: Final = """
import os, subprocess, sys
process = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL)
_, status, used = os.wait4(process.pid, 0)
print(used.ru_utime + used.ru_stime, used.ru_maxrss)
sys.exit(os.waitstatus_to_exitcode(status))
"""


@dataclass(frozen=True, slots=True)
class Costs:
    """What a process took from its start to its end, and the most memory that it held."""

    cpu_s: float
    wall_s: float
    peak_mb: float


def run(every_s: float = POLICY.probation_look_every_s) -> list[Bar]:
    with tempfile.TemporaryDirectory() as folder:
        played = _in_probation()
        return [*_day(Home(Path(folder) / "day"), played), *_long(Home(Path(folder) / "long"), played, every_s)]


def main() -> int:
    flags = argparse.ArgumentParser(prog="python -m tests.bench.journal", description=__doc__)
    flags.add_argument("--look-every-s", type=float, default=POLICY.probation_look_every_s, help="of the long release")
    every_s = flags.parse_args().look_every_s
    return report("journal", machine() + run(every_s))


def _in_probation() -> Journal:
    """A release of the scene at the beginning of its probation."""
    journal = play(SCENE)
    while journal.release is not None and journal.release.phase is not Phase.PROBATION:
        raise RuntimeError(f"the release of the scene came to {journal.release.phase}: {journal.release.reason}")
    return journal


def full(seen: Look) -> Look:
    """The look with all that a service tells beside counts: users, profiles, resources, sources of labels."""
    arms = (seen.stable, seen.candidate)
    requests = sum(arm.requests for arm in arms if arm is not None)
    share = requests // 20
    profile = Profile(
        token_counts=(share,) * (len(TOKEN_EDGES) + 1),
        class_counts=(share,) * len(CLASSES),
        confidence_counts=(share,) * 20,
        tokens=31 * requests,
        unknown_tokens=share,
        requests=requests,
        tokenizer="f" * 64,
    )
    resources = Resources(0.4, 0.2, None, 1.5, 0, 0, 180.0, 0.01)
    users = [arm or ArmCounts(0, 0, (0,) * (len(EDGES_MS) + 1)) for arm in arms]
    return replace(
        seen,
        token_edges=TOKEN_EDGES,
        classes=CLASSES,
        stable_profile=profile,
        candidate_profile=profile,
        stable_resources=resources,
        candidate_resources=resources,
        tokenizer_pinned="f" * 64,
        label_sources=tuple(LabelSource(f"source-{n}", 5_000, 3, (), 5_000, 12, 4_900.0) for n in range(3)),
        users=UserCounts(users[0], users[1], EDGES_MS),
    )


# --- a day of probation -----------------------------------------------------------------------------------------------
def _day(home: Home, played: Journal) -> list[Bar]:
    with _opened(home) as store:
        store.journal.append(played.record, [one.entry for one in played.entries])
        before = _size_mb(home)
        release = _probation(store, played)
        size = _size_mb(home) - before
        looks = [one for one in store.journal.entries(release.id)[len(played.entries) :] if one.kind == Looked.__name__]
        made = _report_costs(home, release.id)
    return [
        Bar("looks in a day of probation", len(looks), ""),
        Bar("a look as it is stored (median)", statistics.median(len(one.text or "") for one in looks) / 1e3, "kB"),
        Bar("a day of probation in the journal", size, "MB", at_most=15.0),
        Bar("`serin report` of it, the whole process", made.cpu_s, "CPU s", at_most=2.0),
        Bar("the same on the wall", made.wall_s, "s"),
        Bar("memory of its report", made.peak_mb, "MB", at_most=200.0),
    ]


def _probation(store: Store, played: Journal) -> Release:
    """The release at the end of its probation, each step of it appended as the controller does."""
    release, sequence, at_s = played.release, len(played.entries), played.entries[-1].at_s
    assert release is not None
    rng = np.random.default_rng(11)
    while release.active:
        at_s += POLICY.look_every_s
        facts = tuple(_facts(release, at_s, rng))
        events = decide(release, facts, at_s)
        if not events:
            continue
        release = after_events(release, events, facts, at_s)
        sequence += len(events)
        store.journal.append(record_of(release, sequence), [entry_of(event, at_s) for event in events])
    return release


def _facts(release: Release, at_s: float, rng: np.random.Generator) -> Iterator[Fact]:
    yield from (Serving("6", Condition.READY), Serving("7", Condition.READY), Routed({"7": 100.0}, release.looks + 1))
    if look_is_due(release, at_s):
        since_s = release.looked_at_s or release.phase_since_s
        seen = full(look(SCENE, release.looks + 1, since_s, at_s, 1.0, rng))
        yield taken(release, seen, Cursors({f"counter-{n}": float(n) for n in range(400)}, at_s))


# --- a long release among many models ---------------------------------------------------------------------------------
def _long(home: Home, played: Journal, every_s: float) -> list[Bar]:
    with _opened(home) as store:
        entries = _look_on(store, played, every_s)
        release = played.release
        assert release is not None
        tables = _fill(store, release)
        rows = [
            Bar("entries of a release of 30 days", entries, ""),
            Bar("the database with 500 models", _size_mb(home), "MB"),
            Bar("start of a new release", _best_ms(_starts(store, release)), "ms", at_most=MS_MAX),
            Bar("status of 500 models", _best_ms(lambda: _status(store, None, tables)), "ms", at_most=MS_MAX),
            Bar("status of one", _best_ms(lambda: _status(store, release.model, tables)), "ms", at_most=MS_MAX),
            Bar("first page of entries", _best_ms(lambda: _first(store, release.id, "")), "ms", at_most=MS_MAX),
            Bar("first lines", _best_ms(lambda: _first(store, release.id, JSON_LINES_TYPE)), "ms", at_most=MS_MAX),
        ]
        made, payloads = _report_costs(home, release.id), _payloads_mb(store)
        began_s = time.perf_counter()
        store.looks.prune(played.entries[-1].at_s + 2 * LONG_DAYS * DAY_S)
        thinned_s = time.perf_counter() - began_s
        summed = _report_costs(home, release.id)
        return [
            *rows,
            Bar("report of the long release", made.cpu_s, "CPU s"),
            Bar("memory of that report", made.peak_mb, "MB", at_most=200.0),
            Bar("payloads of the journal", payloads, "MB"),
            Bar("payloads once thinned", _payloads_mb(store), "MB"),
            Bar("thinning", thinned_s, "s"),
            Bar("report once thinned", summed.cpu_s, "CPU s"),
        ]


def _look_on(store: Store, played: Journal, every_s: float) -> int:
    """The played release, and then 30 days of looks of its probation; how many entries that makes."""
    release, begin_s, rng = played.release, played.entries[-1].at_s, np.random.default_rng(5)
    assert release is not None
    store.journal.append(played.record, [one.entry for one in played.entries])
    some = [full(look(SCENE, 1, begin_s, begin_s + every_s, 1.0, rng)) for _ in range(50)]
    verdicts = tuple(release.verdicts.values())[:3]
    readings = {gate: (v.value, None, None) for gate, v in release.verdicts.items() if v.value is not None}
    sequence, total = len(played.entries), int(LONG_DAYS * DAY_S / every_s)
    for start in range(0, total, 500):
        steps = range(start + 1, min(start + 500, total) + 1)
        entries = []
        for step in steps:
            window = Window(begin_s + every_s * (step - 1), begin_s + every_s * step)
            seen = replace(some[step % len(some)], sequence=release.looks + step, window=window)
            entries.append(entry_of(Looked(seen, verdicts, readings, release.deadline_at_s), window.end_s))
        sequence += len(entries)
        store.journal.append(record_of(release, sequence), entries)
    return sequence


def _fill(store: Store, release: Release) -> Mapping[str, TrafficTable]:
    """Models beside that of the release, each with former releases and one in progress; the traffic of all."""
    models = [f"model-{number:03}" for number in range(MODELS - 1)]
    for model in models:
        for number in range(FORMER + 1):
            phase = release.phase if number == FORMER else Phase.PROMOTED
            one = replace(release, id=f"{model}-v7-{number}", model=model, phase=phase, started_at_s=float(number))
            store.journal.append(record_of(one, 1), [entry_of(started(id=one.id, model=model), one.started_at_s)])
    return {model: TrafficTable(model, {"6": 95.0, "7": 5.0}, known_good="6") for model in (*models, release.model)}


def _starts(store: Store, release: Release) -> Callable[[], None]:
    """What the journal is asked, and told, when a release begins."""
    versions = iter(range(1_000, 10_000))

    def start() -> None:
        journal, model, number = store.journal, "model-007", str(next(versions))
        known, version = Identities(journal), Version(number, f"m-{number}")
        assert not known.released(model, version)
        journal.newest(model, (Phase.PROMOTED, Phase.PROBATION))
        event: Started = started(
            id=f"{model}-v{number}-{journal.count(model, number) + 1}",
            model=model,
            candidate=known.recognised(model, version),
            stable=known.of(model, "7"),
            fallback=known.of(model, "6"),
            policy=release.policy,
        )
        journal.append(record_of(fold(None, [event], 1.0), 1), [entry_of(event, 1.0)])

    return start


def _status(store: Store, model: str | None, tables: Mapping[str, TrafficTable]) -> None:
    shown = {name: table for name, table in tables.items() if model in (None, name)}
    records = current(store.journal, model)
    assert len(records) == len(shown)
    Console(width=120, file=io.StringIO()).print(status_table(Overview(records, now_s=time.time(), traffic=shown)))


def _first(store: Store, release_id: str, accept: str) -> None:
    """The first page of entries, or the first lines of all, as the interface sends them."""
    reply = EntryRoutes(store.journal).of_release(
        Call(ANYBODY, {"release_id": release_id}, {}, {"accept": accept}, "", b"")
    )
    body = reply.body if isinstance(reply, Raw) else next(reply.lines)
    assert isinstance(reply, Chunks) == bool(accept)
    assert len(body) > 100_000


# --- measured ---------------------------------------------------------------------------------------------------------
@contextmanager
def _opened(home: Home) -> Iterator[Store]:
    """A new store of an installation that has nothing else."""
    home.save(Settings())
    store = new_store(home.database_url(home.load()))
    try:
        yield store
    finally:
        store.close()


def _best_ms(work: Callable[[], None]) -> float:
    """The shortest of several tries."""
    taken_s = []
    for _ in range(TRIES):
        began_s = time.perf_counter()
        work()
        taken_s.append(time.perf_counter() - began_s)
    return 1_000 * min(taken_s)


def _report_costs(home: Home, release_id: str) -> Costs:
    command = [SERIN, "report", release_id, "--home", str(home.path)]
    began_s = time.perf_counter()
    told = subprocess.run([sys.executable, "-c", MEASURING, *command], check=True, stdout=subprocess.PIPE, text=True)
    cpu_s, peak_kib = map(float, told.stdout.split())
    return Costs(cpu_s, time.perf_counter() - began_s, peak_kib / 1024)


def _size_mb(home: Home) -> float:
    """Of the database, and of what it has not yet written back."""
    return sum(file.stat().st_size for file in home.path.glob("serin.db*") if "-shm" not in file.name) / 1e6


def _payloads_mb(store: Store) -> float:
    with store.database.engine.connect() as connection:
        return float(connection.exec_driver_sql("SELECT SUM(LENGTH(payload)) FROM entries").scalar_one()) / 1e6


if __name__ == "__main__":
    sys.exit(main())
