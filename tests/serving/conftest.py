"""A real package for the tests: tiny, random, and small enough to build for each session."""

import shutil
from pathlib import Path

import pytest

from serving.packaging.build import build_package

CHECKPOINT = Path(__file__).parent / "data" / "tiny"


@pytest.fixture(scope="session")
def built_package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shared by the session: tests that change it take ``package``."""
    directory = tmp_path_factory.mktemp("packages") / "tiny"
    build_package(CHECKPOINT, directory)
    return directory


@pytest.fixture
def package(built_package: Path, tmp_path: Path) -> Path:
    """A copy of its own for one test."""
    return Path(shutil.copytree(built_package, tmp_path / "package"))


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """A copy of the tiny checkpoint that a test may spoil."""
    return Path(shutil.copytree(CHECKPOINT, tmp_path / "checkpoint"))
