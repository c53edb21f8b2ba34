"""What commands change in their process is undone after each test."""

import os
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def umask_as_before() -> Iterator[None]:
    """Commands that write to a home set it for the rest of their process, which here is everybody's."""
    before = os.umask(0o022)
    yield
    os.umask(before)
