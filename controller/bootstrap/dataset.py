"""Labelled texts of an installation, taken out of its database."""

import time
from contextlib import closing
from pathlib import Path

from controller.adapters.sql.dataset import SqlLabelledTexts
from controller.bootstrap.policies import installed_policies
from controller.bootstrap.stores import store_of, texts_of
from controller.config.settings import Home
from controller.core.labels import LabelNames
from controller.errors import UsageError
from controller.naming import model_named
from controller.offline.dataset import Exported, export


def export_labelled(home: Home, model: str, file: Path, *, within_s: float) -> Exported:
    """Write the model's labelled texts of the last so many seconds to a file. Raises as `export`, and UsageError where
    no installation is here, or it keeps no texts."""
    model_named(model)
    settings = home.load()
    texts = texts_of(home, settings)
    if texts is None:
        raise UsageError(
            "no texts are kept here: `serin up --capture-text` keeps those of sampled answers from then on"
        )
    policy = installed_policies(home, settings)().get(model)
    with closing(store_of(home, settings, texts)) as store:
        kept = SqlLabelledTexts(store.database, texts)
        names = LabelNames(kept.classes(model), policy.label_names if policy is not None else {})
        return export(kept.labelled(model, since_s=time.time() - within_s), names, file)
