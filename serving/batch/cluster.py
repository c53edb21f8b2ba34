"""A run on a Ray cluster: the same function for each block, by Ray Data.

Only the place of a block and the number of its skipped rows travel. Blocks are read, and parts committed, where they
are scored, so input, output and artifact must be on storage that all nodes see at the same path. A node that goes away
loses only the block it was working on; Ray Data gives that to another, which commits the same bytes.
"""

import logging
import socket
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from serving.batch.job import BatchError, Job, OnError, bad_row
from serving.batch.layouts import Layout
from serving.batch.local import Work
from serving.batch.parts import PartStore
from serving.batch.scoring import Scorer
from serving.batch.sources import Place, open_source

_TASKS_MAX: Final = 2000
"""Ray tracks each task separately; beyond this number a task is several blocks."""


class BlockScorer:
    """An actor's own: one version, loaded, on one core."""

    def __init__(self, job: Job, layout: Layout, target: Path) -> None:
        self._job = job
        self._source = open_source(job.source, job.options)
        self._work = Work(self._source, Scorer(job), layout)
        self._store = PartStore(target)

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, list[Any]]:
        """``Place`` by ``Place``; a refusal is the message of a row that ends the run, or empty."""
        places = [Place(*(int(value) for value in values)) for values in zip(*batch.values(), strict=True)]
        outcomes = [self._score(place) for place in places]
        return {
            "index": [place.index for place in places],
            "skipped": [skipped for skipped, _ in outcomes],
            "refusal": [refusal for _, refusal in outcomes],
        }

    def _score(self, place: Place) -> tuple[int, str]:
        part = self._work.part(self._source.read(place))
        if part.errors and self._job.options.on_error is OnError.FAIL:
            return len(part.errors), bad_row(self._job.source, part.errors[0])
        self._store.commit(part)
        return len(part.errors), ""


def score_on_ray(
    job: Job, target: Path, layout: Layout, places: Sequence[Place], address: str
) -> Iterator[tuple[Place, int]]:
    """The places in the order in which they are done, each with its skipped rows; their parts are committed by then.

    Raises:
        BatchError: there is no such cluster, a row ends the run, or what was run there failed.
    """
    if find_spec("ray") is None:
        raise BatchError("--ray needs Ray, not installed here: pip install 'serin[ray]'")
    if not places:
        return
    import ray
    from ray.exceptions import RayError

    _check_address(address)
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.WARNING)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise BatchError(f"--ray {address}: {error}") from error
    by_index = {place.index: place for place in places}
    try:
        for row in _dataset(job, target, layout, places).iter_rows():
            if row["refusal"]:
                raise BatchError(row["refusal"])
            yield by_index[int(row["index"])], int(row["skipped"])
    except RayError as error:
        raise BatchError(f"on the Ray cluster: {str(error).strip().splitlines()[-1]}") from error
    finally:
        ray.shutdown()


def _check_address(address: str) -> None:
    """Ray itself would try for minutes."""
    host, _, port = address.rpartition(":")
    if not (host and port.isdigit()):
        return
    try:
        socket.create_connection((host, int(port)), timeout=5).close()
    except OSError as error:
        raise BatchError(f"--ray {address}: no cluster answers there ({error.strerror or error})") from error


def _dataset(job: Job, target: Path, layout: Layout, places: Sequence[Place]) -> Any:
    import ray

    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)  # it has set its own when it was imported
    cores = max(1, int(ray.cluster_resources().get("CPU", 1)))
    items = ray.data.from_items([asdict(place) for place in places], override_num_blocks=min(len(places), _TASKS_MAX))
    return items.map_batches(
        BlockScorer,
        fn_constructor_args=(job, layout, target),
        batch_size=1,
        compute=ray.data.ActorPoolStrategy(min_size=1, max_size=cores),
        num_cpus=1,
    )
