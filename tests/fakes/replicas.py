"""Running replicas in memory: what each would say if it were asked."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from controller.errors import RefusedRequestError, SerinError, TransientError


@dataclass(frozen=True, slots=True)
class FakeReplica:
    """One replica: the manifest that it verified, its tokenizer, and its model."""

    fingerprint: str
    tokenize: Callable[[str], tuple[int, ...]]
    predict: Callable[[str], Mapping[str, float]]


class FakeReplicas:
    """Implements ``Replicas``. ``running``: by URL. ``outage``: raised by every call while it is set."""

    def __init__(self, *, text_chars_max: int = 20_000) -> None:
        self.running: dict[str, FakeReplica] = {}
        self._text_chars_max = text_chars_max
        self.outage: SerinError | None = None

    def token_ids(self, url: str, texts: Sequence[str]) -> tuple[tuple[int, ...], ...]:
        replica = self._taking(url, texts)
        return tuple(replica.tokenize(text) for text in texts)

    def fingerprint(self, url: str) -> str:
        return self._at(url).fingerprint

    def probabilities(self, url: str, texts: Sequence[str]) -> Sequence[Mapping[str, float]]:
        replica = self._taking(url, texts)
        return [replica.predict(text) for text in texts]

    def _taking(self, url: str, texts: Sequence[str]) -> FakeReplica:
        replica = self._at(url)
        for place, text in enumerate(texts):
            if len(text) > self._text_chars_max:
                said = f"{url} refused the request with 422: at most {self._text_chars_max} characters, got {len(text)}"
                raise RefusedRequestError(said, place=place)
        return replica

    def _at(self, url: str) -> FakeReplica:
        if self.outage is not None:
            raise self.outage
        if url not in self.running:
            raise TransientError("deployments", f"{url} did not answer")
        return self.running[url]
