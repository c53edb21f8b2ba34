"""The images: their Containerfile's rules, what is in them, and its steps played in a clean root."""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from controller.adapters.kubernetes.objects.site import Site
from tests.deploy.containerfile import Stage, play, steps_of
from tests.patience import PATIENCE_S

ROOT = Path(__file__).parents[2]
IMAGES = ROOT / "deploy/images"
FILE = IMAGES / "Containerfile"
STEPS = steps_of(FILE.read_text())
TOOLS = Path(sys.executable).parent
SUITE = "bookworm"
ROOT_VARIABLE = "SERIN_TEST_CLEAN_ROOT"
NEW = "new"
SERVING_MB_MAX, CONTROLLER_MB_MAX, GATE_MB_MAX = 300, 700, 700  # told in docs/install-kubernetes.md
_REACHES = ("index-url", "extra-index-url", "cert", "proxy", "trusted-host", "timeout")
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")


def run(*command: str, **more: Any) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PATH": f"{TOOLS}:{os.environ['PATH']}"}
    return subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=PATIENCE_S, check=False, **more
    )


def test_the_containerfile_has_no_fault_that_hadolint_knows(checked: Callable[..., None]) -> None:
    found = run(str(TOOLS / "hadolint"), str(FILE))
    assert (found.returncode, found.stdout) == (0, "")
    checked("steps of images by hadolint", len(STEPS))


def test_hadolint_finds_faults() -> None:
    """So that the test above can fail."""
    found = run(str(TOOLS / "hadolint"), "-", input="FROM debian\nRUN apt-get install python3\n")
    assert found.returncode == 1
    assert "DL3008" in found.stdout


def test_images_are_of_a_named_digest_and_run_as_the_user_of_replicas() -> None:
    froms = [step.text.split()[0] for step in STEPS if step.name == "FROM"]
    named = {step.text.rpartition(" AS ")[2] for step in STEPS if step.name == "FROM"}
    assert {one for one in froms if one not in named} == {"${BASE}@${BASE_DIGEST}"}
    users = [step.text for step in STEPS if step.name == "USER"]
    user = Site("an image").user_id
    assert users == [f"{user}:{user}"]
    assert [step.text for step in STEPS if step.name == "STOPSIGNAL"] == ["SIGTERM"]


# --- what is in them -------------------------------------------------------------------------------------------------
STAGES = {step.text.rpartition(" AS ")[2] for step in STEPS if step.name == "FROM"}
PARTS = {
    part: wanted
    for part, wanted in re.findall(r"(?m)^(\w+)\) WANTED=(\S+) ;;$", (IMAGES / "install.sh").read_text())
    if part in STAGES
}
PINS = {
    canonicalize_name(name): version
    for name, version in re.findall(r"(?m)^([A-Za-z0-9._-]+)==(\S+)", (ROOT / "constraints.txt").read_text())
}


SAY_NO_LICENCE = {"protobuf"}  # in its metadata: it is of the three-clause BSD licence


def needed(part: str) -> Mapping[str, metadata.Distribution]:
    """The packages that the image of this part gets, by name: what it asks for, with all that these ask for. As they
    are installed here, by the same constraints."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = {"base": project["dependencies"], **project["optional-dependencies"]}
    waiting = [Requirement(one) for name in PARTS[part].split(",") for one in asked[name]]
    done: set[str] = set()
    found: dict[str, metadata.Distribution] = {}
    while waiting:
        one = waiting.pop()
        extras = ("", *sorted(one.extras))
        if str(one) in done or not (one.marker is None or one.marker.evaluate({"extra": ""})):
            continue
        done.add(str(one))
        known = found[canonicalize_name(one.name)] = metadata.distribution(one.name)
        for inner in map(Requirement, known.requires or ()):
            if inner.marker is None or any(inner.marker.evaluate({"extra": extra}) for extra in extras):
                inner.marker = None
                waiting.append(inner)
    return found


def bill_of(folder: Path, found: Iterable[metadata.Distribution], *options: str, into: Sequence[str]) -> list[str]:
    """The bills that the script writes of an environment with these packages, laid out in the folder."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder / "venv")], check=True)
    (packages,) = (folder / "venv/lib").glob("python*/site-packages")
    for one in found:
        where = next(Path(str(file.locate())).parent for file in one.files or () if file.name == "METADATA")
        (packages / where.name).symlink_to(where)
    for name in into:
        made = run(str(IMAGES / "sbom.sh"), str(folder / "venv/bin/python"), str(folder / name), *options)
        assert made.returncode == 0, made.stderr
    return [(folder / name).read_text() for name in into]


@pytest.mark.parametrize("part", PARTS)
def test_a_bill_of_materials_names_every_package_of_an_image(
    part: str, tmp_path: Path, checked: Callable[..., None]
) -> None:
    """All that is locked for the image of each part: laid out here, and not built. To hold so long a bill against its
    schema takes minutes on a busy machine: the one below is, and those of `make sbom`."""
    locked = needed(part)
    (text,) = bill_of(tmp_path, locked.values(), "--no-validate", into=("bill.json",))
    bill = json.loads(text)
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    assert bill["metadata"]["component"]["name"] == "serin"
    told = {canonicalize_name(one["name"]): one for one in bill["components"]}
    assert {name: one["version"] for name, one in told.items()} == {name: PINS[name] for name in locked}
    assert not [name for name, one in told.items() if not one["purl"].startswith("pkg:pypi/")]
    assert {name for name, one in told.items() if not one.get("licenses")} <= SAY_NO_LICENCE
    assert told.keys().isdisjoint({"torch", "pytest", "mlflow"})
    checked("packages in bills of materials", len(told))


def test_a_bill_is_the_same_each_time(tmp_path: Path) -> None:
    first, second = bill_of(tmp_path, [metadata.distribution("litserve")], into=("a.json", "deep/b.json"))
    assert first == second
    assert "pkg:pypi/litserve@" in first


def test_the_bills_are_of_other_packages() -> None:
    """The image of a replica is without what only a controller needs, and the other way round."""
    controller, serving = needed("controller").keys(), needed("serving").keys()
    assert {"kubernetes", "scipy", "mlflow-skinny", "psycopg"} <= controller - serving
    assert {"litserve", "onnxruntime", "pyjwt"} <= serving - controller


# --- the steps, in a clean root --------------------------------------------------------------------------------------
def _pip_settings() -> Mapping[str, str]:
    """How pip reaches its index here, as the environment of another pip: all else is of this machine."""
    listed = run(sys.executable, "-m", "pip", "config", "list").stdout
    pairs = (line.partition("=") for line in listed.splitlines() if "=" in line)
    named = ((key.rpartition(".")[2], value.strip("'\"")) for key, _, value in pairs)
    pip = {
        f"PIP_{key.replace('-', '_').upper()}": value
        for key, value in named
        if key in _REACHES and "file:" not in value
    }
    proxies = {key: value for key, value in os.environ.items() if key.lower().endswith("_proxy")}
    return {**pip, **proxies}


@pytest.fixture(scope="module")
def clean_root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A Debian with nothing but its base and a Python, in place of the image of that name: a copy of the folder that
    SERIN_TEST_CLEAN_ROOT names, or where that is ``new``, made here."""
    if os.geteuid() != 0:
        pytest.skip("a clean root needs chroot, which root alone may do")
    if (given := os.environ.get(ROOT_VARIABLE)) is None:
        pytest.skip(f"the images are built by `make check-deploy`, in minutes: it sets {ROOT_VARIABLE}")
    if given == NEW and shutil.which("debootstrap") is None:
        pytest.skip("debootstrap is not on PATH: on Debian or Ubuntu, apt-get install debootstrap")
    folder = tmp_path_factory.mktemp("images")
    root = folder / "base"
    make = ["debootstrap", "--variant=minbase", "--include=python3,python3-venv,ca-certificates", SUITE, str(root)]
    command = make if given == NEW else ["cp", "--archive", given, str(root)]
    made = subprocess.run(command, capture_output=True, text=True, timeout=1_200, check=False)
    if made.returncode != 0:
        shutil.rmtree(folder)
        pytest.skip(f"debootstrap cannot make a Debian here: {made.stdout.splitlines()[-1:]}")
    (root / "usr/local/bin/python").symlink_to("/usr/bin/python3")
    for file in (Path("/etc/resolv.conf"), CERTIFICATES):
        if file.exists():
            shutil.copy(file.resolve(), root / str(file).lstrip("/"))
    yield root
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def stages(clean_root: Path) -> Mapping[str, Stage]:
    """All of them, so that each package is fetched once for both images."""
    work = clean_root.with_name("stages")
    work.mkdir()
    return play(
        STEPS,
        context=ROOT,
        base=clean_root,
        work=work,
        arguments={"BASE_DIGEST": "sha256:" + "0" * 64},
        while_building=_pip_settings(),
    )


def check_contents(stage: Stage, *, adds_mb_max: int) -> None:
    """Neither torch nor what installed the rest, no cache of a package manager, and no more than the documents say."""
    blocks = sum(path.lstat().st_blocks for path in (stage.root / "opt/serin").rglob("*"))
    assert blocks * 512 / 1e6 <= adds_mb_max
    packages = next((stage.root / "opt/serin/lib").glob("python*")) / "site-packages"
    there = {path.name.lower().split("-")[0] for path in packages.iterdir()}
    assert there.isdisjoint({"torch", "pip", "setuptools", "pytest", "mlflow_tracing"})
    assert not list((stage.root / "opt/serin/bin").glob("pip*"))
    for cache in ("root/.cache", "tmp/.cache", "src"):
        assert not (stage.root / cache).exists(), cache


@pytest.mark.integration
def test_the_image_of_a_replica_has_what_serving_needs(
    stages: Mapping[str, Stage], checked: Callable[..., None]
) -> None:
    stage = stages["serving"]
    check_contents(stage, adds_mb_max=SERVING_MB_MAX)
    told = stage.run(*stage.command)
    assert told.returncode == 0, told.stderr
    assert "--shadow-port" in told.stdout
    assert stage.run("python", "-m", "serving", "fetch", "--help").returncode == 0
    loaded = stage.run("python", "-c", "import serving.replica.app, serving.inference, onnxruntime, tokenizers, jwt")
    assert loaded.returncode == 0, loaded.stderr
    assert stage.run("python", "-c", "import controller").returncode == 1
    assert not (stage.root / "opt/serin/bin/serin").exists()
    assert stage.run("id", "-u").stdout.strip() == "10001"
    checked("images built in a clean root")


@pytest.mark.integration
def test_the_image_of_the_controller_upgrades_a_database(
    stages: Mapping[str, Stage], checked: Callable[..., None]
) -> None:
    """As the chart's Job does; with a file in place of PostgreSQL, whose driver is there."""
    stage = stages["controller"]
    check_contents(stage, adds_mb_max=CONTROLLER_MB_MAX)
    assert stage.run(*stage.command).returncode == 0
    url = stage.root / "tmp/url"
    url.write_text("sqlite:////tmp/journal.db")
    url.chmod(0o440)
    os.chown(url, 10001, 10001)
    made = stage.run("serin", "db", "upgrade", "--url-file", "/tmp/url")  # noqa: S108 - inside of the root
    assert made.returncode == 0, made.stderr
    assert (stage.root / "tmp/journal.db").stat().st_uid == 10001
    assert stage.run("python", "-c", "import psycopg, kubernetes.config").returncode == 0
    checked("images built in a clean root")


@pytest.mark.integration
def test_the_image_of_a_pipeline_has_what_a_gate_needs(
    stages: Mapping[str, Stage], checked: Callable[..., None]
) -> None:
    stage = stages["gate"]
    check_contents(stage, adds_mb_max=GATE_MB_MAX)
    assert stage.run(*stage.command).returncode == 0
    loaded = stage.run(
        "python", "-c", "import controller.bootstrap.gate, serving.replica.app, serving.inference, onnxruntime"
    )
    assert loaded.returncode == 0, loaded.stderr
    asked = stage.run("serin", "gate", "--model", "nonsense", "--suite", "/tmp/away.jsonl")  # noqa: S108 - inside of the root
    assert asked.returncode == 2
    assert "away.jsonl: cannot be read" in asked.stderr
    checked("images built in a clean root")
