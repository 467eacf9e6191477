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
from sqlalchemy.dialects import postgresql

from sql_synthesizer.model import Cause, ColumnKind, ForeignKey, LeftOut
from sql_synthesizer.schema import SchemaCache
from sql_synthesizer.schema.kinds import column_kind, named_kind, tidy_name
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


def test_wide_and_many_tables_are_bounded_and_named(
    sqlite_url: str,
    tmp_path: Path,
    cache: Callable[..., SchemaCache],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sql_synthesizer.schema.relations.MAX_TABLES", 5)
    for name, bound in {"MAX_TABLES": 5, "MAX_COLUMNS": 8, "COLUMNS_IN_ALL": 11}.items():
        monkeypatch.setattr(f"sql_synthesizer.schema.reflection.{name}", bound)
    with closing(sqlite3.connect(tmp_path / "data.sqlite")) as connection:
        connection.execute(f"CREATE TABLE a_wide ({', '.join(f'c{i}' for i in range(10))})")
        for i in range(7):
            connection.execute(f"CREATE TABLE t{i} (id INTEGER PRIMARY KEY)")
    found = cache(sqlite_url).get("main")
    assert [table.name for table in found.tables] == ["a_wide", "t0", "t1", "t2"]
    assert len(found.tables[0].columns) == 8
    many = [LeftOut(f"t{i}", Cause.TOO_MANY) for i in range(3, 7)]
    assert list(found.left_out) == [LeftOut("a_wide", Cause.TOO_MANY, 2), *many]
    assert "left out of its schema: 5 too_many" in caplog.text


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
        (types.LargeBinary(), ColumnKind.OTHER),
        (types.NullType(), ColumnKind.OTHER),
    ],
)
def test_kinds(type: Any, kind: ColumnKind) -> None:
    assert column_kind(type) is kind


@pytest.mark.parametrize(
    ("type", "kind", "shown"),
    [
        ("tinyint(1)", ColumnKind.BOOLEAN, "TINYINT(1)"),
        ("tinyint(4)", ColumnKind.INTEGER, "TINYINT"),
        ("int(10) unsigned", ColumnKind.INTEGER, "INT UNSIGNED"),
        ("year(4)", ColumnKind.INTEGER, "YEAR(4)"),
        ("decimal(10,2)", ColumnKind.NUMBER, "DECIMAL(10,2)"),
        ("double", ColumnKind.NUMBER, "DOUBLE"),
        ("varchar(20)", ColumnKind.TEXT, "VARCHAR(20)"),
        ("enum('a','It''s')", ColumnKind.TEXT, "ENUM('a','It''s')"),
        ("set('x','y')", ColumnKind.TEXT, "SET('x','y')"),
        ("longtext", ColumnKind.TEXT, "LONGTEXT"),
        ("longblob", ColumnKind.OTHER, "LONGBLOB"),
        ("json", ColumnKind.OTHER, "JSON"),
        ("timestamp(6) with time zone", ColumnKind.DATETIME, "TIMESTAMP(6) WITH TIME ZONE"),
        ("date", ColumnKind.DATE, "DATE"),
        ("time", ColumnKind.TIME, "TIME"),
        ("array(varchar)", ColumnKind.OTHER, "ARRAY(VARCHAR)"),
        ("interval day to second", ColumnKind.OTHER, "INTERVAL DAY TO SECOND"),
        ("UInt64", ColumnKind.INTEGER, "UINT64"),
        ("Nullable(Float32)", ColumnKind.NUMBER, "NULLABLE(FLOAT32)"),
        ("LowCardinality(Nullable(String))", ColumnKind.TEXT, "LOWCARDINALITY(NULLABLE(STRING))"),
        ("DateTime64(3, 'UTC')", ColumnKind.DATETIME, "DATETIME64(3, 'UTC')"),
        ("Array(String)", ColumnKind.OTHER, "ARRAY(STRING)"),
    ],
)
def test_kinds_by_name(type: str, kind: ColumnKind, shown: str) -> None:
    assert (named_kind(type), tidy_name(type)) == (kind, shown)
