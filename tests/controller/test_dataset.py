"""Labelled texts of production are taken out for the next training: which, with what, and where to."""

import json
import stat
import time
from contextlib import closing
from pathlib import Path

import pytest

from controller.adapters.sql import dataset as sql_dataset
from controller.bootstrap.dataset import export_labelled
from controller.bootstrap.stores import prepare_own_database, store_of, texts_of
from controller.config.settings import Home, Settings
from controller.errors import UsageError
from tests.contracts.samples import live, shadow, truth

KEY = "k" * 43 + "="
HOUR_S = 3_600.0


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """One that keeps texts; two requests of intent were labelled an hour after they were answered."""
    home = Home(tmp_path / "home")
    home.save(Settings(capture_text=True))
    home.text_key.write_text(KEY)
    prepare_own_database(home)
    home.policies.mkdir()
    (home.policies / "intent.yaml").write_text(
        "apiVersion: serin/v1\nkind: ReleasePolicy\nmodel: intent\nlabel_names: {Rechnung: invoice}\n"
    )
    now_s = time.time()
    with closing(store_of(home, home.load(), texts_of(home, home.load()))) as store:
        answered = {"at_s": now_s - 2 * HOUR_S}
        store.samples.add_predictions(
            [
                live("a", text="where is it?\n", inclusion_probability=0.5, **answered),
                live("b", text="Rückgabe", at_s=now_s - 9 * HOUR_S),
                live("c", text="nobody said", **answered),
                live("d", **answered),
                shadow("a", text="where is it?\n", **answered),
                live("e", text="another model's", model="tone", **answered),
                live("f", text="odd", **answered),
            ]
        )
        labels = [truth("a", "Rechnung", at_s=now_s - HOUR_S, inclusion_probability=0.5), truth("b"), truth("d")]
        store.samples.add_labels([*labels, truth("e"), truth("f", "no class")])
    return home


def test_texts_go_out_under_the_class_that_their_label_means(home: Home, tmp_path: Path) -> None:
    """Only of the model, only those that were labelled and whose text is kept; oldest first, and private."""
    file = tmp_path / "intent.jsonl"
    done = export_labelled(home, "intent", file, within_s=24 * HOUR_S)
    first, second = map(json.loads, file.read_text(encoding="utf-8").splitlines())
    assert (done.texts, done.unknown) == (2, 1)
    assert (first["text"], first["label"], first["request_id"]) == ("where is it?\n", "invoice", "a")
    assert (first["model_version"], first["answer"], first["confidence"]) == ("6", "refund", 0.75)
    assert (first["source"], first["directed"], first["inclusion_probability"]) == ("people", False, 0.25)
    assert first["labelled_at_s"] - first["answered_at_s"] == pytest.approx(HOUR_S)
    assert (second["text"], second["label"]) == ("Rückgabe", "refund")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert export_labelled(home, "intent", file, within_s=5 * HOUR_S).texts == 1


def test_parquet_holds_the_same(home: Home, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    lines, file = tmp_path / "intent.jsonl", tmp_path / "intent.parquet"
    for out in (lines, file):
        export_labelled(home, "intent", out, within_s=24 * HOUR_S)
    assert parquet.read_table(file).to_pylist() == [json.loads(line) for line in lines.read_text().splitlines()]


def test_many_are_read_a_page_at_a_time(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sql_dataset, "_PAGE_ROWS", 1)
    assert export_labelled(home, "intent", tmp_path / "x.jsonl", within_s=24 * HOUR_S).texts == 2


def test_what_cannot_be_written_leaves_what_was_there(home: Home, tmp_path: Path) -> None:
    before = tmp_path / "intent.csv"
    before.write_text("kept")
    with pytest.raises(UsageError, match=r"has to end in \.jsonl or \.parquet"):
        export_labelled(home, "intent", before, within_s=HOUR_S)
    assert before.read_text() == "kept"
    with pytest.raises(UsageError, match="cannot be written"):
        export_labelled(home, "intent", tmp_path / "away" / "x.jsonl", within_s=HOUR_S)
    assert not [path for path in tmp_path.iterdir() if path.name.endswith(".tmp")]


def test_where_no_texts_are_kept_the_way_to_keep_them_is_said(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.save(Settings())
    prepare_own_database(home)
    with pytest.raises(UsageError, match="--capture-text"):
        export_labelled(home, "intent", tmp_path / "x.jsonl", within_s=HOUR_S)
