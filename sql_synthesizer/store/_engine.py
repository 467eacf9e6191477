"""How the store reaches its database: engine, bounded waits and versioned migrations."""

from __future__ import annotations

import logging
import os
import socket
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import ArgumentError, DataError, DBAPIError, IntegrityError, NoSuchModuleError, SQLAlchemyError

from sql_synthesizer.errors import ConfigurationError, StoreUnavailable

WAIT = 5.0
"""Seconds that a statement, a lock or a free connection is waited for at most."""

MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        """CREATE TABLE api_keys (
            id TEXT PRIMARY KEY,
            label TEXT NOT NULL,
            role TEXT NOT NULL,
            salt TEXT NOT NULL,
            digest TEXT NOT NULL,
            created_at DOUBLE PRECISION NOT NULL,
            expires_at DOUBLE PRECISION,
            revoked_at DOUBLE PRECISION,
            last_used_at DOUBLE PRECISION
        )""",
        """CREATE TABLE history (
            question_id TEXT PRIMARY KEY,
            identity TEXT NOT NULL,
            database TEXT NOT NULL,
            question TEXT NOT NULL,
            sql TEXT NOT NULL,
            source TEXT NOT NULL,
            outcome TEXT NOT NULL,
            row_count INTEGER NOT NULL,
            asked_at DOUBLE PRECISION NOT NULL
        )""",
        "CREATE INDEX history_by_identity ON history (identity, asked_at)",
        "CREATE INDEX history_by_time ON history (asked_at)",
        """CREATE TABLE feedback (
            question_id TEXT NOT NULL,
            identity TEXT NOT NULL,
            rating TEXT NOT NULL,
            comment TEXT NOT NULL,
            at DOUBLE PRECISION NOT NULL,
            PRIMARY KEY (question_id, identity)
        )""",
        "CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL)",
    ),
    (
        "ALTER TABLE api_keys ADD COLUMN rate_limit TEXT NOT NULL DEFAULT ''",
        "ALTER TABLE api_keys ADD COLUMN session_version INTEGER NOT NULL DEFAULT 0",
    ),
    (
        """CREATE TABLE jobs (
            id TEXT PRIMARY KEY,
            owner TEXT NOT NULL,
            token TEXT NOT NULL,
            digest TEXT NOT NULL,
            database TEXT NOT NULL,
            max_rows INTEGER NOT NULL,
            traceparent TEXT NOT NULL,
            total INTEGER NOT NULL,
            submitted_at DOUBLE PRECISION NOT NULL,
            state TEXT NOT NULL,
            reason TEXT NOT NULL,
            following INTEGER NOT NULL,
            waiting INTEGER NOT NULL,
            ended INTEGER NOT NULL,
            ready_at DOUBLE PRECISION NOT NULL,
            started_at DOUBLE PRECISION,
            ended_at DOUBLE PRECISION,
            UNIQUE (owner, token)
        )""",
        "CREATE INDEX jobs_that_wait ON jobs (owner, submitted_at) WHERE waiting > 0",
        "CREATE INDEX jobs_by_time ON jobs (submitted_at)",
        """CREATE TABLE job_questions (
            job_id TEXT NOT NULL,
            position INTEGER NOT NULL,
            question TEXT NOT NULL,
            outcome TEXT NOT NULL DEFAULT '',
            attempts INTEGER NOT NULL DEFAULT 0,
            body TEXT NOT NULL DEFAULT '',
            ended_at DOUBLE PRECISION,
            PRIMARY KEY (job_id, position)
        )""",
        """CREATE TABLE job_claims (
            job_id TEXT NOT NULL,
            position INTEGER NOT NULL,
            attempt INTEGER NOT NULL,
            worker TEXT NOT NULL,
            PRIMARY KEY (job_id, position)
        )""",
        "CREATE TABLE job_workers (id TEXT PRIMARY KEY, beat DOUBLE PRECISION NOT NULL)",
        "CREATE TABLE job_owners (owner TEXT PRIMARY KEY, served BIGINT NOT NULL)",
    ),
    (
        "ALTER TABLE jobs ADD COLUMN webhook TEXT NOT NULL DEFAULT ''",
        "ALTER TABLE jobs ADD COLUMN delivery TEXT NOT NULL DEFAULT ''",
        "ALTER TABLE jobs ADD COLUMN deliveries INTEGER NOT NULL DEFAULT 0",
        "ALTER TABLE jobs ADD COLUMN deliver_at DOUBLE PRECISION NOT NULL DEFAULT 0",
        "CREATE INDEX jobs_to_tell ON jobs (deliver_at) WHERE delivery = 'waiting'",
    ),
    (
        "ALTER TABLE jobs ADD COLUMN with_results INTEGER NOT NULL DEFAULT 0",
        """CREATE TABLE schedules (
            id TEXT PRIMARY KEY,
            owner TEXT NOT NULL,
            name TEXT NOT NULL,
            cron TEXT NOT NULL,
            zone TEXT NOT NULL,
            missed TEXT NOT NULL,
            questions TEXT NOT NULL,
            database TEXT NOT NULL,
            max_rows INTEGER NOT NULL,
            webhook TEXT NOT NULL,
            with_results INTEGER NOT NULL,
            paused INTEGER NOT NULL,
            created_at DOUBLE PRECISION NOT NULL,
            set_at DOUBLE PRECISION NOT NULL,
            due_at DOUBLE PRECISION NOT NULL,
            reason TEXT NOT NULL,
            last_at DOUBLE PRECISION,
            last_job TEXT NOT NULL
        )""",
        "CREATE INDEX schedules_by_owner ON schedules (owner)",
        "CREATE INDEX schedules_by_time ON schedules (due_at) WHERE paused = 0",
    ),
    (
        "ALTER TABLE api_keys ADD COLUMN team TEXT NOT NULL DEFAULT ''",
        "ALTER TABLE history ADD COLUMN team TEXT NOT NULL DEFAULT ''",
        "ALTER TABLE history ADD COLUMN cost_microusd BIGINT NOT NULL DEFAULT 0",
        "ALTER TABLE history ADD COLUMN trace_id TEXT NOT NULL DEFAULT ''",
        "CREATE INDEX history_by_trace ON history (trace_id)",
        """CREATE TABLE team_usage (
            team TEXT NOT NULL,
            month TEXT NOT NULL,
            answered BIGINT NOT NULL,
            microusd BIGINT NOT NULL,
            PRIMARY KEY (team, month)
        )""",
    ),
    ("ALTER TABLE jobs ADD COLUMN delivery_reason TEXT NOT NULL DEFAULT ''",),
)
"""The statements that lead from each version of the tables to the next; released ones are never changed."""

DAMAGED = "DatabaseError"
"""What SQLite raises of a file that is no database, or no longer one."""
RESTORE = "Stop the service, then put a backup in its place: sql-synthesizer store restore FILE."
_MIGRATION_LOCK = 0x73716C73

log = logging.getLogger(__name__)


def open_engine(url: str | None, state_dir: Path) -> Engine:
    """The engine of the store, by default on a private SQLite file. Raises ConfigurationError, StoreUnavailable."""
    target = store_url(url, state_dir)
    if target.get_backend_name() == "postgresql":
        options = f"-c statement_timeout={int(WAIT * 1000)} -c lock_timeout={int(WAIT * 1000)}"
        arguments: dict[str, object] = {"connect_timeout": 3, "options": options}
    else:
        _create_private_file(Path(target.database or ""))
        arguments = {"timeout": WAIT}
    engine = create_engine(
        target, connect_args=arguments, pool_size=5, max_overflow=5, pool_timeout=WAIT, hide_parameters=True
    )
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    else:
        event.listen(engine, "checkout", _start_watchdog)
        event.listen(engine, "checkin", _stop_watchdog)
    return engine


def store_url(given: str | None, state_dir: Path) -> URL:
    """Where the store is. Raises ConfigurationError when that is neither PostgreSQL nor an SQLite file."""
    if not given:
        return URL.create("sqlite", database=str(state_dir / "store.sqlite"))
    try:
        url = make_url(given)
        if url.drivername in {"postgres", "postgresql"}:
            url = url.set(drivername="postgresql+psycopg")
        name = url.get_dialect().name
    except (ArgumentError, NoSuchModuleError, ValueError):
        raise ConfigurationError("The setting store_url is not a database URL.") from None
    if name == "postgresql" or (name == "sqlite" and url.database not in {None, "", ":memory:"}):
        return url
    raise ConfigurationError("The setting store_url names neither PostgreSQL nor an SQLite file.")


def file_identity(engine: Engine) -> tuple[int, int] | None:
    """Which file the name of an SQLite store means now; None when there is none, or the store is no file."""
    if engine.dialect.name != "sqlite":
        return None
    try:
        found = Path(engine.url.database or "").stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


class RowRefused(StoreUnavailable):
    """The database takes no such values, however often they are tried."""


@contextmanager
def begin_transaction(engine: Engine, *, write: bool = False) -> Iterator[Connection]:
    """A connection whose work is committed at the end. Raises RowRefused, StoreUnavailable."""
    try:
        with _open_connection(engine, write=write) as connection:
            yield connection
            connection.commit()
    except (DataError, IntegrityError, OverflowError) as error:
        raise unavailable_error(error, RowRefused) from None
    except (SQLAlchemyError, OSError, sqlite3.Error) as error:
        raise unavailable_error(error) from None


def unavailable_error(error: Exception, kind: type[StoreUnavailable] = StoreUnavailable) -> StoreUnavailable:
    """The error for callers; the log gets the kind of the driver's error, which holds no values."""
    cause = getattr(error, "orig", None) or error
    damaged = type(cause) is sqlite3.DatabaseError
    log.warning("the store failed: %s%s", type(cause).__name__, f"; the file is damaged. {RESTORE}" if damaged else "")
    return kind(details={"error": type(cause).__name__})


def migrate_tables(engine: Engine, migrations: Sequence[Sequence[str]] = MIGRATIONS) -> int:
    """Brings the tables to the newest version and returns it; of processes that start together, one does it.

    Raises ConfigurationError when a newer release wrote the tables, StoreUnavailable.
    """
    with begin_transaction(engine, write=True) as connection:
        if engine.dialect.name == "postgresql":
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_MIGRATION_LOCK})")
        connection.exec_driver_sql("CREATE TABLE IF NOT EXISTS schema_version (version INTEGER NOT NULL)")
        version = connection.exec_driver_sql("SELECT max(version) FROM schema_version").scalar() or 0
        check_version(version, len(migrations))
        for number, statements in enumerate(migrations[version:], version + 1):
            for statement in statements:
                connection.exec_driver_sql(statement)
            connection.execute(text("INSERT INTO schema_version (version) VALUES (:number)"), {"number": number})
    return len(migrations)


def check_version(version: int, known: int = len(MIGRATIONS)) -> None:
    """Raises ConfigurationError when a newer release wrote the tables."""
    if version > known:
        raise ConfigurationError(
            f"The store has version {version} of its tables, but this release knows only {known}.",
            hint="Start the newer release again, or restore a backup that this release made.",
        )


def storable_text(value: str) -> str:
    """What both databases can hold: no lone surrogates, no NUL."""
    return value.encode("utf-8", "replace").decode().replace("\0", "")


def _create_private_file(path: Path) -> None:
    """Makes the file when it is new; SQLite gives its side files the same permissions.

    An existing file is not opened here, because closing it would drop the locks that SQLite holds on it.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not path.exists():
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError:
        return  # another process was first
    except OSError as error:
        raise unavailable_error(error) from None


def _prepare_sqlite(connection: sqlite3.Connection, _: object) -> None:
    connection.isolation_level = None
    connection.execute("PRAGMA journal_mode = WAL")


def _begin_sqlite(connection: Connection) -> None:
    """A transaction that will write locks at once: SQLite does not wait when a reader turns into a writer."""
    write = connection.get_execution_options().get("write")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")


def _open_connection(engine: Engine, *, write: bool) -> Connection:
    connection = engine.connect().execution_options(write=write)
    if engine.dialect.name == "sqlite":
        return connection
    try:
        connection.exec_driver_sql("SELECT 1")
    except BaseException as error:
        connection.close()
        if not (isinstance(error, DBAPIError) and error.connection_invalidated):
            raise
        # The server was restarted since; the pool has let go of the connections that it had.
        return engine.connect().execution_options(write=write)
    return connection


def _start_watchdog(connection: Any, record: Any, _: object) -> None:
    """Psycopg waits for ever for a server that hangs: the socket of a connection out too long is shut."""
    handle = socket.socket(fileno=os.dup(connection.fileno()))
    timer = threading.Timer(WAIT + 1, _shutdown_socket, (handle,))
    timer.daemon = True
    record.info["watch"] = (timer, handle)
    timer.start()


def _stop_watchdog(_: object, record: Any) -> None:
    timer, handle = record.info.pop("watch", (None, None))
    if timer is not None:
        timer.cancel()
        handle.close()


def _shutdown_socket(handle: socket.socket) -> None:
    try:
        handle.shutdown(socket.SHUT_RDWR)
    except OSError as error:
        log.debug("a connection was closed before it was shut: %s", type(error).__name__)
