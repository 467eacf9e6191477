"""A manager over one database, on every kind of server."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy

from sql_synthesizer.database import DatabaseManager
from sql_synthesizer.settings import DatabaseSettings, Settings
from sql_synthesizer.telemetry import Reading, Telemetry, vocabulary
from sql_synthesizer.telemetry.testing import MemoryObserver
from tests.support.serving import HANG

SERVERS = [
    pytest.param("postgres", marks=pytest.mark.server),
    pytest.param("mariadb", marks=pytest.mark.server),
]
KINDS = ["sqlite", *SERVERS]


class Bench:
    """A manager over one database, with what it reported."""

    def __init__(self, url: str, **settings: Any) -> None:
        self.observer = MemoryObserver()
        self.telemetry = Telemetry()
        self.telemetry.observers.append(self.observer)
        database = DatabaseSettings(name="main", url=url)
        given = {"connect_timeout": 60, "allow_privileged_login": True, **settings}
        self.manager = DatabaseManager([database], Settings(**given), self.telemetry)

    def run(self, sql: str, *, rows: int = 100, seconds: float = HANG) -> Any:
        return self.manager.execute("main", sql, max_rows=rows, deadline=time.monotonic() + seconds)

    def in_use(self) -> float:
        self.observer.facts.clear()
        self.telemetry.fold(readings=True)
        return sum(f.value for f in self.observer.facts if isinstance(f, Reading) and f.type is vocabulary.POOL_IN_USE)


@pytest.fixture
def bench() -> Iterator[Callable[..., Bench]]:
    made: list[Bench] = []

    def make(url: str, **settings: Any) -> Bench:
        made.append(Bench(url, **settings))
        return made[-1]

    yield make
    for one in made:
        one.manager.close()


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    path = tmp_path / "data.sqlite"
    sqlite3.connect(path).close()
    path.touch()
    return f"sqlite:///{path}"


@pytest.fixture
def url(request: pytest.FixtureRequest) -> str:
    """A database of the kind asked for, holding the table ``item`` with 2,000 rows."""
    found: str = request.getfixturevalue(f"{request.param}_url")
    engine = sqlalchemy.create_engine(found)
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE IF EXISTS item")
        connection.exec_driver_sql("CREATE TABLE item (id INTEGER PRIMARY KEY, label VARCHAR(40), price NUMERIC(10,2))")
        values = ",".join(f"({i}, 'label {i}', {i}.50)" for i in range(2000))
        connection.exec_driver_sql(f"INSERT INTO item VALUES {values}")
    engine.dispose()
    return found
