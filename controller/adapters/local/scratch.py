"""A folder for as long as a block lasts. What a killed process left of its own is removed by the next one."""

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_LOCK = ".in-use"
_UNLOCKED_FOR_S = 3_600.0  # a folder without a lock is just being made, or is nobody's


@contextmanager
def scratch_folder(prefix: str) -> Iterator[Path]:
    """A private folder, removed with the block, together with those of the same prefix whose owners are gone."""
    sweep(Path(tempfile.gettempdir()), prefix)
    folder = Path(tempfile.mkdtemp(prefix=prefix))
    try:
        with (folder / _LOCK).open("wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def sweep(parent: Path, prefix: str) -> None:
    """Remove our folders of this prefix that nobody holds the lock of."""
    for folder in parent.glob(f"{prefix}*"):
        with suppress(OSError):  # somebody else is at it
            if (
                folder.is_dir()
                and not folder.is_symlink()
                and folder.stat().st_uid == os.geteuid()
                and _is_left(folder)
            ):
                shutil.rmtree(folder, ignore_errors=True)


def _is_left(folder: Path) -> bool:
    try:
        with (folder / _LOCK).open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return time.time() - folder.stat().st_mtime > _UNLOCKED_FOR_S
    except BlockingIOError:
        return False
    return True
