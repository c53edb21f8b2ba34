"""Small graphs whose answers can be computed by hand, and packages of them, made without torch."""

import json
import shutil
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from safetensors.numpy import save_file

from serving.package.rules import AnswerRules
from serving.packaging.build import build_package
from tests.rounding import DECIMALS_APART, apart, encoder_terms, probabilities_apart

CHECKPOINT = Path(__file__).parent / "data" / "tiny"
TABLE = "distilbert.embeddings.word_embeddings.weight"
VOCABULARY = 30
DIMENSIONS = 6
STATES = np.random.default_rng(5).normal(size=(VOCABULARY, DIMENSIONS)).astype(np.float32)
"""The hidden state of each token, before its text's mean is added."""
TERMS = encoder_terms(dim=16, hidden=32, layers=1, tokens=64)  # of the checkpoint in ``data``
PROBABILITIES_APART = probabilities_apart(TERMS, 4.0)  # its logits are within 4
STATES_APART = apart(TERMS + 64, 4.0)  # of its hidden states' mean, normalised or not
POOLED_TERMS = 2 * 64 + 4  # of an embedding: the mean in the graph and the mean over it, of 64 tokens at most
POOLED_SIZE = 4 * float(np.abs(STATES).max())
VECTORS_APART = apart(POOLED_TERMS, POOLED_SIZE) + DECIMALS_APART
"""Of embeddings made of ``STATES``; none is shorter than 1, so of normalised ones too."""
SCORES_APART = apart(4) + DECIMALS_APART  # of entities: a token's logits stand in the graph, only the softmax rounds
SPAN_LABELS = ("O", "B-WISH", "I-WISH", "B-THING", "I-THING")
LABEL_OF_WORD = {
    "want": "B-WISH", "to": "I-WISH", "cancel": "I-WISH", "refund": "B-WISH", "order": "B-THING", "parcel": "B-THING",
    "money": "B-THING", "back": "I-THING",
}  # fmt: skip


def vocabulary() -> Mapping[str, int]:
    tokenizer = json.loads((CHECKPOINT / "tokenizer.json").read_bytes())
    words: Mapping[str, int] = tokenizer["model"]["vocab"]
    return words


def span_logits() -> npt.NDArray[np.float32]:
    """Logits of each token [vocabulary, labels]: 4 for its label, different small numbers for the others."""
    logits = np.random.default_rng(6).uniform(0, 0.5, size=(VOCABULARY, len(SPAN_LABELS))).astype(np.float32)
    for word, token_id in vocabulary().items():
        logits[token_id, SPAN_LABELS.index(LABEL_OF_WORD.get(word, "O"))] = 4.0
    return logits


def embedding_checkpoint(directory: Path) -> Path:
    """States of ``STATES``, each with the mean of its text's states added: padding would show."""
    return _checkpoint(directory, STATES, "last_hidden_state", of_the_mean=1.0, labels=())


def span_checkpoint(directory: Path) -> Path:
    """Each token has the label of its word, whatever stands around it."""
    return _checkpoint(directory, span_logits(), "logits", of_the_mean=0.0, labels=SPAN_LABELS)


def package_of(checkpoint: Path, directory: Path, rules: AnswerRules) -> Path:
    build_package(checkpoint, directory, rules=rules)
    return directory


def _checkpoint(
    directory: Path, table: npt.NDArray[np.float32], output: str, *, of_the_mean: float, labels: tuple[str, ...]
) -> Path:
    onnx = pytest.importorskip("onnx")
    if find_spec("transformers") is not None:
        pytest.skip("a graph made by hand is no model of the library's, which is asked where it is installed")
    shutil.copytree(CHECKPOINT, directory)
    config = json.loads((directory / "config.json").read_bytes())
    for name in ("id2label", "label2id", "architectures"):
        config.pop(name)
    if labels:
        config["id2label"] = {str(index): label for index, label in enumerate(labels)}
    (directory / "config.json").write_text(json.dumps(config))
    width = table.shape[1]
    weights = {
        TABLE: table,
        "distilbert.embeddings.position_embeddings.weight": np.zeros((64, width), dtype=np.float32),
        "classifier.weight": np.zeros((len(labels), width), dtype=np.float32),
    }
    save_file({name: value for name, value in weights.items() if value.size}, directory / "model.safetensors")
    onnx.save(_graph(table, output, of_the_mean), directory / "model.onnx")
    return directory


def _graph(table: npt.NDArray[np.float32], output: str, of_the_mean: float) -> object:
    from onnx import TensorProto, helper, numpy_helper

    constants = {
        TABLE: table,
        "one": np.array([1], dtype=np.int64),
        "last": np.array([2], dtype=np.int64),
        "share": np.array(of_the_mean, dtype=np.float32),
    }
    nodes = [
        helper.make_node("Gather", [TABLE, "input_ids"], ["states"]),
        helper.make_node("Cast", ["attention_mask"], ["weights"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["weights", "last"], ["columns"]),
        helper.make_node("Mul", ["states", "columns"], ["counted"]),
        helper.make_node("ReduceSum", ["counted", "one"], ["sum"], keepdims=1),
        helper.make_node("ReduceSum", ["columns", "one"], ["tokens"], keepdims=1),
        helper.make_node("Div", ["sum", "tokens"], ["mean"]),
        helper.make_node("Mul", ["mean", "share"], ["added"]),
        helper.make_node("Add", ["states", "added"], [output]),
    ]
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "tokens"])
        for name in ("input_ids", "attention_mask")
    ]
    outputs = [helper.make_tensor_value_info(output, TensorProto.FLOAT, ["batch", "tokens", table.shape[1]])]
    initializers = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "states", inputs, outputs, initializers)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
