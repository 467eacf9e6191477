"""What reading a schema takes in time and statements, by the number of tables and by server."""

from __future__ import annotations

import argparse
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import sqlalchemy

from sql_synthesizer.database import DatabaseManager
from sql_synthesizer.schema import SchemaCache
from sql_synthesizer.settings import DatabaseSettings, Settings
from sql_synthesizer.telemetry import Telemetry
from tests.support.databases import MariadbServer, PostgresServer

COLUMNS = "id INTEGER PRIMARY KEY, name VARCHAR(40), amount DECIMAL(10,2), made DATE, status VARCHAR(9)"
SIZES = (10, 500, 5_000)


def main() -> None:
    """Prints a line for each server and size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="*", default=SIZES, help="numbers of tables")
    sizes: list[int] = parser.parse_args().sizes
    print(f"{'server':<12}{'tables':>8}{'seconds':>10}{'statements':>12}")
    for server in ("sqlite", "postgresql", "mariadb"):
        with _started(server) as url:
            made = 0
            for size in sizes:
                _make_tables(url, made, size)
                made = size
                seconds, statements, found = _read(url)
                print(f"{server:<12}{found:>8}{seconds:>10.2f}{statements:>12}", flush=True)


@contextmanager
def _started(kind: str) -> Iterator[str]:
    if kind == "sqlite":
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory) / "many.sqlite"
            with closing(sqlite3.connect(path)) as connection:
                connection.execute("VACUUM")
            yield f"sqlite:///{path}"
        return
    server = PostgresServer() if kind == "postgresql" else MariadbServer()
    try:
        yield server.url
    finally:
        server.remove()


def _make_tables(url: str, first: int, last: int) -> None:
    engine = sqlalchemy.create_engine(url)
    for start in range(first, last, 500):  # PostgreSQL locks each until the end of the transaction
        with engine.begin() as connection:
            for number in range(start, min(start + 500, last)):
                key = f", other_id INTEGER REFERENCES thing_{number - 1} (id)" if number else ""
                connection.exec_driver_sql(f"CREATE TABLE thing_{number} ({COLUMNS}{key})")
    engine.dispose()


def _read(url: str) -> tuple[float, int, int]:
    config = DatabaseSettings(name="main", url=url)
    settings = Settings(allow_privileged_login=True, schema_timeout=600)
    manager = DatabaseManager([config], settings, Telemetry())
    statements = 0

    def count_one(*_: object) -> None:
        nonlocal statements
        statements += 1

    sqlalchemy.event.listen(sqlalchemy.Engine, "before_cursor_execute", count_one)
    start = time.perf_counter()
    found = SchemaCache(manager.connect, [config], settings).refresh("main")
    seconds = time.perf_counter() - start
    sqlalchemy.event.remove(sqlalchemy.Engine, "before_cursor_execute", count_one)
    manager.close()
    return seconds, statements, len(found.tables)


if __name__ == "__main__":
    main()
