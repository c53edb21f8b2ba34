"""``python -m serving --check``: what can be known of a package of any task without serving it."""

import json
from pathlib import Path

import onnxruntime
import pytest

from serving.__main__ import main
from serving.inference.engine import ProviderError, check_provider
from serving.package.artifact import ArtifactError
from serving.package.rules import Aggregate, AnswerRules, Task, Windows
from serving.packaging.build import build_package
from tests.serving.conftest import CHECKPOINT
from tests.serving.graphs import embedding_checkpoint, package_of, span_checkpoint


@pytest.fixture(autouse=True)
def unbound(monkeypatch: pytest.MonkeyPatch) -> None:
    """The check holds its own process to limits, which here is everybody's; tests/security tries them."""
    monkeypatch.setattr("serving.__main__.bound", lambda *_: None)


def checked(package: Path, capsys: pytest.CaptureFixture[str], *flags: str) -> tuple[int, str]:
    code = main(["--artifact", str(package), "--check", *flags])
    said = capsys.readouterr()
    return code, said.out + said.err


def test_a_classifier(built_package: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, said = checked(built_package, capsys)
    assert code == 0
    assert (
        "sequence-classification (3 labels), distilbert, fp32, texts to 64 tokens, longer ones cut on the right" in said
    )


def test_a_classifier_with_windows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    build_package(CHECKPOINT, tmp_path / "package", rules=AnswerRules(windows=Windows(8, Aggregate.MAX)))
    code, said = checked(tmp_path / "package", capsys)
    assert (code, "longer ones in windows (max)" in said) == (0, True)


def test_an_embedding_and_entities(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    states = package_of(embedding_checkpoint(tmp_path / "states"), tmp_path / "a", AnswerRules(Task.EMBEDDING))
    spans = package_of(span_checkpoint(tmp_path / "spans"), tmp_path / "b", AnswerRules(Task.TOKEN_CLASSIFICATION))
    assert "embedding (6 dimensions)" in checked(states, capsys)[1]
    assert "token-classification (5 labels)" in checked(spans, capsys)[1]


@pytest.mark.parametrize(
    ("make", "task", "problem"),
    [
        (span_checkpoint, Task.SEQUENCE_CLASSIFICATION, "gives an output of 3 axes; the task sequence-classification"),
        (span_checkpoint, Task.EMBEDDING, "gives logits; an embedding is the mean of the last hidden states"),
    ],
)
def test_a_graph_of_another_task_is_refused_when_packaged(
    tmp_path: Path, make: object, task: Task, problem: str
) -> None:
    assert callable(make)
    with pytest.raises(ArtifactError, match=problem):
        package_of(make(tmp_path / "checkpoint"), tmp_path / "package", AnswerRules(task))


def test_a_manifest_that_claims_another_task_is_refused(package: Path, capsys: pytest.CaptureFixture[str]) -> None:
    manifest = json.loads((package / "manifest.json").read_bytes())
    manifest["rules"]["task"] = "token-classification"
    (package / "manifest.json").write_text(json.dumps(manifest))
    code, said = checked(package, capsys)
    assert code == 3
    assert "config.json: id2label: label 'cancel order' is not of the B-/I-/O scheme" in said


def test_cuda_without_a_gpu_is_refused_by_name(built_package: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A configuration says what runs the graph; it never falls back to another silently."""
    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this ONNX Runtime was built with CUDA")
    code, said = checked(built_package, capsys, "--provider", "cuda")
    assert code == 75
    assert "ONNX Runtime has no CUDAExecutionProvider here" in said
    assert "onnxruntime-gpu" in said


def test_cuda_that_does_not_start_is_refused_too() -> None:
    """With CUDA's build of ONNX Runtime and no driver, a session is made all the same, on the CPU, and only a
    log would say so."""
    check_provider("CUDAExecutionProvider", ["CUDAExecutionProvider", "CPUExecutionProvider"])
    with pytest.raises(ProviderError, match="CUDAExecutionProvider could not be started"):
        check_provider("CUDAExecutionProvider", ["CPUExecutionProvider"])
