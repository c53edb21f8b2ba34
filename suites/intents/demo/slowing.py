"""A checkpoint that is slower by a given time on this machine: its graph also does work that changes no answer.

How much work that takes is measured where and when the demonstration runs, under the load of that moment. So the delay
shows on a fast machine as well as on a slow one, and a replica still keeps up on a busy one: the gates would find a
replica that does not unreliable before they find it slow.
"""

import shutil
import tempfile
import time
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper

GRAPH: Final = "model.onnx"
_WIDTH: Final = 16  # too small to be split among threads: the work takes as long on any number of cores
_TRIED_ROUNDS: Final = 1_000
_MEASURED_S: Final = 1.0  # long enough for a busy machine to interrupt it many times
_CPU_SHARE_MIN: Final = 0.6  # of a call's time, assumed at least: else the noise of a busy machine would hide the work


def slowed(checkpoint: Path, target: Path, work_ms: float) -> Path:
    """Write to ``target`` a checkpoint with the same answers, whose graph works ``work_ms`` longer in each call. Return
    ``target``."""
    shutil.copytree(checkpoint, target)
    graph = checkpoint / GRAPH
    with tempfile.TemporaryDirectory() as folder:
        tried = Path(folder) / GRAPH
        _write(graph, tried, _TRIED_ROUNDS)
        call_ms, call_cpu_ms = _call(tried)
    shortest_ms = min(call_ms, call_cpu_ms / _CPU_SHARE_MIN)
    _write(graph, target / GRAPH, max(round(work_ms / shortest_ms * _TRIED_ROUNDS), 1))
    return target


def _call(graph: Path) -> tuple[float, float]:
    """Return how many ms a call with a short text takes on average, as busy as this machine is now, and its processor
    time in ms."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
    text = {name: np.ones((1, 8), dtype=np.int64) for name in ("input_ids", "attention_mask")}
    calls, began_s, began_cpu_s = 0, time.monotonic(), time.thread_time()
    while (took_s := time.monotonic() - began_s) < _MEASURED_S:
        session.run(None, text)
        calls += 1
    return 1e3 * took_s / calls, 1e3 * (time.thread_time() - began_cpu_s) / calls


def _write(source: Path, target: Path, rounds: int) -> None:
    """Add this many multiplications of a matrix of zeros to the graph. Their result, which is 0, is added to the
    logits."""
    model = onnx.load(source)
    graph = model.graph
    (logits,) = graph.output
    for node in graph.node:
        node.output[:] = ["plain_logits" if name == logits.name else name for name in node.output]
    graph.initializer.extend(
        [
            helper.make_tensor("work_rounds", TensorProto.INT64, [], [rounds]),
            helper.make_tensor("work_goes_on", TensorProto.BOOL, [], [True]),
            helper.make_tensor("work_shape", TensorProto.INT64, [2], [_WIDTH, _WIDTH]),
            helper.make_tensor("work_one", TensorProto.INT64, [], [1]),
        ]
    )
    graph.node.extend(
        [
            helper.make_node("ReduceMax", ["attention_mask"], ["work_mask"], keepdims=0),  # 1, which no optimiser knows
            helper.make_node("Sub", ["work_mask", "work_one"], ["work_nothing"]),
            helper.make_node("Cast", ["work_nothing"], ["work_zero"], to=TensorProto.FLOAT),
            helper.make_node("Expand", ["work_zero", "work_shape"], ["work_begun"]),
            helper.make_node("Loop", ["work_rounds", "work_goes_on", "work_begun"], ["work_done"], body=_one_round()),
            helper.make_node("ReduceMax", ["work_done"], ["work_result"], keepdims=0),
            helper.make_node("Add", ["plain_logits", "work_result"], [logits.name]),
        ]
    )
    onnx.save(model, target)


def _one_round() -> Any:
    matrix = [_WIDTH, _WIDTH]
    return helper.make_graph(
        [
            helper.make_node("Identity", ["goes_on"], ["goes_on_after"]),
            helper.make_node("MatMul", ["before", "before"], ["after"]),
        ],
        "round",
        [
            helper.make_tensor_value_info("number", TensorProto.INT64, []),
            helper.make_tensor_value_info("goes_on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("before", TensorProto.FLOAT, matrix),
        ],
        [
            helper.make_tensor_value_info("goes_on_after", TensorProto.BOOL, []),
            helper.make_tensor_value_info("after", TensorProto.FLOAT, matrix),
        ],
    )
