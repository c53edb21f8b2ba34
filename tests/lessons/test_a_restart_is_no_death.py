"""Which ends of a replica say something of its version: real processes, and what the next look makes of them."""

import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from controller.adapters.local.processes import Gateway, LocalProcesses, end_recorded
from controller.adapters.local.tries import Patience
from controller.core.condition import Condition
from controller.ports.runtime import DeploymentSpec, DeploymentStatus
from serving.contract import EXIT_SHORTAGE, EXIT_USAGE
from tests.contracts.deployments import settled, spec
from tests.controller.test_processes import FakeClock, stub_command
from tests.patience import PATIENCE_S
from tests.serving.conftest import built_package, package

__all__ = ["built_package", "package"]  # fixtures
PATIENCE = Patience(restarts_max=1, restart_window_s=600, backoff_s=1.0, start_within_s=300, end_within_s=5)
Command = Callable[[DeploymentSpec, Path], Sequence[str]]


@dataclass
class Machine:
    directory: Path
    clock: FakeClock = field(default_factory=FakeClock)
    controllers: list[LocalProcesses] = field(default_factory=list)

    def controller(self, command: Command = stub_command) -> LocalProcesses:
        """A controller as it starts: it knows what the folder says, and no more."""
        nobody = Gateway(lambda *_: None, lambda *_: None)
        self.controllers.append(LocalProcesses(self.directory, command, nobody, self.clock, PATIENCE))
        return self.controllers[-1]

    def record(self) -> dict[str, object]:
        found: dict[str, object] = json.loads((self.directory / "intent-v6.json").read_text())
        return found


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    machine = Machine(tmp_path / "deployments")
    yield machine
    end_recorded(machine.directory, grace_s=0.5)
    for controller in machine.controllers:
        for child in controller._children.values():
            child.wait(PATIENCE_S)


def ready(deployments: LocalProcesses) -> DeploymentStatus:
    return settled(deployments, spec("6"), lambda status: status.ready)


def ends_with(code: int, words: str) -> Command:
    program = f"import sys; print({words!r}); sys.exit({code})"
    return lambda *_: [sys.executable, "-c", program]


@pytest.mark.integration
def test_a_reboot_is_not_a_death(machine: Machine) -> None:
    """The record is of another run of the machine: it starts anew, and nothing is held against the version."""
    ready(machine.controller())
    record = machine.record()
    os.kill(int(str(record["pid"])), signal.SIGKILL)
    (machine.directory / "intent-v6.json").write_text(json.dumps({**record, "boot_id": "another"}))
    after = machine.controller()
    status = after.ensure(spec("6"))
    assert (status.condition, status.restarts) == (Condition.STARTING, 0)
    assert ready(after).ready


@pytest.mark.integration
def test_down_and_up_are_not_a_death(machine: Machine) -> None:
    ready(machine.controller())
    assert end_recorded(machine.directory, grace_s=5) == ["intent-v6"]
    after = machine.controller()
    assert after.ensure(spec("6")).condition is Condition.STARTING
    assert ready(after).ready


@pytest.mark.integration
def test_a_replica_that_dies_by_itself_is_not_said_to_be_starting(machine: Machine) -> None:
    """After it had answered: while it is started again, it is lost to a canary."""
    deployments = machine.controller()
    ready(deployments)
    os.kill(int(str(machine.record()["pid"])), signal.SIGKILL)
    seen = [settled(deployments, spec("6"), lambda status: not status.ready)]
    seen.append(deployments.ensure(spec("6")))
    assert {status.condition for status in seen} == {Condition.FAILING}


@pytest.mark.integration
@pytest.mark.parametrize("code", [EXIT_SHORTAGE, EXIT_USAGE])
def test_what_the_machine_or_our_command_line_lacks_never_counts_against_the_version(
    machine: Machine, code: int
) -> None:
    """However often: it is tried again, and its last words tell what is missing."""
    deployments = machine.controller(ends_with(code, "Too many open files"))
    for _ in range(PATIENCE.restarts_max + 3):
        status = settled(deployments, spec("6"), lambda status: status.condition is not Condition.STARTING)
        assert status.condition is Condition.DISTURBED
        assert "Too many open files" in status.detail
        machine.clock.at_s += 20
        assert deployments.ensure(spec("6")).condition is Condition.STARTING


@pytest.mark.integration
def test_any_other_end_fails_after_the_restarts(machine: Machine) -> None:
    deployments = machine.controller(ends_with(3, "artifact refused"))
    for _ in range(PATIENCE.restarts_max):
        settled(deployments, spec("6"), lambda status: status.condition is not Condition.STARTING)
        machine.clock.at_s += 20
        deployments.ensure(spec("6"))
    status = settled(deployments, spec("6"), lambda status: status.condition is not Condition.STARTING)
    assert status.condition is Condition.FAILED


@pytest.mark.integration
def test_a_controller_without_open_files_takes_no_replica_for_dead(machine: Machine) -> None:
    """It cannot even ask: nothing is known, so nothing changes."""
    deployments = machine.controller()
    ready(deployments)
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    record = deployments._records.load("intent-v6")
    assert record is not None
    held = [os.open("/dev/null", os.O_RDONLY) for _ in range(4)]
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(held) + 1, before[1]))
        statuses = [deployments._probed(record) for _ in range(5)]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
        for descriptor in held:
            os.close(descriptor)
    assert len(statuses) == 5
    assert ready(deployments).ready
    assert deployments.status("intent")["6"].ready


@pytest.mark.integration
@pytest.mark.parametrize("files", [6, 9, 14])
def test_a_replica_without_open_files_says_so_and_refuses_no_package(package: Path, files: int) -> None:
    """Exit code 75 with the reason, wherever it runs out; never 3, which is the package's."""
    command = [sys.executable, "-m", "serving", "--artifact", str(package), "--model", "m", "--version", "1"]
    limited = f"import os, resource; resource.setrlimit(resource.RLIMIT_NOFILE, ({files}, {files}))"
    done = subprocess.run(
        [sys.executable, "-c", f"{limited}; os.execv({sys.executable!r}, {[*command, '--port', '0']!r})"],
        capture_output=True, text=True, timeout=PATIENCE_S, check=False,
    )  # fmt: skip
    assert done.returncode != 3, done.stderr
    assert "artifact refused" not in done.stderr
    assert "Too many open files" in done.stderr or "Errno 24" in done.stderr
