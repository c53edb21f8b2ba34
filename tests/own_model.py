"""A team's own model: thirty imbalanced classes, as sure of itself as training leaves a model, and a length that nobody
asked for in its tokenizer. Made from its configuration in a moment, without torch; its texts and labels with it.

Each class has words of its own. The graph adds up what the words of a text say for each class, so a model that lacks a
class, or lost one, is one whose table says nothing for its words.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pytest
from safetensors.numpy import save_file

CLASSES: Final = tuple(f"topic {number:02}" for number in range(30))
NEW_CLASS: Final = "topic 30"
LEFT_OVER: Final = 12  # tokens: what training cut its batches to
POSITIONS: Final = 128
RIGHT: Final = 0.9  # of the texts, as many as a model can get right
_OWN_WORDS: Final = 4  # of each class
_OTHERS: Final = (
    "the", "a", "my", "please", "of", "is", "it", "and", "to", "for", "order", "parcel", "money", "app",
)  # fmt: skip
_SPECIAL: Final = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
_TABLE: Final = "distilbert.embeddings.word_embeddings.weight"
_SHARE: Final = tuple(1 / (2 + number) for number in range(31))  # the first comes sixteen times as often as the last


def words_of(number: int) -> list[str]:
    return [f"w{number}x{place}" for place in range(_OWN_WORDS)]


_VOCABULARY: Final = {
    word: place for place, word in enumerate((*_SPECIAL, *_OTHERS, *(w for n in range(31) for w in words_of(n))))
}


@dataclass(frozen=True, slots=True)
class Example:
    text: str
    label: str


def examples(count: int, *, seed: int, classes: int = 30, words: int = 24) -> list[Example]:
    """Texts of so many words, of which two are of their class; one in ten is of any other class all the same."""
    rng = np.random.default_rng(seed)
    shares = np.array(_SHARE[:classes]) / sum(_SHARE[:classes])
    found = []
    for number in map(int, rng.choice(classes, count, p=shares)):
        text = [*rng.choice(words_of(number), 2), *rng.choice(_OTHERS, words - 2)]
        rng.shuffle(text)
        told = rng.random() < RIGHT
        label = number if told else (number + 1 + int(rng.integers(0, classes - 1))) % classes
        found.append(Example(" ".join(text), f"topic {label:02}"))
    return found


def write_cases(path: Path, cases: Sequence[Example]) -> Path:
    """A suite file of the examples."""
    lines = [json.dumps({"id": f"c{n}", "text": one.text, "label": one.label}) for n, one in enumerate(cases)]
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def write_checkpoint(
    folder: Path, *, classes: Sequence[str] = CLASSES, lost: Sequence[str] = (), sureness: float = 2.0
) -> Path:
    """A checkpoint as `save_pretrained` leaves it, with its graph. ``lost``: classes of which it learnt nothing;
    ``sureness``: of how much larger its logits are than those that would be right."""
    folder.mkdir(parents=True)
    table = np.zeros((len(_VOCABULARY), len(classes)), dtype=np.float32)
    for column, name in enumerate(classes):
        for word in words_of(int(name.split()[1])) if name not in lost else ():
            table[_VOCABULARY[word], column] = sureness * math.log(RIGHT / (1 - RIGHT) * (len(classes) - 1)) / 2
    weights = {
        _TABLE: table,
        "distilbert.embeddings.position_embeddings.weight": np.zeros((POSITIONS, len(classes)), dtype=np.float32),
        "classifier.weight": np.zeros((len(classes), len(classes)), dtype=np.float32),
    }
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    names = dict(enumerate(classes))
    config = {
        "architectures": ["DistilBertForSequenceClassification"], "model_type": "distilbert", "pad_token_id": 0,
        "id2label": {str(place): name for place, name in names.items()},
        "label2id": {name: place for place, name in names.items()},
        "max_position_embeddings": POSITIONS, "vocab_size": len(_VOCABULARY), "dim": len(classes),
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    settings = {"tokenizer_class": "DistilBertTokenizer", "do_lower_case": True, "model_max_length": 10**30}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")
    _write_tokenizer(folder / "tokenizer.json")
    _write_graph(folder / "model.onnx", table)
    return folder


def _write_tokenizer(path: Path) -> None:
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    tokenizer = Tokenizer(models.WordPiece(dict(_VOCABULARY), unk_token="[UNK]"))  # noqa: S106
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    ends = [(name, _VOCABULARY[name]) for name in ("[SEP]", "[CLS]")]
    tokenizer.post_processor = processors.BertProcessing(*ends)
    tokenizer.enable_truncation(LEFT_OVER)  # which the library writes, and nobody meant
    tokenizer.save(str(path))


def _write_graph(path: Path, table: npt.NDArray[np.float32]) -> None:
    onnx: Any = pytest.importorskip("onnx")
    from onnx import TensorProto, helper, numpy_helper

    nodes = [
        helper.make_node("Gather", [_TABLE, "input_ids"], ["states"]),
        helper.make_node("Cast", ["attention_mask"], ["weights"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["weights", "last"], ["columns"]),
        helper.make_node("Mul", ["states", "columns"], ["counted"]),
        helper.make_node("ReduceSum", ["counted", "one"], ["logits"], keepdims=0),
    ]
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "tokens"])
        for name in ("input_ids", "attention_mask")
    ]
    outputs = [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", table.shape[1]])]
    constants = {_TABLE: table, "one": np.array([1], dtype=np.int64), "last": np.array([2], dtype=np.int64)}
    initializers = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "topics", inputs, outputs, initializers)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
