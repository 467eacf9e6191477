"""A reader of one SQLite file; as a script, one statement in a process of its own, which can be killed.

SQLite hears of no interruption within a row, so what is slow there has to be where it can be ended from outside. It
knows the standard library only, so that the process is there in 30 ms.
"""

from __future__ import annotations

import contextlib
import marshal
import resource
import sqlite3
import sys
from functools import partial
from typing import BinaryIO
from urllib.parse import quote

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
SQLITE_DBCONFIG_DQS_DML = 1013
"""Whether text in double quotes that is no column is a constant; a name of SQLite's that Python has from 3.12 on."""
LIMITS = {
    sqlite3.SQLITE_LIMIT_ATTACHED: 0,
    sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH: 1000,
    sqlite3.SQLITE_LIMIT_COMPOUND_SELECT: 100,
    sqlite3.SQLITE_LIMIT_WORKER_THREADS: 0,
}
ACTIONS = frozenset({sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE})
REFUSED_FUNCTIONS = frozenset({"load_extension", "regexp", "fts3_tokenizer"})
"""``regexp`` is SQLAlchemy's, in Python: a hostile pattern would hold the interpreter past any deadline."""
PRAGMAS = frozenset(
    "table_info table_xinfo table_list foreign_key_list index_list index_info index_xinfo read_uncommitted"
    " schema_version data_version page_size".split()
)
"""Pragmas that may be read, to reflect the schema; the last two by full-text tables."""
WRITING = frozenset({sqlite3.SQLITE_INSERT, sqlite3.SQLITE_DELETE})
OF_RECTANGLES = ("_node", "_rowid", "_parent")
"""How the names of the tables end in which an R-tree keeps its data."""
MEMORY_BYTES = 2**30
"""What a process of its own may take."""


def open_file(path: str, busy_seconds: float) -> sqlite3.Connection:
    """A connection that cannot write to the file."""
    return sqlite3.connect(
        f"file:{quote(path)}?mode=ro", uri=True, timeout=busy_seconds, isolation_level=None, check_same_thread=False
    )


def settle_reader(raw: sqlite3.Connection, value_bytes: int) -> None:
    """Pins the settings of a connection and bounds it; ``value_bytes`` is how large a value may be."""
    for name, value in {**PINS, "case_sensitive_like": 0}.items():
        raw.execute(f"PRAGMA {name} = {value}")
    if (configure := getattr(raw, "setconfig", None)) is not None:  # from Python 3.12 on
        configure(SQLITE_DBCONFIG_DQS_DML, False)
    for category, limit in {**LIMITS, sqlite3.SQLITE_LIMIT_LENGTH: value_bytes}.items():
        raw.setlimit(category, limit)
    raw.text_factory = partial(str, encoding="utf-8", errors="replace")


def authorize_action(action: int, first: str | None, second: str | None, *_: object) -> int:
    """What a statement may do, as SQLite asks while it prepares one."""
    if action in ACTIONS and second not in REFUSED_FUNCTIONS:
        return sqlite3.SQLITE_OK
    if action == sqlite3.SQLITE_PRAGMA and first in PRAGMAS:
        return sqlite3.SQLITE_OK
    # A virtual table declares its columns and prepares its statements before it is read; none of them can be run, as
    # the file is open for reading only.
    declares = action == sqlite3.SQLITE_UPDATE and first == "sqlite_master"
    prepares = action in WRITING and (first or "").endswith(OF_RECTANGLES)
    return sqlite3.SQLITE_OK if declares or prepares else sqlite3.SQLITE_DENY


def _run_statement(source: BinaryIO, target: BinaryIO) -> None:
    """Writes the names of columns, each row, and None at the end; code and text of an error as a list."""
    path, busy_seconds, value_bytes, seconds, sql = marshal.load(source)  # noqa: S302 - from the process that began it
    # Should its parent be killed, nobody else ends it.
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    with contextlib.suppress(ValueError, OSError):  # there are systems without it
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    try:
        raw = open_file(path, busy_seconds)
        settle_reader(raw, value_bytes)
        raw.set_authorizer(authorize_action)
        cursor = raw.execute(sql)
        marshal.dump(tuple(column[0] for column in cursor.description or ()), target)
        for row in cursor:
            marshal.dump(row, target)
        marshal.dump(None, target)
    except (MemoryError, sqlite3.Error, sqlite3.Warning) as error:
        code = sqlite3.SQLITE_NOMEM if isinstance(error, MemoryError) else getattr(error, "sqlite_errorcode", 0)
        # The limit is this process's own.
        code = sqlite3.SQLITE_TOOBIG if code == sqlite3.SQLITE_NOMEM else code
        marshal.dump([code, str(error)], target)


if __name__ == "__main__":
    _run_statement(sys.stdin.buffer, sys.stdout.buffer)
