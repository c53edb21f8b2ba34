"""A checkpoint as people have it: where its files lie, and one plain form of them.

What cannot be read says the way out in the words of the library that wrote it.
"""

import re
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from serving.package.artifact import CONFIG_FILE, GRAPH_FILE, TOKENIZER_FILE, WEIGHTS_FILE, ArtifactError
from serving.package.tensors import INDEX_FILE, merge_shards

_MLFLOW_FILE: Final = "MLmodel"
_RUN: Final = re.compile(r"^run_id: ['\"]?([0-9a-f]{32})['\"]?$", re.MULTILINE)
_MLFLOW_MODEL: Final = "model"
_MLFLOW_TOKENIZER: Final = Path("components") / "tokenizer"
_PICKLES: Final = ("pytorch_model.bin", "pytorch_model.bin.index.json", "model.bin", "pytorch_model.pt", "model.pt")
_OTHER_WEIGHTS: Final = ("tf_model.h5", "flax_model.msgpack", "model.gguf")
_ADAPTER: Final = "adapter_config.json"
_OTHER_TOKENIZERS: Final = (
    "vocab.txt",
    "vocab.json",
    "spiece.model",
    "sentencepiece.bpe.model",
    "spm.model",
    "tokenizer.model",
)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The places of a checkpoint's files: those of the model, and those of its tokenizer."""

    given: Path
    model: Path
    tokenizer: Path

    @property
    def run(self) -> str:
        """The id of the run that logged it, as MLflow writes it beside; empty where none did."""
        path = self.given / _MLFLOW_FILE
        with suppress(OSError, UnicodeDecodeError):
            found = _RUN.search(path.read_text(encoding="utf-8")) if path.is_file() else None
            return found[1] if found is not None else ""
        return ""

    @property
    def graph(self) -> Path | None:
        """The graph that somebody has exported."""
        path = self.model / GRAPH_FILE
        return path if path.is_file() else None

    def collect(self, directory: Path) -> None:
        """Copy ``config.json``, ``model.safetensors`` (of one piece) and ``tokenizer.json``.

        Raises:
            ArtifactError: one of them is missing; says what is there instead, and the way out.
        """
        self._require(self.model / CONFIG_FILE, _weights_way_out(self.model))
        self._require(self.tokenizer / TOKENIZER_FILE, _tokenizer_way_out(self.tokenizer))
        shutil.copyfile(self.model / CONFIG_FILE, directory / CONFIG_FILE)
        shutil.copyfile(self.tokenizer / TOKENIZER_FILE, directory / TOKENIZER_FILE)
        if (self.model / WEIGHTS_FILE).is_file():
            shutil.copyfile(self.model / WEIGHTS_FILE, directory / WEIGHTS_FILE)
        elif (self.model / INDEX_FILE).is_file():
            merge_shards(self.model, directory / WEIGHTS_FILE)
        else:
            self._require(self.model / WEIGHTS_FILE, _weights_way_out(self.model))

    def _require(self, path: Path, way_out: str) -> None:
        if not path.is_file():
            raise ArtifactError(path.name, f"is missing in the checkpoint {self.given}{way_out}")


def find_checkpoint(directory: Path) -> Checkpoint:
    """The checkpoint in a folder: as the library saves it, or as ``mlflow.transformers`` logs it.

    Raises:
        ArtifactError: there is no such folder, or it is a logged model of another kind.
    """
    if not directory.is_dir():
        raise ArtifactError(directory.name, "is not a folder")
    if not (directory / _MLFLOW_FILE).is_file() or (directory / CONFIG_FILE).is_file():
        return Checkpoint(directory, directory, directory)
    model, tokenizer = directory / _MLFLOW_MODEL, directory / _MLFLOW_TOKENIZER
    if not (model / CONFIG_FILE).is_file():
        raise ArtifactError(
            _MLFLOW_FILE,
            f"has no {_MLFLOW_MODEL}/{CONFIG_FILE} beside it, where mlflow.transformers.log_model writes the weights: "
            "log the model with them, or give a folder of save_pretrained",
        )
    return Checkpoint(directory, model, tokenizer if tokenizer.is_dir() else model)


def _tokenizer_way_out(directory: Path) -> str:
    found = [name for name in _OTHER_TOKENIZERS if (directory / name).is_file()]
    if not found:
        return ""
    return (
        f", which has {found[0]}: let transformers write the other, with "
        f"AutoTokenizer.from_pretrained({str(directory)!r}).save_pretrained({str(directory)!r})"
    )


def _weights_way_out(directory: Path) -> str:
    if (directory / _ADAPTER).is_file():
        return f", which is an adapter ({_ADAPTER}): merge it, model.merge_and_unload().save_pretrained(FOLDER)"
    if any((directory / name).is_file() for name in _PICKLES) or [*directory.glob("*.bin"), *directory.glob("*.pt")]:
        return (
            ", whose weights are a pickle, which can run code when it is read: save them with save_pretrained(FOLDER)"
        )
    if found := [name for name in _OTHER_WEIGHTS if (directory / name).is_file()]:
        return f", which has {found[0]}: load it with transformers and save_pretrained(FOLDER)"
    return ""
