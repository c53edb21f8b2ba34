"""Captured texts at rest: a copy of the database shows none of them."""

import base64
import sqlite3
from pathlib import Path

import pytest

from controller.adapters.sql.texts import SealedTexts, Texts
from controller.bootstrap.access import prepare_access
from controller.bootstrap.stores import texts_of
from controller.config.settings import Home, Settings
from controller.errors import UsageError
from tests.contracts.samples import live, shadow
from tests.stores import new_store

TEXT = "where is my money, says ünique Ursula"
KEYS = [base64.urlsafe_b64encode(bytes([number]) * 32).decode() for number in range(2)]


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "store.db"


def keep(database: Path, texts: Texts | None, request: str = "a") -> None:
    store = new_store(f"sqlite:///{database}", texts)
    store.samples.add_predictions([live(request), shadow(request, label="b", text=TEXT)])
    store.close()


def asked(database: Path, texts: Texts | None) -> list[str | None]:
    store = new_store(f"sqlite:///{database}", texts)
    found = store.samples.label_requests("intent", "6", "7", first_pair=0, limit=9)
    store.close()
    return [one.text for one in found]


def test_a_kept_text_is_shown_again_and_lies_nowhere_in_the_clear(database: Path) -> None:
    """Neither in the database nor in what lies beside it; equal texts are not even seen to be equal."""
    keep(database, SealedTexts(KEYS[0]))
    keep(database, SealedTexts(KEYS[0]), request="b")
    raw = b"".join(file.read_bytes() for file in database.parent.iterdir())
    assert b"Ursula" not in raw
    with sqlite3.connect(database) as connection:
        kept = [row[0] for row in connection.execute("SELECT text FROM predictions WHERE text IS NOT NULL")]
    assert len(set(kept)) == len(kept) == 2
    assert set(asked(database, SealedTexts(KEYS[0]))) == {TEXT}


@pytest.mark.parametrize("texts", [None, SealedTexts(KEYS[1])], ids=["without a key", "with another"])
def test_without_its_key_a_text_is_not_shown(database: Path, texts: Texts | None) -> None:
    """And the request to label is handed out all the same."""
    keep(database, SealedTexts(KEYS[0]))
    assert asked(database, texts) == [None]


def test_a_changed_text_is_not_shown(database: Path) -> None:
    """Who can write to the database cannot put words into a user's mouth."""
    keep(database, SealedTexts(KEYS[0]))
    with sqlite3.connect(database) as connection:
        connection.execute("UPDATE predictions SET text = substr(text, 1, 60) || 'AAAA' || substr(text, 65)")
    assert asked(database, SealedTexts(KEYS[0])) == [None]


@pytest.mark.parametrize("texts", [None, SealedTexts(KEYS[0], keeping=False)], ids=["no key", "not asked for"])
def test_what_was_not_asked_for_is_not_kept(database: Path, texts: Texts | None) -> None:
    """Whatever a replica sends."""
    keep(database, texts)
    assert b"Ursula" not in database.read_bytes()
    assert asked(database, SealedTexts(KEYS[0])) == [None]


def test_texts_of_an_older_home_stay_readable(database: Path) -> None:
    """They were kept as they are."""
    keep(database, None)
    with sqlite3.connect(database) as connection:
        connection.execute("UPDATE predictions SET text = ?", (TEXT,))
    assert asked(database, SealedTexts(KEYS[0])) == [TEXT]


def test_the_homes_key_is_made_when_texts_are_asked_for_and_stays(tmp_path: Path) -> None:
    """Turned off, no more are kept, and those that were can still be read."""
    home = Home(tmp_path / "home")
    prepare_access(home, Settings())
    assert texts_of(home, Settings()) is None
    prepare_access(home, Settings(capture_text=True))
    assert home.text_key.stat().st_mode & 0o077 == 0
    on, off = texts_of(home, Settings(capture_text=True)), texts_of(home, Settings())
    assert on is not None
    assert off is not None
    kept = on.kept(TEXT)
    assert (off.shown(kept), off.kept(TEXT)) == (TEXT, None)


@pytest.mark.parametrize("key", ["", "short", "ü" * 44, "k" * 44])
def test_a_damaged_key_is_told_at_the_start(key: str) -> None:
    """Not with the first text."""
    with pytest.raises(UsageError, match="key of the texts is damaged"):
        SealedTexts(key)
