"""Nights on a real installation: parts killed, stopped and all ended at once, under a steady load and real releases.

    python -m tests.bench.night [--only kills,stops,words,reboots,clocks] [--seed N]

Each night starts an installation of its own (MLflow, Prometheus, Envoy, the controller, LitServe replicas) and sends it
requests and late labels. It takes some five minutes, and ends by itself.
"""

import argparse
import ctypes
import os
import random
import signal
import struct
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import httpx
import psutil

from controller.adapters.local.kept import running_supervisor
from controller.adapters.local.marks import running_marked
from suites.intents.demo.installation import SERIN, DemoError, installation
from tests.bench._table import Bar, machine, report
from tests.disks import filled, small_disk
from tests.e2e.conftest import Site
from tests.patience import eventually

POLICY: Final = Path(__file__).parents[1] / "e2e" / "policy-restart.yaml"
SUPERVISOR: Final = "serin up"
WORKER: Final = " worker"  # of a replica: the process that computes
RATE_PER_S: Final = 30.0
NIGHT_S: Final = 900.0
BETWEEN_KILLS_S: Final = 6.0
DISK_MB: Final = 1_500
STOPPED_S: Final = 12.0
CLOCK_OFFSETS_S: Final = (5.0, 0.0, -5.0, 30.0, 0.0, -3_600.0, 0.0)
CLOCK_BLIND_S: Final = 180.0  # a minute in which nothing is counted, and the steps of a canary
BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")
_OWN_MOUNTS: Final = 0x00020000  # CLONE_NEWNS
# A request was in flight on what was killed, or found nobody there until it was up again.
SHADOW_OF_A_KILL_S: Final = 15.0
REFUSED: Final = ("ConnectError", "ReadError", "RemoteProtocolError")  # a client's, where its connection is closed

PARTS: Final = ("controller", "envoy", "prometheus", "mlflow", SUPERVISOR, "intent-v1", "intent-v2" + WORKER)


@dataclass
class Night:
    """An installation that is up, and what was done to it."""

    site: Site
    up: subprocess.Popen[bytes] | None = None  # the one we started, once we ended the first
    done: list[tuple[str, float]] = field(default_factory=list)  # to which part, when (monotonic)

    @property
    def home(self) -> Path:
        return self.site.serin.home

    def pids(self) -> dict[str, int]:
        """Of what runs for this home, by name; of a replica also its worker."""
        keepers = (self.home, self.home / "deployments")
        found = {name: one.pid for keeper in keepers for name, one in running_marked(keeper).items()}
        supervisor = running_supervisor(self.home)
        if supervisor is not None:
            found[SUPERVISOR] = supervisor.pid
        for name, pid in tuple(found.items()):
            if name.startswith("intent-") and (children := _children(pid)):
                found[name + WORKER] = children[-1]
        return found

    def signal(self, part: str, number: int) -> bool:
        """Whether the part was there."""
        pid = self.pids().get(part)
        if pid is None:
            return False
        self.done.append((part, time.monotonic()))
        with suppress(ProcessLookupError):
            os.kill(pid, number)
        return True

    def kill(self, part: str) -> bool:
        """With ``serin up`` started again where it was that, as the service manager of a machine does."""
        killed = self.signal(part, signal.SIGKILL)
        if killed and part == SUPERVISOR:
            eventually(lambda: running_supervisor(self.home) is None, what="serin up to be gone")
            self.start()
        return killed

    def end_at_once(self) -> None:
        """As a machine that loses its power: everything, and what it started."""
        self.done.append(("reboot", time.monotonic()))
        pids = set(self.pids().values())
        everything = {child.pid for pid in pids for child in _family(pid)} | pids
        for pid in everything:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)  # nobody starts again what goes first
        for pid in everything:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        eventually(lambda: not self.pids(), what="everything to be gone")

    def start(self) -> None:
        with (self.home / "up-again.log").open("ab") as log:
            command = [SERIN, "up", "--home", str(self.home)]
            self.up = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)

    def unexplained(self, load: Mapping[str, Any], parts: Sequence[str], refused: str = "") -> int:
        """Failed requests that were neither in flight nor sent within a moment of something done to these parts; nor,
        of those whose connection was refused, to the part that refuses some."""
        return sum(
            not self._near(parts, asked_s, ended_s)
            and not (how in REFUSED and self._near((refused,), asked_s, ended_s))
            for asked_s, ended_s, how in load["failed_requests"]
        )

    def _near(self, parts: Sequence[str], asked_s: float, ended_s: float) -> bool:
        times = [at_s for part, at_s in self.done if part in parts]
        return any(asked_s - 1 <= at_s + SHADOW_OF_A_KILL_S and ended_s >= at_s - 1 for at_s in times)


def _children(pid: int) -> list[int]:
    try:
        return [child.pid for child in psutil.Process(pid).children(recursive=True)]
    except psutil.Error:
        return []


def _family(pid: int) -> list[psutil.Process]:
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.Error:
        return []


@contextmanager
def night(
    prepare: Callable[[Path], None] = lambda _: None, under: Sequence[str] = (), within: Path | None = None
) -> Iterator[Night]:
    """``prepare`` and ``under`` as of the installation; its home is made in ``within``."""
    with (
        TemporaryDirectory(dir=within) as folder,
        installation(Path(folder) / "home", POLICY, lambda _: None, prepare=prepare, under=under) as serin,
    ):
        it = Night(Site(serin))
        try:
            it.site.register("v1")
            eventually(lambda: it.site.phase("1") == "promoted", within_s=90, what="version 1 in production")
            yield it
        finally:
            if it.up is not None and it.up.poll() is None:
                it.up.terminate()
                it.up.wait(60)


def kills(seed: int) -> list[Bar]:
    """Parts killed at random during a promotion, and during the release of a worse version."""
    draw = random.Random(seed)
    with night() as it:
        serin = it.site.serin
        with it.site.load(rate_per_s=RATE_PER_S, for_s=NIGHT_S) as load:
            it.site.register("v2")
            _killing(it, draw, lambda: it.site.phase("2") == "probation", what="version 2 promoted")
            eventually(lambda: serin.serving_version() == "2", within_s=60, what="version 2 to serve")
            register(it, "v3")
            _killing(it, draw, lambda: it.site.phase("3") == "rolled_back", what="version 3 rolled back")
            stays = ("probation", "promoted")  # the next candidate ends a probation early
            eventually(lambda: it.site.phase("2") in stays, within_s=60, what="the releases to be told")
            ended = [it.site.phase(version) for version in ("2", "3")]
        moved = [entry["kind"] for entry in it.site.entries("intent-v2-1")].count("ChampionMoved")
        killed = sorted({part for part, _ in it.done})
        print(f"  {len(it.done)} kills of {', '.join(killed)}; {load['failed']} of {load['sent']} requests failed")
        return [
            Bar("parts killed at random (kill -9) through a promotion and a rollback", len(it.done), "kills"),
            Bar(
                "releases that ended otherwise than without them",
                int(ended != ["promoted", "rolled_back"]),
                "",
                at_most=0,
            ),
            Bar("times that the champion moved for the promotion", moved, "", at_least=1, at_most=1),
            Bar(
                "requests failed other than by a kill of the gateway or of a replica",
                it.unexplained(load, ("envoy", "intent-v1", "intent-v2" + WORKER, "intent-v1" + WORKER)),
                f"of {load['sent']}",
                at_most=0,
            ),
        ]


def _killing(it: Night, draw: random.Random, ended: Callable[[], bool], *, what: str) -> None:
    """One part after another, until the end or the time that a release may take; what is left is awaited then."""
    left = list(PARTS)
    draw.shuffle(left)
    pause = threading.Event()
    while left and not ended():
        pause.wait(BETWEEN_KILLS_S)
        part = left.pop()
        if not it.kill(part):
            print(f"  {part} does not run now")
    eventually(ended, within_s=420, what=what)


def register(it: Night, version: str) -> None:
    """Once MLflow answers: it may have been killed just now."""

    def registered() -> bool:
        try:
            it.site.register(version)
        except DemoError as error:
            print(f"  not registered yet: {str(error)[-120:]}")
            return False
        return True

    eventually(registered, within_s=120, what=f"{version} registered")


def stops(seed: int) -> list[Bar]:
    """Each part stopped for a while (SIGSTOP) while version 2 serves and version 1 is warm."""
    with night() as it, it.site.load(rate_per_s=RATE_PER_S, for_s=NIGHT_S) as load:
        it.site.register("v2")
        eventually(lambda: it.site.phase("2") == "probation", within_s=300, what="version 2 promoted")
        pause = threading.Event()
        for part in ("controller", "prometheus", "mlflow", SUPERVISOR, "intent-v1", "intent-v2", "envoy"):
            if it.signal(part, signal.SIGSTOP):
                pause.wait(STOPPED_S)
                it.signal(part, signal.SIGCONT)
                pause.wait(STOPPED_S / 3)
        eventually(lambda: it.site.phase("2") is not None, within_s=60, what="the controller to answer")
        looks = it.site.release("2")["state"]["looks"]
        eventually(lambda: it.site.release("2")["state"]["looks"] >= looks + 3, within_s=120, what="three more looks")
        phase = it.site.phase("2")
        reason = it.site.release("2")["state"]["reason"]
    print(f"  {load['failed']} of {load['sent']} requests failed: {load['failures']}; {phase}: {reason}")
    return [
        Bar(
            f"each part stopped for {STOPPED_S:g} s: good versions rolled back",
            int(phase != "probation"),
            "",
            at_most=0,
        ),
        Bar(
            "requests failed meanwhile, but for those to the serving replica or gateway that stood still",
            it.unexplained(load, ("intent-v2", "envoy")),
            f"of {load['sent']}",
            at_most=0,
        ),
    ]


def words(seed: int) -> list[Bar]:
    """A person's word while MLflow and Prometheus stand still: seconds until Envoy confirms that stable serves all."""
    found = []
    with night() as it, it.site.load(rate_per_s=RATE_PER_S, for_s=NIGHT_S):
        serin = it.site.serin
        for number, (how, say) in enumerate(_ways(it), start=1):
            register(it, "v2")
            release = str(number + 1)
            eventually(lambda: it.site.phase(release) == "canary", within_s=300, what="a canary")  # noqa: B023
            for part in ("mlflow", "prometheus"):
                it.signal(part, signal.SIGSTOP)
            try:
                threading.Event().wait(3.0)  # so that they are found hanging
                began_s = time.monotonic()
                say()
                eventually(lambda: shares(it) == {"1": 100.0}, what="all traffic at version 1")
                found.append(
                    Bar(
                        f"{how}, MLflow and Prometheus hung: until confirmed",
                        time.monotonic() - began_s,
                        "s",
                        at_most=1.0,
                    )
                )
            finally:
                for part in ("mlflow", "prometheus"):
                    it.signal(part, signal.SIGCONT)
            ends = ("aborted", "rolled_back")
            eventually(lambda: it.site.phase(release) in ends, within_s=120, what="the end")  # noqa: B023
            serin.serin("unfreeze", "intent", "--reason", "the night goes on")
    return found


def full_disk(seed: int) -> list[Bar]:
    """A person's word on a disk without a byte left: seconds until Envoy confirms that stable serves all. With room
    again the journal tells of it."""
    found, told = [], 0
    with TemporaryDirectory() as folder, small_disk(Path(folder) / "disk", DISK_MB) as disk, night(within=disk) as it:
        serin = it.site.serin
        with it.site.load(rate_per_s=RATE_PER_S, for_s=NIGHT_S) as load:
            for number, (how, say) in enumerate(_ways(it), start=1):
                register(it, "v2")
                release = str(number + 1)
                eventually(lambda: it.site.phase(release) == "canary", within_s=300, what="a canary")  # noqa: B023
                with filled(disk):
                    threading.Event().wait(3.0)  # so that looks cannot be written any more
                    began_s = time.monotonic()
                    say()
                    eventually(lambda: shares(it) == {"1": 100.0}, what="all traffic at version 1")
                    took_s = time.monotonic() - began_s
                found.append(Bar(f"{how}, the disk full: until confirmed", took_s, "s", at_most=1.0))
                ends = ("aborted", "rolled_back")
                eventually(lambda: it.site.phase(release) in ends, within_s=120, what="the end")  # noqa: B023
                told += "a night's word" in it.site.release(release)["reason"]
                serin.serin("unfreeze", "intent", "--reason", "the night goes on")
    return [
        *found,
        Bar("words on a full disk that the journal tells of, with room again", told, "of 4", at_least=4),
        Bar("users' requests that failed meanwhile", load["failed"], f"of {load['sent']}", at_most=0),
    ]


def _ways(it: Night) -> list[tuple[str, Callable[[], object]]]:
    serin = it.site.serin
    body = {"reason": "a night's word"}

    def post(deed: str) -> None:
        url = f"{serin.api}/v1/models/intent/{deed}"
        httpx.post(url, json=body, headers=serin.token(), timeout=10, trust_env=False).raise_for_status()

    return [
        ("serin rollback", lambda: serin.serin("rollback", "intent", "--reason", "a night's word")),
        ("serin abort", lambda: serin.serin("abort", "intent", "--reason", "a night's word")),
        ("rollback by HTTP", lambda: post("rollback")),
        ("abort by HTTP", lambda: post("abort")),
    ]


def shares(it: Night) -> Mapping[str, float] | None:
    """What users are answered by; None while it is not known to be what is written."""
    from controller.adapters.envoy.running import serves
    from controller.adapters.envoy.tables import read_routes

    routes = read_routes(it.home / "envoy")
    table = routes.table("intent")
    served = table is not None and serves(it.home / "envoy", routes.revision_of("intent"))
    return dict(table.weights_pct) if table is not None and served else None


def another_run_of_the_machine(folder: Path) -> None:
    """Let this process, and what it starts from here on, read another boot id. Nobody else does."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_OWN_MOUNTS) != 0:
        raise OSError(ctypes.get_errno(), "no mounts of its own: the night of reboots is root's")
    told = folder / "boot_id"
    told.write_text(f"{uuid.uuid4()}\n", encoding="ascii")
    commands = [["mount", "--make-rprivate", "/"], ["mount", "--bind", str(told), str(BOOT_ID)]]
    if str(BOOT_ID) in Path("/proc/self/mountinfo").read_text(encoding="utf-8"):
        commands.insert(1, ["umount", str(BOOT_ID)])  # mounted on itself, the file could not be deleted any more
    for command in commands:
        subprocess.run(command, check=True)


def reboots(seed: int) -> list[Bar]:
    """Everything killed at the same instant, in a canary and in probation, and started again in what takes itself for
    another run of the machine. The second time pid files and sockets are gone as well."""
    with TemporaryDirectory() as folder, night() as it, it.site.load(rate_per_s=RATE_PER_S, for_s=NIGHT_S):
        it.site.register("v2")
        eventually(lambda: it.site.phase("2") == "canary", within_s=300, what="a canary")
        down_s = []
        for phase in ("canary", "probation"):
            it.end_at_once()
            if phase == "probation":
                for left in (it.home / "processes.json", *it.home.rglob("*.sock"), *it.home.rglob("*.port")):
                    left.unlink()
            another_run_of_the_machine(Path(folder))
            began_s = time.monotonic()
            it.start()
            eventually(lambda: it.site.serin.serving_version() is not None, within_s=180, what="answers again")
            down_s.append(time.monotonic() - began_s)
            eventually(lambda: it.site.phase("2") is not None, within_s=180, what="the controller to answer")
            looks = it.site.release("2")["state"]["looks"]
            if phase == "canary":
                eventually(lambda: it.site.phase("2") == "probation", within_s=420, what="version 2 promoted")
            else:
                more = looks + 5
                eventually(lambda: it.site.release("2")["state"]["looks"] >= more, within_s=180, what="five more looks")  # noqa: B023
        ended = it.site.phase("2")
        releases = sum(release["version"] == "2" for release in it.site.serin.releases())
    print(f"  answers after {', '.join(f'{seconds:.1f} s' for seconds in down_s)}; version 2 is in {ended}")
    return [
        Bar("reboots in canary and probation: good versions rolled back", int(ended != "probation"), "", at_most=0),
        Bar("releases of the version, the same one going on", releases, "", at_least=1, at_most=1),
        Bar("after a reboot, until users are answered: the longer of two", max(down_s), "s"),
    ]


def clocks(seed: int) -> list[Bar]:
    """The wall clock set forward and back in a canary, as every process of the installation reads it but Prometheus,
    which asks the kernel itself: so its clock and Envoy's are set apart too."""
    with TemporaryDirectory() as folder:
        clock = SteppedClock(Path(folder))
        with night(under=clock.under) as it, it.site.load(rate_per_s=RATE_PER_S, for_s=NIGHT_S) as load:
            it.site.register("v2")
            eventually(lambda: it.site.phase("2") == "canary", within_s=300, what="a canary")
            pids, pause = it.pids(), threading.Event()
            for offset_s in CLOCK_OFFSETS_S:
                clock.set(offset_s)
                pause.wait(STOPPED_S)
            began_s = time.monotonic()
            eventually(lambda: it.site.phase("2") == "probation", within_s=420, what="version 2 promoted")
            went_on_s = time.monotonic() - began_s
            ended = [part for part, pid in pids.items() if it.pids().get(part) != pid]
            releases = sum(release["version"] == "2" for release in it.site.serin.releases())
    print(f"  promoted {went_on_s:.0f} s after the last step; ended: {', '.join(ended) or 'nothing'}")
    return [
        Bar(
            f"the clock set {len(CLOCK_OFFSETS_S)} times in a canary, by up to an hour: processes ended by it",
            len(ended),
            "",
            at_most=0,
        ),
        Bar("releases of the version, promoted", releases, "", at_least=1, at_most=1),
        Bar("users' requests that failed meanwhile", load["failed"], f"of {load['sent']}", at_most=0),
        Bar("from the last step to its promotion", went_on_s, "s", at_most=CLOCK_BLIND_S),
    ]


class SteppedClock:
    """What runs under it reads a wall clock that is ahead by what is set."""

    def __init__(self, folder: Path) -> None:
        self._offset, library = folder / "offset", folder / "clock_step.so"
        source = Path(__file__).with_name("clock_step.c")
        subprocess.run(["cc", "-shared", "-fPIC", "-O2", "-o", str(library), str(source)], check=True)
        self.set(0.0)
        self.under = ("env", f"LD_PRELOAD={library}", f"CLOCK_OFFSET_FILE={self._offset}")

    def set(self, ahead_s: float) -> None:
        """Processes that run see it at once: they read the file itself."""
        if not self._offset.exists():
            self._offset.write_bytes(bytes(8))
        with self._offset.open("r+b") as file:
            file.write(struct.pack("=q", round(ahead_s * 1e9)))


NIGHTS: Final[Mapping[str, Callable[[int], list[Bar]]]] = {
    "kills": kills,
    "stops": stops,
    "words": words,
    "a full disk": full_disk,
    "reboots": reboots,
    "clocks": clocks,
}


def run(names: Sequence[str] = tuple(NIGHTS), *, seed: int = 1) -> list[Bar]:
    rows = []
    for name in names:
        print(f"{name} ...", flush=True)
        rows += NIGHTS[name](seed)
    return rows


def main() -> int:
    flags = argparse.ArgumentParser(prog="python -m tests.bench.night", description=__doc__)
    flags.add_argument("--only", default=",".join(NIGHTS), help="by comma")
    flags.add_argument("--seed", type=int, default=1)
    chosen = flags.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # ends in order, with all that it started
    return report("night", machine() + run(chosen.only.split(","), seed=chosen.seed))


if __name__ == "__main__":
    sys.exit(main())
