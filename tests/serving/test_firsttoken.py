"""What a classifier never reads is not computed, and its answers are the same; any other graph stays as it is."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from serving.inference.tokenizer import Tokenizer
from serving.package.artifact import TOKENIZER_FILE
from serving.package.rules import AnswerRules
from serving.packaging import firsttoken
from serving.packaging.build import GOLDEN_TEXTS
from serving.packaging.firsttoken import narrow
from serving.packaging.graphs import compare
from tests.serving.graphs import CHECKPOINT, embedding_checkpoint, span_checkpoint

onnx = pytest.importorskip("onnx")
helper = onnx.helper
TEXTS, TOKENS, WIDTH = 2, 4, 3


def test_a_classifier_answers_the_same_with_less_work(tmp_path: Path) -> None:
    narrowed = narrow(CHECKPOINT / "model.onnx", tmp_path / "narrowed.onnx")
    texts = Tokenizer(CHECKPOINT / TOKENIZER_FILE, 32).tokenize(GOLDEN_TEXTS)
    assert narrowed == tmp_path / "narrowed.onnx"
    assert compare(CHECKPOINT / "model.onnx", narrowed, texts, AnswerRules(), ("a", "b", "c")) < 1e-6
    shapes = products(narrowed)
    assert any(shape[1] == 1 for shape in shapes if len(shape) == 3)
    assert any(shape[1] > 1 for shape in shapes if len(shape) == 3)  # keys and values are of every token


def products(graph: Path) -> list[tuple[int, ...]]:
    """The shapes that the matrix products of a graph give, for two texts of eight tokens."""
    model = onnx.load(graph)
    names = [node.output[0] for node in model.graph.node if node.op_type == "MatMul"]
    model.graph.output.extend(helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in names)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    feed = {entry.name: np.ones((2, 8), dtype=np.int64) for entry in session.get_inputs()}
    return [found.shape for found in session.run(names, feed)]


@pytest.mark.parametrize("made", [embedding_checkpoint, span_checkpoint])
def test_a_task_that_reads_every_token_keeps_its_graph(made: Callable[[Path], Path], tmp_path: Path) -> None:
    source = made(tmp_path / "checkpoint") / "model.onnx"
    assert narrow(source, tmp_path / "narrowed.onnx") == source


def graph(tmp_path: Path, *, token: int = 0, added: tuple[int, ...] = (WIDTH,), also_read: bool = False) -> Path:
    """A product of states, something added to it, and the state of one token; maybe all of them are an output."""
    draw = np.random.default_rng(1)
    constants = {
        "weight": draw.normal(size=(WIDTH, WIDTH)).astype(np.float32),
        "added": draw.normal(size=added).astype(np.float32),
        "token": np.array(token, dtype=np.int64),
    }
    nodes = [
        helper.make_node("MatMul", ["states", "weight"], ["product"]),
        helper.make_node("Add", ["product", "added"], ["sum"]),
        helper.make_node("Gather", ["sum", "token"], ["read"], axis=1),
    ]
    shapes: dict[str, list[Any]] = {"read": ["texts", WIDTH], "sum": ["texts", "tokens", WIDTH]}
    outputs = ["read", "sum"] if also_read else ["read"]
    model = helper.make_model(
        helper.make_graph(
            nodes,
            "states",
            [helper.make_tensor_value_info("states", onnx.TensorProto.FLOAT, ["texts", "tokens", WIDTH])],
            [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shapes[name]) for name in outputs],
            [onnx.numpy_helper.from_array(value, name) for name, value in constants.items()],
        ),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )
    onnx.save(model, tmp_path / "model.onnx")
    return tmp_path / "model.onnx"


@pytest.mark.parametrize("added", [(WIDTH,), (1, 1, WIDTH), ()], ids=["bias", "broadcast", "number"])
def test_what_is_the_same_for_every_token_is_no_hindrance(tmp_path: Path, added: tuple[int, ...]) -> None:
    source = graph(tmp_path, added=added)
    narrowed = narrow(source, tmp_path / "narrowed.onnx")
    assert tuple(shape[1] for shape in (ran(narrowed, "product").shape, ran(narrowed, "sum").shape)) == (1, 1)
    assert np.array_equal(ran(narrowed, "read"), ran(source, "read"))


@pytest.mark.parametrize(
    "otherwise",
    [{"token": 1}, {"also_read": True}, {"added": (TOKENS, WIDTH)}, {"added": (1, TOKENS, WIDTH)}],
    ids=["another token", "all are an output", "a constant for each token", "and with an axis for texts"],
)
def test_a_graph_that_needs_more_than_its_first_token_keeps_its_products(
    tmp_path: Path, otherwise: dict[str, Any]
) -> None:
    source = graph(tmp_path, **otherwise)
    assert narrow(source, tmp_path / "narrowed.onnx") == source


def ran(path: Path, output: str) -> Any:
    model = onnx.load(path)
    if output not in {entry.name for entry in model.graph.output}:
        model.graph.output.append(helper.make_tensor_value_info(output, onnx.TensorProto.FLOAT, None))
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    states = np.random.default_rng(2).normal(size=(TEXTS, TOKENS, WIDTH)).astype(np.float32)
    return session.run([output], {"states": states})[0]


def test_without_onnx_the_graph_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(firsttoken, "find_spec", lambda _: None)
    source = CHECKPOINT / "model.onnx"
    assert narrow(source, tmp_path / "narrowed.onnx") == source


def test_what_is_no_graph_is_left_for_onnx_runtime_to_refuse(tmp_path: Path) -> None:
    source = tmp_path / "model.onnx"
    source.write_bytes(b"no graph")
    assert narrow(source, tmp_path / "narrowed.onnx") == source
