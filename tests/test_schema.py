from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy
from sqlalchemy import types
from sqlalchemy.dialects import mysql, postgresql

from sql_synthesizer import errors
from sql_synthesizer.database import DatabaseManager
from sql_synthesizer.demo import create_demo, demo_settings
from sql_synthesizer.model import ColumnKind, ForeignKey, ValueMatch
from sql_synthesizer.schema import SchemaCache
from sql_synthesizer.schema import cache as schema_cache
from sql_synthesizer.schema.reflection import MAX_COLUMNS, MAX_TABLES, column_kind
from sql_synthesizer.settings import DatabaseSettings, Settings
from sql_synthesizer.telemetry import Telemetry
from tests.support.serving import HANG

KINDS = [
    "sqlite",
    pytest.param("postgres", marks=pytest.mark.server),
    pytest.param("mariadb", marks=pytest.mark.server),
]
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


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'data.sqlite'}"


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
        settings = settings or Settings()
        managers.append(DatabaseManager([config], settings, Telemetry()))
        return SchemaCache(managers[-1].connect, [config], settings)

    yield make
    for manager in managers:
        manager.close()


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


def test_wide_and_many_tables_are_bounded(sqlite_url: str, tmp_path: Path, cache: Callable[..., SchemaCache]) -> None:
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


class Door:
    """A connect function that counts, waits and fails on demand."""

    def __init__(self, path: Path) -> None:
        self.engine = sqlalchemy.create_engine(f"sqlite:///{path}")
        self.calls = 0
        self.failing: errors.SqlSynthesizerError | None = None
        self.open = threading.Event()
        self.open.set()

    @contextmanager
    def __call__(self, name: str, timeout: float, /) -> Iterator[sqlalchemy.Connection]:
        self.calls += 1
        self.open.wait(HANG)
        if self.failing is not None:
            raise self.failing
        with self.engine.connect() as connection:
            yield connection


@pytest.fixture
def door(tmp_path: Path) -> Iterator[Door]:
    made = Door(tmp_path / "data.sqlite")
    yield made
    made.engine.dispose()


CONFIG = DatabaseSettings(name="main", url="sqlite://")


def test_one_caller_reads_for_all(door: Door) -> None:
    schemas = SchemaCache(door, [CONFIG], Settings())
    door.open.clear()
    found: list[Any] = []
    threads = [threading.Thread(target=lambda: found.append(schemas.get("main"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    door.open.set()
    for thread in threads:
        thread.join()
    assert door.calls == 1
    assert len({id(one) for one in found}) == 1


def test_a_stale_schema_is_used_while_the_database_is_down(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    schemas = SchemaCache(door, [CONFIG], Settings(schema_ttl=10))
    known = schemas.get("main")
    door.failing = errors.DatabaseUnavailable()
    now = time.monotonic()
    monkeypatch.setattr(schema_cache.time, "monotonic", lambda: now + 50)
    assert schemas.get("main") is known
    assert schemas.get("main") is known
    assert door.calls == 2
    monkeypatch.setattr(schema_cache.time, "monotonic", lambda: now + 200)
    with pytest.raises(errors.DatabaseUnavailable):
        schemas.get("main")


def test_unknown_names_and_failures(door: Door) -> None:
    schemas = SchemaCache(door, [CONFIG], Settings())
    with pytest.raises(errors.UnknownDatabase):
        schemas.get("other")
    door.failing = errors.PoolTimeout()
    with pytest.raises(errors.PoolTimeout):
        schemas.get("main")


def test_those_who_waited_share_the_failure(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    schemas = SchemaCache(door, [CONFIG], Settings())
    door.failing = errors.DatabaseUnavailable()
    door.open.clear()
    found: list[Exception] = []

    def ask() -> None:
        try:
            schemas.get("main")
        except errors.DatabaseUnavailable as error:
            found.append(error)

    threads = [threading.Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    door.open.set()
    for thread in threads:
        thread.join()
    assert door.calls == 1
    assert len({id(error) for error in found}) == 6
    door.failing = None
    later = time.monotonic() + schema_cache.FAILURE_SECONDS
    monkeypatch.setattr(schema_cache.time, "monotonic", lambda: later)
    assert schemas.get("main") is schemas.get("main")


def test_a_refresh_ends_a_failure(door: Door) -> None:
    schemas = SchemaCache(door, [CONFIG], Settings())
    door.failing = errors.DatabaseUnavailable()
    with pytest.raises(errors.DatabaseUnavailable):
        schemas.get("main")
    door.failing = None
    assert schemas.refresh("main") is schemas.get("main")


def ready(values: Any) -> Any:
    assert values._ready.wait(HANG)
    return values


@pytest.mark.parametrize("url", KINDS, indirect=True)
def test_values_are_found_as_stored(url: str, cache: Callable[..., SchemaCache]) -> None:
    schemas = cache(url, tables=("part", "uses"), sensitive=("uses.note",))
    values = ready(schemas.values("main"))
    assert set(values.find(" aCME ")) == {ValueMatch("part", "maker", "Acme"), ValueMatch("uses", "maker", "Acme")}
    assert values.find("secret note") == ()
    assert values.find("nothing") == ()
    assert schemas.values("main") is values


@pytest.mark.parametrize("url", KINDS, indirect=True)
def test_a_column_that_cannot_be_read_costs_only_itself(url: str, cache: Callable[..., SchemaCache]) -> None:
    schemas = cache(url, tables=("part", "big_parts"))
    assert [table.name for table in schemas.get("main").tables] == ["big_parts", "part"]
    engine = sqlalchemy.create_engine(url)
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP VIEW big_parts")
    engine.dispose()
    values = ready(schemas.values("main"))
    assert not values.failed
    assert values.find("acme") == (ValueMatch("part", "maker", "Acme"),)


def test_a_failed_index_leaves_the_last_and_is_tried_again(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    with door.engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE part (maker TEXT)")
        connection.exec_driver_sql("INSERT INTO part VALUES ('Acme')")
    schemas = SchemaCache(door, [CONFIG], Settings(schema_ttl=1000))
    acme = (ValueMatch("part", "maker", "Acme"),)
    assert ready(schemas.values("main")).find("acme") == acme
    with door.engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE part ADD COLUMN note TEXT")
    schemas.refresh("main")
    door.failing = errors.PoolTimeout()
    clock = [time.monotonic()]
    monkeypatch.setattr(schema_cache.time, "monotonic", lambda: clock[0])
    seen = []
    for _ in range(3):
        clock[0] += schema_cache.RETRY_SECONDS + 1
        seen.append(ready(schemas.values("main")))
        assert schemas.values("main") is seen[-1]
        assert seen[-1].find("acme") == acme
    assert len(set(map(id, seen))) == 3
    assert seen[-1].previous is seen[0].previous
    door.failing = None
    clock[0] += schema_cache.RETRY_SECONDS + 1
    last = ready(schemas.values("main"))
    assert not last.failed
    assert last.find("acme") == acme


def test_a_first_index_that_failed_is_built_later(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    with door.engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE part (maker TEXT)")
        connection.exec_driver_sql("INSERT INTO part VALUES ('Acme')")
    schemas = SchemaCache(door, [CONFIG], Settings(schema_ttl=1000))
    schemas.get("main")
    door.failing = errors.PoolTimeout()
    assert ready(schemas.values("main")).find("acme") == ()
    door.failing = None
    later = time.monotonic() + schema_cache.RETRY_SECONDS + 1
    monkeypatch.setattr(schema_cache.time, "monotonic", lambda: later)
    assert ready(schemas.values("main")).find("acme") == (ValueMatch("part", "maker", "Acme"),)


def test_values_may_be_switched_off(door: Door) -> None:
    assert SchemaCache(door, [CONFIG], Settings(value_index=False)).values("main").find("Acme") == ()
    assert door.calls == 0


def test_columns_of_many_values_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "shop.sqlite"
    create_demo(path)
    config = demo_settings(path)
    manager = DatabaseManager([config], Settings(), Telemetry())
    schemas = SchemaCache(manager.connect, [config], Settings())
    values = ready(schemas.values("shop"))
    assert values.find("germany") == (ValueMatch("countries", "name", "Germany"),)
    assert values.find("credit card") == (ValueMatch("payments", "method", "credit card"),)
    assert values.find("anna.adams1@example.com") == ()
    assert len(schemas.get("shop").tables) == 13
    manager.close()


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
