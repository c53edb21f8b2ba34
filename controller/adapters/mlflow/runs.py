"""Runs of MLflow: the parameters, the data and the commit of a run, as the lineage of a version."""

from collections.abc import Iterator
from typing import Any, Final

from controller.adapters.mlflow.calls import wrapped
from serving.package.origin import ENTRIES_MAX, WORDS_MAX, DataSet, Lineage

_COMMIT: Final = "mlflow.source.git.commit"
_USE: Final = "mlflow.data.context"


def lineage_of(client: Any, run_id: str) -> Lineage:
    """Return the lineage of a run. Long values and long lists are cut off.

    Raises:
        PermanentError: there is no such run.
        TransientError: MLflow does not answer.
    """
    with wrapped(f"read run {run_id!r}"):
        run = client.get_run(run_id)
    parameters = sorted(run.data.params.items())[:ENTRIES_MAX]
    inputs = run.inputs.dataset_inputs if run.inputs is not None else ()
    return Lineage(
        run.info.run_id,
        run.data.tags.get(_COMMIT, "")[:WORDS_MAX],
        tuple((name[:WORDS_MAX], str(value)[:WORDS_MAX]) for name, value in parameters),
        tuple(_data_sets(inputs))[:ENTRIES_MAX],
    )


def _data_sets(inputs: Any) -> Iterator[DataSet]:
    for one in inputs:
        use = next((tag.value for tag in one.tags if tag.key == _USE), "")
        words = (one.dataset.name, one.dataset.digest, use)
        yield DataSet(*((word or "")[:WORDS_MAX] for word in words))
