"""Room on the disk that is kept for what must not fail: a file that gives some of itself up when the disk is full.

A write takes what it needs and, once the text that it replaced is gone, puts that back: on a disk that stays full, one
rollback after another finds room. Standard library only and quick to import: the on-call rollback stands on it.
"""

import errno
import os
from contextlib import suppress
from pathlib import Path
from typing import Final

RESERVE_FILE: Final = "reserve"
RESERVE_BYTES: Final = 4 << 20
FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})

_PAGE_BYTES: Final = 4096
_SPARE_PAGES: Final = 2  # for the directory's entry, and an inode
_LEVELS: Final = 3  # a home, its folders, and theirs
_FREE_AT_LEAST: Final = 4  # reserves: less room than that is left to whoever needs it now


def keep_reserve(home: Path) -> bool:
    """Have the home's reserve whole, where there is room for it; whether it is.

    Raises:
        OSError: the home cannot be written, or not be looked at.
    """
    path = home / RESERVE_FILE
    if _size(path) == RESERVE_BYTES:
        return True
    room = os.statvfs(home)
    if room.f_bavail * room.f_frsize < _FREE_AT_LEAST * RESERVE_BYTES:
        return False
    return _grown(path, RESERVE_BYTES)


def is_given_up(home: Path) -> bool:
    """Return whether a write has taken of the home's reserve what could not be put back since: the disk is full."""
    size = _size(home / RESERVE_FILE)
    return size is not None and size < RESERVE_BYTES


def is_full(home: Path) -> bool:
    """Return whether the disk of the home has no room but for rollbacks: what else is written fails, or soon will.

    Raises:
        OSError: it cannot be looked at.
    """
    room = os.statvfs(home)
    return is_given_up(home) or room.f_bavail * room.f_frsize < RESERVE_BYTES


def lend(folder: Path, size_bytes: int) -> "Loan | None":
    """Give up as much of the reserve above the folder; None where there is none, or nothing is left of it."""
    path = next((found for found in _above(folder) if _size(found)), None)
    before = _size(path) if path is not None else None
    if path is None or not before:
        return None
    taken = (-(-size_bytes // _PAGE_BYTES) + _SPARE_PAGES) * _PAGE_BYTES
    try:
        os.truncate(path, max(0, before - taken))
    except OSError:
        return None
    return Loan(path, before)


def make_room(folder: Path, size_bytes: int) -> None:
    """Give up as much of the reserve where the folder's disk has less free, for what another program is to write."""
    with suppress(OSError):
        room = os.statvfs(folder)
        if room.f_bavail * room.f_frsize < size_bytes:
            lend(folder, size_bytes)


class Loan:
    """The loan that a write took of the reserve."""

    def __init__(self, path: Path, before_bytes: int) -> None:
        self._path = path
        self._before_bytes = before_bytes

    def put_back(self) -> None:
        """As much of it as there is room for again."""
        size = _size(self._path) or 0
        for wanted in range(self._before_bytes, size, -_PAGE_BYTES):
            if _grown(self._path, wanted):
                return


def _above(folder: Path) -> list[Path]:
    return [place / RESERVE_FILE for place in (folder, *folder.parents)[:_LEVELS]]


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:
        return None


def _grown(path: Path, size_bytes: int) -> bool:
    """Return whether the file has so many bytes now, with room that is really its own."""
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.posix_fallocate(file, 0, size_bytes)
    except OSError:
        return False
    finally:
        os.close(file)
    return True
