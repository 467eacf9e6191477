"""A database of a test's own on each kind of server, and the schema that the service has of it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy

from sql_synthesizer.database import DatabaseManager
from sql_synthesizer.model import Schema
from sql_synthesizer.schema import SchemaCache
from sql_synthesizer.settings import DatabaseSettings, Settings
from sql_synthesizer.telemetry import Telemetry

KINDS = [
    "sqlite",
    pytest.param("postgres", marks=pytest.mark.server),
    pytest.param("mariadb", marks=pytest.mark.server),
]
EMPLOYEES = "CREATE TABLE employees (id INTEGER PRIMARY KEY, name VARCHAR(50), home_phone VARCHAR(50))"
_NUMBERS = count()


class Data:
    """A database of the test's own, and the schema that the service has of it."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._managers: list[DatabaseManager] = []

    def run(self, *statements: str) -> None:
        engine = sqlalchemy.create_engine(self.url, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            for statement in statements:
                connection.exec_driver_sql(statement)
        engine.dispose()

    @contextmanager
    def connect(self) -> Iterator[sqlalchemy.Connection]:
        engine = sqlalchemy.create_engine(self.url)
        with engine.connect() as connection:
            yield connection
        engine.dispose()

    def schemas(self, url: str = "", **options: Any) -> SchemaCache:
        config = DatabaseSettings(name="main", url=url or self.url, **options)
        settings = Settings(connect_timeout=60, allow_privileged_login=True)
        self._managers.append(DatabaseManager([config], settings, Telemetry()))
        return SchemaCache(self._managers[-1].connect, [config], settings)

    def read(self, url: str = "", **options: Any) -> Schema:
        return self.schemas(url, **options).refresh("main")

    def close(self) -> None:
        for manager in self._managers:
            manager.close()


@pytest.fixture
def data(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Data]:
    if request.param == "sqlite":
        with closing(sqlite3.connect(tmp_path / "data.sqlite")) as connection:
            connection.execute("VACUUM")
        made = Data(f"sqlite:///{tmp_path / 'data.sqlite'}")
        yield made
        made.close()
        return
    server, name = Data(request.getfixturevalue(f"{request.param}_url")), f"marks{next(_NUMBERS)}"
    server.run(f"CREATE DATABASE {name}")
    made = Data(sqlalchemy.make_url(server.url).set(database=name).render_as_string(hide_password=False))
    yield made
    made.close()
    server.run(f"DROP DATABASE {name}")
