"""A run on a real Ray cluster of two nodes, on the loopback network."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from serving.batch.__main__ import main
from tests.patience import PATIENCE_S
from tests.serving.batch.support import command, score, write_jsonl
from tests.serving.replica import REPOSITORY, until

pytest.importorskip("ray", reason="the extra ray is not installed here; it is far heavier than all the rest")

FLAGS = ("--block-rows", "25", "--probabilities", "--on-error", "skip")
ROWS = [{"id": number, "text": "refund my order " * (1 + number % 9) if number % 97 else ""} for number in range(2000)]
NODE = {
    "num_cpus": 1,
    "object_store_memory": 100 * 2**20,
    "include_dashboard": False,
    "node_ip_address": "127.0.0.1",  # with any other, some of its ports are open to everyone
}


@dataclass(frozen=True)
class Cluster:
    """Two nodes; the driver connects to the first."""

    address: str
    nodes: Any
    second: Any

    def kill_second(self) -> None:
        self.nodes.remove_node(self.second, allow_graceful=False)


@contextmanager
def cluster() -> Iterator[Cluster]:
    """Nothing of it listens beyond loopback, and nothing of it is left."""
    from ray.cluster_utils import Cluster as Nodes

    nodes = Nodes(initialize_head=True, head_node_args=NODE)
    try:
        second = nodes.add_node(**NODE)
        yield Cluster(nodes.address, nodes, second)
    finally:
        family = psutil.Process().children(recursive=True)
        nodes.shutdown()
        for process in psutil.wait_procs(family, timeout=10)[1]:
            process.kill()


@pytest.fixture
def ray_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.setenv("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")  # or 127.0.0.1 is taken for the machine's own address
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))


@pytest.mark.integration
@pytest.mark.timeout(900)  # Ray takes a minute where the machine is quiet
@pytest.mark.usefixtures("ray_alone")
@pytest.mark.filterwarnings("ignore")  # Ray's own, of the libraries that it brings
def test_a_node_that_dies_takes_nothing_with_it(built_package: Path, tmp_path: Path) -> None:
    """One of two nodes is killed in the middle: the output has the very bytes of a run on one machine."""
    source = write_jsonl(tmp_path / "in.jsonl", ROWS)
    here, there = tmp_path / "here.jsonl", tmp_path / "there.jsonl"
    assert main(["--artifact", str(built_package), str(source), str(here), *FLAGS]) == 0
    with cluster() as running:
        assert not _listening_beyond_loopback()
        arguments = (source, there, *FLAGS, "--ray", running.address)
        with (tmp_path / "log").open("w+") as log:
            driver = subprocess.Popen(command(built_package, *arguments), cwd=REPOSITORY, stdout=log, stderr=log)
            try:
                parts = there.with_name("there.jsonl.parts")
                until(
                    lambda: driver.poll() is not None or len(list(parts.glob("*.part"))) >= 8, "a start", within_s=300
                )
                assert driver.poll() is None, (tmp_path / "log").read_text()
                running.kill_second()
                assert driver.wait(PATIENCE_S) == 0, (tmp_path / "log").read_text()
            finally:
                driver.kill()
                driver.wait()
        assert there.read_bytes() == here.read_bytes()
        errors = [path.with_name(f"{path.name}.errors.jsonl").read_bytes() for path in (here, there)]
        assert errors[0] == errors[1] != b""
        _a_bad_row_ends_it_there_too(built_package, tmp_path, running.address)


def _a_bad_row_ends_it_there_too(package: Path, directory: Path, address: str) -> None:
    source = write_jsonl(directory / "bad.jsonl", ROWS[:2])
    done = score(package, source, directory / "none.jsonl", "--ray", address)
    assert done.returncode == 1
    assert "line 1: the text is empty" in done.stderr
    assert not (directory / "none.jsonl").exists()


def _listening_beyond_loopback() -> list[str]:
    addresses = [
        connection.laddr.ip
        for process in psutil.Process(os.getpid()).children(recursive=True)
        for connection in process.net_connections("tcp")
        if connection.status == psutil.CONN_LISTEN
    ]
    return [address for address in addresses if not address.removeprefix("::ffff:").startswith("127.")]


def test_a_cluster_that_is_not_there_is_said_at_once(built_package: Path, tmp_path: Path) -> None:
    source = write_jsonl(tmp_path / "in.jsonl", ROWS[1:3])
    done = score(built_package, source, tmp_path / "out.jsonl", "--ray", "127.0.0.1:9")
    assert done.returncode == 1
    assert "no cluster answers there" in done.stderr
