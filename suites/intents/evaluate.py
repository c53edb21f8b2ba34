"""Measures the committed checkpoints on the held-out part, as they are served: ONNX graph and tokenizer, no torch.

python -m suites.intents.evaluate            writes results.json beside this file and prints the table
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from tokenizers import Tokenizer

from suites.intents.generator import LABELS, Example, held_out
from suites.intents.recipes import VERSIONS

HERE: Final = Path(__file__).resolve().parent
CHECKPOINTS: Final = HERE / "checkpoints"
RESULTS: Final = HERE / "results.json"
BATCH_TEXTS: Final = 128


@dataclass(frozen=True, slots=True)
class Measured:
    """The figures of one version on the held-out part.

    `confidence_gap` is the mean confidence minus the accuracy. `discordance` is the share of texts on which exactly one
    of v1 and this version is right, and `mean_difference` is the accuracy of v1 minus that of this version.
    """

    accuracy: float
    confidence_gap: float
    brier: float
    discordance: float
    mean_difference: float


def probabilities(checkpoint: Path, texts: Sequence[str], *, threads: int = 1) -> NDArray[np.float64]:
    """Return the class probabilities [texts, labels] that the ONNX graph of a checkpoint folder gives, in the order of
    `texts`."""
    tokenizer = Tokenizer.from_file(str(checkpoint / "tokenizer.json"))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(checkpoint / "model.onnx", options, providers=["CPUExecutionProvider"])
    encodings = tokenizer.encode_batch(list(texts))
    by_length = sorted(range(len(texts)), key=lambda i: len(encodings[i].ids))
    logits = np.empty((len(texts), len(LABELS)))
    for start in range(0, len(by_length), BATCH_TEXTS):
        batch = by_length[start : start + BATCH_TEXTS]
        longest = len(encodings[batch[-1]].ids)
        feed = {name: np.zeros((len(batch), longest), dtype=np.int64) for name in ("input_ids", "attention_mask")}
        for row, i in enumerate(batch):
            length = len(encodings[i].ids)
            feed["input_ids"][row, :length] = encodings[i].ids
            feed["attention_mask"][row, :length] = encodings[i].attention_mask
        logits[batch] = session.run(["logits"], feed)[0]
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    result: NDArray[np.float64] = powers / powers.sum(axis=1, keepdims=True)
    return result


def measure(examples: Sequence[Example], found: Mapping[str, NDArray[np.float64]]) -> dict[str, Measured]:
    """Return each version's figures, from its probabilities [examples, labels]. "v1" must be among the versions."""
    truth = np.array([LABELS.index(e.label) for e in examples])
    reference = found["v1"].argmax(axis=1) == truth
    measured = {}
    for version, probability in found.items():
        right = probability.argmax(axis=1) == truth
        measured[version] = Measured(
            accuracy=float(right.mean()),
            confidence_gap=float(probability.max(axis=1).mean() - right.mean()),
            brier=float(np.square(probability - np.eye(len(LABELS))[truth]).sum(axis=1).mean()),
            discordance=float((right != reference).mean()),
            mean_difference=float(reference.mean() - right.mean()),
        )
    return measured


def main() -> None:
    examples = held_out()
    texts = [e.text for e in examples]
    measured = measure(examples, {v: probabilities(CHECKPOINTS / v, texts) for v in VERSIONS})
    rounded = {v: {name: round(x, 5) for name, x in asdict(m).items()} for v, m in measured.items()}
    RESULTS.write_text(json.dumps(rounded, indent=2) + "\n")
    print("| version | accuracy | confidence - accuracy | Brier | discordant with v1 | v1 - version |")
    print("| --- | --- | --- | --- | --- | --- |")
    for version, m in measured.items():
        print(
            f"| {version} | {m.accuracy:.2%} | {m.confidence_gap:+.4f} | {m.brier:.4f} | {m.discordance:.2%} "
            f"| {m.mean_difference:+.2%} |"
        )


if __name__ == "__main__":
    main()
