"""Anyone with torch can make the committed checkpoints again."""

import json
import shutil
from pathlib import Path

import pytest

from suites.intents.evaluate import CHECKPOINTS, RESULTS, probabilities
from suites.intents.generator import LABELS, held_out
from suites.intents.recipes import VERSIONS
from tests.rounding import encoder_terms, probabilities_apart

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

PROBABILITIES_APART = probabilities_apart(encoder_terms(dim=64, hidden=256, layers=2, tokens=256), 8.0)


@pytest.mark.integration
@pytest.mark.timeout(900)
def test_retraining_v1_finds_the_committed_accuracy() -> None:
    """v1's recipe from random weights gives the recorded accuracy within half a point, and a calibrated model."""
    from suites.intents.train import Workshop, logits_of

    examples = held_out()
    workshop = Workshop()
    logits = logits_of(workshop.model("v1"), workshop.tokenizer, [e.text for e in examples])
    confidence, predicted = logits.softmax(-1).max(-1)
    accuracy = (predicted == torch.tensor([LABELS.index(e.label) for e in examples])).float().mean().item()
    assert accuracy == pytest.approx(json.loads(RESULTS.read_text())["v1"]["accuracy"], abs=0.005)
    assert confidence.mean().item() == pytest.approx(accuracy, abs=0.015)


def test_the_shared_tokenizer_is_the_committed_one() -> None:
    """Training starts from the tokenizer that the checkpoints carry."""
    from suites.intents.train import TOKENIZER

    assert TOKENIZER.read_bytes() == (CHECKPOINTS / "v1" / "tokenizer.json").read_bytes()


@pytest.mark.parametrize("version", VERSIONS)
def test_committed_graphs_are_exports_of_the_committed_weights(version: str, tmp_path: Path) -> None:
    """What is served is what was trained: exporting the safetensors again gives the graph's probabilities."""
    from serving.packaging.export import export_onnx

    texts = [e.text for e in held_out(40)]
    export_onnx(CHECKPOINTS / version, tmp_path / "model.onnx", sample_texts=texts)
    shutil.copy(CHECKPOINTS / version / "tokenizer.json", tmp_path)
    assert probabilities(tmp_path, texts) == pytest.approx(
        probabilities(CHECKPOINTS / version, texts), abs=PROBABILITIES_APART
    )
