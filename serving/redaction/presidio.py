"""Microsoft Presidio as a recogniser: names of people, places and what else its language model knows.

Needs the extra ``presidio`` and a spaCy model, which is no package of the index:
``python -m spacy download en_core_web_sm``. It costs far more than our own recognisers do; all of that in the capture's
thread. Where its e-mail recogniser finds no list of public suffixes it tries to fetch one (tldextract): a replica that
may not reach the network waits for that once.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, Protocol

from serving.redaction.spans import Span

_SCORE_MIN: Final = 0.4
_OWN_ALREADY: Final = frozenset({"URL", "DATE_TIME", "NRP"})  # found otherwise, or nothing that identifies a person


class Analyzer(Protocol):
    """Presidio's ``AnalyzerEngine``, as far as it is used."""

    def analyze(self, text: str, language: str, *, score_threshold: float) -> Sequence[Any]: ...


class PresidioRecogniser:
    """Asks an analyzer in one language."""

    def __init__(self, analyzer: Analyzer, language: str) -> None:
        self._analyzer = analyzer
        self._language = language

    def __call__(self, text: str, /) -> Iterable[Span]:
        return self._found(self._analyzer.analyze(text, self._language, score_threshold=_SCORE_MIN))

    @staticmethod
    def _found(results: Sequence[Any]) -> Iterator[Span]:
        for result in results:
            if result.entity_type not in _OWN_ALREADY:
                yield Span(result.start, result.end, result.entity_type)


def english() -> PresidioRecogniser:
    """With spaCy's small English model: ``--recogniser serving.redaction.presidio:english``."""
    from presidio_analyzer import AnalyzerEngine
    from presidio_analyzer.nlp_engine import NlpEngineProvider

    models = [{"lang_code": "en", "model_name": "en_core_web_sm"}]
    provider = NlpEngineProvider(nlp_configuration={"nlp_engine_name": "spacy", "models": models})
    return PresidioRecogniser(AnalyzerEngine(nlp_engine=provider.create_engine(), supported_languages=["en"]), "en")
