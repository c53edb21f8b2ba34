"""What others serve the same weights with, measured in turn with Serin: same texts, same load, one core each.

A rival that is not installed, or does not answer, is a row that falls short, never a row that is missing.
"""

import os
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx
import numpy as np
import psutil

from serving.contract import PREDICT_ROUTE
from serving.inference.engine import Engine
from serving.package.artifact import read_manifest
from tests.bench._table import Bar
from tests.bench.served.measure import Speed, Target, at_rate, median, pooled, saturated
from tests.bench.served.models import Subject, few
from tests.bench.served.own import ONE_THREAD, target_of
from tests.serving.replica import REPOSITORY, replica, until

ENVIRONMENT: Final = "SERIN_RIVALS"
PREPARE: Final = "tests/bench/rivals/prepare.sh"
_DEFAULT: Final = REPOSITORY / "build" / "bench" / "rivals"
ROUNDS: Final = 2
TEXTS_MAX: Final = 400  # of one measurement: the slowest answers under a hundred a second
CHECKED: Final = 20  # answers compared before anything is timed
TOLERANCE: Final = 1e-4  # of a probability: sums are only taken in another order
_APPS: Final = "tests.bench.rivals"
_START_S: Final = 300.0
_SETTINGS: Final = {
    "OMP_NUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "HF_HUB_OFFLINE": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "BENTOML_DO_NOT_TRACK": "True",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AUTH_MODE": "disabled",
    "RAY_raylet_start_wait_time_s": "120",
}
_END_S: Final = 20.0


@dataclass(frozen=True, slots=True)
class Rival:
    """How it is started (``{port}``, ``{saved}``: where ``save`` has written), what it is sent, what it answers."""

    name: str
    command: Sequence[str]
    route: str
    field: str
    answer: Callable[[Any], dict[str, Any]]
    save: Sequence[str] = ()
    at_least: float = 1.0  # times its requests/s


RIVALS: Final = (
    Rival(
        "mlflow models serve",
        ("mlflow", "models", "serve", "-m", "{saved}", "--env-manager", "local", "-h", "127.0.0.1", "-p", "{port}"),
        "/invocations",
        "inputs",
        lambda document: document["predictions"][0],
        save=("python", "-m", f"{_APPS}.mlflow_model", "{saved}"),
        at_least=8.0,
    ),
    Rival(
        "FastAPI",
        ("uvicorn", f"{_APPS}.fastapi_app:app", "--host", "127.0.0.1", "--port", "{port}", "--no-access-log"),
        PREDICT_ROUTE,
        "",
        lambda document: document,
    ),
    Rival(
        "BentoML",
        ("bentoml", "serve", f"{_APPS}.bento_app:Classifier", "--host", "127.0.0.1", "--port", "{port}"),
        PREDICT_ROUTE,
        "texts",
        lambda document: document[0],
    ),
    Rival(
        "Ray Serve",
        ("python", "-m", f"{_APPS}.ray_app", "{port}"),
        PREDICT_ROUTE,
        "",
        lambda document: document,
    ),
)


def environment() -> Path:
    """The rivals' virtual environment; see ``prepare.sh``."""
    return Path(os.environ.get(ENVIRONMENT, _DEFAULT))


def how_to_prepare() -> str | None:
    """One line where the rivals are not installed."""
    if (environment() / "bin" / "ray").exists():
        return None
    return f"rivals are not installed, so their rows fall short; install them (3 GB) with: {PREPARE}"


def rows(rival: Rival, subject: Subject, others: Sequence[Subject] = ()) -> Iterator[Bar]:
    """``subject`` served by Serin beside the rival; ``others`` are further packages of the same checkpoint."""
    try:
        speeds = _measured(rival, (subject, *others))
    except (OSError, RuntimeError, AssertionError, httpx.HTTPError) as error:
        print(f"{rival.name}, {subject.name}: not measured ({error})")
        for one in (subject, *others):
            yield from _compared(rival, one, _NOTHING, _NOTHING)
        return
    theirs = speeds[0]
    for ours, one in zip(speeds[1:], (subject, *others), strict=True):
        yield from _compared(rival, one, ours, theirs)
    name = f"{rival.name}, {_family(subject)}"
    yield Bar(f"{name}: saturated", median(speed.per_s for speed in theirs.full), "texts/s")
    for percent in (50, 99):
        yield Bar(f"{name}: saturated", pooled(theirs.full, percent), f"P{percent} ms")
        yield Bar(f"{name}: half of that rate", pooled(theirs.half, percent), f"P{percent} ms")
    yield Bar(f"{name}: saturated", median(speed.cpu_ms for speed in theirs.full), "processor ms/text")
    yield Bar(f"{name}: memory, all processes", theirs.memory_mb, "MB")


@dataclass(slots=True)
class _Speeds:
    """Of one server, round by round; ``half`` is at half of what the rival can take, whoever serves."""

    full: list[Speed]
    half: list[Speed]
    memory_mb: float = float("nan")


_NOTHING: Final = _Speeds([Speed(float("nan"), [float("nan")], float("nan"))], [])


def _compared(rival: Rival, subject: Subject, ours: _Speeds, theirs: _Speeds) -> Iterator[Bar]:
    name = f"{subject.name}: Serin against {rival.name}"
    asked = rival.at_least if "fp32" not in subject.name else 1.0
    times = [mine.per_s / other.per_s for mine, other in zip(ours.full, theirs.full, strict=True)]
    yield Bar(f"{name}, requests/s", median(times), "times", at_least=asked)
    for what, mine, other in (("saturated", ours.full, theirs.full), ("same rate", ours.half, theirs.half)):
        less = pooled(other, 99) / pooled(mine, 99) if mine else float("nan")
        yield Bar(f"{name}, P99 {what}, theirs ÷ ours", less, "times", at_least=1.0)
    spent = [other.cpu_ms / mine.cpu_ms for mine, other in zip(ours.full, theirs.full, strict=True)]
    yield Bar(f"{name}, processor time of a text, theirs ÷ ours", median(spent), "times")


def _family(subject: Subject) -> str:
    return subject.name.removesuffix(" int8").removesuffix(" fp32")


def _measured(rival: Rival, subjects: Sequence[Subject]) -> list[_Speeds]:
    first = subjects[0]
    texts = few(first.texts, min(len(first.texts), TEXTS_MAX))
    found = [_Speeds([], []) for _ in range(len(subjects) + 1)]
    with ExitStack() as stack:
        with _one_core():
            theirs = stack.enter_context(_running(rival, first))
            ours = [
                target_of(stack.enter_context(replica(subject.package, *ONE_THREAD, version="1")))
                for subject in subjects
            ]
        _check_answers(rival, theirs, subjects)
        targets = (theirs, *ours)
        for target in targets:
            saturated(target, texts[:32], 1)
        for _ in range(ROUNDS):
            for target, speeds in zip(targets, found, strict=True):
                speeds.full.append(saturated(target, texts, 1))
            rate_per_s = found[0].full[-1].per_s / 2
            for target, speeds in zip(targets, found, strict=True):
                speeds.half.append(at_rate(target, texts, 1, rate_per_s))
        for target, speeds in zip(targets, found, strict=True):
            speeds.memory_mb = target.memory_mb()
    return found


@contextmanager
def _one_core() -> Iterator[None]:
    """What is started meanwhile has one core, the same one. MLflow answers several requests at once, each with one
    thread: it would have all cores, and the others one."""
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(cores)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)


def _check_answers(rival: Rival, target: Target, subjects: Sequence[Subject]) -> None:
    """The very same weights: the rival's best label and its probability are those of our unquantised engine."""
    exact = next(subject for subject in reversed(subjects) if "int8" not in subject.name)
    manifest, _ = read_manifest(exact.package)
    texts = exact.texts[:CHECKED]
    for text, ours in zip(texts, Engine(exact.package, manifest).predict(texts), strict=True):
        theirs = rival.answer(_ask(target, text))
        label = manifest.labels[int(np.argmax(ours.probabilities))]
        if theirs["label"] != label or abs(theirs["score"] - max(ours.probabilities)) > TOLERANCE:
            raise RuntimeError(f"it answers {theirs}, and Serin {label} with {max(ours.probabilities):.6f}")


def _ask(target: Target, text: str) -> Any:
    body = {target.field: [text]} if target.field else {"text": text}
    answer = httpx.post(target.url, json=body, timeout=60, trust_env=False)
    return answer.raise_for_status().json()


@contextmanager
def _running(rival: Rival, subject: Subject) -> Iterator[Target]:
    """Started in the rivals' environment, on a free port; all its processes are ended."""
    programs = environment() / "bin"
    if not (programs / rival.command[0]).exists():
        raise RuntimeError(f"not installed: {PREPARE}")
    with tempfile.TemporaryDirectory() as folder, (Path(folder) / "log").open("w+") as log:
        port = _free_port()
        names = {"port": port, "saved": f"{folder}/saved"}
        around = {
            **os.environ,
            **_SETTINGS,
            "PATH": f"{programs}:{os.environ['PATH']}",
            "PYTHONPATH": str(REPOSITORY),
            "HOME": folder,
            "CHECKPOINT": str(subject.checkpoint),
            "BATCH": str(subject.rival_batch),
        }

        def start(command: Sequence[str]) -> "subprocess.Popen[str]":
            arguments = [str(programs / command[0]), *(argument.format(**names) for argument in command[1:])]
            return subprocess.Popen(
                arguments, cwd=REPOSITORY, env=around, stdout=log, stderr=log, text=True, start_new_session=True
            )

        if rival.save and (status := start(rival.save).wait()):
            raise RuntimeError(f"saving its model ended with {status}: {_tail(Path(log.name))}")
        process = start(rival.command)
        url = f"http://127.0.0.1:{port}{rival.route}"
        family: list[psutil.Process] = []
        try:
            target = Target(rival.name, url, family, rival.field)
            until(lambda: process.poll() is not None or _answers(target), f"{rival.name} answers", within_s=_START_S)
            if process.poll() is not None:
                raise RuntimeError(f"it ended with {process.returncode}: {_tail(Path(log.name))}")
            root = psutil.Process(process.pid)
            family += [root, *root.children(recursive=True)]
            yield target
        finally:
            _end(process, family)


def _answers(target: Target) -> bool:
    try:
        _ask(target, "Where is my order?")
    except httpx.HTTPError:
        return False
    return True


def _end(process: "subprocess.Popen[str]", family: Sequence[psutil.Process]) -> None:
    """Asked first; what has not ended by then is ended by its id."""
    everyone = [*family, *psutil.Process(process.pid).children(recursive=True)] if process.poll() is None else family
    process.terminate()
    _, left = psutil.wait_procs(everyone, timeout=_END_S)
    for one in left:
        one.kill()
    process.wait()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def _tail(log: Path) -> str:
    return log.read_text(encoding="utf-8", errors="replace")[-2000:]
