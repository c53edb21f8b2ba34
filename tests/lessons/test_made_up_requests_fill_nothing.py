"""Labels for requests that nobody made are bounded in number, and expire; labels that met their sample stay."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from controller.adapters.sql import Store, schema
from controller.adapters.sql import labels as sql_labels
from tests.contracts.samples import evidence, live, shadow, truth
from tests.stores import new_store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = new_store(f"sqlite:///{tmp_path}/store.db")
    yield opened
    opened.close()


def kept(store: Store) -> set[str]:
    with store.database.engine.connect() as connection:
        return set(connection.execute(sa.select(schema.labels.c.request_id)).scalars())


def test_labels_without_a_sample_expire_sooner(store: Store) -> None:
    """By our clock, whatever time the label claims."""
    store.samples.add_predictions([live("a")])
    received = {"at_s": 5_000.0, "received_at_s": 100.0}
    store.samples.add_labels([truth("a", **received), truth("made up", **received)])
    store.samples.add_labels([truth("later", received_at_s=200.0)])
    assert store.samples.unmatched_labels.prune(150.0) == 1
    assert kept(store) == {"a", "later"}


def test_a_label_that_met_its_sample_late_stays(store: Store) -> None:
    store.samples.add_labels([truth("a", received_at_s=100.0)])
    store.samples.add_predictions([live("a"), shadow("a")])
    assert store.samples.unmatched_labels.prune(150.0) == 0
    assert len(evidence(store.samples).pairs) == 1


def test_no_more_of_them_are_kept_than_the_newest(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """However fast they come; labels of sampled requests are not among those that give way."""
    monkeypatch.setattr(sql_labels, "UNMATCHED_MAX", 10)
    store.samples.add_predictions([live("a")])
    store.samples.add_labels([truth("a")])
    for batch in range(5):
        store.samples.add_labels([truth(f"made up {batch} {number}") for number in range(7)])
    assert len(kept(store)) == 11
    assert "a" in kept(store)
    assert "made up 4 6" in kept(store)


def test_contradictions_on_record_are_bounded(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sql_labels, "DISPUTES_MAX", 5)
    store.samples.add_labels([truth("a")])
    for number in range(20):
        store.samples.add_labels([truth("a", f"other {number}")])
    with store.database.engine.connect() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(schema.label_disputes)).scalar_one() == 5
