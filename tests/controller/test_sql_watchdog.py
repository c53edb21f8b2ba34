"""A PostgreSQL that stops in the middle of an answer is given up, and found again once it goes on."""

import os
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import text

from controller.adapters.sql.database import Database, connect
from controller.adapters.sql.watchdog import Limits, Watchdog
from controller.errors import Source, TransientError
from tests.patience import PATIENCE_S
from tests.postgres_support import PostgresServer


def test_who_waits_for_longer_than_the_limit_is_told() -> None:
    ours, theirs = socket.socketpair()
    ours.settimeout(PATIENCE_S)
    with ours, theirs, Watchdog().within(ours, 0.0):
        assert ours.recv(1) == b""


def test_who_is_done_in_time_keeps_the_connection() -> None:
    """Also where another one is cut after that."""
    ours, theirs = socket.socketpair()
    other, its_peer = socket.socketpair()
    dog = Watchdog()
    with ours, theirs, other, its_peer:
        with dog.within(ours, PATIENCE_S):
            pass
        other.settimeout(PATIENCE_S)
        with dog.within(other, 0.0):
            assert other.recv(1) == b""
        theirs.send(b"x")
        assert ours.recv(1) == b"x"


def test_a_connection_that_was_closed_meanwhile_disturbs_nobody() -> None:
    closed, peer = socket.socketpair()
    other, its_peer = socket.socketpair()
    closed.close()
    dog = Watchdog()
    with peer, other, its_peer, dog.within(closed, 0.0):
        other.settimeout(PATIENCE_S)
        with dog.within(other, 0.0):
            assert other.recv(1) == b""


@contextmanager
def stopped(database: Database) -> Iterator[None]:
    """Whatever answers this client stands still, until the block ends."""
    with database.read(Source.JOURNAL) as connection:
        pid = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def ask_one_that_stops(database: Database) -> None:
    with database.read(Source.INBOX) as connection:
        pid = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
        os.kill(pid, signal.SIGSTOP)
        try:
            connection.execute(text("SELECT 1"))
        finally:
            os.kill(pid, signal.SIGCONT)


@pytest.mark.integration
def test_a_connection_that_hangs_is_left_for_a_new_one(postgres: PostgresServer) -> None:
    """Found by the question that is asked before it is used again."""
    with postgres.database() as url:
        database = connect(url, limits=Limits(ping_s=0.2, short_s=PATIENCE_S, long_s=PATIENCE_S))
        with stopped(database), database.read(Source.JOURNAL) as connection:
            assert connection.execute(text("SELECT 1")).scalar_one() == 1
        database.close()


@pytest.mark.integration
def test_a_server_that_stops_in_the_middle_is_given_up(postgres: PostgresServer) -> None:
    """As an outage: nothing is known of what was asked."""
    with postgres.database() as url:
        database = connect(url, limits=Limits(ping_s=PATIENCE_S, short_s=0.5, long_s=PATIENCE_S))
        with pytest.raises(TransientError, match="inbox's database did not answer"):
            ask_one_that_stops(database)
        with database.read(Source.JOURNAL) as connection:
            assert connection.execute(text("SELECT 1")).scalar_one() == 1
        database.close()
