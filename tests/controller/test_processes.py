"""Deployments as local processes: kept, taken up again, ended whole; and the contract of their fake."""

import json
import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from controller.adapters.local.command import serving_command
from controller.adapters.local.loopback import accepts_connections, get
from controller.adapters.local.processes import Gateway, LocalProcesses, Place, end_recorded
from controller.adapters.local.tries import Patience
from controller.core.condition import Condition
from controller.core.release import Version
from controller.core.serving import ServingPolicy
from controller.errors import PermanentError, TransientError, UsageError
from controller.ports.runtime import Deployments, DeploymentSpec, DeploymentStatus
from serving.contract import replica_name
from tests.contracts.deployments import DeploymentsContract, gone, has_failed, settled, spec
from tests.fakes.deployments import MemoryDeployments
from tests.patience import PATIENCE_S, eventually

STUB = Path(__file__).with_name("replica_stub.py")
BEHAVIOURS = {"broken", "silent", "stubborn", "parent"}


PATIENCE = Patience(restarts_max=2, restart_window_s=600, backoff_s=10, start_within_s=30, end_within_s=5)


def stub_command(deployment: DeploymentSpec, port_file: Path) -> list[str]:
    """A version named after a behaviour behaves so."""
    behaviour = deployment.version if deployment.version in BEHAVIOURS else ""
    return [sys.executable, str(STUB), "--port-file", str(port_file), "--behaviour", behaviour]


@dataclass
class FakeClock:
    at_s: float = 1_795_432_308.0

    def now_s(self) -> float:
        return 0.0  # told wrong: nothing here goes by it

    def monotonic_s(self) -> float:
        return self.at_s


@dataclass
class World:
    """One machine: its deployments folder, its clock, and what the gateway was told."""

    directory: Path
    clock: FakeClock = field(default_factory=FakeClock)
    announced: list[tuple[str, str, Mapping[str, Place]]] = field(default_factory=list)
    withdrawn: list[tuple[str, str]] = field(default_factory=list)
    in_use: set[str] = field(default_factory=set)
    patience: Patience = PATIENCE
    controllers: list[LocalProcesses] = field(default_factory=list)

    def controller(self) -> LocalProcesses:
        """A controller as it starts: it knows what the folder says, and no more."""
        gateway = Gateway(announce=lambda *told: self.announced.append(told), withdraw=self._withdraw)
        self.controllers.append(LocalProcesses(self.directory, stub_command, gateway, self.clock, self.patience))
        return self.controllers[-1]

    def ready(self, deployments: LocalProcesses, version: str = "6") -> DeploymentStatus:
        return settled(deployments, spec(version), lambda status: status.ready)

    def pid(self, version: str = "6") -> int:
        return int(json.loads((self.directory / f"intent-v{version}.json").read_text())["pid"])

    def _withdraw(self, model: str, version: str) -> None:
        if version in self.in_use:
            raise PermanentError(f"version {version} of {model} still gets traffic")
        self.withdrawn.append((model, version))


def told_of(*statuses: DeploymentStatus) -> tuple[str, str, dict[str, Place]]:
    """What the gateway is told of replicas of version 6, which are ready."""
    places = {}
    for number, endpoint in enumerate((one for status in statuses for one in status.endpoints), 1):
        assert endpoint.url is not None
        places[replica_name("intent", "6", number)] = (endpoint.url, endpoint.shadow_url)
    return "intent", "6", places


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path / "deployments")
    yield world
    end_recorded(world.directory, grace_s=0.2)
    for controller in world.controllers:
        for child in controller._children.values():
            child.wait(PATIENCE_S)


class TestMemoryDeployments(DeploymentsContract):
    @pytest.fixture
    def deployments(self) -> Deployments:
        return MemoryDeployments(broken={"broken": "no weights"})


@pytest.mark.integration
class TestLocalProcesses(DeploymentsContract):
    @pytest.fixture
    def deployments(self, world: World) -> Deployments:
        world.patience = Patience(restarts_max=1, backoff_s=0.0)
        return world.controller()


class TestReadiness:
    def test_the_gateway_hears_of_a_version_once_it_answers(self, world: World) -> None:
        """Once, with the address; no earlier, for a request sent there would fail."""
        deployments = world.controller()
        deployments.ensure(spec("6"))
        assert world.announced == []
        status = world.ready(deployments)
        deployments.ensure(spec("6"))
        deployments.status("intent")
        assert world.announced == [told_of(status)]
        assert status.endpoints[0].url is not None
        assert get(f"{status.endpoints[0].url}/health", timeout_s=5)[0] == 200

    def test_a_gateway_that_refuses_is_asked_again(self, world: World) -> None:
        """Not ready before the gateway has taken it, and no announcement is lost."""
        deployments, refusals = world.controller(), [PermanentError("the cluster file is damaged")]

        def announce(*told: Any) -> None:
            if refusals:
                raise refusals.pop()
            world.announced.append(told)

        deployments._gateway = Gateway(announce, lambda *_: None)
        with pytest.raises(PermanentError, match="damaged"):
            world.ready(deployments)
        assert world.ready(deployments).ready
        assert len(world.announced) == 1

    def test_one_that_never_answers_fails_after_its_time(self, world: World) -> None:
        """Silence is no readiness. It is killed, and the status says how long was waited."""
        world.patience = Patience(restarts_max=0, start_within_s=30)
        deployments = world.controller()
        deployments.ensure(spec("silent"))
        pid = world.pid("silent")
        assert not has_failed(deployments.ensure(spec("silent")))
        world.clock.at_s += 31
        status = deployments.ensure(spec("silent"))
        assert has_failed(status)
        assert "did not answer /health within 30 s" in status.detail
        eventually(lambda: not _runs(pid), what="the silent process to be gone")

    def test_a_busy_replica_may_miss_a_check(self, world: World) -> None:
        """One late answer is no outage; three in a row are, and the first answer ends it."""
        deployments = world.controller()
        world.ready(deployments)
        os.kill(world.pid(), signal.SIGSTOP)
        assert [deployments.ensure(spec("6")).ready for _ in range(3)] == [True, True, False]
        assert not has_failed(deployments.status("intent")["6"])
        os.kill(world.pid(), signal.SIGCONT)
        assert world.ready(deployments).ready

    def test_a_program_that_does_not_exist_is_this_machines_fault(self, world: World) -> None:
        """Whatever keeps a process from being started says nothing of the version that it would have served."""
        gateway = Gateway(lambda *_: None, lambda *_: None)
        deployments = LocalProcesses(world.directory, lambda *_: ["/no/such/program"], gateway, world.clock)
        with pytest.raises(TransientError, match="cannot start /no/such/program"):
            deployments.ensure(spec("6"))

    def test_a_name_that_would_be_a_path_is_refused(self, world: World) -> None:
        """No model name writes outside the folder."""
        with pytest.raises(UsageError, match="cannot name a model"):
            world.controller().ensure(spec("6", model="../../etc/x"))


class TestSeveralReplicas:
    TWO = replace(spec("6"), serving=ServingPolicy(replicas=2))

    def test_one_of_them_that_is_lost_disturbs_the_version(self, world: World) -> None:
        """It is started again by itself, with a log and a count of its own; the gateway is told who answers."""
        deployments = world.controller()
        ready = settled(deployments, self.TWO, lambda status: status.ready)
        assert world.announced[-1] == told_of(ready)
        os.kill(world.pid("6-2"), signal.SIGKILL)
        lost = settled(deployments, self.TWO, lambda status: not status.ready)
        assert lost.condition is Condition.DISTURBED
        assert [one.condition for one in lost.endpoints] == [Condition.READY, Condition.FAILING]
        assert lost.detail.startswith("replica 2: start 1 of 3")
        assert world.announced[-1] == told_of(DeploymentStatus("6", ready.endpoints[:1]))
        world.clock.at_s += 10
        again = settled(deployments, self.TWO, lambda status: status.ready)
        assert [one.restarts for one in again.endpoints] == [0, 1]
        assert again.endpoints[0] == ready.endpoints[0]
        assert world.announced[-1] == told_of(again)
        assert (world.directory / "intent-v6-2.log").exists()

    def test_the_next_controller_takes_all_of_them_up(self, world: World) -> None:
        """By their records, or by the processes themselves; and each is ended with the version."""
        before = settled(world.controller(), self.TWO, lambda status: status.ready)
        (world.directory / "intent-v6-2.json").write_text("{")
        deployments = world.controller()
        assert settled(deployments, self.TWO, lambda status: status.ready).endpoints == before.endpoints
        deployments.remove("intent", "6")
        assert gone(deployments, "intent", "6")
        assert world.withdrawn == [("intent", "6")] * 2

    def test_all_of_them_lost_is_the_version_lost(self, world: World) -> None:
        deployments = world.controller()
        settled(deployments, self.TWO, lambda status: status.ready)
        for version in ("6", "6-2"):
            os.kill(world.pid(version), signal.SIGKILL)
        lost = settled(deployments, self.TWO, lambda status: status.condition is Condition.FAILING)
        assert [one.condition for one in lost.endpoints] == [Condition.FAILING] * 2
        assert all(places for _, _, places in world.announced)  # the gateway is never told that nobody is there


class TestDeath:
    def test_a_death_is_seen_and_ends_in_a_new_start(self, world: World) -> None:
        """After the backoff, at a new address that the gateway hears of; the detail tells how it died meanwhile."""
        deployments = world.controller()
        first = world.ready(deployments)
        os.kill(world.pid(), signal.SIGKILL)
        eventually(lambda: not deployments.ensure(spec("6")).ready, what="the death to be seen")
        waiting = deployments.ensure(spec("6"))
        assert not has_failed(waiting)
        assert "by SIGKILL" in waiting.detail
        world.clock.at_s += 10
        again = world.ready(deployments)
        assert again.endpoints[0].url != first.endpoints[0].url
        assert world.announced == [told_of(first), told_of(again)]

    def test_pauses_double_and_then_it_has_failed(self, world: World) -> None:
        """Two restarts are allowed here: after 10 s, after 20 s, then it stays down and says what it said last."""
        deployments = world.controller()
        starts = []
        for pause_s in (0, 10, 20):
            world.clock.at_s += pause_s - 0.5
            before = deployments.ensure(spec("broken"))
            starts.append(before.detail)
            world.clock.at_s += 0.5
            deployments.ensure(spec("broken"))
            eventually(lambda: "no weights" in deployments.ensure(spec("broken")).detail, what="the death to be seen")
        status = deployments.ensure(spec("broken"))
        assert has_failed(status)
        assert "start 3 of 3, the next 40 s after its end" in status.detail
        assert "exit code 1" in status.detail
        assert status.detail.count("no weights") == 1  # what this start said, and not those before

    def test_what_has_failed_is_tried_again_with_bounded_pauses_and_said_to_have_failed(
        self, world: World, caplog: pytest.LogCaptureFixture
    ) -> None:
        """It may be what users wait for: a minute at most. Each end and each start is in the log, with why."""
        deployments = world.controller()
        assert has_failed(self._fail(world, deployments))
        for number in range(4, 9):
            world.clock.at_s += 60
            again = deployments.ensure(spec("broken"))
            assert has_failed(again)
            assert "it is starting once more; the last time it ended with exit code 1" in again.detail
            status = self._dead(deployments, f"start {number} in 10 minutes, the next 60 s after its end")
            assert has_failed(status)
        said = [record.getMessage() for record in caplog.records]
        assert sum("intent-vbroken is started again: it ended with exit code 1" in line for line in said) == 7
        assert sum(line.startswith("intent-vbroken, start ") for line in said) == 8

    def test_what_answers_again_has_not_failed(self, world: World) -> None:
        deployments = world.controller()
        for _ in range(4):
            world.ready(deployments)
            os.kill(world.pid(), signal.SIGKILL)
            settled(deployments, spec("6"), lambda status: "by SIGKILL" in status.detail)
            world.clock.at_s += 60
        assert has_failed(deployments.ensure(spec("6")))
        status = world.ready(deployments)
        assert (status.condition, status.restarts) == (Condition.READY, 4)

    def test_one_that_hangs_for_good_is_ended_and_started_again(self, world: World) -> None:
        """SIGTERM does not reach it any more."""
        deployments = world.controller()
        first = world.ready(deployments)
        os.kill(world.pid(), signal.SIGSTOP)
        statuses = [deployments.ensure(spec("6")) for _ in range(4)]
        assert not statuses[-1].ready
        world.clock.at_s += 16
        assert "it hung: nothing answered /health for 16 s" in deployments.ensure(spec("6")).detail
        world.clock.at_s += 10
        assert world.ready(deployments).endpoints[0].url != first.endpoints[0].url

    def test_an_old_death_does_not_count(self, world: World) -> None:
        """When the window has passed, its starts are counted anew."""
        deployments = world.controller()
        settled_failed = self._fail(world, deployments)
        assert has_failed(settled_failed)
        world.clock.at_s += 601 + 10
        deployments.ensure(spec("broken"))
        self._dead(deployments, "start 1 of 3")

    def test_looking_starts_nothing(self, world: World) -> None:
        """Only ``ensure`` says that it is wanted; ``status`` reports."""
        deployments = world.controller()
        world.ready(deployments)
        os.kill(world.pid(), signal.SIGKILL)
        eventually(lambda: not deployments.status("intent")["6"].ready, what="the death to be seen")
        pid = world.pid()
        world.clock.at_s += 60
        deployments.status("intent")
        assert world.pid() == pid

    def test_what_a_dead_replica_left_behind_is_killed(self, world: World) -> None:
        """Workers that outlive their parent hold memory and cores; the whole group goes."""
        deployments = world.controller()
        world.ready(deployments, "parent")
        (worker,) = psutil.Process(world.pid("parent")).children()
        os.kill(world.pid("parent"), signal.SIGKILL)
        eventually(lambda: not deployments.ensure(spec("parent")).ready, what="the death to be seen")
        eventually(lambda: not _runs(worker.pid), what="the worker to be gone")

    def _fail(self, world: World, deployments: LocalProcesses) -> DeploymentStatus:
        status = self._dead(deployments)
        while not has_failed(status):
            world.clock.at_s += 20
            status = self._dead(deployments)
        return status

    def _dead(self, deployments: LocalProcesses, how: str = "; its log ends: no weights") -> DeploymentStatus:
        return settled(deployments, spec("broken"), lambda status: how in status.detail)


class TestControllerRestart:
    def test_a_new_controller_takes_up_what_runs(self, world: World) -> None:
        """The same process goes on; the gateway is told again, for it may have been restarted too."""
        before = world.controller()
        status, pid = world.ready(before), world.pid()
        after = world.controller()
        assert world.ready(after) == status
        assert world.pid() == pid
        assert world.announced == [told_of(status)] * 2

    def test_a_death_while_nobody_watched_is_seen_and_counts_against_nobody(self, world: World) -> None:
        """The record alone does not make a process alive; nor does it tell that the version ended by itself."""
        before = world.controller()
        world.ready(before)
        os.kill(world.pid(), signal.SIGKILL)
        eventually(lambda: not _runs(world.pid()), what="the replica to be dead")
        status = world.controller().ensure(spec("6"))
        assert status.condition is Condition.DISTURBED
        assert "it ended while no controller watched" in status.detail

    def test_a_death_of_what_an_earlier_controller_started_is_its_own_doing(self, world: World) -> None:
        """No exit code is told of it, but it was well a moment ago."""
        world.ready(world.controller())
        after = world.controller()
        world.ready(after)
        os.kill(world.pid(), signal.SIGKILL)
        eventually(lambda: not _runs(world.pid()), what="the replica to be dead")
        status = after.ensure(spec("6"))
        assert status.condition is Condition.FAILING
        assert "it ended; an earlier controller had started it" in status.detail

    def test_a_stranger_with_the_same_pid_is_left_alone(self, world: World) -> None:
        """A pid is reused after a reboot: the record's process counts as dead; the stranger is never signalled."""
        before = world.controller()
        world.ready(before, "parent")  # the stranger, with a group of its own
        path = world.directory / "intent-v6.json"
        stranger = json.loads((world.directory / "intent-vparent.json").read_text())
        path.write_text(
            json.dumps({**stranger, "version": "6", "start_ticks": stranger["start_ticks"] - 10_000, "port": None})
        )
        deployments = world.controller()
        assert "ended while no controller watched" in deployments.ensure(spec("6")).detail
        deployments.remove("intent", "6")
        assert gone(deployments, "intent", "6")
        assert _runs(stranger["pid"])

    def test_what_an_earlier_version_started_serves_on(self, world: World) -> None:
        """Its copies have no port of their own: users are served all the same, and the gateway is told that copies have
        nowhere to go."""
        before = world.controller()
        status = world.ready(before)
        path = world.directory / "intent-v6.json"
        record = json.loads(path.read_text())
        del record["shadow_port"]
        path.write_text(json.dumps(record))
        again = world.ready(world.controller())
        assert (again.endpoints[0].url, again.endpoints[0].shadow_url) == (status.endpoints[0].url, None)
        assert world.announced[-1] == told_of(again)

    def test_a_version_of_other_settings_takes_the_place_of_the_one_that_runs(self, world: World) -> None:
        """And one of the same goes on, also where only the process itself tells what it was started with."""
        deployments, other = world.controller(), replace(spec("6"), serving=ServingPolicy(workers=2))
        settled(deployments, other, lambda status: status.ready)
        pid = world.pid()
        (world.directory / "intent-v6.json").unlink()
        assert settled(world.controller(), other, lambda status: status.ready)
        assert world.pid() == pid
        assert deployments.ensure(spec("6")).condition is Condition.DISTURBED
        settled(deployments, spec("6"), lambda status: status.ready)
        assert world.pid() != pid

    def test_a_removal_that_was_begun_is_seen_through(self, world: World) -> None:
        """The next controller goes on where the last one was killed."""
        before = world.controller()
        world.ready(before, "stubborn")
        before.remove("intent", "stubborn")
        after = world.controller()
        assert after.status("intent")["stubborn"].detail == "it is being ended"
        world.clock.at_s += 6
        assert gone(after, "intent", "stubborn")

    @pytest.mark.parametrize("step_s", [5, -5, 3_600, -3_600, 86_400, -86_400])
    def test_a_step_of_the_wall_clock_ends_and_doubles_nothing(
        self, world: World, step_s: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The kernel tells the time of the boot anew then, and by it that of each start."""
        before = world.controller()
        status, pid = world.ready(before), world.pid()
        boot_time, now_s = psutil._pslinux.boot_time, time.time  # type: ignore[attr-defined]
        monkeypatch.setattr(psutil._pslinux, "boot_time", lambda: boot_time() + step_s)  # type: ignore[attr-defined]
        monkeypatch.setattr(time, "time", lambda: now_s() + step_s)
        for controller in (before, world.controller()):
            assert controller.ensure(spec("6")).ready
            assert controller.status("intent")["6"].endpoints[0].url == status.endpoints[0].url
        assert world.pid() == pid

    @pytest.mark.parametrize("damage", ["", '{"model": "intent"', "[]", None])
    def test_a_record_that_is_damaged_or_gone_is_made_anew_from_what_runs(
        self, world: World, damage: str | None
    ) -> None:
        """Nothing is started twice; a version that does not run is started as any other."""
        before = world.controller()
        status, pid = world.ready(before), world.pid()
        record = world.directory / "intent-v6.json"
        for controller in (before, world.controller()):
            record.unlink() if damage is None else record.write_text(damage)
            again = world.ready(controller)
            assert (again.endpoints, world.pid()) == (status.endpoints, pid)
        (world.directory / "intent-v7.json").write_text("{")
        assert world.ready(before, "7").ready

    def test_what_runs_by_a_record_of_an_earlier_version_goes_on(self, world: World) -> None:
        """It told a process by the wall clock."""
        status, pid = world.ready(world.controller()), world.pid()
        path = world.directory / "intent-v6.json"
        record = json.loads(path.read_text())
        at_s = world.clock.at_s - 100
        for name in ("start_ticks", "started_s", "recent_starts_s", "ending_s", "failed_s", "failed_before"):
            del record[name]
        record |= {"create_time_s": psutil.Process(pid).create_time(), "boot_id": record["boot_id"].split("/")[0]}
        record |= {"started_at_s": at_s, "starts_s": [at_s], "ending_since_s": None, "failed_at_s": None}
        path.write_text(json.dumps(record))
        assert world.ready(world.controller()) == status
        assert world.pid() == pid

    def test_what_cannot_be_written_down_is_started_once(self, world: World) -> None:
        """The record is kept in memory, and written as soon as that is possible."""
        deployments = world.controller()
        in_the_way = world.directory / ".intent-v6.json.tmp"
        in_the_way.mkdir(parents=True)  # root may write anywhere: a folder stands for what refuses
        first = world.ready(deployments)
        assert deployments.ensure(spec("6")) == first
        assert (world.directory / "intent-v6.log").read_text().split().count("serving") == 1
        assert not (world.directory / "intent-v6.json").exists()
        in_the_way.rmdir()
        assert deployments.ensure(spec("6")) == first
        assert world.ready(world.controller()) == first


class TestRemoval:
    def test_the_gateway_lets_go_first(self, world: World) -> None:
        """While it still sends requests there, nothing is ended."""
        deployments = world.controller()
        world.ready(deployments)
        world.in_use.add("6")
        with pytest.raises(PermanentError, match="still gets traffic"):
            deployments.remove("intent", "6")
        assert deployments.status("intent")["6"].ready
        world.in_use.clear()
        deployments.remove("intent", "6")
        assert world.withdrawn == [("intent", "6")]
        assert gone(deployments, "intent", "6")

    def test_its_processes_and_port_are_gone_at_the_end(self, world: World) -> None:
        """Parent and workers; only the log stays, for it may be all that tells why."""
        deployments = world.controller()
        status = world.ready(deployments, "parent")
        pid = world.pid("parent")
        members = [pid, *(child.pid for child in psutil.Process(pid).children())]
        deployments.remove("intent", "parent")
        assert gone(deployments, "intent", "parent")
        assert not any(map(_runs, members))
        assert status.endpoints[0].url is not None
        for url in (status.endpoints[0].url, status.endpoints[0].shadow_url or ""):
            assert not accepts_connections("127.0.0.1", int(url.rpartition(":")[2]), timeout_s=1)
        assert [path.name for path in world.directory.iterdir()] == ["intent-vparent.log"]

    def test_a_drain_is_waited_for_and_not_for_ever(self, world: World) -> None:
        """SIGKILL comes after the grace period, at whichever call comes next; no call waits for it."""
        deployments = world.controller()
        world.ready(deployments, "stubborn")
        deployments.remove("intent", "stubborn")
        world.clock.at_s += 4.9
        deployments.remove("intent", "stubborn")
        assert _runs(world.pid("stubborn"))
        assert not deployments.ensure(spec("stubborn")).ready
        world.clock.at_s += 0.2
        assert gone(deployments, "intent", "stubborn")

    def test_when_everything_stops_all_are_ended(self, world: World) -> None:
        """`serin down` needs no controller: the folder says what runs, whoever started it."""
        deployments = world.controller()
        for version in ("6", "parent", "stubborn"):
            world.ready(deployments, version)
        pids = [world.pid(version) for version in ("6", "parent", "stubborn")]
        assert end_recorded(world.directory, grace_s=0.3) == ["intent-v6", "intent-vparent", "intent-vstubborn"]
        assert not any(map(_runs, pids))
        assert deployments.status("intent") == {}

    def test_a_copy_of_the_folder_has_none_of_its_processes(self, world: World, tmp_path: Path) -> None:
        """A backup that somebody looks at ends no replica of the installation it was made of, and takes none over. A
        folder that was moved keeps what runs for it."""
        deployments = world.controller()
        world.ready(deployments, "6")
        copy = replace(world, directory=tmp_path / "copy", controllers=[])
        shutil.copytree(world.directory, copy.directory)
        assert copy.controller().status("intent") == {}
        assert end_recorded(copy.directory, grace_s=0.3) == []
        assert _runs(world.pid("6"))
        world.ready(deployments, "6")
        moved, pid = tmp_path / "moved", world.pid("6")
        world.directory.rename(moved)
        assert end_recorded(moved, grace_s=0.3) == ["intent-v6"]
        assert not _runs(pid)

    def test_threads_may_ask_while_the_loop_works(self, world: World) -> None:
        """The page reads statuses while the loop starts deployments: one start each, no exception."""
        deployments = world.controller()
        problems: list[BaseException] = []

        def look() -> None:
            try:
                for _ in range(20):
                    deployments.status("intent")
                    deployments.ensure(spec("6"))
            except BaseException as error:  # noqa: BLE001 - handed to the test
                problems.append(error)

        threads = [threading.Thread(target=look) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert problems == []
        assert world.ready(deployments).ready
        assert "serving" in (world.directory / "intent-v6.log").read_text().split()
        assert (world.directory / "intent-v6.log").read_text().count("serving") == 1


def test_the_serving_command_says_all_that_a_replica_needs(tmp_path: Path) -> None:
    """Package, names, limits, port file, an edge for each objective, and what the configuration adds."""
    deployment = DeploymentSpec("intent", Version("7", "m-1", "f" * 64), objectives_ms=(120.0, 250.5))
    command = serving_command(deployment, tmp_path, tmp_path / "port", ["--capture-url", "http://127.0.0.1:9"])
    assert command[:3] == [sys.executable, "-m", "serving"]
    assert " ".join(command[3:]) == (
        f"--artifact {tmp_path} --model intent --version 7 --memory-mb-max 0 --processes-max 512 "
        f"--fingerprint {'f' * 64} --objective-ms 120 --objective-ms 250.5 "
        f"--port 0 --shadow-port 0 --port-file {tmp_path}/port "
        "--capture-url http://127.0.0.1:9 --provider cpu --workers 1 "
        "--api-processes 1 --max-batch-size 16 --batch-timeout-ms 0 --queue-limit 512 --max-body-bytes 1048576 "
        "--max-text-chars 20000 --max-texts 256 --max-windows 32 --answer-timeout-s 30"
    )


def _runs(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
