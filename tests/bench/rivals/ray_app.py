"""The pipeline as a Ray Serve deployment with dynamic request batching; ``python -m … PORT`` serves until SIGTERM."""

import asyncio
import signal
import sys
from typing import Any

import ray
from ray import serve
from starlette.requests import Request

from tests.bench.rivals._pipeline import BATCH, classifier, classify


@serve.deployment(num_replicas=1, max_ongoing_requests=1024, ray_actor_options={"num_cpus": 1})
class Classifier:
    def __init__(self) -> None:
        self.pipe = classifier()

    @serve.batch(max_batch_size=BATCH, batch_wait_timeout_s=0.01)
    async def classify(self, texts: list[str]) -> list[dict[str, Any]]:
        return await asyncio.to_thread(classify, self.pipe, texts)

    async def __call__(self, request: Request) -> dict[str, Any]:
        answer: dict[str, Any] = await self.classify((await request.json())["text"])
        return answer


def main() -> None:
    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False)
    serve.start(http_options={"host": "127.0.0.1", "port": int(sys.argv[1])})
    serve.run(Classifier.bind(), route_prefix="/predict")
    signal.sigwait({signal.SIGTERM, signal.SIGINT})
    serve.shutdown()
    ray.shutdown()


if __name__ == "__main__":
    main()
