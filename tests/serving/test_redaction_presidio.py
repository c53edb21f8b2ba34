"""Presidio beside our own recognisers: the real library where it is installed, its interface where it is not."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from serving.redaction.presidio import PresidioRecogniser
from serving.redaction.redactor import OWN, Redactor


@dataclass(frozen=True)
class Result:
    entity_type: str
    start: int
    end: int


class Analyzer:
    """Finds what it is told to, as an ``AnalyzerEngine`` answers."""

    def __init__(self, *results: Result) -> None:
        self._results = results

    def analyze(self, text: str, language: str, *, score_threshold: float) -> Sequence[Result]:  # noqa: ARG002
        assert language == "en"
        assert 0 < score_threshold < 1
        return self._results


def test_its_findings_are_added_to_ours() -> None:
    presidio = PresidioRecogniser(Analyzer(Result("PERSON", 0, 8), Result("DATE_TIME", 9, 11)), "en")
    assert Redactor((*OWN, presidio)).redact("Jane Doe of a@b.de") == "<PERSON> of <EMAIL>"


def test_the_real_library_is_understood(tmp_path: Path) -> None:
    """With an empty spaCy model: its patterns need none, and models are no packages of the index."""
    presidio = pytest.importorskip("presidio_analyzer", reason="the extra presidio is not installed")
    spacy = pytest.importorskip("spacy")
    from presidio_analyzer.nlp_engine import NlpEngineProvider
    from presidio_analyzer.predefined_recognizers import CryptoRecognizer

    spacy.blank("en").to_disk(tmp_path / "model")
    models = [{"lang_code": "en", "model_name": str(tmp_path / "model")}]
    engine = NlpEngineProvider(nlp_configuration={"nlp_engine_name": "spacy", "models": models}).create_engine()
    registry = presidio.RecognizerRegistry(recognizers=[CryptoRecognizer()], supported_languages=["en"])
    analyzer = presidio.AnalyzerEngine(registry=registry, nlp_engine=engine, supported_languages=["en"])
    redactor = Redactor((*OWN, PresidioRecogniser(analyzer, "en")))
    assert redactor.redact("pay 16Yeky6GMjeNkAiNcBY7ZhrLoMSgg1BoyZ") == "pay <CRYPTO>"
