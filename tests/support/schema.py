"""A database of two tables and a view, its schema as it is read, and a connect function that can be held."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy

from sql_synthesizer.database import DatabaseManager
from sql_synthesizer.schema import SchemaCache
from sql_synthesizer.settings import DatabaseSettings, Settings
from sql_synthesizer.telemetry import Telemetry
from tests.support.serving import HANG

STATEMENTS = [
    "DROP VIEW IF EXISTS big_parts",
    "DROP TABLE IF EXISTS uses",
    "DROP TABLE IF EXISTS part",
    """CREATE TABLE part (maker VARCHAR(20), number INTEGER, price NUMERIC(10,2), made DATE, seen TIMESTAMP NULL,
    good BOOLEAN, PRIMARY KEY (maker, number))""",
    """CREATE TABLE uses (id INTEGER PRIMARY KEY, maker VARCHAR(20), number INTEGER, note VARCHAR(200) NOT NULL,
    FOREIGN KEY (maker, number) REFERENCES part (maker, number))""",
    "CREATE VIEW big_parts AS SELECT maker, number FROM part WHERE price > 100",
    "INSERT INTO part (maker, number, price) VALUES ('Acme', 1, 5), ('Globex', 2, 500)",
    "INSERT INTO uses VALUES (1, 'Acme', 1, 'secret note')",
]


class Door:
    """Connects to a database of its own, and notes for how long each time; may be held, or fail."""

    def __init__(self, path: Path) -> None:
        self.engine = sqlalchemy.create_engine(f"sqlite:///{path}")
        self.timeouts: list[float] = []
        self.open = threading.Event()
        self.open.set()
        self.failing: Exception | None = None

    @contextmanager
    def __call__(self, name: str, timeout: float, /) -> Iterator[sqlalchemy.Connection]:
        self.timeouts.append(timeout)
        assert self.open.wait(HANG)
        if self.failing is not None:
            raise self.failing
        with self.engine.connect() as connection:
            yield connection


@pytest.fixture
def door(tmp_path: Path) -> Iterator[Door]:
    made = Door(tmp_path / "data.sqlite")
    yield made
    made.open.set()
    made.engine.dispose()


@pytest.fixture
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    found: str = request.getfixturevalue(f"{request.param}_url")
    engine = sqlalchemy.create_engine(found)
    with engine.begin() as connection:
        for statement in STATEMENTS:
            connection.exec_driver_sql(statement)
    yield found
    with engine.begin() as connection:
        for statement in STATEMENTS[:3]:
            connection.exec_driver_sql(statement)
    engine.dispose()


@pytest.fixture
def cache() -> Iterator[Callable[..., SchemaCache]]:
    managers: list[DatabaseManager] = []

    def make(url: str, settings: Settings | None = None, **options: Any) -> SchemaCache:
        config = DatabaseSettings(name="main", url=url, **options)
        settings = settings or Settings(connect_timeout=60, allow_privileged_login=True)
        managers.append(DatabaseManager([config], settings, Telemetry()))
        return SchemaCache(managers[-1].connect, [config], settings)

    yield make
    for manager in managers:
        manager.close()
