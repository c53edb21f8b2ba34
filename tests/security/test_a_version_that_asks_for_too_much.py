"""The attacks: a small graph that asks for 20 GB, and a tokenizer that makes its library panic."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from controller.adapters.local.command import serving_command
from controller.core.policy import ReplicaPolicy
from controller.core.release import Version
from controller.ports.runtime import DeploymentSpec
from serving.contract import EXIT_REFUSED, EXIT_SHORTAGE
from serving.package.artifact import GRAPH_FILE, MANIFEST_FILE, TOKENIZER_FILE, file_record
from tests.patience import PATIENCE_S
from tests.serving.conftest import built_package, package
from tests.serving.replica import replica

__all__ = ["built_package", "package"]  # fixtures
pytestmark = pytest.mark.integration


def resealed(package: Path, change: Callable[[dict[str, Any]], None] = lambda _: None) -> None:
    """The manifest tells the files as they are now: nothing is wrong with the package but what is in it."""
    manifest = json.loads((package / MANIFEST_FILE).read_bytes())
    for name in manifest["files"]:
        record = file_record(package / name)
        manifest["files"][name] = {"sha256": record.sha256, "size_bytes": record.size_bytes}
    change(manifest)
    (package / MANIFEST_FILE).write_text(json.dumps(manifest), encoding="utf-8")


def greedy(package: Path, floats: int) -> None:
    """Its graph makes an array of so many floats for each call, and adds nothing of it to the answer."""
    onnx = pytest.importorskip("onnx")
    helper = onnx.helper
    model = onnx.load(package / GRAPH_FILE)
    output = model.graph.output[0].name
    for node in model.graph.node:
        node.output[:] = ["answered" if name == output else name for name in node.output]
    model.graph.initializer.append(helper.make_tensor("how_many", onnx.TensorProto.INT64, [1], [floats]))
    model.graph.initializer.append(helper.make_tensor("nothing", onnx.TensorProto.FLOAT, [], [0.0]))
    model.graph.node.extend(
        [
            helper.make_node("ConstantOfShape", ["how_many"], ["hoard"]),
            helper.make_node("ReduceMax", ["hoard"], ["one"], keepdims=0),
            helper.make_node("Mul", ["one", "nothing"], ["none"]),
            helper.make_node("Add", ["answered", "none"], [output]),
        ]
    )
    onnx.save(model, package / GRAPH_FILE)
    resealed(package)


@pytest.mark.parametrize("memory_mb_max", [None, 700])
def test_a_graph_that_asks_for_20_gb_ends_its_own_replica_by_name(
    package: Path, tmp_path: Path, memory_mb_max: int | None
) -> None:
    """With the default and with the policy's own limit: refused memory, not the machine's last."""
    greedy(package, floats=5_000_000_000)
    command = serving_command(
        DeploymentSpec("m", Version("1"), resources=ReplicaPolicy(memory_mb_max)), package, tmp_path / "ports"
    )
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert done.returncode == EXIT_REFUSED, done.stderr
    assert "artifact refused: model.onnx: asks for more memory than its limit of" in done.stderr


def test_what_a_limit_around_it_refuses_is_not_the_versions(package: Path) -> None:
    """A machine that gives less address space than the version may use of memory: ours, with exit code 75."""
    greedy(package, floats=5_000_000_000)
    command = [sys.executable, "-m", "serving", "--check", "--artifact", str(package), "--memory-mb-max", "100000"]
    limited = "import os, resource; resource.setrlimit(resource.RLIMIT_AS, (16 * 10**9, 16 * 10**9))"
    done = subprocess.run(
        [sys.executable, "-c", f"{limited}; os.execv({sys.executable!r}, {command!r})"],
        capture_output=True, text=True, timeout=PATIENCE_S, check=False,
    )  # fmt: skip
    assert done.returncode == EXIT_SHORTAGE, done.stderr
    assert "artifact refused" not in done.stderr


def test_the_check_before_registration_refuses_it_too(package: Path) -> None:
    greedy(package, floats=5_000_000_000)
    done = subprocess.run(
        [sys.executable, "-m", "serving", "--check", "--artifact", str(package)],
        capture_output=True, text=True, timeout=PATIENCE_S, check=False,
    )  # fmt: skip
    assert done.returncode == EXIT_REFUSED, done.stderr
    assert "asks for more memory than its limit of" in done.stderr


def test_a_version_within_its_limits_serves(package: Path) -> None:
    """The limit that refuses 20 GB leaves a normal version alone."""
    with replica(package, "--memory-mb-max", "0", "--processes-max", "512") as running:
        answer = httpx.post(f"{running.url}/predict", json={"text": "refund my order"}, timeout=60)
        assert answer.status_code == 200


def test_a_tokenizers_panic_ends_a_request_and_no_worker(package: Path) -> None:
    """Any client could have ended every worker with one text."""
    tokenizer = json.loads((package / TOKENIZER_FILE).read_bytes())
    tokenizer["pre_tokenizer"] = {"type": "FixedLength", "length": 0}  # panics on any text that is not empty
    (package / TOKENIZER_FILE).write_text(json.dumps(tokenizer), encoding="utf-8")

    def only_empty(manifest: dict[str, Any]) -> None:
        manifest["golden"] = [{"text": "", "token_ids": [2, 3]}] * len(manifest["golden"])

    resealed(package, only_empty)
    with replica(package) as running:
        for _ in range(5):  # three lost workers within a minute would end the replica
            answer = httpx.post(f"{running.url}/predict", json={"text": "refund my order"}, timeout=60)
            assert answer.status_code == 500
        assert httpx.post(f"{running.url}/tokenize", json={"texts": ["refund"]}, timeout=60).status_code == 500
        metrics = httpx.get(f"{running.url}/metrics", timeout=60).text
    restarts = next(line for line in metrics.splitlines() if line.startswith("serin_worker_restarts_total"))
    assert restarts.endswith(" 0.0")
