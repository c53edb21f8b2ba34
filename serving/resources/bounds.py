"""The bounds of what a replica may use: set once, before anything of a version is read, and inherited by all its
processes.

The limits hold each process by itself, anywhere: who asks for more gets no memory, instead of the kernel having to
choose whom to end. The kernel's choice, if it ever has to make one, falls on a replica before anything else of ours.
What holds all processes together is a control group, which whoever starts the replica has to make.
"""

import contextlib
import errno
import os
import re
import resource
from pathlib import Path
from typing import Final

from serving.package.artifact import GRAPH_FILE, ArtifactError

MB: Final = 10**6
BASE_MB: Final = 2_000  # the interpreter, the libraries, and the activations of any batch that is served
WEIGHTS_TIMES: Final = 4  # as stored, as read, as packed for the processor, and what optimising holds meanwhile
_KILL_FIRST: Final = "500"  # of -1,000 to 1,000; ours have 0
_SIZE: Final = re.compile(r"size (\d+)", re.ASCII)  # in bytes, as ONNX Runtime says what it asked for
_NEAR: Final = 0.9  # of the limit: what the libraries gave back when they were refused is not counted any more
_OUT_OF_MEMORY: Final = ("bad_alloc", "bad allocation", "failed to allocate", "cannot allocate", "out of memory")


def memory_by_size_mb(artifact: Path) -> int:
    """Return what a process that serves this package may hold: so much that any graph of its size can be served."""
    graph_bytes = sum(path.stat().st_size for path in artifact.glob(f"{GRAPH_FILE}*"))
    return BASE_MB + WEIGHTS_TIMES * -(-graph_bytes // MB)


def bound(memory_mb: int | None, processes: int | None, *, root: Path = Path("/")) -> None:
    """Hold this process and all that it starts to so much memory and so many processes and threads. None: no limit.

    ``RLIMIT_DATA`` counts what a process could write to and does not share, so neither mapped files nor address space
    that was only set aside. ``RLIMIT_NPROC`` counts all of a user's processes, so those that run already are added, and
    the kernel does not hold root to it.
    """
    with contextlib.suppress(OSError):  # no Linux, or no right to
        (root / "proc/self/oom_score_adj").write_text(_KILL_FIRST, encoding="ascii")
    if memory_mb is not None:
        _lower(resource.RLIMIT_DATA, memory_mb * MB)
    if processes is not None and os.geteuid() != 0:
        _lower(resource.RLIMIT_NPROC, _tasks_of(os.geteuid(), root) + processes)


def memory_limit_mb() -> int | None:
    """Return what this process is held to; None where it is not."""
    soft, _ = resource.getrlimit(resource.RLIMIT_DATA)
    return None if soft == resource.RLIM_INFINITY else soft // MB


def is_memory_refused(error: BaseException) -> bool:
    """Return whether the error, of whichever library, says that memory was asked for and not given."""
    said = str(error).lower()
    return isinstance(error, MemoryError) or any(words in said for words in _OUT_OF_MEMORY)


def memory_refused(file: str, error: BaseException) -> ArtifactError | OSError:
    """Return what to raise where memory was refused: of the file where a limit of its own was met, else of this
    machine."""
    limit_mb = memory_limit_mb()
    if limit_mb is None or not _limit_was_met(limit_mb, str(error)):
        return OSError(errno.ENOMEM, f"there was not enough memory for {file}")
    return ArtifactError(file, f"asks for more memory than its limit of {limit_mb:,} MB")


def _limit_was_met(limit_mb: int, said: str) -> bool:
    """Return whether it was our limit that refused the memory, where others could have: of address space (``ulimit
    -v``), or of an overcommit that the kernel counts strictly. Then it was, if what was asked for would have passed
    it."""
    address_space, _ = resource.getrlimit(resource.RLIMIT_AS)
    if address_space == resource.RLIM_INFINITY and _field(Path("/proc/sys/vm/overcommit_memory"), "") != "2":
        return True  # it is the only one
    held_kb = _field(Path("/proc/self/status"), "VmData:").removesuffix("kB").strip()
    asked_bytes = max(map(int, _SIZE.findall(said)), default=0)
    return not held_kb.isdecimal() or int(held_kb) * 1024 + asked_bytes > _NEAR * limit_mb * MB


def _field(file: Path, name: str) -> str:
    """Return what stands after the name in one of the kernel's files; "" where nothing does."""
    with contextlib.suppress(OSError):
        for line in file.read_text(encoding="ascii").splitlines():
            if line.startswith(name):
                return line.removeprefix(name).strip()
    return ""


def _lower(kind: int, limit: int) -> None:
    """Never raised: where a stricter limit is set already, it stays."""
    _, hard = resource.getrlimit(kind)
    limit = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(kind, (limit, limit))


def _tasks_of(user: int, root: Path) -> int:
    """Processes and threads of a user, at this moment."""
    tasks = 0
    for entry in (root / "proc").iterdir():
        if entry.name.isdecimal():
            with contextlib.suppress(OSError):  # it has ended
                if entry.stat().st_uid == user:
                    tasks += sum(1 for _ in (entry / "task").iterdir())
    return tasks
