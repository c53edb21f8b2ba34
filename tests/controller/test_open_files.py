"""A process that may open hardly one more file is found, whoever of a group it is."""

import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

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


POLICIES = """
import os, pathlib, resource, sys
from controller.adapters.policy_files import PolicyFiles
from controller.errors import TransientError

folder = pathlib.Path(sys.argv[1])
files = PolicyFiles(lambda: sorted(folder.glob("*.yaml")) if listed else [folder / "intent.yaml"])
listed = True
print(*files.documents())
(folder / "intent.yaml").write_text("kind: ReleasePolicy\\napiVersion: serin/v1\\nmodel: intent\\nlook_every_s: 7\\n")
before, free = resource.getrlimit(resource.RLIMIT_NOFILE), os.dup(0)
os.close(free)
resource.setrlimit(resource.RLIMIT_NOFILE, (free, before[1]))
for listed in (True, False):
    try:
        print(*files.documents())
    except TransientError as error:
        print(error)
resource.setrlimit(resource.RLIMIT_NOFILE, before)
print(files.documents()["intent.yaml"].look_every_s)
"""


def test_policies_stay_as_they_were_while_no_file_can_be_opened(tmp_path: Path) -> None:
    """A controller that could list no folder was ended by that, and started again, every few seconds."""
    (tmp_path / "intent.yaml").write_text("apiVersion: serin/v1\nkind: ReleasePolicy\nmodel: intent\n", "utf-8")
    done = subprocess.run(
        [sys.executable, "-c", POLICIES, str(tmp_path)], capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
    first, listed, opened, last = done.stdout.splitlines()
    assert (first, last) == ("intent.yaml", "7.0")
    assert listed.startswith("cannot list the policies")
    assert opened.startswith("cannot read")
    assert "this process may open no more files" in listed
    assert "this process may open no more files" in opened
