"""The images: their Containerfile's rules, what is in them, and its steps played in a clean root."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

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
SERVING_MB_MAX, CONTROLLER_MB_MAX = 300, 700  # told in docs/install-kubernetes.md
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


def test_a_bill_of_materials_names_every_package_and_is_the_same_each_time(tmp_path: Path) -> None:
    """Of an environment that has two packages."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "venv")], check=True)
    (packages,) = (tmp_path / "venv/lib").glob("python*/site-packages")
    for name in ("litserve", "mlflow-skinny"):
        found = metadata.distribution(name)
        folder = next(file.locate() for file in found.files or () if file.name == "METADATA").parent
        (packages / folder.name).symlink_to(folder)
    files = [tmp_path / "a.json", tmp_path / "deep/b.json"]
    for file in files:
        made = run(str(IMAGES / "sbom.sh"), str(tmp_path / "venv/bin/python"), str(file))
        assert made.returncode == 0, made.stderr
    first, second = (file.read_text() for file in files)
    assert first == second
    bill = json.loads(first)
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    assert bill["metadata"]["component"]["name"] == "serin"
    found = {component["name"]: component for component in bill["components"]}
    assert found.keys() == {"litserve", "mlflow-skinny"}
    assert found["litserve"]["purl"].startswith("pkg:pypi/litserve@0.2.19")
    assert found["mlflow-skinny"]["licenses"]


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
