"""Files that other processes read while we write them: replaced whole, and by one writer at a time.

Standard library only and quick to import: the on-call rollback stands on it.
"""

import fcntl
import os
import stat
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from controller.errors import PermanentError, TransientError, our_fault

_LOCK_WITHIN_S = 5.0
_LOCK_POLL_S = 0.002


def replace_file(path: Path, text: str) -> None:
    """Replace the file's content so that a reader, or a crash at any moment, sees the old text or the new, never a mix.

    The temporary name is always the same, so that a crash leaves at most one stray file, which the next write takes
    over; two writers at once therefore need a lock around this.

    Raises:
        TransientError: it cannot be written (rights, a full disk, too many open files); the old text stands.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        with temporary.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        _sync_directory(path.parent)
    except OSError as error:
        raise our_fault("disk", f"cannot write {path}", error) from error


def _sync_directory(path: Path) -> None:
    directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def tighten(folder: Path, contents: Iterable[Path]) -> int:
    """Take from everybody but the owner what they may do with the folder and these files and folders in it, whole; the
    number of those that had been open. Links are not followed.

    Raises:
        PermanentError: something belongs to somebody else; the message names it.
    """
    found = [folder, *(path for one in contents for path in (one, *(one.rglob("*") if one.is_dir() else ())))]
    return sum(map(_tightened, found))


def _tightened(path: Path) -> bool:
    try:
        mode = path.lstat().st_mode
        if stat.S_ISLNK(mode) or not mode & 0o077:
            return False
        path.chmod(stat.S_IMODE(mode) & 0o700)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise PermanentError(f"{path} is open to others and cannot be closed to them: {error.strerror}") from error
    return True


@contextmanager
def locked(path: Path, *, source: str) -> Iterator[None]:
    """Hold the lock file exclusively, against threads and processes alike. The kernel frees it when its holder dies.

    Raises:
        TransientError: somebody held it for five seconds, or it cannot be opened; ``source`` names the port it
            belongs to.
    """
    try:
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise our_fault(source, f"cannot lock {path}", error) from error
    try:
        deadline_s = time.monotonic() + _LOCK_WITHIN_S
        while not _try_lock(file):
            if time.monotonic() > deadline_s:
                raise TransientError(source, f"{path} was locked by another process for {_LOCK_WITHIN_S:g} s")
            time.sleep(_LOCK_POLL_S)
        yield
    finally:
        os.close(file)


def _try_lock(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
