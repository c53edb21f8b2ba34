"""A process that may open hardly one more file is found, whoever of a group it is."""

import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import pytest

from controller.adapters.local.open_files import OpenFiles, short_of_files

pytestmark = pytest.mark.integration
CHILD = "import sys; print('up', flush=True); sys.stdin.read()"
PARENT = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {CHILD!r}])"


@contextmanager
def running(code: str) -> Iterator[subprocess.Popen[str]]:
    """Until the block ends, with its input open."""
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        assert process.stdout is not None
        process.stdout.readline()
        yield process
    finally:
        process.communicate()


def test_of_what_may_open_enough_nothing_is_said() -> None:
    with running(CHILD) as process:
        assert list(short_of_files({process.pid: "envoy"})) == []


def test_who_may_open_no_more_is_named_with_how_many() -> None:
    with running(CHILD) as process:
        resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (3, 3))
        assert list(short_of_files({process.pid: "envoy"})) == [("envoy", OpenFiles(3, 3))]
        assert list(short_of_files({1: "another"})) == []


def test_what_it_has_started_is_looked_at_too() -> None:
    with running(PARENT) as process:
        resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (1_000, 1_000))
        (child,) = psutil.Process(process.pid).children()
        resource.prlimit(child.pid, resource.RLIMIT_NOFILE, (3, 3))
        assert [name for name, _ in short_of_files({process.pid: "intent-v7"})] == ["intent-v7"]
