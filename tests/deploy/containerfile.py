"""A Containerfile played without a container engine: each stage is a folder, and what it runs, it runs in a chroot."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

_LINE_GOES_ON: Final = re.compile(r"\\\n\s*")
_VARIABLE: Final = re.compile(r"\$\{?(\w+)\}?")
_COMMAND_S_MAX: Final = 3_600  # packages are fetched, on whatever machine
_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"  # of the image that ours begin with


@dataclass(frozen=True, slots=True)
class Step:
    """One instruction, with what follows it."""

    name: str
    text: str


@dataclass(slots=True)
class Stage:
    """A stage as it was built: its folder, and what its images are told."""

    root: Path
    environment: dict[str, str] = field(default_factory=dict)
    folder: str = "/"
    user: str = "0:0"
    command: Sequence[str] = ()

    def run(self, *command: str, more: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        """What a container of it would do with this command."""
        inner = ["env", f"--chdir={self.folder}", *command]
        outer = ["chroot", f"--userspec={self.user}", "--groups=", str(self.root), *inner]
        environment = {"PATH": _PATH, **self.environment, **(more or {})}
        return subprocess.run(
            outer, env=environment, capture_output=True, text=True, timeout=_COMMAND_S_MAX, check=False
        )


def steps_of(text: str) -> list[Step]:
    """The instructions of a Containerfile, in order."""
    bare = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
    lines = (line.strip() for line in _LINE_GOES_ON.sub(" ", bare).splitlines())
    return [Step(*line.split(maxsplit=1)) for line in lines if line]


def play(
    steps: Sequence[Step],
    *,
    context: Path,
    base: Path,
    work: Path,
    arguments: Mapping[str, str],
    while_building: Mapping[str, str],
) -> Mapping[str, Stage]:
    """Build every stage once, and return them by name. Images that stages come from are the folder ``base``;
    ``while_building`` is the environment of RUN steps besides their own, as a network needs it.

    Raises:
        AssertionError: a step fails; says what it printed.
    """
    stages: dict[str, Stage] = {}
    known = dict(arguments)
    stage = Stage(base)
    for step in steps:
        match step.name:
            case "ARG":
                name, _, value = step.text.partition("=")
                if value:
                    known.setdefault(name, value.strip('"'))
            case "FROM":
                source, _, name = step.text.partition(" AS ")
                stage = _begin(stages.get(source), base, work / name)
                assert source in stages or "$" not in _filled(source, known), f"{source}: an argument is missing"
                stages[name] = stage
            case "ENV":
                _set(stage.environment, step.text)
            case "WORKDIR":
                stage.folder = step.text
                (stage.root / step.text.lstrip("/")).mkdir(parents=True, exist_ok=True)
            case "USER":
                stage.user = step.text
            case "COPY":
                _copy(step.text, stage, stages, context)
            case "RUN":
                done = stage.run("sh", "-c", step.text, more=while_building)
                assert done.returncode == 0, f"RUN {step.text}: {done.stdout}{done.stderr}"
            case "CMD":
                stage.command = json.loads(step.text)
            case "LABEL" | "STOPSIGNAL":
                pass
            case other:
                raise AssertionError(f"{other}: not played here")
    return stages


def _begin(former: Stage | None, base: Path, root: Path) -> Stage:
    """A new stage upon a former one or the base. Files are shared: nothing that a stage runs changes one in place."""
    subprocess.run(["cp", "--archive", "--link", str(former.root if former else base), str(root)], check=True)
    if former is None:
        return Stage(root)
    return Stage(root, dict(former.environment), former.folder, former.user)


def _set(environment: dict[str, str], text: str) -> None:
    for pair in text.split():
        name, _, value = pair.partition("=")
        environment[name] = _filled(value, {"PATH": _PATH, **environment})


def _copy(text: str, stage: Stage, stages: Mapping[str, Stage], context: Path) -> None:
    *sources, into = text.split()
    origin = context
    if sources[0].startswith("--from="):
        origin = stages[sources.pop(0).removeprefix("--from=")].root
    target = stage.root / os.path.normpath(Path(stage.folder, into)).lstrip("/")
    for source in sources:
        found = origin / source.lstrip("/")
        place = target / found.name if into.endswith("/") else target
        place.parent.mkdir(parents=True, exist_ok=True)
        if found.is_dir():
            shutil.copytree(
                found, place, symlinks=True, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__")
            )
        else:
            shutil.copy2(found, place)


def _filled(text: str, known: Mapping[str, str]) -> str:
    return _VARIABLE.sub(lambda found: known.get(found[1], found[0]), text)
