from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest
import sqlalchemy

from sql_synthesizer import errors
from sql_synthesizer.database import DatabaseManager
from sql_synthesizer.database.cells import collect_rows, distinct_names, to_scalar
from sql_synthesizer.database.http import limit_session
from sql_synthesizer.settings import DatabaseSettings, Settings
from sql_synthesizer.telemetry import Reading, Telemetry, vocabulary
from sql_synthesizer.telemetry.testing import MemoryObserver
from tests.support.databases import PASSWORD, Server
from tests.support.serving import HANG, until

SERVERS = [
    pytest.param("postgres", marks=pytest.mark.server),
    pytest.param("mariadb", marks=pytest.mark.server),
]
KINDS = ["sqlite", *SERVERS]
URL = sqlalchemy.make_url("trino://user@host:8080/catalog")


class Bench:
    """A manager over one database, with what it reported."""

    def __init__(self, url: str, **settings: Any) -> None:
        self.observer = MemoryObserver()
        self.telemetry = Telemetry()
        self.telemetry.observers.append(self.observer)
        database = DatabaseSettings(name="main", url=url)
        self.manager = DatabaseManager([database], Settings(**{"connect_timeout": 60, **settings}), self.telemetry)

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


def count(url: str, table: str = "item") -> int:
    engine = sqlalchemy.create_engine(url)
    with engine.connect() as connection:
        found = int(connection.exec_driver_sql(f"SELECT COUNT(*) FROM {table}").scalar_one())
    engine.dispose()
    return found


@contextmanager
def statements(server: Server) -> Iterator[Callable[[str], int]]:
    """How many other sessions of the server run a statement that holds this text."""
    connection = server.connect()

    def running(text: str) -> int:
        with connection.cursor() as cursor:
            if server.account == "postgres":
                cursor.execute(
                    "SELECT count(*) FROM pg_stat_activity WHERE state <> 'idle' AND pid <> pg_backend_pid()"
                    " AND query LIKE %s",
                    (f"%{text}%",),
                )
            else:
                cursor.execute(
                    "SELECT COUNT(*) FROM information_schema.processlist WHERE info LIKE %s AND id <> CONNECTION_ID()",
                    (f"%{text}%",),
                )
            return int(cursor.fetchone()[0])

    try:
        yield running
    finally:
        connection.close()


# --- running ----------------------------------------------------------------------------------


@pytest.mark.parametrize("url", KINDS, indirect=True)
def test_answers_are_rows_of_json_scalars(url: str, bench: Callable[..., Bench]) -> None:
    rows = bench(url).run("SELECT id, label, price FROM item WHERE id IN (1, 2) ORDER BY id")
    assert rows.columns == ("id", "label", "price")
    assert rows.rows == ((1, "label 1", 1.5), (2, "label 2", 2.5))
    assert not rows.truncated


@pytest.mark.parametrize("url", KINDS, indirect=True)
def test_percent_and_colon_are_plain_characters(url: str, bench: Callable[..., Bench]) -> None:
    rows = bench(url).run("SELECT count(*), ':name', '100%s' FROM item WHERE label LIKE 'label 199%'")
    assert rows.rows == ((11, ":name", "100%s"),)


@pytest.mark.parametrize("url", KINDS, indirect=True)
def test_rows_are_cut_at_the_cap(url: str, bench: Callable[..., Bench]) -> None:
    one = bench(url)
    for wanted in (1, 499, 500, 501, 1999):
        rows = one.run("SELECT id FROM item ORDER BY id", rows=wanted)
        assert (len(rows.rows), rows.truncated) == (wanted, True)
    rows = one.run("SELECT id FROM item ORDER BY id", rows=2000)
    assert (len(rows.rows), rows.truncated) == (2000, False)
    assert not one.run("SELECT id FROM item LIMIT 5", rows=5).truncated
    assert one.run("SELECT id FROM item LIMIT 1900", rows=5).truncated
    assert one.run("SELECT 1").rows == ((1,),)
    assert one.in_use() == 0


@pytest.mark.parametrize("url", KINDS, indirect=True)
def test_bytes_are_cut_at_the_cap(url: str, bench: Callable[..., Bench]) -> None:
    rows = bench(url, byte_cap=1000).run("SELECT label FROM item", rows=2000)
    assert rows.truncated
    assert 900 < rows.byte_count <= 1000


@pytest.mark.parametrize("url", KINDS, indirect=True)
def test_an_empty_result_has_its_columns(url: str, bench: Callable[..., Bench]) -> None:
    rows = bench(url).run("SELECT id, id FROM item WHERE id < 0")
    assert (rows.columns, rows.rows, rows.truncated) == (("id", "id_2"), (), False)


@pytest.mark.parametrize("url", KINDS, indirect=True)
def test_levels_of_the_pool_are_reported(url: str, bench: Callable[..., Bench]) -> None:
    one = bench(url, pool_size=3)
    with one.manager.connect("main"), one.manager.connect("main", 5):
        assert one.in_use() == 2
    assert one.in_use() == 0
    limits = [f for f in one.observer.facts if isinstance(f, Reading) and f.type is vocabulary.POOL_LIMIT]
    assert [(dict(f.labels), f.value) for f in limits] == [({"database_type": one.manager.dialect("main")}, 3)]


@pytest.mark.parametrize("url", KINDS, indirect=True)
def test_ping_answers(url: str, bench: Callable[..., Bench]) -> None:
    bench(url).manager.ping("main", HANG)


# --- reading only -----------------------------------------------------------------------------

WRITES = [
    "INSERT INTO item VALUES (-1, 'x', 1)",
    "UPDATE item SET label = 'x'",
    "DELETE FROM item",
    "DROP TABLE item",
    "CREATE TABLE other (id INTEGER)",
    "TRUNCATE TABLE item",
    "ALTER TABLE item ADD COLUMN more INTEGER",
    "ATTACH DATABASE '/tmp/other.sqlite' AS other",
    "PRAGMA query_only = OFF",
    "COPY item TO '/tmp/item.csv'",
    "SET TRANSACTION READ WRITE",
    "COMMIT",
    "VACUUM",
    "SELECT 1; DELETE FROM item",
    "SELECT 1; COMMIT; DELETE FROM item",
    "WITH gone AS (DELETE FROM item RETURNING id) SELECT * FROM gone",
    "WITH x AS (SELECT 1) DELETE FROM item",
    "SELECT * INTO other FROM item",
    "SELECT id FROM item FOR UPDATE; DELETE FROM item",
    "/* SELECT */ DELETE FROM item",
    "(SELECT 1); DROP TABLE item",
    "",
    "SELECT '\x00'; DELETE FROM item",
]


@pytest.mark.parametrize("url", KINDS, indirect=True)
def test_nothing_can_be_written(url: str, bench: Callable[..., Bench]) -> None:
    one = bench(url, pool_size=1)
    for sql in WRITES:
        with pytest.raises((errors.StatementRefused, errors.StatementInvalid)):
            one.run(sql)
    assert count(url) == 2000
    assert one.run("SELECT count(*) FROM item").rows == ((2000,),)
    assert one.in_use() == 0


@pytest.mark.parametrize("url", KINDS, indirect=True)
def test_a_lent_connection_cannot_write(url: str, bench: Callable[..., Bench]) -> None:
    one = bench(url)
    for sql in ("INSERT INTO item VALUES (-1, 'x', 1)", "CREATE TABLE other (id INTEGER)"):
        with pytest.raises(errors.StatementRefused), one.manager.connect("main") as connection:
            connection.exec_driver_sql(sql)
    assert count(url) == 2000


@pytest.mark.server
@pytest.mark.parametrize("url", ["postgres"], indirect=True)
def test_postgres_settings_do_not_outlive_a_statement(url: str, bench: Callable[..., Bench]) -> None:
    one = bench(url, pool_size=1)
    with pytest.raises(errors.StatementRefused):
        one.run("SELECT set_config('transaction_read_only', 'off', false)")
    one.run("SELECT set_config('default_transaction_read_only', 'off', false)")
    assert one.run("SELECT current_setting('default_transaction_read_only')").rows == (("on",),)
    # What a read-only transaction does not refuse is undone with it.
    one.run("SELECT lo_create(4711)")
    assert one.run("SELECT count(*) FROM pg_largeobject_metadata").rows == ((0,),)


def test_hostile_patterns_are_refused_in_sqlite(sqlite_url: str, bench: Callable[..., Bench]) -> None:
    with pytest.raises(errors.StatementRefused):
        bench(sqlite_url).run("SELECT 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!' REGEXP '(a+)+$'")


# --- time -------------------------------------------------------------------------------------

RUNNING = {"postgres": "FETCH FORWARD", "mariadb": "SLEEP(60)"}
"""What the server says it is running then."""
SLOW = {
    "sqlite": "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n",
    "postgresql": "SELECT pg_sleep(60)",
    "mariadb": "SELECT SLEEP(60)",
}


@pytest.mark.parametrize("url", KINDS, indirect=True)
def test_the_deadline_cancels_the_statement(url: str, bench: Callable[..., Bench]) -> None:
    one = bench(url, pool_size=1)
    assert one.run("SELECT 1").rows == ((1,),), "it is connected"
    with pytest.raises(errors.StatementTimeout):
        one.run(SLOW[one.manager.dialect("main")], seconds=1)
    assert one.in_use() == 0
    assert one.run("SELECT 1").rows == ((1,),)


@pytest.mark.parametrize("url", KINDS, indirect=True)
def test_a_slow_stream_of_rows_is_cut_by_the_deadline(url: str, bench: Callable[..., Bench]) -> None:
    one = bench(url, pool_size=1, byte_cap=10**9)
    assert one.run("SELECT 1").rows == ((1,),), "it is connected"
    with pytest.raises(errors.StatementTimeout):
        one.run("SELECT a.id, b.id FROM item a, item b, item c", rows=10**9, seconds=1)
    assert one.run("SELECT 1").rows == ((1,),)


@pytest.mark.server
@pytest.mark.parametrize("kind", ["postgres", "mariadb"])
def test_no_statement_is_left_in_the_server(
    kind: str, request: pytest.FixtureRequest, bench: Callable[..., Bench]
) -> None:
    server: Server = request.getfixturevalue(f"{kind}_server")
    one = bench(server.url)
    with statements(server) as running:
        assert one.run("SELECT 1").rows == ((1,),), "it is connected"
        with pytest.raises(errors.StatementTimeout):
            one.run(SLOW[one.manager.dialect("main")], seconds=1)
        until(lambda: running(RUNNING[kind]) == 0)  # the server tells the client first, then its list


@pytest.mark.server
@pytest.mark.parametrize("kind", ["postgres", "mariadb"])
def test_a_server_that_hangs_does_not_hold_the_caller(
    kind: str, request: pytest.FixtureRequest, bench: Callable[..., Bench]
) -> None:
    server: Server = request.getfixturevalue(f"own_{kind}")
    one = bench(server.url, pool_size=1, connect_timeout=2)
    begun = threading.Event()
    failures: list[BaseException] = []

    def ask() -> None:
        begun.set()
        try:
            one.run(SLOW[one.manager.dialect("main")], seconds=4)
        except errors.SqlSynthesizerError as error:
            failures.append(error)

    assert one.run("SELECT 1").rows == ((1,),)
    asking = threading.Thread(target=ask)
    with statements(server) as running:
        asking.start()
        until(lambda: running(RUNNING[kind]) == 1)
    server.freeze()
    asking.join(HANG)
    assert [type(failure) for failure in failures] == [errors.StatementTimeout]
    assert one.in_use() == 0
    with pytest.raises(errors.DatabaseUnavailable):
        one.run("SELECT 1", seconds=10)
    with pytest.raises(errors.DatabaseUnavailable):
        one.manager.ping("main", 0.5)
    server.thaw()
    until(lambda: answers(one))
    assert one.in_use() == 0


@pytest.mark.server
@pytest.mark.parametrize("kind", ["postgres", "mariadb"])
def test_idle_connections_to_a_hung_server_time_out(
    kind: str, request: pytest.FixtureRequest, bench: Callable[..., Bench]
) -> None:
    server: Server = request.getfixturevalue(f"own_{kind}")
    one = bench(server.url, pool_size=1, connect_timeout=5)
    one.run("SELECT 1")
    server.freeze()
    with pytest.raises(errors.StatementTimeout):
        one.run("SELECT 1", seconds=1)
    assert one.in_use() == 0


@pytest.mark.server
@pytest.mark.parametrize("kind", ["postgres", "mariadb"])
def test_a_restarted_server_is_used_again(
    kind: str, request: pytest.FixtureRequest, bench: Callable[..., Bench]
) -> None:
    server: Server = request.getfixturevalue(f"own_{kind}")
    one = bench(server.url, pool_size=3)
    with one.manager.connect("main"), one.manager.connect("main"), one.manager.connect("main"):
        pass
    server.kill()
    with pytest.raises(errors.DatabaseUnavailable):
        one.run("SELECT 1")
    with pytest.raises(errors.DatabaseUnavailable):
        one.manager.ping("main", 2)
    server.start()
    with one.manager.connect("main"), one.manager.connect("main"):
        assert one.run("SELECT 1").rows == ((1,),)
    one.manager.ping("main", HANG)
    assert one.in_use() == 0


@pytest.mark.server
@pytest.mark.parametrize("url", SERVERS, indirect=True)
def test_a_connection_lost_while_idle_is_replaced(url: str, bench: Callable[..., Bench]) -> None:
    one = bench(url, pool_size=1)
    with one.manager.connect("main") as connection:
        raw = connection.connection.driver_connection
    raw.close()
    assert one.run("SELECT 1").rows == ((1,),)
    assert one.in_use() == 0


@pytest.mark.server
@pytest.mark.parametrize("url", SERVERS, indirect=True)
def test_a_connection_lost_after_its_transaction_began_is_unavailable(
    url: str, bench: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch
) -> None:
    one = bench(url, pool_size=1)
    driver = one.manager._pools["main"].driver
    begin = driver.begin

    def begin_and_lose(raw: Any, seconds: float, max_rows: int | None) -> None:
        begin(raw, seconds, max_rows)
        raw.close()

    with monkeypatch.context() as patched:
        patched.setattr(driver, "begin", begin_and_lose)
        with pytest.raises(errors.DatabaseUnavailable):
            one.run("SELECT 1")
    assert one.run("SELECT 1").rows == ((1,),)
    assert one.in_use() == 0


def answers(one: Bench) -> bool:
    try:
        one.run("SELECT 1")
    except errors.DatabaseUnavailable:
        return False
    return True


# --- the pool ---------------------------------------------------------------------------------


def test_a_full_pool_times_out_and_says_so(sqlite_url: str, bench: Callable[..., Bench]) -> None:
    one = bench(sqlite_url, pool_size=2, pool_wait=0.05)
    with one.manager.connect("main"), one.manager.connect("main"), pytest.raises(errors.PoolTimeout):
        one.run("SELECT 1")
    assert one.run("SELECT 1").rows == ((1,),)
    one.telemetry.fold()
    waits = one.observer.operations(vocabulary.CONNECTION_WAIT)
    assert [wait.details.timed_out for wait in waits] == [None, None, 1, None]
    assert [wait.reason for wait in waits] == ["ok", "ok", "pool_timeout", "ok"]
    assert {wait.labels["database_type"] for wait in waits} == {"sqlite"}


@pytest.mark.parametrize("url", KINDS, indirect=True)
def test_many_threads_share_a_small_pool(url: str, bench: Callable[..., Bench]) -> None:
    one = bench(url, pool_size=2, pool_wait=30)
    results: list[Any] = []

    def ask() -> None:
        for _ in range(10):
            results.append(one.run("SELECT count(*) FROM item").rows[0][0])  # noqa: PERF401 - one at a time

    threads = [threading.Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(HANG)
    assert results == [2000] * 60
    assert one.in_use() == 0


# --- errors -----------------------------------------------------------------------------------

INVALID = [
    ("SELECT nope FROM item", "undefined_column", "nope"),
    ("SELECT i.nope FROM item i", "undefined_column", "i.nope"),
    ("SELECT * FROM nope", "undefined_table", "nope"),
    ("SELECT nope(id) FROM item", "undefined_function", "nope"),
    ("SELECT id FROM item a JOIN item b ON a.id = b.id", "ambiguous_column", "id"),
    ("SELECT FROM WHERE", "syntax", ""),
    ("SELECT id FROM item WHERE sum(id) > 1", "grouping", ""),
]


@pytest.mark.parametrize(("sql", "kind", "identifier"), INVALID)
@pytest.mark.parametrize("url", KINDS, indirect=True)
def test_a_wrong_statement_says_what_is_wrong(
    url: str, sql: str, kind: str, identifier: str, bench: Callable[..., Bench]
) -> None:
    with pytest.raises(errors.StatementInvalid) as caught:
        bench(url).run(sql)
    assert caught.value.details["class"] == kind
    assert caught.value.details["identifier"].rpartition("." if "." not in identifier else "\n")[2] == identifier


@pytest.mark.server
@pytest.mark.parametrize("url", ["postgres"], indirect=True)
@pytest.mark.parametrize(
    ("sql", "kind"),
    [
        ("SELECT 1 / 0", "data"),
        ("SELECT CAST('hidden value' AS integer)", "data"),
        ("SELECT id, count(*) FROM item", "grouping"),
        ("SELECT sum(label) FROM item", "undefined_function"),
        ("SELECT CASE WHEN id > 1 THEN 1 ELSE TRUE END FROM item", "type"),
    ],
)
def test_postgres_classes(url: str, sql: str, kind: str, bench: Callable[..., Bench]) -> None:
    with pytest.raises(errors.StatementInvalid) as caught:
        bench(url).run(sql)
    assert caught.value.details["class"] == kind
    assert "hidden" not in str(caught.value.body("t")) + str(caught.value.details)


@pytest.mark.server
@pytest.mark.parametrize("url", SERVERS, indirect=True)
def test_missing_permission_is_a_refusal(url: str, bench: Callable[..., Bench]) -> None:
    owner = sqlalchemy.create_engine(url, isolation_level="AUTOCOMMIT")
    with owner.connect() as connection:
        if owner.dialect.name == "postgresql":
            connection.exec_driver_sql("DROP ROLE IF EXISTS reader")
            connection.exec_driver_sql(f"CREATE ROLE reader LOGIN PASSWORD '{PASSWORD}'")
        else:
            connection.exec_driver_sql("CREATE DATABASE IF NOT EXISTS empty_one")
            connection.exec_driver_sql(f"CREATE OR REPLACE USER reader IDENTIFIED BY '{PASSWORD}'")
            connection.exec_driver_sql("GRANT SELECT ON empty_one.* TO reader")
    owner.dispose()
    target = sqlalchemy.make_url(url).set(username="reader")
    if owner.dialect.name != "postgresql":
        target = target.set(database="empty_one")
    one = bench(target.render_as_string(hide_password=False))
    with pytest.raises(errors.StatementRefused):
        one.run("SELECT * FROM " + ("item" if owner.dialect.name == "postgresql" else "shop.item"))


@pytest.mark.server
@pytest.mark.parametrize("kind", ["postgres", "mariadb"])
def test_passwords_are_never_shown(
    kind: str, request: pytest.FixtureRequest, bench: Callable[..., Bench], caplog: pytest.LogCaptureFixture
) -> None:
    good: str = request.getfixturevalue(f"{kind}_url")
    caplog.set_level(logging.DEBUG)
    for wrong in (good.replace(PASSWORD, "wr0ng-secret"), good.replace("/postgres", "/none").replace("/shop", "/none")):
        one = bench(wrong)
        with pytest.raises(errors.DatabaseUnavailable) as caught:
            one.run("SELECT 1")
        with pytest.raises(errors.DatabaseUnavailable):
            one.manager.ping("main", 2)
        assert caught.value.__cause__ is None
        shown = str(caught.value.body("t")) + repr(caught.value) + caplog.text
        assert "wr0ng-secret" not in shown
        assert PASSWORD not in shown
    assert "database main" in caplog.text


def test_nothing_listens(bench: Callable[..., Bench], caplog: pytest.LogCaptureFixture) -> None:
    one = bench("mysql://someone:top-secret@127.0.0.1:1/shop")
    assert one.manager.dialect("main") == "mysql"
    with pytest.raises(errors.DatabaseUnavailable):
        one.run("SELECT 1")
    assert "top-secret" not in caplog.text
    assert one.in_use() == 0


def test_a_file_that_goes_away_is_unavailable(tmp_path: Path, bench: Callable[..., Bench]) -> None:
    path = tmp_path / "gone.sqlite"
    path.touch()
    one = bench(f"sqlite:///{path}")
    path.unlink()
    with pytest.raises(errors.DatabaseUnavailable):
        one.run("SELECT 1")
    with pytest.raises(errors.DatabaseUnavailable):
        one.manager.ping("main", 1)
    assert not path.exists()


def test_a_file_that_is_no_database_is_unavailable(tmp_path: Path, bench: Callable[..., Bench]) -> None:
    path = tmp_path / "text.sqlite"
    path.write_text("plain text, longer than the header of a database file is. " * 20)
    with pytest.raises(errors.DatabaseUnavailable):
        bench(f"sqlite:///{path}").run("SELECT 1")


# --- configuration ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "sqlite://",
        "sqlite:///:memory:",
        "sqlite:////nowhere/at/all.sqlite",
        "sqlite:///file:x?mode=rwc&uri=true",
        "not a url top-secret",
        "postgresql://u:top-secret@host:port/db",
        "postgresql+asyncpg://u:top-secret@host/db",
        "mysql+mysqldb://u:top-secret@host/db",
        "oracle://u:top-secret@host/db",
        "postgresql://u:top-secret@host/db?port=x&port=y",
    ],
)
def test_unusable_urls_are_explained_without_their_password(url: str, tmp_path: Path) -> None:
    with pytest.raises(errors.ConfigurationError) as caught:
        Bench(url)
    shown = caught.value.message + caught.value.hint
    assert "top-secret" not in shown
    assert "main" in shown


def test_a_missing_extra_is_named() -> None:
    with pytest.raises(errors.ConfigurationError, match=r"sql-synthesizer\[trino\]"):
        Bench("trino://user@host:8080/catalog")
    with pytest.raises(errors.ConfigurationError, match=r"sql-synthesizer\[clickhouse\]"):
        Bench("clickhouse://user@host:8123/db")


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ({}, {}),
        ({"session_properties": {"join_distribution_type": "BROADCAST"}}, {"join_distribution_type": "BROADCAST"}),
        ({"session_properties": {"query_max_execution_time": "9h"}}, {}),
    ],
)
def test_trino_keeps_its_session_properties_under_the_limits(given: dict[str, Any], kept: dict[str, str]) -> None:
    assert limit_session("trino", {"host": "host", **given}, 1.5, 7) == {
        "host": "host",
        "session_properties": {**kept, "query_max_execution_time": "7s"},
        "request_timeout": (1.5, 8),
    }


def test_clickhouse_is_limited_whatever_its_url_says() -> None:
    given = {"ch_readonly": "0", "ch_max_threads": "2", "connect_timeout": "60"}
    assert limit_session("clickhouse", given, 1.5, 7) == {
        "ch_max_threads": "2",
        "ch_readonly": "2",
        "ch_max_execution_time": "7",
        "connect_timeout": "2",
        "send_receive_timeout": "8",
    }


def test_names_and_defaults(sqlite_url: str) -> None:
    databases = [DatabaseSettings(name=name, url=sqlite_url) for name in ("one", "two")]
    manager = DatabaseManager(databases, Settings(default_database="two"), Telemetry())
    assert (manager.names, manager.default) == (("one", "two"), "two")
    assert manager.config("one").name == "one"
    with pytest.raises(errors.UnknownDatabase, match="one, two"):
        manager.config("three")
    with pytest.raises(errors.ConfigurationError, match="three"):
        DatabaseManager(databases, Settings(default_database="three"), Telemetry())
    assert DatabaseManager([], Settings(), Telemetry()).default == ""


@pytest.mark.parametrize(
    ("url", "dialect"),
    [
        ("postgres://u:p@h/d", "postgresql"),
        ("postgresql://u:p@h/d", "postgresql"),
        ("mysql://u:p@h/d", "mysql"),
        ("mariadb://u:p@h/d", "mariadb"),
    ],
)
def test_urls_without_a_driver_are_given_one(url: str, dialect: str) -> None:
    assert Bench(url).manager.dialect("main") == dialect


# --- cells ------------------------------------------------------------------------------------


@pytest.mark.server
@pytest.mark.parametrize("url", ["postgres"], indirect=True)
@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("NULL", None),
        ("TRUE", True),
        ("9007199254740993::bigint", 9007199254740993),
        ("12.50::numeric", 12.5),
        ("3::numeric", 3),
        ("12345678901234567890::numeric", "12345678901234567890"),
        ("0.1234567890123456789::numeric", "0.1234567890123456789"),
        ("'NaN'::numeric", "NaN"),
        ("'infinity'::float8", "Infinity"),
        ("'2026-10-31'::date", "2026-10-31"),
        ("'infinity'::date", "infinity"),
        ("'2026-10-31 12:00:01.5'::timestamp", "2026-10-31T12:00:01.5"),
        ("'12:30'::time", "12:30:00"),
        ("'1 year 2 days'::interval", "1 year 2 days"),
        ("'\\x00ff'::bytea", "0x00ff"),
        ("decode(repeat('ab', 100), 'hex')", "0x" + "ab" * 64 + "…"),
        ("'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
        ("'{\"a\":  1}'::json", '{"a":  1}'),
        ("ARRAY[1, 2]", "[1, 2]"),
        ("ARRAY[1.5::numeric]", '["1.5"]'),
        ("'10.0.0.1'::inet", "10.0.0.1"),
        ("int4range(1, 5)", "[1, 5)"),
    ],
)
def test_postgres_cells(url: str, expression: str, expected: object, bench: Callable[..., Bench]) -> None:
    assert bench(url).run(f"SELECT {expression}").rows == ((expected,),)


@pytest.mark.server
@pytest.mark.parametrize("url", ["mariadb"], indirect=True)
@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("NULL", None),
        ("CAST(12.50 AS DECIMAL(10,2))", 12.5),
        ("CAST('2026-10-31' AS DATE)", "2026-10-31"),
        ("CAST('2026-10-31 12:00:01' AS DATETIME)", "2026-10-31T12:00:01"),
        ("CAST('100:00:00' AS TIME)", "100:00:00"),
        ("UNHEX('00FF')", "0x00ff"),
        ("18446744073709551615", 18446744073709551615),
        ("JSON_OBJECT('a', 1)", '{"a": 1}'),
    ],
)
def test_mariadb_cells(url: str, expression: str, expected: object, bench: Callable[..., Bench]) -> None:
    assert bench(url).run(f"SELECT {expression}").rows == ((expected,),)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("1e999", "Infinity"),
        ("-1e999", "-Infinity"),
        ("x'00ff'", "0x00ff"),
        ("CAST(x'61ff62' AS TEXT)", "a�b"),
        ("'é' || char(0) || 'z'", "é\x00z"),
    ],
)
def test_sqlite_cells(sqlite_url: str, expression: str, expected: object, bench: Callable[..., Bench]) -> None:
    assert bench(sqlite_url).run(f"SELECT {expression}").rows == ((expected,),)


def test_a_huge_sqlite_value_is_refused_not_built(sqlite_url: str, bench: Callable[..., Bench]) -> None:
    with pytest.raises(errors.StatementInvalid):
        bench(sqlite_url, byte_cap=1_000_000).run("SELECT length(zeroblob(500000000))")


@pytest.mark.parametrize(
    ("names", "distinct"),
    [
        (["a", "b"], ("a", "b")),
        (["a", "a", "a"], ("a", "a_2", "a_3")),
        (["a", "a", "a_2"], ("a", "a_3", "a_2")),
        (["a_2", "a", "a", "a_2"], ("a_2", "a", "a_3", "a_2_2")),
    ],
)
def test_names_become_distinct(names: list[str], distinct: tuple[str, ...]) -> None:
    assert distinct_names(names) == distinct


def test_a_row_over_the_byte_cap_is_left_out() -> None:
    rows = collect_rows(["a"], iter([[("x" * 10,), ("é" * 5,)], [("y",)]]), 10, 20)
    assert (len(rows.rows), rows.byte_count, rows.truncated) == (2, 20, True)


@pytest.mark.parametrize("number", [-(2**63), 2**53 + 1, 2**64 - 1])
def test_integers_of_64_bits_are_numbers(number: int) -> None:
    assert orjson.loads(orjson.dumps(collect_rows(["a"], iter([[(number,)]]), 1, 100).rows)) == [[number]]


@pytest.mark.parametrize("number", [-(2**63) - 1, 2**64, 2**256 - 1])
def test_wider_integers_are_text(number: int) -> None:
    assert to_scalar(number) == str(number)
    rows = collect_rows(["a"], iter([[(number,)]]), 1, 100)
    assert orjson.loads(orjson.dumps(rows.rows)) == [[str(number)]]
    assert rows.byte_count == len(str(number))


def test_not_a_number_is_text() -> None:
    assert to_scalar(float("nan")) == "NaN"
