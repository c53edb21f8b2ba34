"""The committed checkpoints are what their results say, measured as they are served: without torch."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tokenizers import Tokenizer

from suites.intents.evaluate import CHECKPOINTS, RESULTS, Measured, measure, probabilities
from suites.intents.generator import LABELS, Example, held_out
from suites.intents.recipes import NEWEST, RECENT, VERSIONS


@pytest.fixture(scope="module")
def examples() -> list[Example]:
    return held_out()


@pytest.fixture(scope="module")
def found(examples: list[Example]) -> dict[str, NDArray[np.float64]]:
    texts = [e.text for e in examples]
    return {v: probabilities(CHECKPOINTS / v, texts) for v in VERSIONS}


@pytest.fixture(scope="module")
def measured(examples: list[Example], found: dict[str, NDArray[np.float64]]) -> dict[str, Measured]:
    return measure(examples, found)


@pytest.fixture(scope="module")
def recorded() -> dict[str, dict[str, float]]:
    results: dict[str, dict[str, float]] = json.loads(RESULTS.read_text())
    return results


def test_figures_are_the_recorded_ones(measured: dict[str, Measured], recorded: dict[str, dict[str, float]]) -> None:
    """Accuracy, confidence gap, Brier score and agreement with v1 are those of results.json."""
    for version, found in measured.items():
        assert asdict(found) == pytest.approx(recorded[version], abs=1e-3), version


def test_v1_is_good_and_calibrated(measured: dict[str, Measured]) -> None:
    """About as accurate as the data allow without the newest wordings; confidence means what it says."""
    assert 0.89 <= measured["v1"].accuracy <= 0.93
    assert abs(measured["v1"].confidence_gap) <= 0.015


def test_v2_is_better_by_about_a_point(measured: dict[str, Measured]) -> None:
    """More right answers on few texts, calibrated, with better probabilities than v1's."""
    assert -0.012 <= measured["v2"].mean_difference <= -0.009
    assert measured["v2"].discordance <= 0.018
    assert abs(measured["v2"].confidence_gap) <= 0.012
    assert measured["v2"].brier < measured["v1"].brier


def test_v2_gains_on_the_wording_it_learned(examples: list[Example], found: dict[str, NDArray[np.float64]]) -> None:
    """The cause of the gain is the recipe's: the wording that v2's data has and v1's has not, not the newest one."""

    def accuracy(version: str, families: frozenset[str]) -> float:
        asked = [i for i, e in enumerate(examples) if e.family in families]
        predicted = found[version][asked].argmax(axis=1)
        return float(np.mean([LABELS[k] == examples[i].label for k, i in zip(predicted, asked, strict=True)]))

    assert accuracy("v2", RECENT - NEWEST) >= accuracy("v1", RECENT - NEWEST) + 0.4
    assert accuracy("v2", NEWEST) <= accuracy("v1", NEWEST) + 0.05


def test_v3_is_less_accurate_only(measured: dict[str, Measured]) -> None:
    """Two to four points below v1, and calibrated: only an accuracy gate can blame it."""
    assert 0.02 <= measured["v3"].mean_difference <= 0.04
    assert abs(measured["v3"].confidence_gap) <= 0.015


def test_v4_is_overconfident_only(measured: dict[str, Measured]) -> None:
    """As accurate as v1 on nearly the same texts, but surer by six points: only a calibration gate can blame it."""
    assert abs(measured["v4"].mean_difference) <= 0.005
    assert measured["v4"].discordance <= 0.04
    assert measured["v4"].confidence_gap >= measured["v1"].confidence_gap + 0.06


def test_v4_is_within_a_point_of_v2(measured: dict[str, Measured]) -> None:
    """Compared with v2, too, its confidence is off by far more than its accuracy."""
    assert abs(measured["v4"].accuracy - measured["v2"].accuracy) <= 0.01
    assert measured["v4"].confidence_gap >= measured["v2"].confidence_gap + 0.06


@pytest.mark.parametrize("version", VERSIONS)
def test_tokenizers_do_not_pad_or_truncate(version: str) -> None:
    """Padding belongs to the batch: all versions give a text's own tokens."""
    tokenizer = Tokenizer.from_file(str(CHECKPOINTS / version / "tokenizer.json"))
    assert tokenizer.padding is None
    assert tokenizer.truncation is None
    assert tokenizer.token_to_id("[PAD]") == 0
    assert tokenizer.encode("Refund").ids == tokenizer.encode("refund").ids


@pytest.mark.parametrize("version", VERSIONS)
def test_checkpoints_are_small_distilberts_with_named_labels(version: str) -> None:
    """The four files of a checkpoint, about 1 MB of weights, the labels' names in config.json."""
    folder = CHECKPOINTS / version
    files = {path.name: path.stat().st_size for path in folder.iterdir()}
    assert set(files) == {"config.json", "model.safetensors", "tokenizer.json", "model.onnx"}
    assert files["model.safetensors"] < 1.1e6
    assert files["model.onnx"] < 1.2e6
    config: dict[str, Any] = json.loads((folder / "config.json").read_text())
    assert config["architectures"] == ["DistilBertForSequenceClassification"]
    assert [config["id2label"][str(i)] for i in range(len(LABELS))] == list(LABELS)
    assert config["label2id"] == {label: i for i, label in enumerate(LABELS)}


def test_data_card_shows_the_recorded_table(recorded: dict[str, dict[str, float]]) -> None:
    """Figures in the data card are those of results.json, to the digits shown."""
    card = (Path(RESULTS).parent / "README.md").read_text(encoding="utf-8")
    for version, figures in recorded.items():
        assert f"| {version} | {figures['accuracy']:.2%} | {figures['confidence_gap']:+.4f} |" in card
