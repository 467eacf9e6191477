"""SQLite: a file that exists, opened so that nothing can write to it."""

from __future__ import annotations

import contextlib
import marshal
import math
import re
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import BinaryIO, cast

from sqlalchemy import URL

from sql_synthesizer.database import sqlite_reader
from sql_synthesizer.database.driver import Batches, Driver, RunAgain, fetch_batches, verify_pins
from sql_synthesizer.database.faults import FAILED, REFUSED, TIMEOUT, UNAVAILABLE, DriverFault, clean_identifier
from sql_synthesizer.database.sqlite_reader import PINS, authorize_action, open_file, settle_reader
from sql_synthesizer.errors import ConfigurationError, DatabaseUnavailable
from sql_synthesizer.model.dialects import SQLITE_VALUE_BYTES
from sql_synthesizer.settings import Settings

_CODES = {
    **dict.fromkeys((sqlite3.SQLITE_PERM, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_AUTH), REFUSED),
    **dict.fromkeys((sqlite3.SQLITE_INTERRUPT,), TIMEOUT),
    **dict.fromkeys((sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED), UNAVAILABLE),
    **dict.fromkeys((sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_NOTADB), UNAVAILABLE),
    **dict.fromkeys((sqlite3.SQLITE_TOOBIG, sqlite3.SQLITE_MISMATCH), "data"),
}
_MESSAGES = (
    (re.compile(r"^no such column: (?P<name>.+)"), "undefined_column"),
    (re.compile(r"^no such (?:table|view): (?P<name>.+)"), "undefined_table"),
    (re.compile(r"^unknown database (?P<name>.+)"), "undefined_table"),
    (re.compile(r"^no such function: (?P<name>.+)"), "undefined_function"),
    (re.compile(r"^ambiguous column name: (?P<name>.+)"), "ambiguous_column"),
    (re.compile(r"misuse of (?:aggregate|window)|aggregate functions are not allowed"), "grouping"),
    (re.compile(r"syntax error|incomplete input|unrecognized token"), "syntax"),
    (re.compile(r"not authorized|prohibited|too many attached databases|unsafe use of"), REFUSED),
    (re.compile(r"wrong number of arguments"), "type"),
    (re.compile(r"integer overflow|malformed JSON|bad JSON path|LIKE or GLOB pattern too complex"), "data"),
)


class SqliteDriver(Driver):
    """SQLite through the standard library; only files that exist, opened read-only."""

    grace = 0.0
    hangs = False
    breaks = False
    errors = (sqlite3.Error, sqlite3.Warning)
    busy_seconds = 1.0

    def __init__(self, kind: str, url: URL, settings: Settings, schemas: Sequence[str]) -> None:
        super().__init__(kind, URL.create(url.drivername))
        name = url.database or ""
        if name in {"", ":memory:"} or name.startswith("file:"):
            raise ConfigurationError(
                "A SQLite database must be a file on disk.",
                hint="Write sqlite:///relative/path or sqlite:////absolute/path.",
            )
        self.path = Path(name)
        if not self.path.is_file():
            raise ConfigurationError(
                f"The SQLite file {name} does not exist.", hint="Check the path; it is never created."
            )
        self._value_bytes = max(settings.byte_cap, 1_000_000)
        self._apart: dict[int, subprocess.Popen[bytes]] = {}
        self._virtual_tables: tuple[int, frozenset[str]] = (-1, frozenset())
        """By the schema's version."""
        """``id`` of a connection -> the process that runs its statement."""

    def _open_connection(self, timeout: float) -> sqlite3.Connection:
        return open_file(str(self.path.absolute()), min(timeout, self.busy_seconds))

    def _settle_session(self, raw: sqlite3.Connection) -> None:
        try:
            self._pin_session(raw)
        except sqlite3.DatabaseError as error:
            if getattr(error, "sqlite_errorcode", 0) != sqlite3.SQLITE_NOTADB:
                raise
            raise DatabaseUnavailable(
                "The file of the database is no SQLite database, or is encrypted.",
                hint="Operators: check the path in the URL; GET /health says when it can be read.",
                details={"file": str(error)},
            ) from None

    def _pin_session(self, raw: sqlite3.Connection) -> None:
        settle_reader(raw, self._value_bytes)
        verify_pins(PINS, [raw.execute(f"PRAGMA {name}").fetchone()[0] for name in PINS])
        # This pragma cannot be read, only seen at work.
        verify_pins({"case_sensitive_like": 0}, [1 - raw.execute("SELECT 'a' LIKE 'A'").fetchone()[0]])
        raw.execute("SELECT count(*) FROM sqlite_master").fetchone()
        raw.set_authorizer(authorize_action)

    def run(self, raw: sqlite3.Connection, sql: str, deadline: float) -> tuple[Sequence[str], Batches]:
        """Runs one query. Raises RunAgain where it meets a value that this process should not work on."""
        again = RunAgain(partial(self._run_apart, raw, sql, deadline))
        raw.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, SQLITE_VALUE_BYTES)
        with _begin_again(again):
            if self._reads_virtual_table(raw, sql):
                raise again
            cursor = raw.execute(sql)
        return [column[0] for column in cursor.description or ()], self._fetch_batches(cursor, deadline, again)

    def _reads_virtual_table(self, raw: sqlite3.Connection, sql: str) -> bool:
        """Whether it reads a full-text index or another virtual table: its search hears of no interruption."""
        version = int(raw.execute("PRAGMA schema_version").fetchone()[0])
        if self._virtual_tables[0] != version:
            found = raw.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND rootpage = 0")
            self._virtual_tables = version, frozenset(name for (name,) in found)
        names = self._virtual_tables[1]
        if not names:
            return False
        read: set[str | None] = set()

        def note_table(action: int, first: str | None, second: str | None, *rest: object) -> int:
            if action == sqlite3.SQLITE_READ:
                read.add(first)
            return authorize_action(action, first, second, *rest)

        raw.set_authorizer(note_table)
        try:
            raw.execute(f"EXPLAIN {sql}").close()  # prepared, not run
        finally:
            raw.set_authorizer(authorize_action)
        return not names.isdisjoint(read)

    def end(self, raw: sqlite3.Connection) -> bool:
        """Lets the schema be read from values of any size again."""
        raw.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, self._value_bytes)
        return True

    @staticmethod
    def _fetch_batches(cursor: sqlite3.Cursor, deadline: float, again: RunAgain) -> Batches:
        with _begin_again(again), contextlib.closing(cursor):
            yield from fetch_batches(cursor, deadline)

    def _run_apart(self, raw: sqlite3.Connection, sql: str, deadline: float) -> tuple[Sequence[str], Batches]:
        batches = self._read_process(raw, sql, max(1, math.ceil(deadline - time.monotonic() + 1)))
        (columns,) = next(batches)
        return columns, batches

    def _read_process(self, raw: sqlite3.Connection, sql: str, seconds: int) -> Batches:
        """The names of columns and then each row of a process, which is killed when nobody listens any more."""
        work = (str(self.path.absolute()), self.busy_seconds, self._value_bytes, seconds, sql)
        command = [sys.executable, "-I", "-S", sqlite_reader.__file__]
        try:
            process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)  # noqa: S603 - fixed
        except OSError as error:
            raise _error_of(sqlite3.SQLITE_INTERNAL, f"no process for the statement: {error.strerror}") from None
        self._apart[id(raw)] = process
        try:
            with process:
                asked, told = cast("tuple[BinaryIO, BinaryIO]", (process.stdin, process.stdout))
                try:
                    marshal.dump(work, asked)
                    asked.flush()
                    while (row := marshal.load(told)) is not None:  # noqa: S302 - written by sqlite_reader
                        if isinstance(row, list):
                            raise _error_of(*row)
                        yield [row]
                finally:
                    process.kill()
        except (EOFError, ValueError, BrokenPipeError):  # an end in the middle
            raise _error_of(sqlite3.SQLITE_INTERNAL, "the process of the statement has ended") from None
        finally:
            del self._apart[id(raw)]

    def stopper(self, raw: sqlite3.Connection) -> Callable[[], None]:
        """What makes a hanging call return."""

        def stop_statement() -> None:
            raw.interrupt()
            if (process := self._apart.get(id(raw))) is not None:
                process.kill()

        return stop_statement

    def classify_error(self, error: Exception) -> DriverFault:
        """What an exception of the sqlite3 module means."""
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code in _CODES:
            return DriverFault(_CODES[code])
        text = str(error)
        for pattern, kind in _MESSAGES:
            if found := pattern.search(text):
                return DriverFault(kind, clean_identifier(found.groupdict().get("name")))
        # More than one statement: the module says so with its Warning or ProgrammingError.
        if isinstance(error, sqlite3.Warning) or "one statement at a time" in text:
            return DriverFault(REFUSED)
        return DriverFault("other" if code in (0, sqlite3.SQLITE_ERROR) else FAILED)


def _error_of(code: int, text: str) -> sqlite3.Error:
    error = sqlite3.OperationalError(text)
    error.sqlite_errorcode = code
    return error


@contextlib.contextmanager
def _begin_again(again: RunAgain) -> Iterator[None]:
    """Turns the error about a value that is too large into ``again``."""
    try:
        yield
    except sqlite3.Error as error:
        if getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_TOOBIG:
            raise again from None
        raise
