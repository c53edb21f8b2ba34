"""A small disk of its own, filled to the last byte or mounted to be read only."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def small_disk(place: Path, size_mb: int) -> Iterator[Path]:
    """Yield ``place``, which is a file system of that size until the block ends.

    Raises:
        PermissionError: none can be mounted here.
    """
    place.mkdir()
    options = ["-t", "tmpfs", "-o", f"size={size_mb}m"]
    done = subprocess.run(["mount", *options, "none", str(place)], capture_output=True, check=False, text=True)
    if done.returncode != 0:
        raise PermissionError(f"no file system can be mounted here: {done.stderr.strip()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


@contextmanager
def filled(disk: Path) -> Iterator[None]:
    """Not a byte is left, until the block ends."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(b"x" * 65_536)
    with filler.open("ab", buffering=0) as file, suppress(OSError):
        while True:
            file.write(b"x")
    try:
        yield
    finally:
        filler.unlink()


@contextmanager
def read_only(disk: Path) -> Iterator[None]:
    """Nothing can be written, until the block ends."""
    subprocess.run(["mount", "--bind", str(disk), str(disk)], check=True)  # logs are open for writing in the one below
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", str(disk)], check=True)
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)
