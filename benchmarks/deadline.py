"""How long statements that ask for as much work as they can go on past their deadline, at the client and in the server.

Usage: python -m benchmarks.deadline [--only cases|functions] [--server NAME] [--seconds N] [--hang N]
Starts a PostgreSQL and a MariaDB of its own. ``cases`` are statements made to run long, ``functions`` are all that a
statement may call, given the largest texts that the guard lets through, in SQLite also stored ones of a megabyte.
``client`` is when the caller got its answer or error, ``server`` when pg_stat_activity or
information_schema.processlist no longer had the statement, both in seconds after the start; SQLite runs beside the
caller. Ends non-zero when something outlived its deadline by more than a second.
"""

from __future__ import annotations

import argparse
import random
import sqlite3
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sql_synthesizer.database import DatabaseManager
from sql_synthesizer.errors import SqlSynthesizerError, StatementRefused
from sql_synthesizer.guard.statement import StatementGuard
from sql_synthesizer.guard.statement.functions import AGGREGATES, ALLOWED
from sql_synthesizer.model import Statement
from sql_synthesizer.model.dialects import DIALECTS
from sql_synthesizer.schema import SchemaCache
from sql_synthesizer.settings import DatabaseSettings, Settings
from sql_synthesizer.telemetry import Telemetry
from tests.support.databases import MariadbServer, PostgresServer
from tests.support.growth import CASES, doubled, repeated

GRACE = 1.0
"""Seconds past its deadline that nothing may outlive."""
WORDS = "lamp chair table desk oak steel red green small large of with and for the"
BUSY = {
    "postgresql": "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND pid <> pg_backend_pid()"
    " AND backend_type = 'client backend' AND query NOT LIKE '%pg_terminate_backend%'",
    "mariadb": "SELECT count(*) FROM information_schema.processlist WHERE command IN ('Query', 'Killed')"
    " AND id <> connection_id() AND info NOT LIKE '%processlist%'",
}
FORMS = ("{f}({x})", "{f}({x}, {y})", "{f}({y}, {x})", "{f}({x}, {y}, 'a')")
TEXTS = (("a", "a"), ("b", "a"), ("[1,", "[2,"))
SIZES = ((10_000_000, 100), (1_000_000, 1_000), (40_000, 40_000), (1_000, 1_000))
"""Bytes of the two arguments, the product of which is what the guard lets through at most."""
MEGABYTE = 1_000_000
STORED = (("a", "b"), ("a", "c"), ("j", "k"))
"""Pairs of columns whose values take a search, a trim and a patch of JSON the longest."""


@dataclass(frozen=True, slots=True)
class Found:
    """What became of a statement; seconds after its start."""

    verdict: str
    client: float = 0.0
    server: float = 0.0


class Arm:
    """One database of a thousand ordinary rows, with all that a statement passes."""

    def __init__(self, name: str, url: str, connect: Callable[[], Any], options: argparse.Namespace) -> None:
        self.name, self.seconds, self.hang, self._connect = name, options.seconds, options.hang, connect
        self._create()
        config = DatabaseSettings(name="main", url=url)  # type: ignore[arg-type]
        settings = Settings(statement_timeout=self.seconds, pool_size=30)
        self._manager = DatabaseManager([config], settings, Telemetry())
        self._schema = SchemaCache(self._manager.connect, [config], settings).get("main")
        self._guard = StatementGuard()
        self._watcher = None if name == "sqlite" else connect()

    def _create(self) -> None:
        words, chance = WORDS.split(), random.Random(1)
        rows = [(n, chance.choice(words), " ".join(chance.choices(words, k=40))) for n in range(1000)]
        connection = self._connect()
        cursor = connection.cursor()
        cursor.execute("DROP TABLE IF EXISTS item")
        cursor.execute("CREATE TABLE item (id INTEGER PRIMARY KEY, name VARCHAR(40), note TEXT)")
        mark = "?" if self.name == "sqlite" else "%s"
        cursor.executemany(f"INSERT INTO item VALUES ({mark}, {mark}, {mark})", rows)
        if self.name == "sqlite":
            cursor.execute("CREATE TABLE stored (a TEXT, b TEXT, c TEXT, j TEXT, k TEXT)")
            half, keys = MEGABYTE // 2, range(MEGABYTE // 12)
            members = ["{" + ",".join(f'"{kind}{n}":1' for n in keys) + "}" for kind in "jk"]
            letters = ("a" * MEGABYTE, "a" * half + "b", "b" * half + "a")
            cursor.execute("INSERT INTO stored VALUES (?, ?, ?, ?, ?)", (*letters, *members))
        connection.commit()
        connection.close()

    def close(self) -> None:
        """Lets go of the connections."""
        self._manager.close()
        if self._watcher is not None:
            self._watcher.close()

    def passes(self, sql: str) -> str | None:
        """The statement as it may run; None when it is refused."""
        with suppress(StatementRefused):
            return self._guard.check(Statement(sql, "analyst"), self._schema, max_rows=10).sql
        return None

    def run(self, sql: str) -> Found:
        """Runs a statement through the guard and the pool, then waits for the server to be at rest."""
        judged = time.monotonic()
        written = self.passes(sql)
        if written is None:
            return Found("refused", time.monotonic() - judged)
        left = self._count_busy()
        started = time.monotonic()
        client: list[Found] = []

        def execute() -> None:
            verdict = "answered"
            try:
                self._manager.execute("main", written, max_rows=10, deadline=started + self.seconds)
            except SqlSynthesizerError as error:
                verdict = error.reason
            client.append(Found(verdict, time.monotonic() - started))

        thread = threading.Thread(target=execute, daemon=True)
        thread.start()
        thread.join(self.hang)
        while self._count_busy() > left and time.monotonic() - started < self.hang:
            time.sleep(0.02)
        server = time.monotonic() - started
        found = client[0] if client else Found("hangs", self.hang)
        return Found(found.verdict, found.client, server if self._watcher is not None else found.client)

    def _count_busy(self) -> int:
        if self._watcher is None:
            return 0
        cursor = self._watcher.cursor()
        cursor.execute(BUSY[self.name])
        return int(cursor.fetchone()[0])


def calls(arm: Arm) -> Iterator[tuple[str, list[str]]]:
    """Each function that may be called, with the costliest calls of it that the guard lets through."""
    for name in sorted(ALLOWED[DIALECTS[arm.name].sqlglot] - AGGREGATES):
        forms = [form.replace("{f}", name) for form in FORMS]
        found = {call for form in forms for call in (largest(arm, form, one, other) for one, other in TEXTS) if call}
        if arm.name == "sqlite":
            found |= {f"SELECT {form.format(x=x, y=y)} FROM stored" for form in forms for x, y in STORED}
        yield name, sorted(found)


def largest(arm: Arm, form: str, first: str, second: str) -> str | None:
    """A call with the largest texts that the guard lets through; None when it refuses all."""
    for size, other in SIZES:
        x, y = text_of(arm, first, size), text_of(arm, second, other)
        sql = "SELECT " + form.format(x=x, y=y)
        if arm.passes(sql):
            return sql
    return None


def text_of(arm: Arm, text: str, size: int) -> str:
    """An expression for a text of about this size; what begins with a bracket is a list of JSON."""
    piece = text.lstrip("[")
    if arm.name == "sqlite":
        made = doubled(piece * (100 // len(piece)), size)
        return f"'[' || {made} || '1]'" if text != piece else made
    made = repeated(piece, size)
    return f"concat('[', {made}, '1]')" if text != piece else made


def arms(options: argparse.Namespace) -> Iterator[Arm]:
    """The databases, one after the other."""
    only = options.server
    if only in (None, "sqlite"):
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory) / "data.sqlite"
            yield Arm("sqlite", f"sqlite:///{path}", lambda: sqlite3.connect(path), options)
    for name, kind in (("postgresql", PostgresServer), ("mariadb", MariadbServer)):
        if only in (None, name):
            server = kind()
            try:
                yield Arm(name, server.url, server.connect, options)
            finally:
                server.remove()


def main() -> int:
    """Prints a line a case, and for the functions a line each with its costliest call."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=("cases", "functions"))
    parser.add_argument("--server", choices=tuple(CASES))
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--hang", type=float, default=300.0, help="seconds after which a statement is given up")
    options = parser.parse_args()
    late = 0
    for arm in arms(options):
        work: list[tuple[str, list[str]]] = []
        if options.only != "functions":
            work += [("case", [sql]) for sql in CASES[arm.name]]
        for name, statements in (*work, *(() if options.only == "cases" else calls(arm))):
            found = [(arm.run(sql), sql) for sql in statements]
            worst, sql = max(found, key=lambda item: item[0].server, default=(Found("refused"), ""))
            late += max(worst.client, worst.server) > options.seconds + GRACE
            print_line(arm.name, name, worst, sql)
        arm.close()
    print(f"{late} outlived a deadline of {options.seconds:g} s by more than {GRACE:g} s")
    return int(late > 0)


def print_line(server: str, name: str, found: Found, sql: str) -> None:
    """A line of the table."""
    shown = sql if len(sql) <= 60 else f"{sql[:40]}…{sql[-19:]}"
    print(
        f"{server:11}{name:24}{found.verdict:18} client {found.client:7.2f}  server {found.server:7.2f}  {shown}",
        flush=True,
    )


if __name__ == "__main__":
    sys.exit(main())
