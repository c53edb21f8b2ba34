"""What is served: a full-size DistilBERT with random weights, and the demo's model; and the texts it is asked.

Both are checkpoints as transformers loads them and packages as Serin serves them, of the very same weights. They are
built into ``build/bench``, once for each state of what builds them.
"""

import hashlib
import json
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import onnxruntime

from serving.package.artifact import CONFIG_FILE, TOKENIZER_FILE, config_labels
from serving.packaging.build import build_package
from suites.intents.generator import held_out
from tests.bench._distilbert import write_checkpoint
from tests.serving.replica import REPOSITORY

DEMO_CHECKPOINT: Final = REPOSITORY / "suites" / "intents" / "checkpoints" / "v1"
MODEL, VERSION = "intent", "1"
LENGTHS: Final = (1, 1, 1, 1, 1, 2, 2, 3, 5, 8)
"""How many sentences make a text: most are one question, a few are whole letters."""
_TEXTS: Final = 1200
_FULL_TEXTS: Final = 60  # of them, for the model that takes tens of milliseconds for each
_TOKENIZER_CONFIG_FILE: Final = "tokenizer_config.json"


@dataclass(frozen=True, slots=True)
class Subject:
    """A model: as others load it, as we serve it; the texts of one measurement, and the latency promised to users."""

    name: str
    checkpoint: Path
    package: Path
    texts: Sequence[str]
    passes: int
    objective_ms: float
    rival_batch: int
    """At most so many texts in a batch of the transformers pipeline: where it is fastest on these texts, padding being
    what it is (processor ms a text by 1 / 2 / 4 / 8 / 16: 66 M 70 / 77 / 96 / 133 / 161, demo 3.0 / 2.2 / 1.6 / 1.4 /
    1.4)."""


@dataclass(frozen=True, slots=True)
class Models:
    int8: Subject
    fp32: Subject
    demo: Subject


def texts_of(seed: int = 7) -> list[str]:
    """A realistic mix of lengths, out of the demo's held-out sentences."""
    draw = np.random.default_rng(seed)
    sentences = [example.text for example in held_out(5600)[600:]]
    return [
        ". ".join(draw.choice(sentences, size=sentences_of, replace=False))
        for sentences_of in draw.choice(LENGTHS, size=_TEXTS)
    ]


def few(texts: Sequence[str], count: int) -> list[str]:
    """So many of them with the same mix of lengths, in no order."""
    by_length = sorted(texts, key=len)
    step = len(texts) / count
    return [by_length[int((at + 0.5) * step)] for at in np.random.default_rng(0).permutation(count)]


def models(folder: Path, texts_ratio: float = 1.0) -> Models:
    """Built into ``folder`` unless they are there already, by the same code; asked this part of the texts."""
    stamp, digest = folder / "built-by", _digest()
    if not stamp.exists() or stamp.read_text() != digest:
        shutil.rmtree(folder, ignore_errors=True)
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
            _build(Path(temporary) / "models")
            (Path(temporary) / "models" / stamp.name).write_text(digest)
            (Path(temporary) / "models").rename(folder)
    texts = few(texts_of(), int(_TEXTS * texts_ratio))
    full = few(texts, int(_FULL_TEXTS * texts_ratio))
    return Models(
        int8=Subject("66 M int8", folder / "full", folder / "packages" / "int8", full, 1, 1000.0, 1),
        fp32=Subject("66 M fp32", folder / "full", folder / "packages" / "fp32", full, 1, 1000.0, 1),
        demo=Subject("demo model", folder / "demo", folder / "packages" / "demo", texts, 2, 100.0, 16),
    )


def _digest() -> str:
    """Of what the packages depend on."""
    digest = hashlib.sha256(onnxruntime.__version__.encode())
    for path in (
        *sorted((REPOSITORY / "serving" / "package").glob("*.py")),
        Path(__file__).parents[1] / "_distilbert.py",
    ):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _build(folder: Path) -> None:
    labels = config_labels((DEMO_CHECKPOINT / CONFIG_FILE).read_bytes())
    write_checkpoint(folder / "full", DEMO_CHECKPOINT / TOKENIZER_FILE, labels)
    shutil.copytree(DEMO_CHECKPOINT, folder / "demo")
    for name in ("full", "demo"):
        _write_tokenizer_config(folder / name)
    for name, variant in (("int8", "int8"), ("fp32", "fp32")):
        build_package(folder / "full", folder / "packages" / name, variant=variant)
    build_package(folder / "demo", folder / "packages" / "demo")


def _write_tokenizer_config(checkpoint: Path) -> None:
    """So that transformers takes ``tokenizer.json`` as it is."""
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": json.loads((checkpoint / CONFIG_FILE).read_bytes())["max_position_embeddings"],
        "model_input_names": ["input_ids", "attention_mask"],
        **{f"{name}_token": f"[{name.upper()}]" for name in ("pad", "unk", "cls", "sep", "mask")},
    }
    (checkpoint / _TOKENIZER_CONFIG_FILE).write_text(json.dumps(config), encoding="utf-8")
