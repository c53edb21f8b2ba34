"""A checkpoint becomes a package that describes itself, or is refused by the file that is wrong."""

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from serving.inference.engine import Engine
from serving.inference.tokenizer import Tokenizer
from serving.package.artifact import TOKENIZER_FILE, ArtifactError, Variant, read_manifest, verify
from serving.packaging import graphs
from serving.packaging.build import GOLDEN_TEXTS, build_package
from serving.packaging.export import ExportError


def test_the_package_holds_exactly_its_files(checkpoint: Path, tmp_path: Path) -> None:
    """Whatever else lies in a checkpoint (optimizer states, scripts) is left behind."""
    (checkpoint / "optimizer.bin").write_bytes(b"state")
    build_package(checkpoint, tmp_path / "out")
    names = {path.name for path in (tmp_path / "out").iterdir()}
    files = {"config.json", "model.onnx", "model.onnx.data", "model.safetensors", "tokenizer.json"}
    assert names == files | {"manifest.json"}


def test_the_golden_texts_are_tokenised_by_the_packages_own_tokenizer(built_package: Path) -> None:
    manifest = verify(built_package)
    tokenizer = Tokenizer(built_package / TOKENIZER_FILE, manifest.max_tokens)
    again = tokenizer.tokenize([golden.text for golden in manifest.golden])
    assert [golden.token_ids for golden in manifest.golden] == [text.ids for text in again]
    assert any(text.truncated for text in again)


def test_two_builds_of_one_checkpoint_have_the_same_fingerprint(checkpoint: Path, tmp_path: Path) -> None:
    first, second = (build_package(checkpoint, tmp_path / name).to_bytes() for name in ("one", "two"))
    assert first == second


def test_own_golden_texts_are_taken(checkpoint: Path, tmp_path: Path) -> None:
    own = [f"order {number}" for number in range(25)]
    manifest = build_package(checkpoint, tmp_path / "out", golden_texts=own)
    assert [golden.text for golden in manifest.golden] == own


def test_too_few_golden_texts_are_refused(checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least 20"):
        build_package(checkpoint, tmp_path / "out", golden_texts=GOLDEN_TEXTS[:19])


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "tokenizer.json"])
def test_a_missing_file_is_named_and_nothing_is_left(checkpoint: Path, tmp_path: Path, name: str) -> None:
    (checkpoint / name).unlink()
    out = tmp_path / "out" / "package"
    with pytest.raises(ArtifactError, match="is missing in the checkpoint") as refusal:
        build_package(checkpoint, out)
    assert refusal.value.file == name
    assert list(out.parent.iterdir()) == []


@pytest.mark.parametrize("damage", [b"", b"\x80\x04\x95pickle.....", b"\xff" * 64, b"\x02\0\0\0\0\0\0\0{}"])
def test_weights_that_are_no_safetensors_are_refused(checkpoint: Path, tmp_path: Path, damage: bytes) -> None:
    (checkpoint / "model.safetensors").write_bytes(damage)
    with pytest.raises(ArtifactError, match="safetensors file"):
        build_package(checkpoint, tmp_path / "out")


def test_cut_weights_are_refused(checkpoint: Path, tmp_path: Path) -> None:
    data = (checkpoint / "model.safetensors").read_bytes()
    (checkpoint / "model.safetensors").write_bytes(data[:-4])
    with pytest.raises(ArtifactError, match="not a whole safetensors file"):
        build_package(checkpoint, tmp_path / "out")


def test_a_graph_with_another_number_of_classes_is_refused(checkpoint: Path, tmp_path: Path) -> None:
    config = json.loads((checkpoint / "config.json").read_bytes())
    config["id2label"]["3"] = "a class too many"
    (checkpoint / "config.json").write_text(json.dumps(config))
    with pytest.raises(ArtifactError, match=r"names 4 labels, and classifier\.weight of .* has 3 outputs"):
        build_package(checkpoint, tmp_path / "out")


def test_a_graph_that_does_not_load_is_refused(checkpoint: Path, tmp_path: Path) -> None:
    (checkpoint / "model.onnx").write_bytes(b"not a graph")
    with pytest.raises(ArtifactError, match=r"model\.onnx: is not a graph"):
        build_package(checkpoint, tmp_path / "out")


def test_an_existing_package_is_never_overwritten(checkpoint: Path, tmp_path: Path) -> None:
    build_package(checkpoint, tmp_path / "out")
    with pytest.raises(FileExistsError):
        build_package(checkpoint, tmp_path / "out")


def test_the_graph_is_stored_optimised(built_package: Path, checkpoint: Path) -> None:
    """Fused once, at registration, not at each start; the weights lie beside it, to be mapped and shared."""
    original, stored = (sum(operators(directory).values()) for directory in (checkpoint, built_package))
    assert stored < original
    assert (built_package / "model.onnx.data").stat().st_size > (built_package / "model.onnx").stat().st_size / 2


def operators(directory: Path) -> Counter[bytes]:
    """How often each kind of node stands in a graph, read off the protobuf's op_type strings."""
    data = (directory / "model.onnx").read_bytes()
    kinds = (b"MatMul", b"Add", b"Div", b"Erf", b"Mul", b"Transpose", b"Reshape", b"Softmax", b"Cast")
    return Counter({kind: data.count(b"\x22" + bytes([len(kind)]) + kind) for kind in kinds})


def test_an_optimised_graph_that_answers_otherwise_is_refused(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(graphs, "TOLERANCE", -1.0)
    with pytest.raises(ArtifactError, match=r"model\.onnx: answers differently once it is optimised"):
        build_package(checkpoint, tmp_path / "out")


def test_an_unknown_variant_is_refused(checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="int3"):
        build_package(checkpoint, tmp_path / "out", variant="int3")


@pytest.mark.parametrize("variant", ["int8", "fp16"])
def test_without_onnx_the_way_to_a_variant_is_named(
    variant: str, checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(graphs, "find_spec", lambda _: None)
    with pytest.raises(ExportError, match=rf"the variant {variant} needs onnx.*pip install -c constraints.txt onnx"):
        build_package(checkpoint, tmp_path / "out", variant=variant)
    assert list(tmp_path.glob("out*")) == []


@pytest.fixture
def quantised(checkpoint: Path, tmp_path: Path) -> Path:
    pytest.importorskip("onnx")
    build_package(checkpoint, tmp_path / "int8", variant="int8")
    return tmp_path / "int8"


def test_int8_is_a_version_of_its_own(quantised: Path, built_package: Path) -> None:
    """Another graph, so another fingerprint: whatever judged the one says nothing of the other."""
    manifest, fingerprint = read_manifest(quantised)
    assert manifest.variant is Variant.INT8
    assert fingerprint != read_manifest(built_package)[1]
    assert manifest.golden == read_manifest(built_package)[0].golden
    assert b"MatMulInteger" in (quantised / "model.onnx").read_bytes()


@pytest.fixture
def halved(checkpoint: Path, tmp_path: Path) -> Path:
    pytest.importorskip("onnx")
    build_package(checkpoint, tmp_path / "fp16", variant="fp16")
    return tmp_path / "fp16"


def test_fp16_computes_in_half_precision_and_speaks_in_single(halved: Path) -> None:
    """Half-precision weights, no casts but those at the ends, and only operators that a GPU has, too."""
    import onnx

    graph = onnx.load(halved / "model.onnx").graph
    kinds = {tensor.data_type for tensor in graph.initializer}
    assert onnx.TensorProto.FLOAT16 in kinds
    assert onnx.TensorProto.FLOAT not in kinds
    assert [output.type.tensor_type.elem_type for output in graph.output] == [onnx.TensorProto.FLOAT]
    assert sum(node.op_type == "Cast" for node in graph.node) <= 2
    assert {node.op_type for node in graph.node if node.domain == "com.microsoft"} <= {"BiasGelu", "FusedMatMul"}


def test_fp16_answers_nearly_as_fp32_does(halved: Path, built_package: Path) -> None:
    """On a CPU as well, though slowly: half precision is what GPUs are quick at."""
    manifest, fingerprint = read_manifest(halved)
    assert manifest.variant is Variant.FP16
    assert fingerprint != read_manifest(built_package)[1]
    answers = [
        [row.probabilities for row in Engine(package, read_manifest(package)[0]).predict(GOLDEN_TEXTS)]
        for package in (halved, built_package)
    ]
    assert 0 < np.abs(np.subtract(*answers)).max() < 0.005


def test_no_fusion_is_taken_that_costs_more_than_it_saves(quantised: Path, built_package: Path) -> None:
    """ONNX Runtime fuses an addition with a normalisation to an operator that its CPU runs without vectors."""
    for package in (quantised, built_package):
        assert b"SkipLayerNormalization" not in (package / "model.onnx").read_bytes()


def test_int8_answers_nearly_as_fp32_does(quantised: Path, built_package: Path) -> None:
    answers = [
        [row.probabilities for row in Engine(package, read_manifest(package)[0]).predict(GOLDEN_TEXTS)]
        for package in (quantised, built_package)
    ]
    difference = np.abs(np.subtract(*answers)).max()
    assert 0 < difference < 0.05
