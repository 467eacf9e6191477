"""Values that take SQLite's functions the longest, and how long each function takes with them."""

from __future__ import annotations

import itertools
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

from sql_synthesizer.database import sqlite_reader
from sql_synthesizer.guard.statement import functions
from sql_synthesizer.guard.statement.growth import LEAST, MAX_WORK
from sql_synthesizer.model.dialects import SQLITE_VALUE_BYTES

LARGEST = SQLITE_VALUE_BYTES
MEGABYTE = 10**6
COLUMNS = "abcdjkn"


def hostile(size: int) -> tuple[str, ...]:
    """Values that take a search, a trim, a path, a patch and a parser the longest."""
    letters, half, members = "a" * size, size // 2, range(size // 12)
    mine, theirs = ("{" + ",".join(f'"{k}{n}":1' for n in members) + "}" for k in "kq")
    return (
        *(letters, "a" * (half - 1) + "b", "b" * (half - 1) + "a", ("$" + ".a" * half)[:size]),
        *(mine, theirs, "[" * 900 + "1," * (half - 1000) + "1" + "]" * 900),
    )


def make_file(path: Path, size: int, page_bytes: int = 4096) -> str:
    with closing(sqlite3.connect(path)) as made:
        made.execute(f"PRAGMA page_size = {page_bytes}")
        made.execute(f"CREATE TABLE cell ({', '.join(f'{c} TEXT' for c in COLUMNS)})")
        made.execute(f"INSERT INTO cell VALUES ({', '.join('?' * len(COLUMNS))})", hostile(size))
        made.execute("CREATE TABLE item (id INTEGER PRIMARY KEY, note TEXT)")
        made.executemany("INSERT INTO item (note) VALUES (?)", [("a lamp of steel " * 20,)] * 1000)
        with suppress(sqlite3.OperationalError):  # not every SQLite has it
            made.execute("CREATE VIRTUAL TABLE page USING fts5(text)")
            made.execute("INSERT INTO page VALUES (?)", ("a " * (size // 2),))
        made.commit()
    return f"sqlite:///{path}"


def arguments(raw: sqlite3.Connection, name: str) -> list[tuple[str, ...]]:
    """The hostile arguments of a function, as many as it takes."""
    counts = {count for (count,) in raw.execute("SELECT narg FROM pragma_function_list WHERE name = ?", (name,))}
    taken = [count for count in range(1, 5) if counts & {count, -1}]
    return [
        (*some, *["'x'"] * (count - 2)) for count in taken for some in itertools.product(COLUMNS, repeat=min(count, 2))
    ]


def calls_of(name: str, second: int) -> float:
    """How many calls a statement may have, by the bound on its work, whose second argument has so many bytes."""
    return max(1.0, MAX_WORK // (LARGEST * max(second * (20 if name in functions.DEAR else 1), LEAST)))


def seconds_of(raw: sqlite3.Connection, expression: str) -> float:
    """CPU time of one call, the least of three where it is not short."""
    found = []
    for _ in range(3):
        begun = time.thread_time()
        with suppress(sqlite3.Error):
            raw.execute(f"SELECT {expression} FROM cell").fetchall()
        found.append(time.thread_time() - begun)
        if found[-1] < 1e-4:
            break
    return min(found)


def read_costs(path: Path) -> Iterator[tuple[str, float]]:
    """Each call that a statement may have, and the CPU time of as many of it as a statement may have."""
    make_file(path, LARGEST)
    with closing(sqlite3.connect(path)) as raw:
        sqlite_reader.settle_reader(raw, LARGEST)
        for name in sorted(functions.ALLOWED["sqlite"]):
            for given in arguments(raw, name):
                call = f"{name}({', '.join(given)})"
                yield call, seconds_of(raw, call) * calls_of(name, LARGEST if len(given) > 1 else 0)
        for pattern in ("LIKE '%" + "a" * 900 + "b%'", "GLOB '*" + "[ab]" * 200 + "c*'"):
            yield pattern, seconds_of(raw, f"a {pattern}") * calls_of("like", len(pattern) - 7)
