"""What this machine lacks, what we damaged and what we restarted never rejects a candidate or rolls it back."""

import errno
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from controller.adapters.local.packages import PackageStore
from controller.core.release import Phase, Version
from controller.core.traffic import TrafficTable
from controller.errors import PermanentError, TransientError, our_fault
from controller.ports.registry import RegisteredVersion
from controller.ports.runtime import DeploymentSpec, DeploymentStatus
from tests.controller.registered import PackagedRegistry
from tests.controller.service import GOOD
from tests.controller.world import POLICY, World
from tests.fakes.deployments import MemoryDeployments

IMPATIENT = replace(POLICY, start_timeout_s=300.0, deadline_s=900.0)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path, policy=IMPATIENT)


# --- what we restart --------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("phase", [Phase.SUITE, Phase.SHADOW, Phase.CANARY, Phase.PROMOTING, Phase.PROBATION])
def test_a_restart_of_everything_takes_no_good_version_back(world: World, phase: Phase) -> None:
    """`serin down` and `serin up`, or the machine's reboot: both versions start again, and the release goes on."""
    world.given(candidate=GOOD).when(lambda: world.release.phase is phase or phase in world.report.phases)
    world.deployments.restart()
    world.when(lambda: world.release.phase in (Phase.PROBATION, Phase.PROMOTED, Phase.HELD, Phase.ROLLED_BACK))
    assert (world.release.phase, world.weights) in [
        (Phase.PROBATION, {"v7": 100}),
        (Phase.PROMOTED, {"v7": 100}),
    ], world.release.reason


def test_while_the_candidate_starts_again_the_canary_takes_no_step_and_says_why(world: World) -> None:
    world.given(candidate=GOOD).when_phase(Phase.CANARY)
    world.deployments.restart()
    world.tick()
    told = [
        entry.entry.payload for entry in world.journal.entries(world.release.id) if entry.entry.kind == "FaultNoted"
    ]
    assert told[-1]["source"] == "deployments"
    assert str(told[-1]["reason"]).endswith("it is starting")
    world.tick()
    assert (world.release.faults, world.release.phase) == ({}, Phase.CANARY)


def test_a_candidate_that_dies_by_itself_in_the_canary_still_goes_back_at_once(world: World) -> None:
    """Stable runs: it is not the machine."""
    world.given(candidate=GOOD).when_phase(Phase.CANARY)
    world.deployments.kill("intent", "7", "by SIGSEGV")
    world.tick()
    assert (world.release.blamed, world.weights) == (("deployment",), {"v6": 100})


def test_where_neither_version_can_run_the_release_is_held_and_nobody_is_blamed(world: World) -> None:
    """A library that is gone, a disk that is full: what both need is ours."""
    world.given(candidate=GOOD).when_phase(Phase.SHADOW)
    for version in ("6", "7"):
        world.deployments.kill("intent", version, "no module named onnxruntime")
    world.when_settled()
    assert (world.release.phase, world.release.blamed) == (Phase.HELD, ())
    assert "Neither version can be kept running" in world.release.reason


# --- what this machine lacks ------------------------------------------------------------------------------------------
def test_a_replica_that_lacks_open_files_is_waited_for_and_the_limit_is_named(world: World) -> None:
    """In preflight it is held when the time to start is over; never rejected."""
    world.given().given_candidate("v7", GOOD)
    world.when_time_passes(1)
    world.deployments.refuse("intent", "7", "it ended with exit code 75; its log ends: Too many open files")
    world.when_settled()
    assert (world.release.phase, world.release.blamed) == (Phase.HELD, ())
    assert "Too many open files" in world.release.reason


def test_such_a_replica_in_the_canary_takes_nothing_back(world: World) -> None:
    world.given(candidate=GOOD).when_phase(Phase.CANARY)
    world.deployments.refuse("intent", "7", "it ended with exit code 75; its log ends: Too many open files")
    world.when_time_passes(60)
    assert (world.release.phase, world.release.step, world.release.blamed) == (Phase.CANARY, 0, ())
    world.deployments.restart()
    world.when_settled()
    assert world.release.phase is Phase.PROBATION


@pytest.mark.parametrize(
    "outage",
    [
        TransientError("deployments", "cannot start python: Resource temporarily unavailable"),
        PermanentError("intent-v7.json is not a readable record of a deployment"),
    ],
)
def test_what_keeps_us_from_starting_anything_blames_nobody(world: World, outage: TransientError) -> None:
    world.given(candidate=GOOD).when_phase(Phase.SHADOW)
    world.deployments.outage = outage
    for _ in range(3):
        world.tick()
    assert (world.release.phase, world.release.faults["deployments"]) == (Phase.SHADOW, str(outage))
    world.deployments.outage = None
    world.when_settled()
    assert world.release.phase is Phase.PROBATION


class OneTrouble(MemoryDeployments):
    """Version 6 cannot be started, nor version 4 ended, for whatever reason."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error

    def ensure(self, spec: DeploymentSpec) -> DeploymentStatus:
        if spec.version == "6":
            raise self.error
        return super().ensure(spec)

    def remove(self, model: str, version: str) -> None:
        if version == "4":
            raise self.error
        super().remove(model, version)


@pytest.mark.parametrize(
    "error",
    [OSError(errno.ENOSPC, "No space left on device"), ValueError("damaged"), PermanentError("no"), MemoryError()],
)
def test_one_versions_trouble_keeps_no_other_from_being_seen_to(tmp_path: Path, error: Exception) -> None:
    """Between releases: the version to go back to is kept running, and what nobody needs is ended."""
    world = World(tmp_path)
    world.deployments = OneTrouble(error)
    world.controller = world._start_controller()
    for version in ("v3", "v4", "v5", "v6"):
        world.register(version, GOOD)
        if version in ("v3", "v4"):
            world.deployments.ensure(DeploymentSpec("intent", Version(version.removeprefix("v"))))
    world.traffic.write(TrafficTable("intent", {"6": 100.0}, known_good="5", generation=1))
    world.tick()
    assert world.running == {"v4", "v5"}


class FullDisk(PackagedRegistry):
    """A registry whose downloads find no room."""

    full = True

    def fetch(self, version: RegisteredVersion, into: Path) -> Path:
        if self.full and version.version == "7":
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().fetch(version, into)


def test_a_full_disk_keeps_a_candidate_waiting_and_names_the_disk(tmp_path: Path) -> None:
    """Once there is room, the same release goes on."""
    world = World(tmp_path, policy=IMPATIENT)
    world.registry = FullDisk(tmp_path / "registry")
    world.controller = world._start_controller()
    world.given(candidate=GOOD).when_time_passes(60)
    assert world.release.phase is Phase.PREFLIGHT
    assert "the disk is full: make room" in world.release.faults["packages"]
    world.registry.full = False
    world.when_settled()
    assert world.release.phase is Phase.PROBATION


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(errno.EMFILE, "Too many open files"), "ulimit -n"),
        (OSError(errno.ENOSPC, "No space left on device"), "make room"),
        (OSError(errno.EAGAIN, "Resource temporarily unavailable"), "ulimit -u"),
        (OSError(errno.EROFS, "Read-only file system"), "remount"),
        (OSError(errno.EACCES, "Permission denied"), "rights"),
        (MemoryError(), "no memory left"),
        (OSError(9999, "strange"), "cannot write x: "),
    ],
)
def test_a_shortage_is_one_sentence_that_names_the_limit(error: Exception, words: str) -> None:
    told = our_fault("disk", "cannot write x", error)
    assert isinstance(told, TransientError)
    assert told.source == "disk"
    assert words in str(told)


# --- the copy on our disk ---------------------------------------------------------------------------------------------
def taken_in(tmp_path: Path) -> tuple[PackagedRegistry, PackageStore, Path]:
    registry = PackagedRegistry(tmp_path / "registry")
    registry.publish("intent", "7")
    store = PackageStore(registry, tmp_path / "packages")
    artifact = store.obtain("intent", store.identify("intent", "7"))
    return registry, store, store.place("intent", artifact.version)


def test_a_damaged_copy_is_fetched_again(tmp_path: Path) -> None:
    """Our disk's fault is mended, not taken for the version's."""
    registry, store, directory = taken_in(tmp_path)
    (directory / "model.onnx").write_bytes(b"rot")
    again = store.obtain("intent", store.identify("intent", "7"))
    assert (store.place("intent", again.version) / "model.onnx").read_bytes() == (
        registry.package_of("intent", "7") / "model.onnx"
    ).read_bytes()


def test_a_damaged_copy_stays_until_another_one_is_there(tmp_path: Path) -> None:
    """While the registry is away it may be all that is left to look at; both reasons are told."""
    registry, store, directory = taken_in(tmp_path)
    version = store.identify("intent", "7")
    (directory / "model.onnx").write_bytes(b"rot")
    registry.away = "connection refused"
    with pytest.raises(TransientError, match=r"has changed \(model\.onnx: .*connection refused"):
        store.obtain("intent", version)
    assert (directory / "config.json").exists()


def test_a_lost_copy_is_fetched_again_while_its_replica_runs(world: World) -> None:
    world.given(candidate=GOOD).when_phase(Phase.SHADOW)
    shutil.rmtree(world._packages / "intent-v7")
    world.when_settled()
    assert world.release.phase is Phase.PROBATION
