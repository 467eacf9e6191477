"""A database that changes while it is asked, misspelt names, and answers that are kept for a while."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from sql_synthesizer.schema import cache as schema_cache
from sql_synthesizer.settings import load
from tests.support.app import App, running

pytestmark = pytest.mark.world


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[App, Path]]:
    directory = tmp_path_factory.mktemp("fresh")
    path = directory / "world.sqlite"
    run(path, "CREATE TABLE birds (id INTEGER PRIMARY KEY, wingspan INTEGER); INSERT INTO birds VALUES (1, 50)")
    with running(load(state_dir=directory / "state", database_url=f"sqlite:///{path}", rate_limit="")) as app:
        yield app, path


def run(path: Path, script: str) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(script)


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets a schema be read again at any time."""
    monkeypatch.setattr(schema_cache, "REREAD_SECONDS", 0.0)


def rows(reply: Any) -> Any:
    assert reply.status_code == 200, reply.get_json()
    return reply.get_json()["rows"]


CHANGES: dict[str, tuple[str, Callable[[App], Any], Any]] = {
    "a new table that is asked about": (
        "CREATE TABLE boats (id INTEGER); INSERT INTO boats VALUES (1), (2)",
        lambda app: app.ask("how many boats are there"),
        [[2]],
    ),
    "a new table in a statement": (
        "CREATE TABLE cars (id INTEGER); INSERT INTO cars VALUES (1)",
        lambda app: app.post("/api/sql", {"sql": "SELECT count(*) FROM cars"}),
        [[1]],
    ),
    "a new column that is asked about": (
        "ALTER TABLE birds ADD COLUMN weight INTEGER; UPDATE birds SET weight = 7",
        lambda app: app.ask("what is the average weight of birds"),
        [[7]],
    ),
    "a renamed column": (
        "ALTER TABLE birds RENAME COLUMN wingspan TO span",
        lambda app: app.ask("what is the average span of birds"),
        [[50]],
    ),
    "a table that was made anew with others": (
        "DROP TABLE birds; CREATE TABLE birds (id INTEGER PRIMARY KEY, mass INTEGER); INSERT INTO birds VALUES (1, 9)",
        lambda app: app.ask("what is the total mass of birds"),
        [[9]],
    ),
}
"""Before, each was refused or failed until the schema was five minutes old."""


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize("change", CHANGES)
def test_a_change_is_noticed_before_anybody_is_refused(world: tuple[App, Path], change: str) -> None:
    app, path = world
    script, ask, expected = CHANGES[change]
    app.get("/api/schema")
    run(path, script)
    assert rows(ask(app)) == expected


def test_a_schema_is_not_read_again_for_every_refusal(world: tuple[App, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    app, _ = world
    schemas, read = app.rooms.schemas, []
    real = schemas._read_schema
    monkeypatch.setattr(schemas, "_read_schema", lambda entry: read.append(1) or real(entry))
    for _ in range(5):
        assert app.ask("how many zeppelins are there").status_code == 422
    assert len(read) <= 1


@pytest.mark.parametrize(
    ("sql", "hint"),
    [
        ("SELECT id FROM bird", "birds"),
        ("SELECT id FROM brids", "birds"),
        ("SELECT id FROM birds_", "birds"),
        ("SELECT masss FROM birds", "mass"),
    ],
)
def test_a_misspelt_name_is_told_and_is_no_attack(world: tuple[App, Path], sql: str, hint: str) -> None:
    app, _ = world
    before = len(app.records("statement_rejected"))
    reply = app.post("/api/sql", {"sql": sql})
    assert (reply.status_code, reply.get_json()["reason"]) == (422, "statement_invalid")
    assert f"Did you mean {hint}" in reply.get_json()["hint"]
    assert len(app.records("statement_rejected")) == before


def test_what_is_near_to_nothing_is_still_refused(world: tuple[App, Path]) -> None:
    app, _ = world
    for sql in ("SELECT * FROM passwords", "SELECT * FROM sqlite_master", "SELECT * FROM bird; DROP TABLE birds"):
        assert app.post("/api/sql", {"sql": sql}).get_json()["reason"] == "statement_refused"


def test_an_answer_says_how_old_it_is_and_can_be_asked_for_anew(world: tuple[App, Path]) -> None:
    app, path = world
    run(path, "CREATE TABLE IF NOT EXISTS kites (id INTEGER); INSERT INTO kites VALUES (1)")
    app.post("/api/schema/refresh", {})
    first = app.ask("how many kites are there").get_json()
    assert (first["source"], first["age_seconds"], first["rows"]) == ("rules", 0, [[1]])
    run(path, "INSERT INTO kites VALUES (2)")
    again = app.ask("how many kites are there").get_json()
    assert (again["source"], again["rows"]) == ("cache", [[1]])
    assert again["age_seconds"] >= 0
    fresh = app.ask("how many kites are there", fresh=True).get_json()
    assert (fresh["source"], fresh["rows"]) == ("rules", [[2]])
    assert app.ask("how many kites are there").get_json()["rows"] == [[2]], "it takes the old one's place"


def test_a_schema_is_read_anew_on_demand(world: tuple[App, Path]) -> None:
    app, path = world
    app.get("/api/schema")
    run(path, "CREATE TABLE wasps (id INTEGER)")
    assert "wasps" not in {table["name"] for table in app.get("/api/schema").get_json()["tables"]}
    reply = app.post("/api/schema/refresh", {})
    assert "wasps" in {table["name"] for table in reply.get_json()["tables"]}
    assert app.post("/api/schema/refresh", {"database": "nothing"}).status_code == 404
