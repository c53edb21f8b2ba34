"""Export of a checkpoint to ONNX: the graph gives the model's answers, or there is no graph."""

import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from serving.packaging.export import ExportError, export_onnx
from tests.patience import PATIENCE_S

WORDS = ("my", "order", "is", "late", "where", "refund", "the", "lamp", "card", "help")
SAMPLE_TEXTS = ("help", "where is my refund", "the lamp is late " * 9, "unheard of words", "my card")
TINY = {"dim": 32, "n_layers": 2, "n_heads": 2, "hidden_dim": 64, "max_position_embeddings": 64, "num_labels": 3}


def _save_tokenizer(folder: Path) -> None:
    names = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", *WORDS)
    tokenizer = Tokenizer(models.WordPiece({name: i for i, name in enumerate(names)}, unk_token="[UNK]"))  # noqa: S106
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    tokenizer.save(str(folder / "tokenizer.json"))


def _checkpoint(folder: Path, **config: Any) -> Path:
    """A random DistilBERT classifier with weights large enough for probabilities that differ."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    settings = {"vocab_size": 4 + len(WORDS), "initializer_range": 0.5, **config}
    transformers.DistilBertForSequenceClassification(transformers.DistilBertConfig(**settings)).save_pretrained(folder)
    _save_tokenizer(folder)
    return folder


def _answers(graph: Path, batch: int, tokens: int) -> Any:
    onnxruntime = pytest.importorskip("onnxruntime")
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    ids = np.ones((batch, tokens), dtype=np.int64)
    return session.run(["logits"], {"input_ids": ids, "attention_mask": ids})[0]


def test_importing_the_module_imports_no_torch() -> None:
    """A server may import everything of `serving` and stays free of torch."""
    heavy = ("torch", "transformers", "onnx")
    program = f"import sys, serving.packaging.export; print([m for m in {heavy} if m in sys.modules])"
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=PATIENCE_S
    )
    assert result.stdout.strip() == "[]"


@pytest.mark.skipif(importlib.util.find_spec("torch") is not None, reason="torch is installed here")
def test_without_torch_the_error_says_what_installs_it(tmp_path: Path) -> None:
    """Where torch is missing, the words say what to install."""
    with pytest.raises(ExportError, match=r"torch.*make setup-export"):
        export_onnx(tmp_path, tmp_path / "model.onnx", sample_texts=["help"])


def test_an_export_that_could_not_be_compared_is_refused(tmp_path: Path) -> None:
    """Without sample texts there is no evidence that the graph is right."""
    with pytest.raises(ExportError, match="no sample text"):
        export_onnx(tmp_path, tmp_path / "model.onnx", sample_texts=[])


def test_graph_gives_the_models_probabilities(tmp_path: Path) -> None:
    """The report carries the largest difference over texts of different lengths, alone and in a batch."""
    checkpoint = _checkpoint(tmp_path / "checkpoint", **TINY)
    report = export_onnx(checkpoint, tmp_path / "out" / "model.onnx", sample_texts=SAMPLE_TEXTS)
    assert report.path == tmp_path / "out" / "model.onnx"
    assert report.max_abs_difference < 1e-5
    assert report.text_count == len(SAMPLE_TEXTS)
    assert report.longest_tokens == 38
    assert report.size_bytes == report.path.stat().st_size
    assert [p.name for p in report.path.parent.iterdir()] == ["model.onnx"]


@pytest.mark.parametrize(("batch", "tokens"), [(1, 1), (1, 64), (7, 3), (2, 8)])
def test_batch_and_length_are_free(tmp_path: Path, batch: int, tokens: int) -> None:
    """The graph takes any batch size and any length up to the model's positions."""
    checkpoint = _checkpoint(tmp_path, **TINY)
    export_onnx(checkpoint, tmp_path / "model.onnx", sample_texts=SAMPLE_TEXTS)
    logits = _answers(tmp_path / "model.onnx", batch, tokens)
    assert logits.shape == (batch, 3)
    assert logits.dtype == np.float32


def test_a_difference_above_the_tolerance_leaves_no_graph(tmp_path: Path) -> None:
    """A graph that does not give the model's answers is refused with the difference, and a former one stays."""
    checkpoint = _checkpoint(tmp_path, **TINY)
    out = tmp_path / "model.onnx"
    out.write_bytes(b"former")
    with pytest.raises(ExportError, match=r"differ by \d"):
        export_onnx(checkpoint, out, sample_texts=SAMPLE_TEXTS, tolerance=0.0)
    assert out.read_bytes() == b"former"


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json"])
def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    """An incomplete checkpoint is refused by the name of what is missing."""
    checkpoint = _checkpoint(tmp_path, **TINY)
    (checkpoint / name).unlink()
    with pytest.raises(ExportError, match=name):
        export_onnx(checkpoint, tmp_path / "model.onnx", sample_texts=SAMPLE_TEXTS)


def test_a_damaged_checkpoint_is_refused(tmp_path: Path) -> None:
    """Cut-off weights are an error of this checkpoint, in our words."""
    checkpoint = _checkpoint(tmp_path, **TINY)
    weights = checkpoint / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(ExportError, match="cannot load"):
        export_onnx(checkpoint, tmp_path / "model.onnx", sample_texts=SAMPLE_TEXTS)


def test_a_checkpoint_without_its_classifier_is_refused(tmp_path: Path) -> None:
    """transformers would fill the missing layer with random weights: nothing random is ever exported."""
    checkpoint = _checkpoint(tmp_path, **TINY)
    safetensors = pytest.importorskip("safetensors.numpy")
    weights = safetensors.load_file(checkpoint / "model.safetensors")
    del weights["classifier.weight"]
    safetensors.save_file(weights, checkpoint / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ExportError, match=r"classifier\.weight"):
        export_onnx(checkpoint, tmp_path / "model.onnx", sample_texts=SAMPLE_TEXTS)


def test_nothing_of_the_exporting_machine_is_in_the_graph(tmp_path: Path) -> None:
    """Graphs are published: no path of the machine they were made on may travel with them."""
    checkpoint = _checkpoint(tmp_path, **TINY)
    export_onnx(checkpoint, tmp_path / "model.onnx", sample_texts=SAMPLE_TEXTS)
    graph = (tmp_path / "model.onnx").read_bytes()
    assert b"site-packages" not in graph
    assert str(tmp_path).encode() not in graph


@pytest.mark.integration
def test_full_size_distilbert(tmp_path: Path) -> None:
    """Six layers of width 768 and 66 million weights take the same road, in one file."""
    checkpoint = _checkpoint(tmp_path, vocab_size=30_522, initializer_range=0.02)
    report = export_onnx(checkpoint, tmp_path / "model.onnx", sample_texts=SAMPLE_TEXTS)
    assert report.size_bytes > 250e6
    assert report.max_abs_difference < 1e-5
