"""A full-size DistilBERT with random weights, written without torch: for speed, not for answers.

6 layers, 768 wide, 12 heads, 30,522 tokens: 66 million parameters, as in ``distilbert-base-uncased``. The graph is what
exporting one gives, node for node in what costs time; needs the package ``onnx``.
"""

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from safetensors.numpy import save_file

from serving.package.artifact import CONFIG_FILE, GRAPH_FILE, TOKENIZER_FILE, WEIGHTS_FILE

LAYERS: Final = 6
WIDTH: Final = 768
HEADS: Final = 12
HIDDEN: Final = 3072
VOCABULARY: Final = 30_522
POSITIONS: Final = 512
_OPSET: Final = 17
_MASKED: Final = -1e9

Weights = dict[str, npt.NDArray[np.float32]]


def write_checkpoint(directory: Path, tokenizer: Path, labels: Sequence[str], *, layers: int = LAYERS) -> None:
    """A checkpoint that packages like any other. The tokenizer's ids must be below 30,522. With 12 layers it takes the
    time of ``bert-base``."""
    directory.mkdir(parents=True)
    shutil.copyfile(tokenizer, directory / TOKENIZER_FILE)
    config = {
        "model_type": "distilbert",
        "architectures": ["DistilBertForSequenceClassification"],
        "dim": WIDTH,
        "hidden_dim": HIDDEN,
        "n_layers": layers,
        "n_heads": HEADS,
        "vocab_size": VOCABULARY,
        "max_position_embeddings": POSITIONS,
        "problem_type": "single_label_classification",
        "id2label": {str(index): label for index, label in enumerate(labels)},
        "label2id": {label: index for index, label in enumerate(labels)},
    }
    (directory / CONFIG_FILE).write_text(json.dumps(config), encoding="utf-8")
    weights = _weights(len(labels), layers)
    save_file(_as_transformers(weights), directory / WEIGHTS_FILE)
    _write_graph(directory / GRAPH_FILE, weights, layers)


def _weights(labels: int, layers: int) -> Weights:
    draw = np.random.default_rng(0)
    weights: Weights = {}

    def dense(name: str, rows: int, columns: int) -> None:
        weights[f"{name}.weight"] = draw.standard_normal((rows, columns), dtype=np.float32) * np.float32(0.04)
        weights[f"{name}.bias"] = np.zeros(columns, dtype=np.float32)

    def norm(name: str) -> None:
        weights[f"{name}.weight"] = np.ones(WIDTH, dtype=np.float32)
        weights[f"{name}.bias"] = np.zeros(WIDTH, dtype=np.float32)

    weights["tokens"] = draw.standard_normal((VOCABULARY, WIDTH), dtype=np.float32) * np.float32(0.04)
    weights["positions"] = draw.standard_normal((POSITIONS, WIDTH), dtype=np.float32) * np.float32(0.04)
    norm("embeddings")
    for layer in range(layers):
        for name in ("q", "k", "v", "out"):
            dense(f"{layer}.{name}", WIDTH, WIDTH)
        norm(f"{layer}.attended")
        dense(f"{layer}.up", WIDTH, HIDDEN)
        dense(f"{layer}.down", HIDDEN, WIDTH)
        norm(f"{layer}.done")
    dense("pre", WIDTH, WIDTH)
    dense("classifier", WIDTH, labels)
    return weights


_TRANSFORMERS_NAMES: Final = {
    "tokens": "distilbert.embeddings.word_embeddings.weight",
    "positions": "distilbert.embeddings.position_embeddings.weight",
    "embeddings": "distilbert.embeddings.LayerNorm",
    "q": "attention.q_lin",
    "k": "attention.k_lin",
    "v": "attention.v_lin",
    "out": "attention.out_lin",
    "attended": "sa_layer_norm",
    "up": "ffn.lin1",
    "down": "ffn.lin2",
    "done": "output_layer_norm",
    "pre": "pre_classifier",
    "classifier": "classifier",
}


def _as_transformers(weights: Weights) -> Weights:
    """The same weights as transformers names and lays them out: a dense layer's are [out, in]."""
    renamed: Weights = {}
    for name, value in weights.items():
        *layer, part, kind = name.split(".") if "." in name else (name, "")
        there = ".".join(filter(None, (_TRANSFORMERS_NAMES[part], kind)))
        if layer:
            there = f"distilbert.transformer.layer.{layer[0]}.{there}"
        is_dense = value.ndim == 2 and kind == "weight"
        renamed[there] = np.ascontiguousarray(value.T) if is_dense else value
    return renamed


class _Graph:
    """Nodes in order; each method returns the name of what it computes."""

    def __init__(self, weights: Mapping[str, npt.NDArray[Any]]) -> None:
        from onnx import numpy_helper

        self.nodes: list[Any] = []
        self.constants = [numpy_helper.from_array(value, name) for name, value in weights.items()]

    def add(self, kind: str, *inputs: str, **attributes: Any) -> str:
        from onnx import helper

        name = f"{kind}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [name], name=name, **attributes))
        return name

    def constant(self, value: Any, dtype: Any = np.float32) -> str:
        from onnx import numpy_helper

        name = f"constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.array(value, dtype=dtype), name))
        return name

    def dense(self, x: str, name: str) -> str:
        return self.add("Add", self.add("MatMul", x, f"{name}.weight"), f"{name}.bias")

    def norm(self, x: str, name: str) -> str:
        return self.add("LayerNormalization", x, f"{name}.weight", f"{name}.bias", axis=-1, epsilon=1e-12)

    def gelu(self, x: str) -> str:
        erf = self.add("Erf", self.add("Div", x, self.constant(np.sqrt(2))))
        return self.add("Mul", self.add("Mul", x, self.add("Add", erf, self.constant(1))), self.constant(0.5))

    def heads(self, x: str, order: Sequence[int]) -> str:
        shape = self.constant((0, 0, HEADS, WIDTH // HEADS), np.int64)
        return self.add("Transpose", self.add("Reshape", x, shape), perm=order)

    def layer(self, x: str, layer: int, mask: str) -> str:
        query = self.heads(self.dense(x, f"{layer}.q"), (0, 2, 1, 3))
        key = self.heads(self.dense(x, f"{layer}.k"), (0, 2, 3, 1))
        value = self.heads(self.dense(x, f"{layer}.v"), (0, 2, 1, 3))
        scores = self.add("MatMul", self.add("Div", query, self.constant(np.sqrt(WIDTH / HEADS))), key)
        shares = self.add("Softmax", self.add("Add", scores, mask), axis=-1)
        mixed = self.add("Transpose", self.add("MatMul", shares, value), perm=(0, 2, 1, 3))
        mixed = self.add("Reshape", mixed, self.constant((0, 0, WIDTH), np.int64))
        attended = self.norm(self.add("Add", self.dense(mixed, f"{layer}.out"), x), f"{layer}.attended")
        up = self.gelu(self.dense(attended, f"{layer}.up"))
        return self.norm(self.add("Add", self.dense(up, f"{layer}.down"), attended), f"{layer}.done")


def _write_graph(path: Path, weights: Weights, layers: int) -> None:
    import onnx
    from onnx import TensorProto, helper

    graph = _Graph(weights)
    length = graph.add("Gather", graph.add("Shape", "input_ids"), graph.constant([1], np.int64), axis=0)
    positions = graph.add("Slice", "positions", graph.constant([0], np.int64), length, graph.constant([0], np.int64))
    x = graph.norm(graph.add("Add", graph.add("Gather", "tokens", "input_ids"), positions), "embeddings")
    seen = graph.add("Cast", "attention_mask", to=TensorProto.FLOAT)
    hidden = graph.add("Mul", graph.add("Sub", graph.constant(1), seen), graph.constant(_MASKED))
    mask = graph.add("Unsqueeze", hidden, graph.constant([1, 2], np.int64))
    for layer in range(layers):
        x = graph.layer(x, layer, mask)
    first = graph.add("Gather", x, graph.constant(0, np.int64), axis=1)
    logits = graph.dense(graph.add("Relu", graph.dense(first, "pre")), "classifier")
    graph.nodes.append(helper.make_node("Identity", [logits], ["logits"]))
    labels = weights["classifier.bias"].size
    inputs = [helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "tokens"])
              for name in ("input_ids", "attention_mask")]  # fmt: skip
    outputs = [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", labels])]
    whole = helper.make_graph(graph.nodes, "distilbert", inputs, outputs, graph.constants)
    onnx.save(helper.make_model(whole, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=8), path)
