"""The tiny checkpoint in the shapes in which people have theirs; nothing here needs torch."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors.numpy import load_file, save_file


def edit(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change a JSON file, which may not be there yet."""
    document = json.loads(path.read_bytes()) if path.is_file() else {}
    change(document)
    path.write_text(json.dumps(document), encoding="utf-8")


def configure(checkpoint: Path, **settings: Any) -> None:
    edit(checkpoint / "config.json", lambda config: config.update(settings))


def settle(checkpoint: Path, **settings: Any) -> None:
    """Write ``tokenizer_config.json`` as the library does for this tokenizer, and then some."""
    usual = {"tokenizer_class": "DistilBertTokenizer", "do_lower_case": True, "model_max_length": 64}
    edit(checkpoint / "tokenizer_config.json", lambda config: config.update({**usual, **settings}))


def tokenize_with(checkpoint: Path, **settings: Any) -> None:
    edit(checkpoint / "tokenizer.json", lambda tokenizer: tokenizer.update(settings))


def weights_of(checkpoint: Path) -> dict[str, npt.NDArray[Any]]:
    return load_file(checkpoint / "model.safetensors")


def reweigh(checkpoint: Path, change: Callable[[dict[str, npt.NDArray[Any]]], object]) -> None:
    weights = weights_of(checkpoint)
    change(weights)
    save_file(weights, checkpoint / "model.safetensors", metadata={"format": "pt"})


def shard(checkpoint: Path) -> None:
    """As the library saves a model that is larger than a shard may be."""
    weights = weights_of(checkpoint)
    (checkpoint / "model.safetensors").unlink()
    names = sorted(weights)
    parts = {"model-00001-of-00002.safetensors": names[::2], "model-00002-of-00002.safetensors": names[1::2]}
    for file, part in parts.items():
        save_file({name: weights[name] for name in part}, checkpoint / file, metadata={"format": "pt"})
    index: Mapping[str, Any] = {
        "metadata": {"total_size": sum(weight.nbytes for weight in weights.values())},
        "weight_map": {name: file for file, part in parts.items() for name in part},
    }
    (checkpoint / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")


def log_with_mlflow(checkpoint: Path) -> None:
    """The folders of ``mlflow.transformers.log_model``: the model, and its tokenizer as a component."""
    (checkpoint / "model").mkdir()
    (checkpoint / "components" / "tokenizer").mkdir(parents=True)
    for path in [entry for entry in checkpoint.iterdir() if entry.is_file()]:
        part = "components/tokenizer" if path.name.startswith("tokenizer") else "model"
        path.rename(checkpoint / part / path.name)
    (checkpoint / "MLmodel").write_text("flavors:\n  transformers:\n    model_binary: model\n", encoding="utf-8")


def brain_floats(checkpoint: Path) -> None:
    """Store the weights as bf16: the upper halves of the single-precision numbers, which numpy has no kind for."""
    path = checkpoint / "model.safetensors"
    weights = weights_of(checkpoint)
    entries: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    data = b""
    for name, weight in sorted(weights.items()):
        half = (np.ascontiguousarray(weight).view(np.uint32) >> 16).astype("<u2").tobytes()
        entries[name] = {"dtype": "BF16", "shape": weight.shape, "data_offsets": [len(data), len(data) + len(half)]}
        data += half
    header = json.dumps(entries).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header + data)
