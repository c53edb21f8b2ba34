"""An embedding is the mean of the last hidden states over the text's own tokens, whoever shares the batch."""

from pathlib import Path

import numpy as np
import pytest

from serving.inference.engine import Engine, load
from serving.package.rules import Aggregate, AnswerRules, Task, Windows
from tests.serving.graphs import DIMENSIONS, STATES, VECTORS_APART, embedding_checkpoint, package_of

TEXTS = ["where is my order", "refund", "i want to cancel it please " * 8, "", " \t\n", "nonsense \x00\x07 words 🙂"]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return embedding_checkpoint(tmp_path_factory.mktemp("embedding") / "checkpoint")


def engine_of(checkpoint: Path, directory: Path, *, normalise: bool = False, windows: Windows | None = None) -> Engine:
    rules = AnswerRules(Task.EMBEDDING, windows, normalise)
    return load(package_of(checkpoint, directory / "package", rules))


def by_hand(ids: tuple[int, ...]) -> np.ndarray:
    """The graph adds the mean of a row's states to each of them, so the mean of the row is twice that."""
    return 2 * STATES[list(ids)].astype(np.float64).mean(axis=0)


def test_it_is_the_mean_over_the_tokens_of_the_text(checkpoint: Path, tmp_path: Path) -> None:
    engine = engine_of(checkpoint, tmp_path)
    for text, vector in zip(engine.tokenizer.tokenize(TEXTS), engine.answer(TEXTS), strict=True):
        assert vector.shape == (DIMENSIONS,)
        np.testing.assert_allclose(vector, by_hand(text.ids), rtol=0, atol=VECTORS_APART)


def test_company_does_not_change_a_vector(checkpoint: Path, tmp_path: Path) -> None:
    engine = engine_of(checkpoint, tmp_path)
    alone = [engine.answer([text])[0] for text in TEXTS]
    np.testing.assert_allclose(engine.answer(TEXTS), alone, rtol=0, atol=VECTORS_APART)
    rows = engine.tokenizer.tokenize(TEXTS)
    np.testing.assert_allclose(engine.run(rows), alone, rtol=0, atol=VECTORS_APART)


def test_normalised_vectors_keep_their_direction(checkpoint: Path, tmp_path: Path) -> None:
    plain = np.array(engine_of(checkpoint, tmp_path / "a").answer(TEXTS))
    normalised = np.array(engine_of(checkpoint, tmp_path / "b", normalise=True).answer(TEXTS))
    np.testing.assert_allclose(np.linalg.norm(normalised, axis=1), 1.0, rtol=0, atol=1e-12)
    np.testing.assert_allclose(
        normalised * np.linalg.norm(plain, axis=1, keepdims=True), plain, rtol=0, atol=VECTORS_APART
    )


def test_a_long_text_is_the_mean_of_its_windows(checkpoint: Path, tmp_path: Path) -> None:
    engine = engine_of(checkpoint, tmp_path, windows=Windows(overlap_tokens=10), normalise=True)
    (text,) = engine.tokenizer.tokenize(["where is my order i want to cancel it please " * 20])
    assert (text.tokens, text.rows, text.truncated) == (202, 4, False)
    expected = np.mean([by_hand(ids) for ids in (text.ids, *text.windows)], axis=0)
    (vector,) = engine.outputs([text])
    np.testing.assert_allclose(vector, expected / np.linalg.norm(expected), rtol=0, atol=VECTORS_APART)


def test_there_is_no_largest_vector() -> None:
    with pytest.raises(ValueError, match="max is for the task sequence-classification"):
        AnswerRules(Task.EMBEDDING, Windows(4, Aggregate.MAX))


def test_classes_cannot_be_asked_for(checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="predicts no classes"):
        engine_of(checkpoint, tmp_path).predict(["refund"])
