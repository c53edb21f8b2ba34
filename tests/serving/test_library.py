"""What is registered is what ``transformers`` answers from the same folder, or it is not registered.

The checkpoints are saved by the real library and then changed as people change them. Needs torch and transformers
(``make test-export``).
"""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from serving.inference.engine import load
from serving.package.artifact import ArtifactError
from serving.package.rules import Side
from serving.packaging.build import build_package
from serving.packaging.export import quiet_library
from serving.packaging.graphs import TOLERANCE
from tests.serving.library_models import SENTENCES, make_tokenizer, pipeline_of, save
from tests.serving.shapes import edit

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
pytestmark = pytest.mark.integration

LONG = "cancel it please " * 40 + "where is my order"


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    with quiet_library():
        save(tmp_path / "checkpoint", "distilbert")
    return tmp_path / "checkpoint"


def retokenize(checkpoint: Path, **settings: Any) -> None:
    """Save the tokenizer anew with other settings, as its owner would."""
    make_tokenizer("DistilBertTokenizer", **settings).save_pretrained(checkpoint)


def used_before(checkpoint: Path) -> None:
    """A tokenizer that was used with a limit and padding, whose traces stand in tokenizer.json."""
    tokenizer = make_tokenizer("DistilBertTokenizer", model_max_length=48)
    tokenizer(["where is my order"], truncation=True, max_length=8, padding="max_length")
    tokenizer.save_pretrained(checkpoint)


SAVED: dict[str, Callable[[Path], object]] = {
    "cut on the left": lambda c: retokenize(c, truncation_side="left"),
    "cut on the left at 16": lambda c: retokenize(c, truncation_side="left", model_max_length=16),
    "cut at 16": lambda c: retokenize(c, model_max_length=16),
    "keeps case": lambda c: retokenize(c, do_lower_case=False),
    "keeps accents": lambda c: retokenize(c, strip_accents=False),
    "joins Chinese": lambda c: retokenize(c, tokenize_chinese_chars=False),
    "padded on the left": lambda c: retokenize(c, padding_side="left"),
    "padded with another token": lambda c: retokenize(c, pad_token="[MASK]"),  # noqa: S106
    "used with a limit before": used_before,
}


@pytest.mark.parametrize("saved", SAVED)
def test_whatever_was_saved_is_served(saved: str, checkpoint: Path, tmp_path: Path) -> None:
    """The same answers as the library's own pipeline, on texts that reach the setting."""
    SAVED[saved](checkpoint)
    manifest = build_package(checkpoint, tmp_path / "out")
    limit = min(manifest.max_tokens, transformers.AutoTokenizer.from_pretrained(checkpoint).model_max_length)
    assert limit == manifest.max_tokens
    library = pipeline_of(checkpoint, limit)
    texts = [*SENTENCES, LONG, "我想取消我的订单", "Ünknown Café", "ORDER"]
    engine = load(tmp_path / "out")
    np.testing.assert_allclose(engine.answer(texts), [library(text) for text in texts], atol=TOLERANCE, rtol=0)


def test_an_end_that_counts_gives_another_answer(checkpoint: Path, tmp_path: Path) -> None:
    """So that what is promised above can be seen: the two ends of the text say different things."""
    answers = []
    for side in Side:
        retokenize(checkpoint, truncation_side=str(side), model_max_length=16)
        build_package(checkpoint, tmp_path / side)
        answers.append(load(tmp_path / side).answer([LONG])[0])
    assert np.abs(answers[0] - answers[1]).max() > 0.01


CHANGED: dict[str, tuple[Callable[[Path], object], str]] = {
    "lower case without its settings": (
        lambda c: [
            edit(c / "tokenizer.json", lambda t: t["normalizer"].update(lowercase=False)),
            (c / "tokenizer_config.json").unlink(),
        ],
        "transformers, by the files beside it",
    ),
    "a normaliser of its own": (
        lambda c: edit(c / "tokenizer.json", lambda t: t.update(normalizer={"type": "Lowercase"})),
        "transformers, by the files beside it",
    ),
    "another vocabulary": (
        lambda c: edit(
            c / "tokenizer.json", lambda t: t["post_processor"].update(single=[{"Sequence": {"id": "A", "type_id": 0}}])
        ),
        "transformers, by the files beside it",
    ),
}


@pytest.mark.parametrize("changed", CHANGED)
def test_other_token_ids_than_the_librarys_are_refused(changed: str, checkpoint: Path, tmp_path: Path) -> None:
    """With the text, the place and both ids."""
    change, words = CHANGED[changed]
    change(checkpoint)
    with pytest.raises(ArtifactError, match=words) as refusal:
        build_package(checkpoint, tmp_path / "out")
    assert "save_pretrained" in str(refusal.value)
    assert not (tmp_path / "out").exists()


def test_a_graph_of_other_answers_is_refused(checkpoint: Path, tmp_path: Path) -> None:
    """One whose weights are these, and that computes something else with them."""
    import onnx

    from serving.packaging.export import export_onnx

    export_onnx(checkpoint, checkpoint / "model.onnx", sample_texts=SENTENCES)
    build_package(checkpoint, tmp_path / "right")
    model = onnx.load(checkpoint / "model.onnx")
    relu = next(node for node in model.graph.node if node.op_type == "Relu")
    relu.op_type = "Sigmoid"
    onnx.save(model, checkpoint / "model.onnx")
    with pytest.raises(ArtifactError, match=r"model\.onnx: answers .* differently from transformers, by \d"):
        build_package(checkpoint, tmp_path / "wrong")


@pytest.mark.parametrize("shard_bytes", ["20KB", "40KB"])
def test_shards_of_the_library_are_read(checkpoint: Path, tmp_path: Path, shard_bytes: str) -> None:
    build_package(checkpoint, tmp_path / "whole")
    with quiet_library():
        model = transformers.AutoModelForSequenceClassification.from_pretrained(checkpoint)
        (checkpoint / "model.safetensors").unlink()
        model.save_pretrained(checkpoint, max_shard_size=shard_bytes)
    assert len(list(checkpoint.glob("model-*.safetensors"))) > 1
    build_package(checkpoint, tmp_path / "sharded")
    np.testing.assert_array_equal(
        load(tmp_path / "sharded").answer(SENTENCES), load(tmp_path / "whole").answer(SENTENCES)
    )


def test_a_folder_that_mlflow_logs_is_registered(checkpoint: Path, tmp_path: Path) -> None:
    """By the real ``mlflow.transformers``, which keeps model and tokenizer apart."""
    mlflow = pytest.importorskip("mlflow.transformers")
    with quiet_library():
        pipeline = transformers.pipeline("text-classification", model=str(checkpoint))
        mlflow.save_model(pipeline, tmp_path / "logged", pip_requirements=["transformers"])
    assert (tmp_path / "logged" / "MLmodel").is_file()
    build_package(checkpoint, tmp_path / "plain")
    build_package(tmp_path / "logged", tmp_path / "out")
    np.testing.assert_array_equal(load(tmp_path / "out").answer(SENTENCES), load(tmp_path / "plain").answer(SENTENCES))


@pytest.mark.parametrize(
    ("labels", "names"),
    [({"num_labels": 2}, ("LABEL_0", "LABEL_1")), ({"id2label": {0: 0, 1: 1}, "label2id": {0: 0, 1: 1}}, ("0", "1"))],
)
def test_classes_are_named_as_the_library_saves_them(
    labels: dict[str, Any], names: tuple[str, ...], tmp_path: Path
) -> None:
    """Two classes with its default names, which it leaves out, and names that are numbers."""
    folder = tmp_path / "checkpoint"
    with quiet_library():
        save(folder, "distilbert", id2label=None, label2id=None, num_labels=2)
    edit(folder / "config.json", lambda config: [config.pop(name, None) for name in ("id2label", "label2id")])
    if "id2label" in labels:
        edit(folder / "config.json", lambda config: config.update(json.loads(json.dumps(labels))))
    assert build_package(folder, tmp_path / "out").labels == names


def test_a_bare_vocabulary_becomes_a_tokenizer_the_way_the_line_says(checkpoint: Path, tmp_path: Path) -> None:
    """The way out that the refusal names works as it stands there."""
    build_package(checkpoint, tmp_path / "before")
    vocabulary = json.loads((checkpoint / "tokenizer.json").read_bytes())["model"]["vocab"]
    (checkpoint / "vocab.txt").write_text("\n".join(sorted(vocabulary, key=vocabulary.get)) + "\n", encoding="utf-8")
    (checkpoint / "tokenizer.json").unlink()
    with pytest.raises(ArtifactError, match="AutoTokenizer") as refusal:
        build_package(checkpoint, tmp_path / "out")
    said = str(refusal.value).split(", with ", 1)[1]
    exec(said, {"AutoTokenizer": transformers.AutoTokenizer})  # noqa: S102
    build_package(checkpoint, tmp_path / "out")
    np.testing.assert_array_equal(load(tmp_path / "out").answer(SENTENCES), load(tmp_path / "before").answer(SENTENCES))
    shutil.rmtree(tmp_path / "out")
