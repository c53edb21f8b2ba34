"""A real package of the demonstration's first model, for real runs of `serin gate`."""

from pathlib import Path

import pytest

from serving.packaging.build import build_package
from tests.lessons.pipeline import INTENTS


@pytest.fixture(scope="session")
def intents_package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shared by the session; nobody writes to it."""
    directory = tmp_path_factory.mktemp("intents") / "v1"
    build_package(INTENTS / "checkpoints" / "v1", directory)
    return directory
