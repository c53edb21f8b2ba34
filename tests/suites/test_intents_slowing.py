"""The slow version of the demonstration answers as the model that it is made of, and takes a measured time longer."""

import time
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from serving.package.artifact import GRAPH_FILE
from serving.packaging.build import build_package
from suites.intents.demo.slowing import slowed
from suites.intents.evaluate import CHECKPOINTS, probabilities

TEXTS = ["where is my order 48213", "HI, I WANT MY MONEY BACK for the tent. Thanks", "tent"]
WORK_MS = 30.0
SHARE_MIN = 0.6  # of it is processor time, however busy the machine was when it was measured


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return slowed(CHECKPOINTS / "v1", tmp_path_factory.mktemp("slowed") / "v5", WORK_MS)


def cpu_ms(graph: Path, texts: int) -> float:
    """The least processor time of a call, whatever else this machine does meanwhile."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # all of it in our thread, whose time is taken
    session = onnxruntime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
    batch = {name: np.ones((texts, 8), dtype=np.int64) for name in ("input_ids", "attention_mask")}
    taken = []
    for _ in range(5):
        began_s = time.thread_time()
        session.run(None, batch)
        taken.append(1e3 * (time.thread_time() - began_s))
    return min(taken)


def test_it_answers_as_before(checkpoint: Path) -> None:
    """To the bit: what it works on is a matrix of zeros."""
    assert (probabilities(checkpoint, TEXTS) == probabilities(CHECKPOINTS / "v1", TEXTS)).all()


def test_its_package_works_longer_in_each_call_however_many_texts_are_in_it(checkpoint: Path, tmp_path: Path) -> None:
    """Nothing of it is optimised away, and it is no more than was asked for."""
    build_package(checkpoint, tmp_path / "package")
    for texts in (1, 16):
        plain, longer = (cpu_ms(folder / GRAPH_FILE, texts) for folder in (CHECKPOINTS / "v1", tmp_path / "package"))
        assert 0.5 * SHARE_MIN * WORK_MS < longer - plain < 1.5 * WORK_MS, texts
