"""A folder of packages that several replicas, perhaps of several machines, share: each in a folder that is named by its
fingerprint. Who takes one in or deletes one is alone with it."""

import fcntl
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

FINGERPRINT: Final = re.compile(r"[0-9a-f]{64}")
_LEFT: Final = re.compile(r"\.([0-9a-f]{64})\.(?!lock$)")  # how a folder begins in which one was arriving
UNTOUCHED_S: Final = 86_400.0  # before one goes, for the list of those to keep may be older than the package


@contextmanager
def alone(package: Path) -> Iterator[None]:
    """Wait until nobody else takes the package in or deletes it; nobody does while the block lasts."""
    with _locked(package, fcntl.LOCK_EX):
        yield


def touch(package: Path) -> None:
    """Let it count as in use from now on, as far as its owner may."""
    with suppress(PermissionError):
        os.utime(package)


def kept_by(directory: Path) -> frozenset[str] | None:
    """Return the fingerprints of packages to keep, each the name of a file there; None where none is named: then nobody
    has said so far."""
    try:
        return frozenset(one.name for one in directory.iterdir() if FINGERPRINT.fullmatch(one.name)) or None
    except FileNotFoundError:
        return None


def prune(directory: Path, kept: frozenset[str], now_s: float) -> tuple[str, ...]:
    """Delete the packages that are not kept, and what killed processes left of arriving ones, where nobody touched them
    for a day: a lock may be of one machine alone. Return the names of the folders that went.

    Raises:
        OSError: something cannot be read or deleted; the others are seen to all the same.
    """
    if not directory.is_dir():
        return ()
    gone: list[str] = []
    kept_back: list[OSError] = []
    for folder in sorted(directory.iterdir()):
        left = _LEFT.match(folder.name)
        if left is None and (FINGERPRINT.fullmatch(folder.name) is None or folder.name in kept):
            continue
        package = folder if left is None else folder.with_name(left[1])
        try:
            with suppress(BlockingIOError), _locked(package, fcntl.LOCK_EX | fcntl.LOCK_NB):
                touched_s = folder.stat().st_mtime if left is None else _arrived_s(folder)
                if folder.is_dir() and now_s - touched_s > UNTOUCHED_S:
                    shutil.rmtree(folder)
                    gone.append(folder.name)
        except OSError as error:
            kept_back.append(error)
    if kept_back:
        raise kept_back[0]
    return tuple(gone)


def _arrived_s(folder: Path) -> float:
    """Return when the last part of what was arriving in the folder came."""
    return max(one.stat().st_mtime for one in (folder, *folder.iterdir()))


@contextmanager
def _locked(package: Path, how: int) -> Iterator[None]:
    path = package.with_name(f".{package.name}.lock")
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, how)
        yield
    finally:
        os.close(descriptor)
