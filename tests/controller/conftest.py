"""What commands change in their process is undone after each test."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from controller.adapters.sql.upgrade import upgrade_store
from tests.postgres_support import PostgresServer, postgres_server


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """One server for all tests, with a database ``serin`` that has the schema and nothing else: copied for each."""
    with postgres_server() as server:
        server.execute("CREATE DATABASE serin")
        upgrade_store(server.url("serin"))
        yield server


_KINDS = ["sqlite", pytest.param("postgresql", marks=pytest.mark.integration)]


@pytest.fixture(params=_KINDS)
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A database with the schema, of each kind."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path}/store.db"
        upgrade_store(url)
        yield url
        return
    with request.getfixturevalue("postgres").database(template="serin") as url:
        yield url


@pytest.fixture(params=_KINDS)
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A database without any table, of each kind."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/empty.db"
        return
    with request.getfixturevalue("postgres").database() as url:
        yield url


@pytest.fixture(autouse=True)
def umask_as_before() -> Iterator[None]:
    """Commands that write to a home set it for the rest of their process, which here is everybody's."""
    before = os.umask(0o022)
    yield
    os.umask(before)
