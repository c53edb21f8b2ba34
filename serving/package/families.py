"""The kinds of encoders that are served, and how their checkpoints are held against themselves before an export.

Every family here is exported, packaged and compared with the library in ``tests/serving/test_families.py``. A family is
named as ``config.json`` names it (``model_type``): MiniLM is a ``bert`` or an ``xlm-roberta``.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from serving.package.artifact import CONFIG_FILE, WEIGHTS_FILE, ArtifactError
from serving.package.rules import Task
from serving.package.tensors import FLOATS, Tensor

_POSITIONS_MIN: Final = 3
"""Two special tokens and one of a text."""
_POSITIONS: Final = "embeddings.position_embeddings.weight"
_KIND_OF_TASK: Final = {
    Task.SEQUENCE_CLASSIFICATION: "ForSequenceClassification",
    Task.TOKEN_CLASSIFICATION: "ForTokenClassification",
}
_CLASSIFIERS: Final = ("classifier.weight", "classifier.out_proj.weight")


@dataclass(frozen=True, slots=True)
class Family:
    """``prefix``: what stands before the names of a model's weights; a bare encoder is saved without. Empty where the
    names differ anyway.

    ``words``: the table of token embeddings, by the end of its name.

    ``absolute``: there must be a table of positions; where they are relative there may be one. ``offset``: positions
    are counted from the padding's id on, by default this one, which takes as many and one from the table; None: from 0.
    """

    prefix: str
    words: str = "embeddings.word_embeddings.weight"
    absolute: bool = True
    offset: int | None = None


_LIKE_ROBERTA: Final = Family("roberta", offset=1)
_LIKE_DEBERTA: Final = Family("deberta", absolute=False)

FAMILIES: Final[Mapping[str, Family]] = {
    "distilbert": Family("distilbert"),
    "bert": Family("bert"),
    "electra": Family("electra"),
    "roberta": _LIKE_ROBERTA,
    "xlm-roberta": _LIKE_ROBERTA,
    "camembert": _LIKE_ROBERTA,
    "mpnet": Family("mpnet", offset=1),
    "deberta": _LIKE_DEBERTA,
    "deberta-v2": _LIKE_DEBERTA,
    "modernbert": Family("", words="embeddings.tok_embeddings.weight", absolute=False),
}


def family_of(config: Mapping[str, Any]) -> tuple[str, Family]:
    """The family of a ``config.json``, by name.

    Raises:
        ArtifactError: it is none that is served.
    """
    name = config.get("model_type")
    if not isinstance(name, str) or name not in FAMILIES:
        said = f"model_type {name!r} is not served" if name is not None else "model_type is missing"
        raise ArtifactError(CONFIG_FILE, f"{said}; supported are {', '.join(FAMILIES)}")
    return name, FAMILIES[name]


def check_config(config: Mapping[str, Any], task: Task) -> None:
    """Refuse configurations of what is not served, before any other file is looked at.

    Raises:
        ArtifactError: naming the field.
    """
    if "auto_map" in config:
        raise ArtifactError(CONFIG_FILE, "auto_map asks for code from the checkpoint, which is never run")
    if config.get("quantization_config"):
        raise ArtifactError(
            CONFIG_FILE,
            "quantization_config: quantised checkpoints are not served; register the one that it was "
            "made from, and its int8 variant with --variant int8 --of VERSION",
        )
    architectures = config.get("architectures")
    suffix = _KIND_OF_TASK.get(task)
    other = {suffix for kind, suffix in _KIND_OF_TASK.items() if kind is not task}
    for name in architectures if isinstance(architectures, list) else ():
        if suffix is not None and isinstance(name, str) and name.endswith(tuple(other)):
            kind = next(kind for kind, ending in _KIND_OF_TASK.items() if name.endswith(ending))
            raise ArtifactError(CONFIG_FILE, f"architectures names {name}, not one for {task}: give --task {kind}")


def positions_max(config: Mapping[str, Any], family: Family) -> int:
    """Return how many tokens the model has positions for.

    Raises:
        ArtifactError: ``config.json`` does not say.
    """
    positions = config.get("max_position_embeddings")
    if type(positions) is not int:
        raise ArtifactError(CONFIG_FILE, f"max_position_embeddings must be a whole number, but is {positions!r}")
    usable = positions
    if family.offset is not None:
        padding = config.get("pad_token_id")
        usable -= 1 + (padding if type(padding) is int else family.offset)
    if usable < _POSITIONS_MIN:
        raise ArtifactError(
            CONFIG_FILE,
            f"max_position_embeddings is {positions}: that is room for {max(usable, 0)} tokens, and at "
            "least 3 are needed",
        )
    return usable


def check_weights(
    config: Mapping[str, Any], family: Family, weights: Mapping[str, Tensor], task: Task, labels: tuple[str, ...]
) -> int:
    """Hold the shapes of a checkpoint's weights against its ``config.json``; returns how many token ids have a row.

    Raises:
        ArtifactError: naming what differs, with both values.
    """
    _check_prefix(config, family, weights)
    words = _table(weights, family.words)
    if words is None:
        raise ArtifactError(WEIGHTS_FILE, f"has no {family.words}: it does not hold a {config.get('model_type')}")
    rows = words.shape[0]
    _same(words, config, "vocab_size", "tokens")
    positions = _table(weights, _POSITIONS)
    if positions is None and family.absolute:
        raise ArtifactError(WEIGHTS_FILE, f"has no {_POSITIONS}: it does not hold a {config.get('model_type')}")
    if positions is not None:
        _same(positions, config, "max_position_embeddings", "positions")
    if task is not Task.EMBEDDING:
        _check_classifier(config, weights, task, labels)
    return rows


def _check_prefix(config: Mapping[str, Any], family: Family, weights: Mapping[str, Tensor]) -> None:
    """Only another family's prefix contradicts: there may be none, or one of somebody's own."""
    others: dict[str, str] = {}
    for name, other in FAMILIES.items():
        if other.prefix not in (family.prefix, ""):
            others.setdefault(other.prefix, name)
    for name in weights:
        prefix = name.partition(".embeddings.")[0]
        if prefix != name and prefix in others:
            raise ArtifactError(
                CONFIG_FILE,
                f"model_type is {config.get('model_type')!r}, but {name} of {WEIGHTS_FILE} is a weight of "
                f"{others[prefix]!r}: which is right?",
            )


def token_rows(weights: Mapping[str, Tensor]) -> int | None:
    """Return how many token ids have a row in a version's weights; None where no family's table is among them."""
    tables = (_table(weights, family.words) for family in FAMILIES.values())
    return next((table.shape[0] for table in tables if table is not None), None)


def _check_classifier(
    config: Mapping[str, Any], weights: Mapping[str, Tensor], task: Task, labels: tuple[str, ...]
) -> None:
    found = next((weights[name] for name in _CLASSIFIERS if name in weights), None)
    if found is None:
        kind = config.get("architectures")
        named = f" (architectures says {kind[0]})" if isinstance(kind, list) and kind else ""
        raise ArtifactError(WEIGHTS_FILE, f"has no classifier.weight: it was not trained for {task}{named}")
    _check_kind(found)
    if found.shape[0] != len(labels):
        raise ArtifactError(
            CONFIG_FILE,
            f"names {len(labels)} labels{'' if config.get('id2label') else ' (the default, without id2label)'}, and "
            f"{found.name} of {WEIGHTS_FILE} has {found.shape[0]} outputs: write id2label as the model was trained",
        )


def _same(table: Tensor, config: Mapping[str, Any], field: str, what: str) -> None:
    _check_kind(table)
    if table.shape[0] != config.get(field):
        raise ArtifactError(
            CONFIG_FILE,
            f"{field} is {config.get(field)!r}; {table.name} of {WEIGHTS_FILE} has rows for {table.shape[0]} {what}",
        )


def _check_kind(tensor: Tensor) -> None:
    if tensor.kind not in FLOATS:
        raise ArtifactError(
            WEIGHTS_FILE,
            f"{tensor.name} is stored as {tensor.kind}: quantised checkpoints are not served; register "
            "the one that it was made from, in fp32, fp16 or bf16",
        )
    if len(tensor.shape) != 2 or not math.prod(tensor.shape):
        raise ArtifactError(
            WEIGHTS_FILE, f"{tensor.name} has the shape {list(tensor.shape)}, which a table cannot have"
        )


def _table(weights: Mapping[str, Tensor], ending: str) -> Tensor | None:
    found = (tensor for name, tensor in weights.items() if name == ending or name.endswith("." + ending))
    return next(found, None)
