"""The transformers pipeline over a file of texts, as its documentation shows it; run where torch is.

    python batch_pipeline.py CHECKPOINT TEXTS.json THREADS BATCH

Prints one JSON object: seconds and processor seconds of scoring, loading and a first text left out, and the labels.
"""

import json
import sys
import time
from pathlib import Path

import torch
from transformers import pipeline


def main() -> None:
    checkpoint, file, threads, batch = sys.argv[1:]
    torch.set_num_threads(int(threads))
    texts = json.loads(Path(file).read_text(encoding="utf-8"))
    classify = pipeline("text-classification", model=checkpoint, device="cpu")
    classify(texts[:1], truncation=True)
    began_s, began_cpu_s = time.perf_counter(), time.process_time()
    answers = list(classify((text for text in texts), batch_size=int(batch), truncation=True))
    took_s, cpu_s = time.perf_counter() - began_s, time.process_time() - began_cpu_s
    print(json.dumps({"took_s": took_s, "cpu_s": cpu_s, "labels": [answer["label"] for answer in answers]}))


main()
