"""The temperature of a package: one division of its logits, in the graph, after everything else was made and compared.

Whoever reads the graph gets the calibrated answers, whatever the variant: the server, batches, suites.
"""

import dataclasses
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from serving.inference.engine import Engine
from serving.package.artifact import (
    GRAPH_FILE,
    MANIFEST_FILE,
    ArtifactError,
    Manifest,
    file_record,
    verify,
)
from serving.package.origin import Temperature
from serving.package.rules import Task
from serving.packaging.export import ExportError
from serving.packaging.graphs import TOLERANCE

_NAME: Final = "serin_temperature"


def temper(package: Path, temperature: Temperature) -> Manifest:
    """Divide the logits of a package that has none yet by the temperature, and say so in its manifest.

    Raises:
        ArtifactError: the version has no classes, or has a temperature already, or answers otherwise than it must.
        ExportError: the package ``onnx`` is not installed.
    """
    manifest = verify(package)
    if manifest.rules.task is not Task.SEQUENCE_CLASSIFICATION:
        raise ArtifactError(MANIFEST_FILE, f"a temperature is for classes, and the task {manifest.rules.task} has none")
    if manifest.temperature is not None:
        raise ArtifactError(MANIFEST_FILE, f"its logits are divided by {manifest.temperature.value:g} already")
    texts = [golden.text for golden in manifest.golden]
    before = answers(package, texts)
    divide_logits(package / GRAPH_FILE, temperature.value)
    files = {**manifest.files, GRAPH_FILE: file_record(package / GRAPH_FILE)}
    manifest = dataclasses.replace(manifest, files=files, temperature=temperature)
    (package / MANIFEST_FILE).write_bytes(manifest.to_bytes())
    after = answers(package, texts)
    if manifest.rules.windows is None:  # else an answer is made of those of several windows
        difference = float(np.abs(tempered(before, temperature.value) - after).max())
        if not difference <= TOLERANCE:  # in this form a NaN is refused too
            raise ArtifactError(GRAPH_FILE, f"answers differently from divided logits (by {difference:.1e})")
    return manifest


def answers(package: Path, texts: Sequence[str]) -> npt.NDArray[np.float64]:
    """The probabilities [texts, labels] that a package gives, verified."""
    return np.array(Engine(package, verify(package), threads=None).answer(texts))


def tempered(probabilities: npt.NDArray[np.float64], temperature: float) -> npt.NDArray[np.float64]:
    """The probabilities as they are with their logits divided so."""
    logs = np.log(np.maximum(probabilities, np.finfo(np.float64).tiny)) / temperature
    exponentials = np.exp(logs - logs.max(axis=1, keepdims=True))
    found: npt.NDArray[np.float64] = exponentials / exponentials.sum(axis=1, keepdims=True)
    return found


def divide_logits(path: Path, temperature: float, name: str = _NAME) -> None:
    """Put a division, called so, behind the graph's only output, under the name that the output had. The weights beside
    it stay.

    Raises:
        ExportError: the package ``onnx`` is not installed.
    """
    if find_spec("onnx") is None:
        raise ExportError("a temperature needs onnx, not installed here: pip install -c constraints.txt onnx")
    import onnx
    from onnx import TensorProto, helper

    model = onnx.load(path, load_external_data=False)
    graph: Any = model.graph
    output = graph.output[0].name
    inner = f"{output}_before_{name}"
    for node in graph.node:
        for names in (node.input, node.output):
            for place, found in enumerate(names):
                if found == output:
                    names[place] = inner
    graph.initializer.append(helper.make_tensor(name, TensorProto.FLOAT, [], [temperature]))
    graph.node.append(helper.make_node("Div", [inner, name], [output], name=name))
    onnx.save(model, path)
