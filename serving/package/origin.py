"""The origin of a version besides its files: the run that trained it, and the temperature of its answers.

They stand in its manifest, so that the fingerprint covers them. Standard library only: the controller reads them too.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

WORDS_MAX: Final = 500
"""Characters of a name or value that is kept."""
ENTRIES_MAX: Final = 200
"""Parameters and data sets of a run that are kept."""


@dataclass(frozen=True, slots=True)
class Temperature:
    """The number that a version's logits are divided by, in its graph; ``fitted_on``: the file of labelled cases that
    it was fitted on, as a name, its SHA-256 and how many; empty where somebody gave the number."""

    value: float
    fitted_on: str = ""


@dataclass(frozen=True, slots=True)
class DataSet:
    """The data that a run read. ``use``: what for, such as training, where that was logged."""

    name: str
    digest: str = ""
    use: str = ""


@dataclass(frozen=True, slots=True)
class Lineage:
    """The run that a version comes from: its id, the commit of its code, what it was given and what it read."""

    run: str
    commit: str = ""
    parameters: tuple[tuple[str, str], ...] = ()
    data: tuple[DataSet, ...] = ()


def parse_temperature(document: Any) -> Temperature | None:
    """The field ``temperature`` of a manifest.

    Raises:
        ValueError: naming the field that is missing, unknown or wrong.
    """
    if document is None:
        return None
    fields = _exactly("temperature", document, "value", "fitted_on")
    value = fields["value"]
    if type(value) not in (int, float) or not (math.isfinite(value) and value > 0):
        raise ValueError("temperature.value must be a number above 0")
    return Temperature(float(value), _words("temperature.fitted_on", fields["fitted_on"]))


def parse_lineage(document: Any) -> Lineage | None:
    """The field ``lineage`` of a manifest. Raises as `parse_temperature`."""
    if document is None:
        return None
    fields = _exactly("lineage", document, "run", "commit", "parameters", "data")
    parameters, data = fields["parameters"], fields["data"]
    for name, entries in (("parameters", parameters), ("data", data)):
        if not isinstance(entries, list) or len(entries) > ENTRIES_MAX:
            raise ValueError(f"lineage.{name} must be a list of at most {ENTRIES_MAX}")
    return Lineage(
        _words("lineage.run", fields["run"]),
        _words("lineage.commit", fields["commit"]),
        tuple(_parameter(entry) for entry in parameters),
        tuple(_data_set(entry) for entry in data),
    )


def _parameter(entry: Any) -> tuple[str, str]:
    if not isinstance(entry, list) or len(entry) != 2:
        raise ValueError("lineage.parameters must hold pairs of a name and a value")
    return _words("lineage.parameters", entry[0]), _words("lineage.parameters", entry[1])


def _data_set(entry: Any) -> DataSet:
    fields = _exactly("lineage.data", entry, "name", "digest", "use")
    return DataSet(*(_words(f"lineage.data.{name}", fields[name]) for name in ("name", "digest", "use")))


def _exactly(name: str, document: Any, *fields: str) -> Mapping[str, Any]:
    if not isinstance(document, dict) or document.keys() != {*fields}:
        raise ValueError(f"{name} must have exactly {', '.join(fields)}")
    return document


def _words(name: str, value: Any) -> str:
    if not isinstance(value, str) or len(value) > WORDS_MAX:
        raise ValueError(f"{name} must be a string of at most {WORDS_MAX} characters")
    return value
