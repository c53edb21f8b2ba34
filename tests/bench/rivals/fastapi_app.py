"""The pipeline behind FastAPI, with the queue and the loop that transformers' guide to web servers advises.

Requests that wait share a batch; a request waits for company for 1 ms. The model runs in a thread, so that the event
loop goes on receiving meanwhile.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel

from tests.bench.rivals._pipeline import BATCH, classifier, classify

WAIT_S = 0.001
Waiting = tuple[str, "asyncio.Future[dict[str, Any]]"]


class Request(BaseModel):
    text: str


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    app.state.queue = asyncio.Queue()
    serving = asyncio.create_task(serve(app.state.queue, classifier()))
    yield
    serving.cancel()


app = FastAPI(lifespan=lifespan)


@app.post("/predict")
async def predict(request: Request) -> dict[str, Any]:
    answer: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
    await app.state.queue.put((request.text, answer))
    return await answer


async def serve(queue: "asyncio.Queue[Waiting]", pipe: Any) -> None:
    while True:
        waiting = [await queue.get()]
        while len(waiting) < BATCH:
            try:
                waiting.append(await asyncio.wait_for(queue.get(), WAIT_S))
            except TimeoutError:
                break
        answers = await asyncio.to_thread(classify, pipe, [text for text, _ in waiting])
        for (_, future), answer in zip(waiting, answers, strict=True):
            future.set_result(answer)
