"""The classes that each version has, according to its sampled answers: incoming labels are checked against them."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from sqlalchemy import Connection, delete, insert, select

from controller.adapters.sql.schema import version_classes
from controller.ports.samples import Prediction

CLASSES_MAX: Final = 5_000  # of one version that are kept; a sender that makes names up fills nothing


def note_classes(connection: Connection, predictions: Sequence[Prediction]) -> None:
    """Keep the classes that these answers name and that were not known yet."""
    named: dict[tuple[str, str], set[str]] = {}
    at_s: dict[tuple[str, str], float] = {}
    for one in predictions:
        key = one.model, one.version
        names = named.get(key)
        if names is None:
            named[key], at_s[key] = set(one.probabilities), one.at_s
            continue
        if not names >= one.probabilities.keys():  # nearly always it names the same
            names.update(one.probabilities)
        at_s[key] = max(at_s[key], one.at_s)
    columns = version_classes.c
    for (model, version), names in named.items():
        of_version = (columns.model == model, columns.version == version)
        found = connection.execute(select(columns.classes).where(*of_version)).scalar_one_or_none()
        known = set(json.loads(found)) if found is not None else set()
        if names <= known or len(known | names) > CLASSES_MAX:
            continue
        connection.execute(delete(version_classes).where(*of_version))
        row = {"model": model, "version": version, "classes": json.dumps(sorted(known | names))}
        connection.execute(insert(version_classes).values(**row, at_s=at_s[model, version]))


def classes_of(connection: Connection, models: Iterable[str]) -> Mapping[str, tuple[str, ...]]:
    """The classes of each model, over all its versions; none for a model without a sampled answer."""
    columns = version_classes.c
    found: dict[str, set[str]] = {}
    for row in connection.execute(select(columns.model, columns.classes).where(columns.model.in_(set(models)))):
        found.setdefault(row.model, set()).update(json.loads(row.classes))
    return {model: tuple(sorted(names)) for model, names in found.items()}
