"""What pipelines run: each shell step of `deploy/ci` is taken out and run as its CI system would, on real packages of a
real registry, and no exit code but that of a pass comes out green."""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest
from junitparser import JUnitXml

from controller.adapters.mlflow.registry import MlflowRegistry
from controller.bootstrap.stores import opened
from controller.config.settings import Home
from controller.core.release import Phase
from controller.journal.codec import entry_of, record_of
from controller.roles import Role
from serving.packaging.build import build_package
from tests.certificates import Authority
from tests.controller import releases
from tests.controller.mlflow_support import mlflow_server
from tests.controller.test_output_schema import checked as by_schema
from tests.controller.test_remote_commands import given_token, home, interface  # noqa: F401 - a fixture among them
from tests.deploy import pipelines
from tests.deploy.pipelines import GATE_ACTION, RELEASE_ACTION, ROOT, TOOLS, Done, Step
from tests.patience import PATIENCE_S

INTENTS = ROOT / "suites/intents"
CODES: Final = {0: "pass", 1: "fail", 2: "error", 3: "inconclusive", 4: "error", 5: "error", 137: "error"}
SCHEMAS = {
    "github/action.yml": "github-actions",
    "github/release/action.yml": "github-actions",
    "github/workflow.yml": "github-workflows",
    "gitlab/serin.gitlab-ci.yml": "gitlab-ci",
}


# --- the files --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", SCHEMAS)
def test_each_file_is_one_that_its_ci_system_takes(name: str, checked: Callable[..., None]) -> None:
    """By the schema that the system publishes."""
    more = ["--data-transform", "gitlab-ci"] if "gitlab" in name else []
    asked = [TOOLS / "check-jsonschema", "--builtin-schema", f"vendor.{SCHEMAS[name]}", *more, pipelines.CI / name]
    found = subprocess.run(asked, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert found.returncode == 0, found.stdout
    checked("files of CI systems by their schemas")


def test_no_action_can_be_told_to_run_something_else() -> None:
    """A version could be called ``$(...)``: what comes from outside is a variable, never a part of a script."""
    asked = [TOOLS / "zizmor", "--offline", "--no-progress", "--quiet", GATE_ACTION, RELEASE_ACTION]
    found = subprocess.run(asked, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert found.returncode == 0, found.stdout


def steps() -> Iterator[Step]:
    for action in (GATE_ACTION, RELEASE_ACTION):
        yield from pipelines.github(action, {})
    yield from (pipelines.gitlab(job) for job in (".serin-gate", ".serin-release", ".serin-wait"))
    yield from map(pipelines.jenkins, ("Gate", "Release"))


@pytest.mark.parametrize("step", list(steps()), ids=lambda step: f"{step.shell} {step.name}")
def test_steps_have_no_fault_that_shellcheck_knows(step: Step, checked: Callable[..., None]) -> None:
    shell = "bash" if step.shell == "actions" else "dash"
    asked = [str(TOOLS / "shellcheck"), f"--shell={shell}", "-"]
    found = subprocess.run(asked, input=step.script, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert (found.returncode, found.stdout) == (0, "")
    checked("steps of pipelines by shellcheck")


def test_nothing_lets_a_pipeline_go_on_after_another_code_than_zero() -> None:
    """Each system has a word for it, which would make what is not proven green, or yellow and on its way."""
    for name, job in pipelines.gitlab_jobs().items():
        assert "allow_failure" not in job, name
    text = "".join(line for line in pipelines.JENKINSFILE.read_text().splitlines(keepends=True) if "//" not in line)
    assert not [word for word in ("returnStatus", "catchError", "unstable", "warnError", "|| true") if word in text]
    for file in pipelines.CI.rglob("*.yml"):
        assert "continue-on-error" not in file.read_text(), file


def test_the_actions_install_from_where_they_stand() -> None:
    """The path is that of a checkout, and the part is one that the script knows."""
    for action in (GATE_ACTION, RELEASE_ACTION):
        (install, _) = pipelines.github(action, {})
        path = install.script.split('"')[1].replace("$GITHUB_ACTION_PATH", str(action.parent))
        assert Path(path).resolve() == ROOT / "deploy/images/install.sh"
        assert install.script.split('"')[2].strip() == "gate"
    assert "\ngate) WANTED=" in (ROOT / "deploy/images/install.sh").read_text()


# --- exit codes -------------------------------------------------------------------------------------------------------
@pytest.fixture
def ending(tmp_path: Path) -> Callable[[int], Path]:
    """A folder with a `serin` that does nothing but end by this code."""

    def make(code: int) -> Path:
        folder = tmp_path / "programs"
        folder.mkdir()
        (folder / "serin").write_text(f'#!/bin/sh\necho "$0 $*"\nexit {code}\n')
        (folder / "serin").chmod(0o755)
        return folder

    return make


def of_github(folder: Path) -> dict[str, str]:
    """What the system sets for each step."""
    return {
        "GITHUB_OUTPUT": str(folder / "output"),
        "GITHUB_STEP_SUMMARY": str(folder / "summary.md"),
        "RUNNER_TEMP": str(folder),
        "GITHUB_RUN_ID": "4711",
        "GITHUB_REPOSITORY": "team/intents",
    }


@pytest.mark.parametrize("code", CODES)
def test_a_gate_ends_by_the_code_of_serin_gate(code: int, ending: Callable[[int], Path], tmp_path: Path) -> None:
    programs = ending(code)
    inputs = {"model": "models:/intent/7", "suite": "a.jsonl\nb c.jsonl\n", "install": "false", "policy": "p.yaml"}
    (step,) = pipelines.github(GATE_ACTION, inputs)
    done = pipelines.run(step, tmp_path, of_github(tmp_path), programs=programs)
    assert done.code == code
    assert "--suite a.jsonl --suite b c.jsonl --policy p.yaml" in done.stdout
    assert (tmp_path / "output").read_text() == f"outcome={CODES[code]}\nexit-code={code}\n"
    asked = {"SERIN_MODEL": "models:/intent/7", "SERIN_SUITE": "a.jsonl", "VERSION": "7"}
    for one in (
        pipelines.gitlab(".serin-gate"),
        pipelines.gitlab(".serin-gate", "gitlab-sh"),
        pipelines.jenkins("Gate"),
    ):
        assert pipelines.run(one, tmp_path, asked, programs=programs).code == code, one


@pytest.mark.parametrize("code", CODES)
def test_a_release_ends_by_how_it_stands(code: int, ending: Callable[[int], Path], tmp_path: Path) -> None:
    """And its token is in a file of its owner's, which goes with the step."""
    programs = ending(code)
    asked = {"SERIN_MODEL_NAME": "intent", "SERIN_VERSION": "7", "VERSION": "7", "SERIN_TOKEN": "x", "TOKEN": "x"}
    inputs = {"model": "intent", "version": "7", "token": "x", "install": "false"}
    found = [
        pipelines.gitlab(job, shell)
        for job in (".serin-release", ".serin-wait")
        for shell in ("gitlab-bash", "gitlab-sh")
    ]
    for start in ("true", "false"):
        found += pipelines.github(RELEASE_ACTION, {**inputs, "start": start})
    for one in (*found, pipelines.jenkins("Release")):
        assert pipelines.run(one, tmp_path, {**of_github(tmp_path), **asked}, programs=programs).code == code, one
        assert not list((tmp_path / "tmp").iterdir()), one
        assert not list(tmp_path.glob("serin-token*")), one


def test_what_is_said_from_outside_is_no_command(ending: Callable[[int], Path], tmp_path: Path) -> None:
    hostile = '$(touch hit) `touch hit`"; touch hit; "'
    (step,) = pipelines.github(GATE_ACTION, {"model": hostile, "suite": hostile, "install": "false"})
    programs = ending(0)
    assert hostile in pipelines.run(step, tmp_path, of_github(tmp_path), programs=programs).stdout
    pipelines.run(
        pipelines.gitlab(".serin-gate"), tmp_path, {"SERIN_MODEL": hostile, "SERIN_SUITE": hostile}, programs=programs
    )
    pipelines.run(pipelines.jenkins("Gate"), tmp_path, {"VERSION": hostile}, programs=programs)
    assert not (tmp_path / "hit").exists()


# --- real versions ----------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An MLflow with three versions: the champion, one as good, and one that lost a part of its training set."""
    folder = tmp_path_factory.mktemp("registry")
    with mlflow_server(folder) as url:
        mlflow = MlflowRegistry(url)
        for checkpoint in ("v1", "v2", "v3"):
            build_package(INTENTS / "checkpoints" / checkpoint, folder / checkpoint)
            mlflow.register(folder / checkpoint, "intent", tags={})
        mlflow.move_alias("intent", "champion", "1", expected=None)
        yield url


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A checkout of a team's own, with its suites."""
    lines = (INTENTS / "suite.jsonl").read_text(encoding="utf-8").splitlines()
    (tmp_path / "cases.jsonl").write_text("\n".join(lines[:1_000]))
    (tmp_path / "few.jsonl").write_text("\n".join(lines[:20]))
    return tmp_path


def by_github(registry: str, folder: Path, version: str, suite: str) -> Done:
    inputs = {"model": f"models:/intent/{version}", "baseline": "models:/intent@champion", "suite": suite}
    (step,) = pipelines.github(GATE_ACTION, {**inputs, "registry": registry, "install": "false"})
    return pipelines.run(step, folder, of_github(folder))


def by_gitlab(registry: str, folder: Path, version: str, suite: str) -> Done:
    asked = {"SERIN_MODEL": f"models:/intent/{version}", "SERIN_SUITE": suite, "SERIN_REGISTRY": registry}
    return pipelines.run(
        pipelines.gitlab(".serin-gate"), folder, {**asked, "SERIN_BASELINE": "models:/intent@champion"}
    )


def by_jenkins(registry: str, folder: Path, version: str, suite: str) -> Done:
    return pipelines.run(pipelines.jenkins("Gate"), folder, {"REGISTRY": registry, "VERSION": version, "SUITE": suite})


@pytest.mark.integration
@pytest.mark.parametrize(
    ("gate", "version", "suite", "code", "outcome"),
    [
        (by_github, "2", "cases.jsonl", 0, "pass"),
        (by_jenkins, "3", "cases.jsonl", 1, "fail"),
        (by_gitlab, "2", "few.jsonl", 3, "inconclusive"),
        (by_github, "9", "cases.jsonl", 4, "error"),
        (by_gitlab, "2", "away.jsonl", 2, "error"),
    ],
    ids=["a better one", "a failing one", "too few cases", "no such version", "no such suite"],
)
def test_a_version_of_the_registry_is_judged(
    registry: str, project: Path, gate: Callable[..., Done], version: str, suite: str, code: int, outcome: str
) -> None:
    """And each file says the same as the exit code, to whoever reads only that."""
    done = gate(registry, project, version, suite)
    assert done.code == code, done.stdout + done.stderr
    document = by_schema((project / "serin-gate.json").read_text())
    assert document["outcome"] == outcome
    (suite_of,) = JUnitXml.fromfile(str(project / "serin-gate.xml"))
    assert (suite_of.failures + suite_of.errors > 0) == (code != 0)
    (summary,) = project.glob("s*.md")
    assert summary.read_text().startswith("### ✓" if code == 0 else "### ")
    assert ("### ✓" in summary.read_text()) == (code == 0)


# --- releases ---------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("phase", "code"),
    [(Phase.PROMOTED, 0), (Phase.ROLLED_BACK, 1), (Phase.HELD, 3), (Phase.SHADOW, 5)],
)
def test_a_release_elsewhere_is_waited_for(home: Home, tmp_path: Path, phase: Phase, code: int) -> None:  # noqa: F811
    """By TLS, with the token of a secret; version 6 was promoted before, which counts for nothing."""
    before = releases.release_in(Phase.PROMOTED, id="intent-v6-1", candidate=releases.STABLE)
    with opened(home) as store:
        for number, release in enumerate((before, releases.release_in(phase))):
            record = record_of(release, 1)
            store.journal.append(record, [entry_of(releases.started(), 1.0 + number)])
    for done, token in elsewhere(home, tmp_path, "wait"):
        assert done.code == code, done
        assert token not in done.stdout + done.stderr


def test_a_release_elsewhere_is_started(home: Home, tmp_path: Path) -> None:  # noqa: F811
    """In the name of the token, and for a reason that leads back to the run. No controller takes it up here: 5."""
    for done, token in elsewhere(home, tmp_path, "start"):
        assert done.code == 5, done
        assert "intent: release of version 7 asked for." in done.stdout
        assert token not in done.stdout + done.stderr
    with opened(home) as store:
        asked = [(one.version, one.by.split()[0], one.reason) for one in store.inbox.waiting()]
    assert asked == [("7", "ci", "pipeline 4711"), ("7", "ci", "run 4711 of team/intents"), ("7", "ci", "build 4711")]


def elsewhere(home: Home, folder: Path, what: str) -> Iterator[tuple[Done, str]]:  # noqa: F811
    authority = Authority(folder / "tls")
    token = given_token(folder, home, "ci", Role.PROPOSE).read_text().strip()
    with interface(home, authority) as url:
        asked = {
            "SERIN_SERVER": url,
            "SERIN_CA_FILE": str(authority.file),
            "SERIN_TOKEN": token,
            "SERIN_TIMEOUT_S": "1",
        }
        of = {"SERIN_MODEL_NAME": "intent", "SERIN_VERSION": "7"}
        job = ".serin-wait" if what == "wait" else ".serin-release"
        yield pipelines.run(pipelines.gitlab(job), folder, {**asked, **of, "CI_PIPELINE_URL": "4711"}), token
        inputs = {"model": "intent", "version": "7", "server": url, "token": token, "timeout-s": "1"}
        start = {"start": "true" if what == "start" else "false", "ca-file": str(authority.file), "install": "false"}
        (step,) = pipelines.github(RELEASE_ACTION, {**inputs, **start})
        yield pipelines.run(step, folder, of_github(folder)), token
        if what == "start":
            by_name = {"TOKEN": token, "TIMEOUT_S": "1", "VERSION": "7", "BUILD_URL": "build 4711"}
            yield pipelines.run(pipelines.jenkins("Release"), folder, {**asked, **by_name}), token
