"""The service's own store of traces: kept ones in one SQLite file, which all its processes write and anybody reads.

The fold queues a trace as one row; a thread writes what waits in one transaction. Nothing else waits for the file: a
store that is locked, full, damaged or deleted costs rows, which are counted, and is made again where it can be.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path

import orjson

from sql_synthesizer.files import hold_lock
from sql_synthesizer.monitoring.outbox import Outbox
from sql_synthesizer.monitoring.spans import Fragment, Span
from sql_synthesizer.settings import Settings
from sql_synthesizer.telemetry import Telemetry, vocabulary

SIGNAL = "trace_store"
ROWS = 512
"""Rows that may wait to be written."""
BATCH = 128
SPANS = 500
"""Spans of one row at most; the others are counted."""
WAIT = 2.0
"""Seconds that another process's transaction is waited for."""
FULL, ROOM = 0.9, 0.9
"""Of the size limit: beyond this share old rows are removed, down to that share of it."""
CHUNK = 200
"""Rows that are removed in one transaction."""
CHUNKS = 20
"""Transactions in a row that remove rows."""
UPKEEP = 30.0
"""Seconds between two looks for rows that are too old."""
JUMP = 60.0
"""Seconds by which the clock may have been set since the start before it is not believed about age."""
VERSION = 1
TABLES = f"""
CREATE TABLE IF NOT EXISTS traces (
    id INTEGER PRIMARY KEY,
    trace_id TEXT NOT NULL,
    question_id TEXT NOT NULL,
    name TEXT NOT NULL,
    reason TEXT NOT NULL,
    instance TEXT NOT NULL,
    ended DOUBLE NOT NULL,
    seconds DOUBLE NOT NULL,
    failed INTEGER NOT NULL,
    slow INTEGER NOT NULL,
    telling INTEGER NOT NULL,
    span_count INTEGER NOT NULL,
    spans BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS traces_by_trace ON traces (trace_id);
CREATE INDEX IF NOT EXISTS traces_by_question ON traces (question_id) WHERE question_id <> '';
CREATE INDEX IF NOT EXISTS traces_telling ON traces (telling);
PRAGMA user_version = {VERSION};
"""
"""``name`` is that of the outermost span, empty where that has not closed; ``telling`` is ``failed`` or ``slow``."""
INSERT = """INSERT INTO traces
    (trace_id, question_id, name, reason, instance, ended, seconds, failed, slow, telling, span_count, spans)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"""
OLDEST = "DELETE FROM traces WHERE id IN (SELECT id FROM traces {} ORDER BY id LIMIT ?)"
AGED = "DELETE FROM traces WHERE id IN (SELECT id FROM traces ORDER BY id LIMIT ?) AND ended < ?"
_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR, sqlite3.SQLITE_MISMATCH}
"""What SQLite says of a file that is not, or no longer, ours."""

Row = tuple[str, str, str, str, str, float, float, bool, bool, bool, int, bytes]

_logger = logging.getLogger(__name__)


class TraceStore:
    """Keeps traces in the file, within the limits of size and age; the quick and sound ones go first."""

    def __init__(self, settings: Settings, facade: Telemetry) -> None:
        self._file = TraceFile(settings.trace_store_path, settings.trace_store_bytes, settings.trace_store_hours)
        self._facade = facade
        self._instance = f"{settings.service_name}@{socket.gethostname()}:{os.getpid()}"
        self._outbox = Outbox("the trace store", self._file.write, self._report_dropped, capacity=ROWS, batch=BATCH)

    def keep(self, fragment: Fragment) -> None:
        """Queues the trace as one row."""
        root, last = fragment.root, fragment.spans[-1]
        told = root or last
        if (left := len(fragment.spans) - SPANS) > 0:
            self._report_dropped(left)
        row: Row = (
            fragment.trace.trace_id,
            fragment.trace.question_id,
            root.name if root is not None else "",
            told.reason,
            self._instance,
            (told.started_ns + told.duration_ns) / 1e9,
            told.duration_ns / 1e9,
            fragment.failed,
            fragment.slow,
            fragment.failed or fragment.slow,
            len(fragment.spans),
            _encode_spans(fragment.spans[-SPANS:]),
        )
        self._outbox.put(row)

    def close(self) -> None:
        """Writes what waits, for a moment."""
        self._outbox.close(self._file.close)

    def _report_dropped(self, count: int) -> None:
        self._facade.emit(vocabulary.TELEMETRY_DROPPED, count=count, signal=SIGNAL)


def _encode_spans(spans: Sequence[Span]) -> bytes:
    try:
        return orjson.dumps(spans)
    except TypeError:  # lone surrogates
        return json.dumps([asdict(span) for span in spans]).encode()


class TraceFile:
    """The file, opened when there is something to write, and again when it is not the one under its name any more."""

    def __init__(self, path: Path, limit: int, hours: float) -> None:
        self._path = path
        self._limit = limit
        self._age = hours * 3600
        self._connection: sqlite3.Connection | None = None
        self._inode = 0
        self._looked = 0.0
        self._offset = time.time() - time.monotonic()

    def write(self, rows: Sequence[Row]) -> bool:
        """Writes the rows at once, and removes old ones; whether they are in the file."""
        try:
            connection = self._current_connection()
            with _transaction(connection):
                connection.executemany(INSERT, rows)
            self._purge_aged(connection)
            self._make_room(connection, FULL)
        except (sqlite3.Error, OSError) as error:
            self._handle_error(error)
            return False
        return True

    def close(self) -> None:
        """Lets go of the file."""
        if self._connection is not None:
            connection, self._connection = self._connection, None
            with suppress(sqlite3.Error):
                connection.close()

    def _current_connection(self) -> sqlite3.Connection:
        """Raises sqlite3.Error, OSError."""
        if self._connection is not None and self._inode == _inode(self._path):
            return self._connection
        self.close()
        with self._locked():
            with suppress(FileExistsError):
                os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
            self._inode = _inode(self._path)
            self._connection = connection = sqlite3.connect(
                self._path, timeout=WAIT, isolation_level=None, check_same_thread=False
            )
            self._prepare(connection)
        return connection

    def _prepare(self, connection: sqlite3.Connection) -> None:
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute(f"PRAGMA journal_size_limit = {self._limit // 8}")
        page = _pragma(connection, "page_size")
        connection.execute(f"PRAGMA max_page_count = {max(64, self._limit // page)}")
        if _pragma(connection, "user_version") != VERSION:
            connection.executescript(f"BEGIN IMMEDIATE;{TABLES}COMMIT;")

    def _handle_error(self, error: Exception) -> None:
        """Puts a file aside that is damaged, once; whatever else it is, the next batch tries again."""
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        _logger.debug("the trace store: %s", error)
        if code == sqlite3.SQLITE_FULL and self._connection is not None:
            with suppress(sqlite3.Error):
                self._make_room(self._connection, 0.0)
        self.close()
        if code in _DAMAGED:
            with suppress(OSError), self._locked():
                if _inode(self._path) == self._inode:
                    _logger.warning("the trace store is damaged; it is put aside and begun again")
                    self._path.replace(self._path.with_name(self._path.name + ".damaged"))
                    for suffix in ("-wal", "-shm"):
                        self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """While the file is made, prepared or put aside; one process at a time. Raises OSError."""
        with self._path.with_suffix(".lock").open("ab") as file, hold_lock(file, str(self._path), wait=WAIT):
            yield

    # --- limits -----------------------------------------------------------------------------

    def _purge_aged(self, connection: sqlite3.Connection) -> None:
        """Removes rows that are too old, now and then, unless the clock was set."""
        now = time.monotonic()
        if now - self._looked < UPKEEP:
            return
        self._looked = now
        if abs(time.time() - now - self._offset) < JUMP:
            for _ in range(CHUNKS):
                if connection.execute(AGED, (CHUNK, time.time() - self._age)).rowcount < CHUNK:
                    break

    def _make_room(self, connection: sqlite3.Connection, beyond: float) -> None:
        """Removes old rows when more than this share of the limit is used; others write between the transactions."""
        pages, page = _pragma(connection, "page_count"), _pragma(connection, "page_size")
        if self._used(connection) > beyond * self._limit:
            for _ in range(CHUNKS):
                if self._used(connection) <= ROOM * self._limit * (beyond or 0.5):
                    break
                connection.execute(_oldest_to_remove(connection), (CHUNK,))
        if pages * page > self._limit:  # which was lowered; 'execute' would free a single page
            connection.executescript("PRAGMA incremental_vacuum(500)")

    @staticmethod
    def _used(connection: sqlite3.Connection) -> int:
        pages = _pragma(connection, "page_count") - _pragma(connection, "freelist_count")
        return pages * _pragma(connection, "page_size")


def _oldest_to_remove(connection: sqlite3.Connection) -> str:
    """What removes quick and sound traces while they are more than a quarter, then all alike."""
    quick, whole = connection.execute("SELECT sum(telling = 0), count(*) FROM traces").fetchone()
    return OLDEST.format("WHERE telling = 0" if (quick or 0) * 4 > whole else "")


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    return int(connection.execute(f"PRAGMA {name}").fetchone()[0])


def _inode(path: Path) -> int:
    """Which file has the name now; 0 for none."""
    try:
        return path.stat().st_ino
    except FileNotFoundError:
        return 0


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        with suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
        raise
