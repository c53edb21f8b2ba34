"""The room that is kept back on the disk: a file that gives some of itself up, and is made whole again."""

import errno
import os
from pathlib import Path

import pytest

from controller.errors import TransientError
from controller.files import replace_file
from controller.reserve import RESERVE_BYTES, RESERVE_FILE, is_given_up, keep_reserve, lend, make_room


class FullDisk:
    """Writes find room only for what was given up since."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, reserve: Path) -> None:
        self._write, self._reserve, self._before = os.write, reserve, reserve.stat().st_size
        monkeypatch.setattr(os, "write", self._refusing)

    def _refusing(self, file: int, content: bytes) -> int:
        if self._before - self._reserve.stat().st_size < len(content):
            raise OSError(errno.ENOSPC, "No space left on device")
        return self._write(file, content)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    assert keep_reserve(tmp_path)
    return tmp_path


def test_it_is_real_room_and_its_owners_alone(home: Path) -> None:
    found = (home / RESERVE_FILE).stat()
    assert found.st_size == RESERVE_BYTES
    assert found.st_blocks * 512 >= RESERVE_BYTES
    assert found.st_mode & 0o077 == 0
    assert not is_given_up(home)


def test_a_write_takes_what_it_needs_and_puts_it_back(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However often: the text that was replaced gives its room back."""
    file = home / "envoy" / "routes.json"
    file.parent.mkdir()
    FullDisk(monkeypatch, home / RESERVE_FILE)
    for number in range(5):
        replace_file(file, str(number) * 100_000)
        assert file.read_text() == str(number) * 100_000
        assert (home / RESERVE_FILE).stat().st_size == RESERVE_BYTES


def test_without_any_left_the_old_text_stands_and_no_half_one_lies_about(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = home / "routes.json"
    file.write_text("old")
    FullDisk(monkeypatch, home / RESERVE_FILE)
    with pytest.raises(TransientError, match=r"cannot write .*routes\.json.*the disk is full: make room"):
        replace_file(file, "x" * (RESERVE_BYTES + 1))
    assert file.read_text() == "old"
    assert sorted(path.name for path in home.iterdir()) == [RESERVE_FILE, "routes.json"]


def test_it_is_looked_for_above_the_file_and_no_further_than_a_home_is_deep(home: Path) -> None:
    deep = home / "prometheus" / "targets"
    assert lend(deep, 1) is not None
    assert lend(deep / "one" / "more", 1) is None


def test_what_is_given_up_is_said_until_it_is_whole(home: Path) -> None:
    loan = lend(home, 1_000_000)
    assert loan is not None
    assert is_given_up(home)
    loan.put_back()
    assert not is_given_up(home)
    (home / RESERVE_FILE).write_bytes(b"")
    assert lend(home, 1) is None
    assert is_given_up(home)
    assert keep_reserve(home)
    assert not is_given_up(home)


def test_room_for_others_is_made_only_where_there_is_none(home: Path) -> None:
    make_room(home, 1_000)
    assert not is_given_up(home)
    make_room(home, 1 << 60)
    assert is_given_up(home)
