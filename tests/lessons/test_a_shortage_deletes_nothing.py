"""Without open files, without room: what was there stays, and the sentence says which limit it is."""

import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from controller.adapters.local.packages import PackageStore
from controller.errors import TransientError
from tests.controller.registered import PackagedRegistry
from tests.patience import PATIENCE_S


@contextmanager
def open_files_left(files: int) -> Iterator[None]:
    """This process can open so many more files, and no others."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest = os.open("/dev/null", os.O_RDONLY)
    os.close(lowest)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest + files, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_a_package_that_cannot_be_read_for_want_of_open_files_stays(tmp_path: Path) -> None:
    """It may be the only copy; the version is neither refused nor fetched again for it."""
    registry = PackagedRegistry(tmp_path / "registry")
    registry.publish("intent", "7")
    store = PackageStore(registry, tmp_path / "packages")
    package = store.obtain("intent", store.identify("intent", "7"))
    place = store.place("intent", package.version)
    before = {path.name: path.read_bytes() for path in place.iterdir()}
    with pytest.raises(TransientError, match="ulimit -n") as refused, open_files_left(0):
        store.obtain("intent", package.version)
    assert refused.value.source == "packages"
    assert {path.name: path.read_bytes() for path in place.iterdir()} == before
    assert store.obtain("intent", package.version) == package


def test_a_file_that_finds_no_room_leaves_the_old_one(tmp_path: Path) -> None:
    """As on a full disk: the write is refused half-way, by a limit of the process here."""
    file = tmp_path / "routes.json"
    file.write_text("old", encoding="utf-8")
    program = f"""
import resource
from pathlib import Path
from controller.files import replace_file
from controller.errors import TransientError
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    replace_file(Path({str(file)!r}), "x" * 5000)
except TransientError as error:
    print(error.source, error)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=PATIENCE_S, check=True
    )
    assert done.stdout.startswith(f"disk cannot write {file}")
    assert "ulimit -f" in done.stdout
    assert file.read_text(encoding="utf-8") == "old"
