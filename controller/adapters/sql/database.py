"""Connections and transactions: the one place that knows the dialects and turns the database's errors into ours."""

import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any, Final

from pydantic_core import to_json
from sqlalchemy import (
    URL,
    ClauseElement,
    Connection,
    CursorResult,
    Dialect,
    Engine,
    Insert,
    Table,
    create_engine,
    event,
    make_url,
)
from sqlalchemy.dialects import sqlite
from sqlalchemy.exc import ArgumentError, DBAPIError, InterfaceError, NoSuchModuleError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from controller.adapters.sql.durability import SharedSync
from controller.adapters.sql.watchdog import Limits, Watchdog
from controller.errors import PermanentError, Source, TransientError, UsageError

BUSY_TIMEOUT_MS: Final = 5_000  # how long anybody waits for a lock
STATEMENT_TIMEOUT_MS: Final = 60_000  # of PostgreSQL; no statement of ours takes as long, upgrades apart
IDLE_TIMEOUT_MS: Final = 10_000  # a process that was stopped inside a transaction keeps its locks no longer
CONNECTIONS_MAX: Final = 15  # of PostgreSQL, by one process
_CONNECT_TIMEOUT_S: Final = 5
_SHORT: Final = frozenset({Source.LEADERSHIP, Source.INBOX, Source.FREEZES})  # what every round asks
_WRITES_OPTION: Final = "serin_writes"  # of a transaction that writes
_NOT_ON_DISK: Final = "is not known to be on the disk"
_PAUSE_S: Final = 0.01
IN_CLAUSE_MAX: Final = 500  # values in one IN (...): well below each database's limit on parameters


class Database:
    """An engine, and transactions on it.

    On SQLite a writing transaction takes the write lock at its start, so that it never fails half-way for a reader
    turned writer, and a reading one sees one snapshot. Writers of this process wait in a queue of their own: SQLite's
    wait sleeps up to a tenth of a second while the lock is free, and whoever comes then goes first.
    """

    def __init__(self, engine: Engine, watchdog: Watchdog | None = None, limits: Limits | None = None) -> None:
        """``watchdog``: of a server that may stop without a word, which is given up after the ``limits``."""
        self.engine = engine
        self._log: SharedSync | None = None  # of SQLite, once something was written
        self.is_postgresql: Final = engine.dialect.name == "postgresql"
        self._writing = Lock()
        self._watchdog = watchdog
        self._limits = limits or Limits()

    @contextmanager
    def read(self, source: Source) -> Iterator[Connection]:
        """A transaction that only reads, and sees one snapshot. ``source`` names the port in errors."""
        self._settle(source)
        with _our_errors(source), self._connected(source) as connection:
            if self.is_postgresql:
                connection.execution_options(isolation_level="REPEATABLE READ")
            with connection.begin():
                yield connection

    @contextmanager
    def write(self, source: Source) -> Iterator[Connection]:
        """A transaction that may be lost entirely in a power cut (on SQLite) if it was among the last, but never by
        half."""
        self._settle(source)
        turn = nullcontext() if self.is_postgresql else self._turn(source)
        with _our_errors(source), turn, self._connected(source) as connection:
            connection.execution_options(**{_WRITES_OPTION: True})
            with connection.begin():
                yield connection

    @contextmanager
    def write_durably(self, source: Source) -> Iterator[Connection]:
        """A transaction that is on the disk when it returns: what was decided must be known before it is done."""
        with self.write(source) as connection:
            yield connection
            log = self._log_of(connection)
        if log is not None:
            try:
                log.wait()
            except OSError as error:
                raise TransientError(source, f"the {source}'s database {_NOT_ON_DISK}: {error}") from error

    def _log_of(self, connection: Connection) -> SharedSync | None:
        """SQLite's log, by the name that SQLite has for it: ours may be a link, or an address."""
        if self._log is None and not self.is_postgresql:
            names = {name: path for _, name, path in connection.exec_driver_sql("PRAGMA database_list")}
            self._log = SharedSync(Path(f"{names['main']}-wal"))
        return self._log

    def _settle(self, source: Source) -> None:
        """Write to the disk what a failed sync may have left in memory: nothing may be read that could still be lost.

        Raises:
            TransientError: it is not known to be there yet.
        """
        log = self._log
        if log is None or not log.failed:
            return
        with _our_errors(source), self._turn(source), self.engine.connect() as connection:
            driver: Any = connection.connection.dbapi_connection
            busy, *_ = driver.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            if busy:
                raise TransientError(source, f"the {source}'s database {_NOT_ON_DISK}: another process is reading it")
            log.failed = False

    @contextmanager
    def _connected(self, source: Source) -> Iterator[Connection]:
        connection = self.engine.connect()
        limit_s = self._limits.short_s if source in _SHORT else self._limits.long_s
        with self._watched(connection, limit_s), connection:  # until it is back in the pool: that asks, too
            yield connection

    def _watched(self, connection: Connection, limit_s: float) -> AbstractContextManager[None]:
        driver: Any = connection.connection.dbapi_connection
        return nullcontext() if self._watchdog is None else self._watchdog.within(driver, limit_s)

    @contextmanager
    def _turn(self, source: Source) -> Iterator[None]:
        if not self._writing.acquire(timeout=BUSY_TIMEOUT_MS / 1_000):
            raise TransientError(source, f"the {source}'s database did not answer: another writer holds it")
        try:
            yield
        finally:
            self._writing.release()

    def close(self) -> None:
        self.engine.dispose()


def connect(
    url: str,
    *,
    busy_timeout_ms: int | None = None,
    limits: Limits | None = None,
    connections_max: int = CONNECTIONS_MAX,
    current: Callable[[], str] | None = None,
) -> Database:
    """A database at an SQLAlchemy URL. Nothing is opened until the first transaction. ``busy_timeout_ms`` is how long
    SQLite waits for another process that writes, if not as long as everywhere; ``limits`` are PostgreSQL's. ``current``
    gives the URL anew for each connection to PostgreSQL, so that its password can be changed.

    Raises:
        UsageError: the URL cannot be read, or names a database that Serin does not know.
    """
    try:
        parsed = _parsed(url)
        dialect = parsed.get_backend_name()
        if dialect not in ("sqlite", "postgresql"):
            raise UsageError(f"store: {dialect} is not supported; use sqlite:///FILE or postgresql://HOST/DATABASE")
        if dialect == "sqlite" and parsed.database in (None, "", ":memory:"):
            raise UsageError("store: a SQLite database must be a file, sqlite:///FILE")
        watchdog = Watchdog() if dialect == "postgresql" else None
        if watchdog is None:
            engine = create_engine(parsed)
        else:
            engine = _postgresql(parsed, watchdog, limits or Limits(), connections_max)
            if current is not None:
                _follow(engine, current)
    except (ArgumentError, NoSuchModuleError) as error:
        raise UsageError(f"store: {_first_line(error)}") from error
    except ImportError as error:
        way_out = 'pip install "serin[postgresql]"' if dialect == "postgresql" else f"it needs {parsed.drivername}"
        raise UsageError(f"store: the driver of {dialect} is not installed ({error}): {way_out}") from error
    if dialect == "sqlite":
        event.listen(engine, "connect", partial(_prepare_sqlite, busy_timeout_ms or BUSY_TIMEOUT_MS))
        event.listen(engine, "begin", _begin_sqlite)
    return Database(engine, watchdog, limits)


def _parsed(url: str) -> URL:
    """The address's parts. Raises ArgumentError, whose message holds nothing of a password that may stand in it."""
    try:
        return make_url(url)
    except ValueError as error:
        raise ArgumentError("the port in the database's address is not a number") from error


def _postgresql(url: URL, watchdog: Watchdog, limits: Limits, connections_max: int) -> Engine:
    """By psycopg 3, whatever driver the URL leaves open. What it says itself of timeouts and options stands, and of
    TLS (``sslmode``, ``sslrootcert``, ``sslcert``, ``sslkey``)."""
    url = _by_psycopg(url)
    its_own = {
        "lock_timeout": BUSY_TIMEOUT_MS,
        "statement_timeout": STATEMENT_TIMEOUT_MS,
        "idle_in_transaction_session_timeout": IDLE_TIMEOUT_MS,
    }
    defaults = {
        "application_name": "serin",
        "connect_timeout": _CONNECT_TIMEOUT_S,
        "options": " ".join(f"-c {name}={value}" for name, value in its_own.items()),
    }
    given = {name: value for name, value in defaults.items() if name not in url.query}
    engine = create_engine(
        url,
        connect_args=given,
        pool_pre_ping=True,
        pool_size=connections_max,
        max_overflow=0,
        pool_timeout=BUSY_TIMEOUT_MS / 1_000,
    )
    ping = engine.dialect.do_ping

    def watched_ping(connection: Any) -> bool:
        with watchdog.within(connection, limits.ping_s):
            return bool(ping(connection))

    # SQLAlchemy has no event before it.
    engine.dialect.do_ping = watched_ping  # type: ignore[method-assign, assignment]
    return engine


def _follow(engine: Engine, current: Callable[[], str]) -> None:
    """Make each new connection with the address as it is at that time."""

    def as_it_is_now(dialect: Any, _record: object, _args: object, parameters: dict[str, Any]) -> None:
        parameters.update(dialect.create_connect_args(_by_psycopg(make_url(current())))[1])

    event.listen(engine, "do_connect", as_it_is_now)


def _by_psycopg(url: URL) -> URL:
    return url.set(drivername="postgresql+psycopg") if url.drivername == "postgresql" else url


class Prepared:
    """A statement that is compiled once per dialect. If it is executed fifty times a second, SQLAlchemy's way from the
    statement to the driver costs more than the database itself."""

    def __init__(self, statement: ClauseElement) -> None:
        self._statement = statement
        self._compiled: dict[str, tuple[str, Sequence[str] | None]] = {}

    def run(self, connection: Connection, values: Mapping[str, Any]) -> CursorResult[Any]:
        """Execute it. ``values`` are those of every parameter, as the driver takes them."""
        text, order = self._compiled.get(connection.dialect.name) or self._compile(connection.dialect)
        given = values if order is None else tuple(values[name] for name in order)
        return connection.exec_driver_sql(text, given)

    def _compile(self, dialect: Dialect) -> tuple[str, Sequence[str] | None]:
        compiled: Any = self._statement.compile(dialect=dialect)
        found = self._compiled[dialect.name] = (str(compiled), compiled.positiontup)
        return found


def insert_new(connection: Connection, table: Table) -> Insert:
    """``INSERT``, leaving out rows that break a unique constraint: how repeating a write changes nothing."""
    return insert_new_on(connection.dialect.name, table)


def insert_new_on(dialect: str, table: Table) -> Insert:
    """As `insert_new`, for a statement that is made once."""
    if dialect == "postgresql":
        from sqlalchemy.dialects import postgresql  # only where it is used: it takes long to import

        return postgresql.insert(table).on_conflict_do_nothing()
    return sqlite.insert(table).on_conflict_do_nothing()


def insert_new_rows(
    connection: Connection, table: Table, columns: Sequence[str], rows: Sequence[tuple[Any, ...]]
) -> None:
    """As `insert_new`, of many rows of texts and finite numbers. SQLAlchemy's way of handing them on costs more than
    the database itself; on PostgreSQL so does the driver's, and one document with them all does not."""
    quote = connection.dialect.identifier_preparer.quote
    names = ", ".join(map(quote, columns))
    into = f"INTO {quote(table.name)} ({names})"
    if connection.dialect.name == "postgresql":
        kinds = ", ".join(f"{quote(name)} {table.c[name].type.compile(connection.dialect)}" for name in columns)
        given = f"SELECT {names} FROM json_to_recordset(%s::json) AS given ({kinds})"  # noqa: S608 - names of ours
        document = to_json([dict(zip(columns, row, strict=True)) for row in rows]).decode()
        connection.exec_driver_sql(f"INSERT {into} {given} ON CONFLICT DO NOTHING", (document,))
        return
    marks = ", ".join("?" * len(columns))
    statement = f"INSERT {into} VALUES ({marks}) ON CONFLICT DO NOTHING"  # noqa: S608 - names of ours
    connection.exec_driver_sql(statement, list(rows))


def insert_if_new(connection: Connection, table: Table, row: Mapping[str, object]) -> bool:
    """Return whether the row was new. RETURNING says so, because each driver counts the rows of an INSERT in its own
    way."""
    key = next(iter(table.primary_key))
    inserted = insert_new(connection, table).values(row).returning(key)
    return connection.execute(inserted).first() is not None


def _prepare_sqlite(busy_timeout_ms: int, connection: Any, _record: object) -> None:
    connection.isolation_level = None  # transactions are ours, not guessed by the driver
    connection.execute(f"PRAGMA busy_timeout={busy_timeout_ms}")
    if connection.execute("PRAGMA page_count").fetchone() == (0,):  # of a file that is there it asks to write
        connection.execute("PRAGMA auto_vacuum=INCREMENTAL")  # `space.give_back` shortens it
    _use_wal(connection)
    connection.execute("PRAGMA synchronous=NORMAL")  # `SharedSync` does the rest
    connection.execute("PRAGMA foreign_keys=ON")


def _use_wal(connection: Any) -> None:
    """Switch SQLite to write-ahead logging. One connection does so for a new file; if two try at once, SQLite refuses
    one of them without waiting."""
    give_up_at_s = time.monotonic() + BUSY_TIMEOUT_MS / 1_000
    while True:
        try:
            (mode,) = connection.execute("PRAGMA journal_mode=WAL").fetchone()
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > give_up_at_s:
                raise
            time.sleep(_PAUSE_S)
        else:
            if mode != "wal":
                raise sqlite3.OperationalError(
                    "SQLite cannot use write-ahead logging on this file system; use a local disk"
                )
            return


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get(_WRITES_OPTION, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


@contextmanager
def _our_errors(source: Source) -> Iterator[None]:
    try:
        yield
    except (OperationalError, InterfaceError, PoolTimeoutError) as error:
        raise TransientError(source, f"the {source}'s database did not answer: {_first_line(error)}") from error
    except DBAPIError as error:
        raise PermanentError(f"the {source}'s database refused: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    cause = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    return str(cause).partition("\n")[0]
