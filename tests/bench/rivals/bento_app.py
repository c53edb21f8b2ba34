"""The pipeline as a BentoML service with adaptive batching, which takes no batches smaller than two."""

from typing import Any

import bentoml

from tests.bench.rivals._pipeline import BATCH, classifier, classify


@bentoml.service(workers=1, traffic={"timeout": 120})
class Classifier:
    def __init__(self) -> None:
        self.pipe = classifier()

    @bentoml.api(batchable=True, max_batch_size=max(2, BATCH), max_latency_ms=60_000)
    def predict(self, texts: list[str]) -> list[dict[str, Any]]:
        return classify(self.pipe, texts)
