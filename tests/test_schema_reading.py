"""What is read of a database: tables, views, keys, comments, kinds."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy
from sqlalchemy import types
from sqlalchemy.dialects import mysql, postgresql

from sql_synthesizer.model import Cause, ColumnKind, ForeignKey, LeftOut
from sql_synthesizer.schema import SchemaCache
from sql_synthesizer.schema.reflection import MAX_COLUMNS, MAX_TABLES, column_kind
from tests.support.managers import KINDS
from tests.support.managers import sqlite_url as sqlite_url
from tests.support.schema import cache as cache
from tests.support.schema import url as url


@pytest.mark.parametrize("url", KINDS, indirect=True)
def test_tables_views_and_keys_are_read(url: str, cache: Callable[..., SchemaCache]) -> None:
    names = ("part", "uses", "big_parts")
    found = cache(url, tables=names, sensitive=("USES.Note",), shareable=("part.maker", "uses.note")).get("main")
    assert (
        found.dialect
        == {"sqlite": "sqlite", "postgresql+psycopg": "postgresql", "mariadb+pymysql": "mariadb"}[
            sqlalchemy.make_url(url).drivername
        ]
    )
    assert [table.name for table in found.tables] == ["big_parts", "part", "uses"]
    part, uses = found.table("PART"), found.table("uses")
    assert part is not None
    assert uses is not None
    kinds = {column.name: column.kind for column in part.columns}
    assert kinds == {
        "maker": ColumnKind.TEXT,
        "number": ColumnKind.INTEGER,
        "price": ColumnKind.NUMBER,
        "made": ColumnKind.DATE,
        "seen": ColumnKind.DATETIME,
        "good": ColumnKind.BOOLEAN,
    }
    assert [column.name for column in part.columns if column.primary_key] == ["maker", "number"]
    assert uses.foreign_keys == (ForeignKey(("maker", "number"), "part", ("maker", "number")),)
    note, maker = uses.column("note"), part.column("maker")
    assert note is not None
    assert maker is not None
    assert (note.sensitive, note.shareable, note.nullable) == (True, False, False)
    assert (maker.sensitive, maker.shareable, maker.type) == (False, True, "VARCHAR(20)")


@pytest.mark.parametrize("url", KINDS, indirect=True)
def test_hidden_tables_and_keys_to_them_are_left_out(url: str, cache: Callable[..., SchemaCache]) -> None:
    found = cache(url, tables=("uses", "part"), hidden=("Part",)).get("main")
    assert [table.name for table in found.tables] == ["uses"]
    assert found.tables[0].foreign_keys == ()


@pytest.mark.server
@pytest.mark.parametrize("kind", ["postgres", "mariadb"])
def test_system_schemas_are_never_read(
    kind: str, request: pytest.FixtureRequest, cache: Callable[..., SchemaCache]
) -> None:
    url = request.getfixturevalue(f"{kind}_url")
    schemas = ("pg_catalog", "information_schema", "INFORMATION_SCHEMA", "mysql")
    assert cache(url, schemas=schemas).get("main").tables == ()


@pytest.mark.server
def test_named_schemas_are_read(postgres_url: str, cache: Callable[..., SchemaCache]) -> None:
    engine = sqlalchemy.create_engine(postgres_url)
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE SCHEMA IF NOT EXISTS side")
        connection.exec_driver_sql("CREATE TABLE IF NOT EXISTS side.thing (id uuid PRIMARY KEY, tag text)")
        connection.exec_driver_sql("COMMENT ON TABLE side.thing IS 'Things aside.'")
        connection.exec_driver_sql("COMMENT ON COLUMN side.thing.tag IS 'A word.'")
    engine.dispose()
    (thing,) = cache(postgres_url, schemas=("side",)).get("main").tables
    assert (thing.schema, thing.comment, thing.columns[1].comment) == ("side", "Things aside.", "A word.")


def test_the_version_follows_the_schema(sqlite_url: str, tmp_path: Path, cache: Callable[..., SchemaCache]) -> None:
    with closing(sqlite3.connect(tmp_path / "data.sqlite")) as connection:
        connection.execute("CREATE TABLE a (id INTEGER)")
        schemas = cache(sqlite_url)
        first = schemas.get("main")
        assert schemas.refresh("main").version == first.version
        connection.execute("ALTER TABLE a ADD COLUMN more TEXT")
        assert schemas.get("main") is not None
        assert schemas.refresh("main").version != first.version


def test_a_broken_view_does_not_hide_the_rest(
    sqlite_url: str, tmp_path: Path, cache: Callable[..., SchemaCache]
) -> None:
    with closing(sqlite3.connect(tmp_path / "data.sqlite")) as connection:
        connection.executescript(
            "CREATE TABLE a (id); CREATE TABLE b (id); CREATE VIEW v AS SELECT * FROM b; DROP TABLE b"
        )
    assert [table.name for table in cache(sqlite_url).get("main").tables] == ["a"]
    assert [table.name for table in cache(sqlite_url, hidden=("v",)).get("main").tables] == ["a"], "it is there"


def test_a_foreign_key_without_a_target_says_nothing(
    sqlite_url: str, tmp_path: Path, cache: Callable[..., SchemaCache], capsys: pytest.CaptureFixture[str]
) -> None:
    with closing(sqlite3.connect(tmp_path / "data.sqlite")) as connection:
        connection.executescript(
            """CREATE TABLE a (id INTEGER PRIMARY KEY);
            CREATE TABLE b (x INTEGER, y INTEGER,
                FOREIGN KEY (X) REFERENCES gone (id), FOREIGN KEY (Y) REFERENCES A (id))
            """
        )
    b = cache(sqlite_url).get("main").table("b")
    assert b is not None
    assert [key.target for key in b.foreign_keys] == ["A"]
    assert capsys.readouterr().err == ""


def test_wide_and_many_tables_are_bounded(
    sqlite_url: str, tmp_path: Path, cache: Callable[..., SchemaCache], caplog: pytest.LogCaptureFixture
) -> None:
    with closing(sqlite3.connect(tmp_path / "data.sqlite")) as connection:
        columns = ", ".join(f"c{i}" for i in range(MAX_COLUMNS + 50))
        connection.execute("BEGIN")
        connection.execute(f"CREATE TABLE a_wide ({columns})")
        for i in range(MAX_TABLES + 20):
            connection.execute(f"CREATE TABLE t{i} (id INTEGER PRIMARY KEY)")
        connection.commit()
    found = cache(sqlite_url).get("main")
    assert len(found.tables) == MAX_TABLES
    assert len(found.tables[0].columns) == MAX_COLUMNS
    assert "left out of its schema: 22 too_many" in caplog.text
    assert found.left_out[0] == LeftOut("a_wide", Cause.TOO_MANY, 50)
    assert {one.name for one in found.left_out[1:]} == {f"t{i}" for i in range(520)} - {t.name for t in found.tables}


@pytest.mark.parametrize(
    ("type", "kind"),
    [
        (types.BigInteger(), ColumnKind.INTEGER),
        (types.Double(), ColumnKind.NUMBER),
        (types.Numeric(), ColumnKind.NUMBER),
        (postgresql.ENUM("a", name="e"), ColumnKind.TEXT),
        (postgresql.JSONB(), ColumnKind.OTHER),
        (postgresql.UUID(), ColumnKind.TEXT),
        (postgresql.TIMESTAMP(timezone=True), ColumnKind.DATETIME),
        (postgresql.ARRAY(types.Integer()), ColumnKind.OTHER),
        (postgresql.INTERVAL(), ColumnKind.OTHER),
        (postgresql.DOMAIN("d", types.Integer()), ColumnKind.INTEGER),
        (mysql.TINYINT(display_width=1), ColumnKind.BOOLEAN),
        (mysql.TINYINT(), ColumnKind.INTEGER),
        (mysql.YEAR(), ColumnKind.INTEGER),
        (types.LargeBinary(), ColumnKind.OTHER),
        (types.NullType(), ColumnKind.OTHER),
    ],
)
def test_kinds(type: Any, kind: ColumnKind) -> None:
    assert column_kind(type) is kind
