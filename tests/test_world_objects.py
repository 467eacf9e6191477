"""Databases with objects that are exotic or broken: what can be read is, and the rest costs only itself."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from sql_synthesizer import errors
from sql_synthesizer.schema import SchemaCache
from sql_synthesizer.settings import DatabaseSettings, Settings, load
from tests.support.app import App, running
from tests.support.schema import Door
from tests.support.schema import cache as cache
from tests.support.schema import door as door

pytestmark = pytest.mark.world
BIRDS = "CREATE TABLE birds (id INTEGER PRIMARY KEY, name TEXT); INSERT INTO birds VALUES (1, 'Tern'), (2, 'Gull');"
NICKNAMES = """CREATE VIRTUAL TABLE nicknames USING fts5(name, content='birds', content_rowid='id');
INSERT INTO nicknames (nicknames) VALUES ('rebuild')"""
READABLE = {
    "texts": ("CREATE VIRTUAL TABLE texts USING fts5(body); INSERT INTO texts VALUES ('a b')", 1),
    "letters": ("CREATE VIRTUAL TABLE letters USING fts4(title, body); INSERT INTO letters VALUES ('a', 'b')", 1),
    "notes": ("CREATE VIRTUAL TABLE notes USING fts3(title, body); INSERT INTO notes VALUES ('a', 'b')", 1),
    "nicknames": (NICKNAMES, 2),
    "boxes": ("CREATE VIRTUAL TABLE boxes USING rtree(id, low, high); INSERT INTO boxes VALUES (1, 2.0, 3.0)", 1),
    "odds": ("CREATE TABLE odds (a INTEGER, b INTEGER AS (a + 1)) /* a comment */ STRICT", 0),
    "terms": ("CREATE VIRTUAL TABLE terms USING fts5vocab('texts', 'row')", 2),
}
"""Before, each made the whole file unreadable, "only reading is allowed", while health was green."""
BROKEN = {
    "map": """CREATE TABLE map (id); PRAGMA writable_schema = 1;
        UPDATE sqlite_master SET sql = 'CREATE VIRTUAL TABLE map USING spatialite(x)', rootpage = 0 WHERE name = 'map';
        PRAGMA writable_schema = 0""",
    "ghost": "CREATE TABLE t (id); CREATE VIEW ghost AS SELECT * FROM t; DROP TABLE t",
    "parrot": "CREATE VIEW parrot AS SELECT id, wings FROM birds",
    "title": "CREATE VIEW title AS SELECT body FROM texts",
    "lost": "CREATE VIRTUAL TABLE lost USING fts5vocab('gone', 'row')",
}
"""Before: no module or no such table made the file unreadable, the views were offered and could not be read."""


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("world") / "world.sqlite"
    with closing(sqlite3.connect(made, isolation_level=None)) as connection:
        connection.executescript(BIRDS)
        for script in [*[script for script, _ in READABLE.values()], *BROKEN.values()]:
            connection.executescript(script)
    return made


@pytest.fixture(scope="module")
def world(path: Path) -> Iterator[App]:
    state = path.parent / "state"
    with running(load(state_dir=state, database_url=f"sqlite:///{path}", rate_limit="", cache="off")) as app:
        yield app


def rows(reply: Any) -> Any:
    assert reply.status_code == 200, reply.get_json()
    return reply.get_json()["rows"]


@pytest.mark.parametrize(("table", "count"), [(table, count) for table, (_, count) in READABLE.items()])
def test_a_virtual_table_is_read_like_any_other(world: App, table: str, count: int) -> None:
    assert rows(world.ask(f"how many {table} are there")) == [[count]]


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_object_costs_only_itself_and_is_named(world: App, name: str) -> None:
    shown = world.get("/api/schema").get_json()
    assert {"name": name, "cause": "unreadable", "columns": 0} in shown["left_out"]
    assert world.post("/api/sql", {"sql": f"SELECT * FROM {name}"}).status_code == 422


def test_the_rest_is_offered_and_what_is_left_out_counted(world: App) -> None:
    shown = world.get("/api/schema").get_json()
    assert {table["name"] for table in shown["tables"]} == {"birds", *READABLE}
    assert shown["left_out_count"] == len(shown["left_out"]) == len(BROKEN)
    assert world.counted("schema_objects_left_out", cause="unreadable") == len(BROKEN)
    assert rows(world.ask("how many birds are there")) == [[2]]
    assert world.counted("queries_total", success="error") == 0


@pytest.mark.parametrize(
    "sql",
    [
        "DELETE FROM boxes_node",
        "INSERT INTO boxes_rowid VALUES (9, 9)",
        "UPDATE sqlite_master SET sql = ''",
        "INSERT INTO boxes VALUES (2, 3, 4)",
        "INSERT INTO texts VALUES ('c')",
    ],
)
def test_what_would_write_to_a_virtual_table_is_refused(world: App, path: Path, sql: str) -> None:
    before, manager = path.read_bytes(), world.rooms.databases
    with pytest.raises(errors.SqlSynthesizerError), manager.connect(manager.default) as connection:
        connection.exec_driver_sql(sql)
    assert path.read_bytes() == before


def test_what_a_marked_table_keeps_its_data_in_is_not_offered(path: Path, cache: Callable[..., SchemaCache]) -> None:
    found = cache(f"sqlite:///{path}", hidden=("letters", "birds.name", "ghost")).get("main")
    assert {table.name for table in found.tables} == {"birds", *READABLE} - {"letters", "nicknames"}
    assert {one.name for one in found.left_out} == {*BROKEN} - {"ghost"}


@pytest.mark.parametrize(
    "failure",
    [errors.StatementRefused(), errors.StatementInvalid(), errors.PrivilegeMissing(), errors.SchemaTimeout()],
    ids=lambda error: error.reason,
)
def test_a_schema_that_cannot_be_read_is_the_services_failure(
    door: Door, failure: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    schemas = SchemaCache(door, [DatabaseSettings(name="main", url="sqlite://")], Settings())
    schemas.ping("main", 1, last=False)
    door.failing = failure
    with pytest.raises(errors.ServiceFailure):
        schemas.get("main")
    for last in (False, True):
        with pytest.raises(errors.ServiceFailure):
            schemas.ping("main", 60, last=last)
    door.failing = None
    later = time.monotonic() + 1
    monkeypatch.setattr("sql_synthesizer.schema.cache.time.monotonic", lambda: later)
    schemas.ping("main", 60, last=False)


def test_an_old_schema_bridges_a_failure_and_says_so(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    with door.engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE birds (id INTEGER)")
    schemas = SchemaCache(door, [DatabaseSettings(name="main", url="sqlite://")], Settings(schema_ttl=10))
    known = schemas.get("main")
    door.failing = errors.StatementRefused()
    later = time.monotonic() + 20
    monkeypatch.setattr("sql_synthesizer.schema.cache.time.monotonic", lambda: later)
    assert schemas.get("main") is known
    schemas.ping("main", 60, last=False)
    with pytest.raises(errors.DatabaseFailed):
        schemas.ping("main", 60, last=True)
