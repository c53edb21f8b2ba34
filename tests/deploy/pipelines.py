"""What stands in `deploy/ci` for three CI systems, read as each of them reads it, and its shell steps run as each runs
them: with the variables that it sets, and by the shell that it calls."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml

from tests.patience import PATIENCE_S

ROOT: Final = Path(__file__).parents[2]
CI: Final = ROOT / "deploy/ci"
TOOLS: Final = Path(sys.executable).parent
GATE_ACTION: Final = CI / "github/action.yml"
RELEASE_ACTION: Final = CI / "github/release/action.yml"
GITLAB: Final = CI / "gitlab/serin.gitlab-ci.yml"
JENKINSFILE: Final = CI / "jenkins/Jenkinsfile"
_INPUT: Final = re.compile(r"\$\{\{ inputs\.([a-z-]+) \}\}")
_ACTIONS_BASH: Final = ("bash", "--noprofile", "--norc", "-eo", "pipefail")
_RUNNER_BASH: Final = 'set -eo pipefail\nset +o noclobber\n: | eval "$(cat {script})"\nexit 0\n'
"""As GitLab's runner has a job's lines read; in a shell that is no bash, without pipefail."""


@dataclass(frozen=True, slots=True)
class Step:
    """One shell step. ``variables``: those that the file sets; what a project sets comes on top."""

    name: str
    script: str
    shell: str
    variables: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Done:
    code: int
    stdout: str
    stderr: str


def github(action: Path, inputs: Mapping[str, str]) -> Iterator[Step]:
    """The steps of a composite action that run with these inputs."""
    document = yaml.safe_load(action.read_text(encoding="utf-8"))
    defaults = {name: str(one.get("default", "")) for name, one in document["inputs"].items()}
    assert inputs.keys() <= defaults.keys()
    given = {**defaults, **inputs}
    for step in document["runs"]["steps"]:
        condition = re.fullmatch(r"inputs\.([a-z-]+) == '(\w+)'", step.get("if", ""))
        if condition is not None and given[condition[1]] != condition[2]:
            continue
        variables = {
            name: _INPUT.sub(lambda found: given[found[1]], text) for name, text in step.get("env", {}).items()
        }
        yield Step(step["name"], step["run"], "actions", variables)


def gitlab_jobs() -> dict[str, dict[str, Any]]:
    """The jobs, each with what it extends."""
    jobs = yaml.safe_load(GITLAB.read_text(encoding="utf-8"))
    return {name: {**jobs.get(job.get("extends"), {}), **job} for name, job in jobs.items()}


def gitlab(job: str, shell: str = "gitlab-bash") -> Step:
    """The job as one step, for it is one shell."""
    found = gitlab_jobs()[job]
    lines = [*found.get("before_script", []), *found["script"]]
    return Step(job, "\n".join(lines), shell, found.get("variables", {}))


def jenkins(stage: str) -> Step:
    """The one shell step of a stage, with the variables of the pipeline."""
    text = JENKINSFILE.read_text(encoding="utf-8")
    (_, shared), *stages = _environments(text)
    assert stages
    found = re.search(rf"stage\('{stage}'\) \{{.*?sh '''\n(.*?)'''", text, re.DOTALL)
    assert found is not None, f"no stage {stage} with a shell step"
    assert "\\" not in found[1], "Groovy would read it"
    return Step(stage, found[1], "jenkins", shared)


def jenkins_credentials() -> dict[str, str]:
    """By variable, the credential that is bound to it."""
    return dict(re.findall(r"(\w+) = credentials\('([\w-]+)'\)", JENKINSFILE.read_text(encoding="utf-8")))


def _environments(text: str) -> Iterator[tuple[str, dict[str, str]]]:
    for block in re.findall(r"environment \{\n(.*?)\n\s*\}", text, re.DOTALL):
        yield block, dict(re.findall(r"(\w+) = '([^']*)'", block))


def run(step: Step, folder: Path, variables: Mapping[str, str], *, programs: Path = TOOLS) -> Done:
    """Run the step in the folder, with these variables on top of its own. ``programs`` has the `serin` of the PATH."""
    inner = folder / "step.sh"
    inner.write_text(step.script, encoding="utf-8")
    temporary = folder / "tmp"
    temporary.mkdir(exist_ok=True)
    done = subprocess.run(
        _command(step.shell, inner),
        cwd=folder,
        env={
            "PATH": f"{programs}:{os.environ['PATH']}",
            "HOME": str(folder),
            "TMPDIR": str(temporary),
            **step.variables,
            **variables,
        },
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    return Done(done.returncode, done.stdout, done.stderr)


def _command(shell: str, script: Path) -> Sequence[str]:
    match shell:
        case "actions":
            return (*_ACTIONS_BASH, str(script))
        case "gitlab-bash":
            return ("bash", "-c", _RUNNER_BASH.format(script=script))
        case "gitlab-sh":
            return ("sh", "-c", _RUNNER_BASH.format(script=script).replace("set -eo pipefail\n", "set -e\n"))
        case "jenkins":
            return ("sh", "-xe", str(script))
    raise AssertionError(shell)
