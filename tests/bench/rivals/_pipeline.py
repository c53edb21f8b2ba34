"""The transformers pipeline that every rival serves; the environment tells its checkpoint and its largest batch."""

import os
from typing import Any

import torch
from transformers import pipeline

BATCH = int(os.environ["BATCH"])


def classifier() -> Any:
    """Takes a list of texts, gives the best label of each with its score."""
    torch.set_num_threads(1)
    torch.set_num_interop_threads(1)
    return pipeline("text-classification", model=os.environ["CHECKPOINT"], device="cpu")


def classify(pipe: Any, texts: list[str]) -> list[dict[str, Any]]:
    answers: list[dict[str, Any]] = pipe(texts, batch_size=len(texts), truncation=True)
    return answers
