"""SQLite: a file that exists, opened so that nothing can write to it."""

from __future__ import annotations

import contextlib
import re
import sqlite3
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import ClassVar
from urllib.parse import quote

from sqlalchemy import URL

from sql_synthesizer.database.driver import Batches, Driver, fetch_batches, verify_pins
from sql_synthesizer.database.faults import FAILED, REFUSED, TIMEOUT, UNAVAILABLE, DriverFault, clean_identifier
from sql_synthesizer.errors import ConfigurationError
from sql_synthesizer.settings import Settings

SQLITE_DBCONFIG_DQS_DML = 1013
"""Whether text in double quotes that is no column is a constant; a name of SQLite's that Python has from 3.12 on."""
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


PINS = {
    "query_only": 1,
    "trusted_schema": 0,
    "cell_size_check": 1,
    "cache_size": -8192,  # KiB
    "reverse_unordered_selects": 0,
    "full_column_names": 0,
    "short_column_names": 1,
}
"""Pragmas of a connection -> the value they have here, however SQLite was compiled."""


class SqliteDriver(Driver):
    """SQLite through the standard library; only files that exist, opened read-only."""

    grace = 0.0
    breaks = False
    errors = (sqlite3.Error, sqlite3.Warning)
    busy_seconds = 1.0
    limits: ClassVar[dict[int, int]] = {
        sqlite3.SQLITE_LIMIT_ATTACHED: 0,
        sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH: 1000,
        sqlite3.SQLITE_LIMIT_COMPOUND_SELECT: 100,
        sqlite3.SQLITE_LIMIT_WORKER_THREADS: 0,
    }
    actions = frozenset({sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE})
    # regexp is SQLAlchemy's, in Python: a hostile pattern would hold the interpreter past any deadline.
    functions = frozenset({"load_extension", "regexp", "fts3_tokenizer"})
    """Functions that are refused."""
    pragmas = frozenset(
        "table_info table_xinfo table_list foreign_key_list index_list index_info index_xinfo read_uncommitted".split()
    )
    """Pragmas that may be read, to reflect the schema."""

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

    def _open_connection(self, timeout: float) -> sqlite3.Connection:
        return sqlite3.connect(
            f"file:{quote(str(self.path.absolute()))}?mode=ro",
            uri=True,
            timeout=min(timeout, self.busy_seconds),
            isolation_level=None,
            check_same_thread=False,
        )

    def _settle_session(self, raw: sqlite3.Connection) -> None:
        for name, value in {**PINS, "case_sensitive_like": 0}.items():
            raw.execute(f"PRAGMA {name} = {value}")
        verify_pins(PINS, [raw.execute(f"PRAGMA {name}").fetchone()[0] for name in PINS])
        # This pragma cannot be read, only seen at work.
        verify_pins({"case_sensitive_like": 0}, [1 - raw.execute("SELECT 'a' LIKE 'A'").fetchone()[0]])
        if (configure := getattr(raw, "setconfig", None)) is not None:  # from Python 3.12 on
            configure(SQLITE_DBCONFIG_DQS_DML, False)
        raw.execute("SELECT count(*) FROM sqlite_master").fetchone()
        for category, limit in {**self.limits, sqlite3.SQLITE_LIMIT_LENGTH: self._value_bytes}.items():
            raw.setlimit(category, limit)
        raw.text_factory = partial(str, encoding="utf-8", errors="replace")
        raw.set_authorizer(self._authorize_action)

    def _authorize_action(self, action: int, first: str | None, second: str | None, *_: object) -> int:
        if action in self.actions and second not in self.functions:
            return sqlite3.SQLITE_OK
        reads = action == sqlite3.SQLITE_PRAGMA and first in self.pragmas
        return sqlite3.SQLITE_OK if reads else sqlite3.SQLITE_DENY

    def run(self, raw: sqlite3.Connection, sql: str, deadline: float) -> tuple[Sequence[str], Batches]:
        """Runs one query."""
        cursor = raw.execute(sql)
        return [column[0] for column in cursor.description or ()], self._fetch_batches(cursor, deadline)

    @staticmethod
    def _fetch_batches(cursor: sqlite3.Cursor, deadline: float) -> Batches:
        with contextlib.closing(cursor):
            yield from fetch_batches(cursor, deadline)

    def stopper(self, raw: sqlite3.Connection) -> Callable[[], None]:
        """What makes a hanging call return."""
        return raw.interrupt

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
