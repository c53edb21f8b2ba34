"""Commits that share a sync of SQLite's log."""

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from controller.adapters.sql.durability import SharedSync
from tests.patience import PATIENCE_S, eventually


def test_those_who_decide_together_wait_for_one_sync(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk takes tens of milliseconds: hundreds of models would wait for each other's."""
    log = tmp_path / "store.db-wal"
    log.touch()
    sync, begun, go_on, syncs = SharedSync(log), threading.Event(), threading.Event(), []

    def slow(_: int) -> None:
        syncs.append(threading.get_ident())
        begun.set()
        assert go_on.wait(PATIENCE_S)

    monkeypatch.setattr(os, "fdatasync", slow)
    with ThreadPoolExecutor(9) as threads:
        first = threads.submit(sync.wait)
        assert begun.wait(PATIENCE_S)
        others = [threads.submit(sync.wait) for _ in range(8)]
        eventually(lambda: sync.asked == 9, what="all wait")
        assert not first.done()
        go_on.set()
        for one in (first, *others):
            one.result(PATIENCE_S)
    assert len(syncs) == 2, "what was committed after the first sync began is in the second, all of it"


def test_a_log_that_is_gone_was_taken_into_the_database(tmp_path: Path) -> None:
    SharedSync(tmp_path / "store.db-wal").wait()


def test_a_log_that_was_made_anew_has_its_name_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log, folders, sync = tmp_path / "store.db-wal", [], os.fsync
    shared = SharedSync(log)

    def counted(file: int) -> None:
        folders.append(os.fstat(file).st_ino)
        sync(file)

    monkeypatch.setattr(os, "fsync", counted)
    log.touch()
    shared.wait()
    shared.wait()
    assert folders == [tmp_path.stat().st_ino]
    anew = tmp_path / "anew"
    anew.touch()
    anew.replace(log)
    shared.wait()
    assert folders == [tmp_path.stat().st_ino] * 2


def test_after_a_sync_that_failed_none_is_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = tmp_path / "store.db-wal"
    log.touch()
    shared, tried = SharedSync(log), []

    def broken_once(_: int) -> None:
        tried.append(1)
        if len(tried) == 1:
            raise OSError("Input/output error")

    monkeypatch.setattr(os, "fdatasync", broken_once)
    with pytest.raises(OSError, match="Input/output"):
        shared.wait()
    with pytest.raises(OSError, match="an earlier sync of the log failed"):
        shared.wait()
    shared.failed = False  # somebody else brought it to the disk
    shared.wait()
    assert len(tried) == 3
