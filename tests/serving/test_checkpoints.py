"""A checkpoint's files are held against each other before anything is made of them.

Each shape here is one that a real library writes or a real person makes of it: it works, or one line names the file,
both values and the way out. None of this needs torch.
"""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from serving.inference.engine import load
from serving.package.artifact import ArtifactError, read_manifest, verify
from serving.package.rules import AnswerRules, Task
from serving.package.tensors import check_graph_weights, read_safetensors
from serving.packaging.build import build_package
from tests.serving.shapes import brain_floats, configure, edit, log_with_mlflow, reweigh, settle, shard, tokenize_with

TEXTS = ("where is my order", "i want to cancel it please")


def test_sharded_weights_become_one_file(checkpoint: Path, tmp_path: Path) -> None:
    """In an order of tensors that is always the same, so that the fingerprint is, too."""
    build_package(checkpoint, tmp_path / "whole")
    shard(checkpoint)
    first, second = (build_package(checkpoint, tmp_path / name).to_bytes() for name in ("one", "two"))
    assert first == second
    np.testing.assert_array_equal(load(tmp_path / "one").answer(TEXTS), load(tmp_path / "whole").answer(TEXTS))


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda c: (c / "model-00002-of-00002.safetensors").unlink(), "model-00002-of-00002.safetensors: is missing"),
        (lambda c: edit(c / "model.safetensors.index.json", lambda d: d.pop("weight_map")), "which tensor is in which"),
        (
            lambda c: edit(
                c / "model.safetensors.index.json", lambda d: d["weight_map"].update({"x": "../../etc/passwd"})
            ),
            "not a safetensors file beside it",
        ),
        (
            lambda c: edit(
                c / "model.safetensors.index.json",
                lambda d: d["weight_map"].update({"x": "model-00001-of-00002.safetensors"}),
            ),
            "lacks x",
        ),
    ],
)
def test_a_broken_set_of_shards_is_named(
    checkpoint: Path, tmp_path: Path, damage: Callable[[Path], object], words: str
) -> None:
    shard(checkpoint)
    damage(checkpoint)
    _refused(checkpoint, tmp_path, words)


def test_a_folder_that_mlflow_logged_is_a_checkpoint(checkpoint: Path, tmp_path: Path) -> None:
    """Model and tokenizer lie in folders of their own there, the tokenizer's settings with it."""
    settle(checkpoint, truncation_side="left")
    log_with_mlflow(checkpoint)
    manifest = build_package(checkpoint, tmp_path / "out")
    assert manifest.labels == ("cancel order", "track order", "refund")
    assert manifest.tokens.truncation_side == "left"


def test_a_logged_model_without_weights_says_so(checkpoint: Path, tmp_path: Path) -> None:
    """MLflow can log a reference to a hub instead of the weights."""
    log_with_mlflow(checkpoint)
    shutil.rmtree(checkpoint / "model")
    _refused(checkpoint, tmp_path, r"MLmodel: has no model/config\.json beside it.*log the model with them")


@pytest.mark.parametrize(
    ("made", "there", "words"),
    [
        (
            "tokenizer.json",
            ["vocab.txt"],
            r"tokenizer\.json: is missing.*has vocab\.txt.*AutoTokenizer.*save_pretrained",
        ),
        ("tokenizer.json", ["vocab.json", "merges.txt"], r"has vocab\.json.*AutoTokenizer"),
        ("tokenizer.json", ["sentencepiece.bpe.model"], r"has sentencepiece\.bpe\.model.*AutoTokenizer"),
        ("tokenizer.json", ["spiece.model"], r"has spiece\.model.*AutoTokenizer"),
        ("model.safetensors", ["pytorch_model.bin"], r"model\.safetensors: is missing.*pickle.*save_pretrained"),
        ("model.safetensors", ["pytorch_model.bin.index.json"], "pickle"),
        ("model.safetensors", ["adapter_config.json", "adapter_model.safetensors"], "is an adapter.*merge_and_unload"),
        ("model.safetensors", ["tf_model.h5"], r"has tf_model\.h5: load it with transformers"),
        ("config.json", ["adapter_config.json"], "is an adapter.*merge_and_unload"),
    ],
)
def test_what_lies_there_instead_says_the_way_out(
    checkpoint: Path, tmp_path: Path, made: str, there: list[str], words: str
) -> None:
    (checkpoint / made).unlink()
    for name in there:
        (checkpoint / name).write_bytes(b"x")
    _refused(checkpoint, tmp_path, words)


def test_two_classes_without_names_have_the_librarys(checkpoint: Path, tmp_path: Path) -> None:
    """The library leaves out ``id2label`` where it is its default."""
    _two_classes(checkpoint)
    edit(checkpoint / "config.json", lambda config: [config.pop(name) for name in ("id2label", "label2id")])
    assert build_package(checkpoint, tmp_path / "out").labels == ("LABEL_0", "LABEL_1")
    assert verify(tmp_path / "out").labels == ("LABEL_0", "LABEL_1")


@pytest.mark.parametrize(
    ("names", "labels"),
    [
        ({"0": 0, "1": 1, "2": 2}, ("0", "1", "2")),
        ({"2": "c", "0": "a", "1": "b"}, ("a", "b", "c")),
        ({"0": -1, "1": 0.5, "2": 10}, ("-1", "0.5", "10")),
        ({"0": False, "1": True, "2": "?"}, ("false", "true", "?")),
    ],
)
def test_names_that_are_no_texts_are_taken_as_they_are_written(
    checkpoint: Path, tmp_path: Path, names: dict[str, Any], labels: tuple[str, ...]
) -> None:
    """0 is a name, as good as any; numbers may stand in any order."""
    configure(checkpoint, id2label=names, label2id={str(name): int(number) for number, name in names.items()})
    edit(checkpoint / "config.json", lambda config: config.pop("label2id"))
    assert build_package(checkpoint, tmp_path / "out").labels == labels
    assert tuple(read_manifest(tmp_path / "out")[0].labels) == labels


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"id2label": {"0": "a", "1": "b", "3": "c"}}, "each of 0 to 2: it has none for 2, but one for '3'"),
        ({"id2label": {"0": "a", "1": "b", "02": "c"}}, "it has none for 2, but one for '02'"),
        ({"id2label": {"0": "a", "1": "b", "2": "a"}}, "0 and 2 are both 'a'"),
        ({"id2label": {"0": 1, "1": "1", "2": "a"}}, "0 and 1 are both '1'"),
        ({"id2label": {"0": "a", "1": None, "2": "b"}}, "1 is null"),
        ({"id2label": {"0": "a", "1": " ", "2": "b"}}, "a name of its own"),
        ({"id2label": {"0": 10**400, "1": "b", "2": "c"}}, "a name of its own to each number: 0 is 1000"),
        (
            {"id2label": {"0": "a", "1": "b\0", "2": "c"}, "label2id": None},
            "1 cannot name a class .b.x00.: it has a line",
        ),
        (
            {"id2label": {"0": "a", "1": "b\n", "2": "c"}, "label2id": None},
            "1 cannot name a class .b.n.: it has a line",
        ),
        ({"id2label": {"0": "a", "1": "\u2028b", "2": "c"}, "label2id": None}, "1 cannot name a class"),
        ({"id2label": {"0": "a", "1": "\ud800", "2": "c"}, "label2id": None}, "half of a surrogate pair"),
        ({"id2label": {"0": "a", "1": "b" * 1_001, "2": "c"}, "label2id": None}, "1,001 characters, 1,000 are allowed"),
        ({"id2label": ["a", "b", "c"]}, "must name two or more labels, but is"),
        ({"id2label": {"0": "LABEL_0"}}, "two or more"),
        (
            {"label2id": {"a": 1, "b": 0, "c": 2}},
            "label2id gives 'a' the number 1, but id2label gives it 0: which is right",
        ),
        ({"label2id": {"a": 0, "b": 1, "z": 2}}, "label2id has a label 'z' that id2label does not have"),
        ({"id2label": None, "num_labels": 10**12}, "num_labels must be a whole number up to 100000"),
        ({"num_labels": 5}, "num_labels is 5, but id2label names 3 labels"),
        (
            {"id2label": None, "label2id": None},
            r"names 2 labels \(the default, without id2label\), and classifier.weight .* has 3 outputs",
        ),
        (
            {"id2label": {"0": "a", "1": "b"}, "label2id": None},
            "names 2 labels, and classifier.weight .* has 3 outputs",
        ),
        ({"problem_type": "multi_label_classification"}, "problem_type 'multi_label_classification' is not served"),
        ({"problem_type": "regression"}, "problem_type 'regression' is not served"),
        ({"auto_map": {"AutoModel": "x.py"}}, "auto_map asks for code"),
        ({"quantization_config": {"load_in_8bit": True}}, "quantised checkpoints are not served.*--variant int8"),
        ({"model_type": "t5"}, "model_type 't5' is not served; supported are distilbert, bert,"),
        (
            {"model_type": "bert"},
            r"model_type is 'bert', but distilbert\.embeddings\..* is a weight of 'distilbert': which is right",
        ),
        ({"model_type": None}, "model_type is missing; supported are"),
        (
            {"vocab_size": 31},
            r"vocab_size is 31; .*word_embeddings\.weight of model\.safetensors has rows for 30 tokens",
        ),
        ({"max_position_embeddings": 512}, "max_position_embeddings is 512; .* has rows for 64 positions"),
        ({"max_position_embeddings": "64"}, "max_position_embeddings must be a whole number, but is '64'"),
        ({"max_position_embeddings": 2}, "room for 2 tokens, and at least 3 are needed"),
        ({"architectures": ["DistilBertForTokenClassification"]}, "give --task token-classification"),
    ],
)
def test_a_configuration_that_contradicts_itself_or_the_weights_is_refused(
    checkpoint: Path, tmp_path: Path, settings: dict[str, Any], words: str
) -> None:
    """With the field and both values, and before an export, which this checkpoint would need."""
    (checkpoint / "model.onnx").unlink()
    configure(checkpoint, id2label={"0": "a", "1": "b", "2": "c"}, label2id={"a": 0, "b": 1, "c": 2})
    configure(checkpoint, **settings)
    _refused(checkpoint, tmp_path, words)


def test_default_numbers_say_nothing_of_names(checkpoint: Path, tmp_path: Path) -> None:
    """Whoever sets only ``id2label`` gets the library's ``label2id`` saved beside it."""
    configure(checkpoint, label2id={"LABEL_0": 0, "LABEL_1": 1, "LABEL_2": 2})
    assert build_package(checkpoint, tmp_path / "out").labels == ("cancel order", "track order", "refund")


@pytest.mark.parametrize("half", [lambda c: reweigh(c, _to_half), brain_floats], ids=["fp16", "bf16"])
def test_half_precision_is_read(checkpoint: Path, tmp_path: Path, half: Callable[[Path], None]) -> None:
    """The graph that was made of the same numbers in single precision is theirs, up to their rounding."""
    half(checkpoint)
    assert build_package(checkpoint, tmp_path / "out").family == "distilbert"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            lambda w: w.update({k: v.astype(np.int8) for k, v in w.items() if "word_embeddings" in k}),
            "is stored as I8: quantised checkpoints are not served",
        ),
        (
            lambda w: [w.pop(name) for name in [*w] if name.startswith("classifier")],
            r"model\.safetensors: has no classifier\.weight: it was not trained for sequence-classification",
        ),
        (lambda w: [w.pop(name) for name in [*w] if "word_embeddings" in name], "it does not hold a distilbert"),
        (lambda w: [w.pop(name) for name in [*w] if "position_embeddings" in name], "it does not hold a distilbert"),
    ],
)
def test_weights_that_are_not_those_of_the_configuration_are_refused(
    checkpoint: Path, tmp_path: Path, change: Callable[[dict[str, Any]], object], words: str
) -> None:
    (checkpoint / "model.onnx").unlink()
    reweigh(checkpoint, change)
    _refused(checkpoint, tmp_path, words)


@pytest.mark.parametrize(
    "weight",
    ["distilbert.embeddings.word_embeddings.weight", "distilbert.transformer.layer.0.attention.q_lin.weight",
     "distilbert.transformer.layer.0.ffn.lin1.bias", "classifier.weight", "pre_classifier.weight"],
)  # fmt: skip
def test_a_graph_of_other_weights_is_refused(checkpoint: Path, tmp_path: Path, weight: str) -> None:
    """One number of one weight is enough, whether the exporter kept the weight's name or turned the matrix."""
    reweigh(checkpoint, lambda weights: weights[weight].__setitem__(..., _moved(weights[weight])))
    _refused(checkpoint, tmp_path, r"model\.onnx: .*holds other numbers than model\.safetensors: leave model\.onnx out")


def test_a_weight_may_be_turned_in_the_graph(checkpoint: Path) -> None:
    """Exporters write a product's matrix as it is multiplied, with the weight's own name or another."""
    onnx = pytest.importorskip("onnx")
    weights = read_safetensors(checkpoint / "model.safetensors")
    for name in ("model.classifier.weight", "classifier.weight", "onnx::MatMul_1"):
        turned = onnx.numpy_helper.from_array(weights["classifier.weight"].floats().T.copy(), name)
        onnx.save(
            onnx.helper.make_model(onnx.helper.make_graph([], "turned", [], [], [turned])), checkpoint / "model.onnx"
        )
        check_graph_weights(checkpoint / "model.onnx", weights)


@pytest.mark.parametrize("beside", ["weights.bin", "../weights.bin"])
def test_weights_of_a_graph_lie_beside_it(checkpoint: Path, tmp_path: Path, beside: str) -> None:
    """In a file of the same folder and nowhere else; there they are compared like any others."""
    onnx = pytest.importorskip("onnx")
    model = onnx.load(checkpoint / "model.onnx")
    onnx.save(model, checkpoint / "model.onnx", save_as_external_data=True, location="weights.bin", size_threshold=0)
    build_package(checkpoint, tmp_path / "fine")
    if beside != "weights.bin":
        graph = (checkpoint / "model.onnx").read_bytes()
        model = onnx.load(checkpoint / "model.onnx", load_external_data=False)
        for tensor in model.graph.initializer:
            next(entry for entry in tensor.external_data if entry.key == "location").value = beside
        (checkpoint / "model.onnx").write_bytes(model.SerializeToString())
        assert graph != (checkpoint / "model.onnx").read_bytes()
        _refused(checkpoint, tmp_path, "which is not beside it")
        return
    reweigh(checkpoint, lambda weights: weights["classifier.bias"].__setitem__(..., _moved(weights["classifier.bias"])))
    _refused(checkpoint, tmp_path, "holds other numbers")


@pytest.mark.parametrize("damage", [b"", b"\x3a\xff\xff\xff\xff\x0f", b"\x08\x08", b"\x0b"])
def test_a_file_that_is_no_graph_is_said_to_be_none(checkpoint: Path, tmp_path: Path, damage: bytes) -> None:
    (checkpoint / "model.onnx").write_bytes(damage)
    _refused(checkpoint, tmp_path, r"model\.onnx: is not a graph in ONNX")


def test_a_graph_that_shares_nothing_with_the_weights_is_refused(checkpoint: Path, tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    from tests.serving.graphs import TABLE, embedding_checkpoint

    states = embedding_checkpoint(tmp_path / "states")
    graph = (states / "model.onnx").read_bytes()
    (states / "model.onnx").write_bytes(graph.replace(TABLE.encode(), b"x" * len(TABLE)))
    reweigh(states, lambda weights: weights.update({n: np.ones((len(w), 8), np.float32) for n, w in weights.items()}))
    with pytest.raises(ArtifactError, match=r"holds no weight of model\.safetensors"):
        build_package(states, tmp_path / "out", rules=AnswerRules(Task.EMBEDDING))


def test_a_token_without_a_row_is_refused(checkpoint: Path, tmp_path: Path) -> None:
    """A client that writes it would get 500 at will."""
    added = {"id": 30, "content": "<order-id>", "single_word": False, "lstrip": False, "rstrip": False}
    tokenize_with(checkpoint, added_tokens=[{**added, "normalized": False, "special": True}])
    _refused(
        checkpoint,
        tmp_path,
        r"gives '<order-id>' the id 30, but model\.safetensors has 30 rows \(0 to 29\): model\.resize_token_embeddings",
    )


def test_a_token_around_the_text_without_a_row_is_refused(checkpoint: Path, tmp_path: Path) -> None:
    tokenize_with(checkpoint, post_processor={"type": "BertProcessing", "sep": ["[SEP]", 99], "cls": ["[CLS]", 2]})
    _refused(checkpoint, tmp_path, r"gives '\[SEP\]' the id 99")


def test_unknown_words_must_have_an_id(checkpoint: Path, tmp_path: Path) -> None:
    edit(checkpoint / "tokenizer.json", lambda tokenizer: tokenizer["model"].update({"unk_token": "<none>"}))
    _refused(checkpoint, tmp_path, "model.unk_token '<none>' is not in its vocabulary")


def _refused(checkpoint: Path, tmp_path: Path, words: str) -> None:
    with pytest.raises(ArtifactError, match=words) as refusal:
        build_package(checkpoint, tmp_path / "out")
    assert "\n" not in str(refusal.value)
    assert not (tmp_path / "out").exists()


def _two_classes(checkpoint: Path) -> None:
    """The tiny checkpoint without its third class; its graph, too."""
    onnx = pytest.importorskip("onnx")
    last = ("classifier.weight", "classifier.bias")
    reweigh(checkpoint, lambda weights: weights.update({name: weights[name][:2] for name in last}))
    model = onnx.load(checkpoint / "model.onnx")
    for tensor in model.graph.initializer:
        if tensor.name.removeprefix("model.") in last:
            tensor.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(tensor)[:2], tensor.name))
    model.graph.output[0].type.tensor_type.shape.dim[1].dim_value = 2
    onnx.save(model, checkpoint / "model.onnx")
    assert json.loads((checkpoint / "config.json").read_bytes())["model_type"] == "distilbert"


def _to_half(weights: dict[str, Any]) -> None:
    weights.update({name: weight.astype(np.float16) for name, weight in weights.items()})


def _moved(weight: Any) -> Any:
    moved = weight.copy()
    moved.flat[-1] += 0.25
    return moved
