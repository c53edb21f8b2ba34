"""What `make setup` installs: exact versions of known files, for every requirement that the project names."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BUILT_PER_PLATFORM = {"torch"}  # constraints.txt says why
_PIN = re.compile(
    r"(?m)^(?P<name>[A-Za-z0-9_.-]+)==(?P<version>\S+)(?P<digests>(?: \\\n    --hash=sha256:[0-9a-f]{64})*)$"
)


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _pins() -> dict[str, list[str]]:
    """Digests by name."""
    text = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    return {_canonical(pin["name"]): re.findall("sha256:[0-9a-f]{64}", pin["digests"]) for pin in _PIN.finditer(text)}


def _required() -> Iterator[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for group in (project["dependencies"], *project["optional-dependencies"].values()):
        yield from (_canonical(re.split(r"[\[<>=!~ ]", requirement)[0]) for requirement in group)


def test_every_version_is_held_to_the_digests_of_its_files() -> None:
    """No line of constraints.txt lets pip take a file that was not there when it was tested."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    named = [line for line in lines if re.match(r"[A-Za-z0-9]", line)]
    pins = _pins()
    assert len(pins) == len(named)  # each line is understood
    assert [name for name, digests in pins.items() if not digests] == []


@pytest.mark.parametrize("name", sorted(set(_required()) - BUILT_PER_PLATFORM))
def test_every_requirement_has_a_version(name: str) -> None:
    assert name in _pins(), f"pin {name} in constraints.txt, then run deploy/install/lock.sh"
