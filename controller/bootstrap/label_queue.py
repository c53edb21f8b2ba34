"""The queues of requests to label that commands ask: of an installation here, or of one elsewhere."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from controller.adapters.remote.label_queue import RemoteLabelQueue
from controller.bootstrap.afar import wire_to
from controller.bootstrap.policies import has_policy
from controller.bootstrap.stores import store_of, texts_of
from controller.config.settings import Home
from controller.errors import UsageError
from controller.label_queue import LabelQueue, StoredLabelQueue


@contextmanager
def label_queue_of(home: Home, model: str) -> Iterator[LabelQueue]:
    """Yield the queue of an installation, with texts where they are kept: it needs no controller.

    Raises:
        UsageError: no installation is here, or the model has no policy.
    """
    settings = home.load()
    if not has_policy(home, model):
        raise UsageError(f"there is no policy for model {model!r}; `serin status` names the models here")
    with closing(store_of(home, settings, texts_of(home, settings))) as store:
        yield StoredLabelQueue(store.samples, store.standing, store.journal)


def label_queue_elsewhere(url: str, *, token_file: Path | None, ca_file: Path | None) -> LabelQueue:
    """Return the queue of an installation elsewhere, by its interface's address. Raises as `wire_to`."""
    return RemoteLabelQueue(wire_to(url, token_file=token_file, ca_file=ca_file))
