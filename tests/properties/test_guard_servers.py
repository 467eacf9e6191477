"""What the statement guard lets pass is run by the product on real databases: nothing changes, nothing leaks."""

from __future__ import annotations

import random
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pymysql
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sql_synthesizer.database import DatabaseManager
from sql_synthesizer.errors import SqlSynthesizerError, StatementRefused, StatementTimeout
from sql_synthesizer.guard.statement import StatementGuard
from sql_synthesizer.guard.statement.judging import Policy
from sql_synthesizer.model import MASK, Rows, Schema, Statement
from sql_synthesizer.schema import reflect_schema
from sql_synthesizer.settings import DatabaseSettings, Settings
from sql_synthesizer.telemetry import Telemetry
from tests.support.databases import PASSWORD

MARKER = "mArKeR"
"""A value that stands only where nobody may read: in a table, a hidden column and a masked one."""
SETUP = (
    "CREATE TABLE t (a INTEGER PRIMARY KEY, b VARCHAR(20), c NUMERIC(8, 2), h VARCHAR(20), s VARCHAR(20))",
    "CREATE TABLE u (a INTEGER, d VARCHAR(20))",
    "CREATE TABLE secret (k VARCHAR(20))",
    f"INSERT INTO t VALUES (1, 'x', 1.5, '{MARKER}1', '{MARKER}2'), (2, 'it''s', 2.25, '{MARKER}1', '{MARKER}3')",
    f"INSERT INTO t VALUES (3, NULL, NULL, '{MARKER}4', '{MARKER}5')",
    "INSERT INTO u VALUES (1, 'one'), (3, 'three'), (NULL, 'none')",
    f"INSERT INTO secret VALUES ('{MARKER}')",
)
BENIGN = (
    "SELECT * FROM t",
    "SELECT a, b FROM t WHERE a > 1 ORDER BY b LIMIT 5",
    "SELECT t.*, u.d FROM t LEFT JOIN u ON t.a = u.a",
    "SELECT count(*), max(c), upper(s) FROM t GROUP BY s",
    "SELECT s, b FROM t",
    "SELECT max(s), count(DISTINCT s), min(b) FROM t",
    "SELECT x.s, x.a FROM (SELECT a, s FROM t) x WHERE x.a < 3",
    "WITH w AS (SELECT * FROM t) SELECT * FROM w JOIN u ON w.a = u.a",
    "SELECT a FROM t UNION SELECT a FROM u ORDER BY a",
    "SELECT b, row_number() OVER (PARTITION BY a ORDER BY c DESC) AS n FROM t",
    "SELECT (SELECT d FROM u WHERE u.a = t.a) AS d, CASE WHEN c > 1 THEN 'DROP TABLE t' ELSE b END FROM t",
    "SELECT d FROM u WHERE EXISTS (SELECT * FROM t WHERE t.a = u.a) AND d NOT LIKE '%;%' -- end",
    "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n < 9) SELECT n FROM r",
    "WITH RECURSIVE r AS (SELECT a FROM u UNION ALL SELECT t.a FROM t JOIN r ON t.a = r.a + 1) SELECT a FROM r",
    "SELECT coalesce(b, s), replace(b, 'x', d) FROM t, u WHERE t.a = u.a",
    "SELECT * FROM u WHERE a IN (SELECT a FROM t) /* note */;",
)
ATTACKS = (
    "SELECT h FROM t",
    "SELECT t.h, t.s FROM t",
    "SELECT k FROM secret",
    "SELECT (SELECT k FROM secret) FROM t",
    "SELECT a FROM t UNION ALL SELECT k FROM secret",
    "SELECT b FROM t WHERE b IN secret",
    "SELECT a FROM t NATURAL JOIN secret",
    "WITH RECURSIVE w AS (SELECT k FROM secret), secret AS (SELECT 'x' AS k) SELECT * FROM w",
    "WITH secret AS (SELECT * FROM secret) SELECT * FROM secret",
    "SELECT x.k FROM (SELECT * FROM secret) AS x",
    "SELECT row_to_json(t), t FROM t",
    "SELECT q.* FROM t AS q(a, b, c, d, e)",
    "SELECT a FROM t ORDER BY (SELECT k FROM secret)",
    "SELECT a FROM t WHERE s > 'm' GROUP BY h",
    "SELECT table_name FROM information_schema.tables",
    "DELETE FROM t",
    "UPDATE t SET a = 0",
    "INSERT INTO t VALUES (9, 'z', 0, '', '')",
    "DROP TABLE u",
    "CREATE TABLE v AS SELECT * FROM t",
    "SELECT * INTO v FROM t",
    "SELECT a FROM t INTO OUTFILE '/tmp/x'",
    "SELECT a FROM t; DELETE FROM t",
    "WITH d AS (DELETE FROM t RETURNING *) SELECT * FROM d",
    "SELECT nextval('s'), setval('s', 9), lo_create(1) FROM t",
    "SELECT set_config('a.b', 'c', false), pg_sleep(1)",
    "SELECT a FROM t FOR UPDATE",
    "SELECT @x := 5, load_extension('x')",
)
FRAGMENTS = """
    SELECT * FROM WHERE t u secret t.h h s t.s k a 1 'x' ; -- /* */ ( ) , . = || AS IN NOT EXISTS UNION ALL
    DELETE UPDATE INSERT INTO DROP FOR WITH RECURSIVE RETURNING LATERAL NATURAL JOIN USING (h) (s) ORDER BY
    GROUP HAVING DISTINCT ON CASE WHEN END LIMIT 1 max( count( row_to_json( cast( coalesce( concat( ) )) rowid
    _rowid_ ctid x.* t.* q(a,b) "h" `s`
""".split()
WORDS = ("t", "u", "secret", "a", "b", "s", "h", "k", "*")
FEW = settings(
    max_examples=250, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)
GUARD = StatementGuard()


@st.composite
def statements(draw: st.DrawFn) -> str:
    """A template, most often changed in one to three places, or put inside of another."""
    text = draw(st.sampled_from((*BENIGN, *BENIGN, *ATTACKS)))
    chance = random.Random(draw(st.integers(0, 2**32)))
    for _ in range(chance.randrange(4)):
        words = text.split(" ")
        place = chance.randrange(len(words))
        kind = chance.choice(["insert", "cut", "swap", "case", "nest", "join"])
        if kind == "insert":
            words.insert(place, chance.choice(FRAGMENTS))
        elif kind == "cut":
            del words[place]
        elif kind == "swap":
            words[place] = chance.choice(WORDS)
        elif kind == "case":
            words[place] = words[place].swapcase()
        inner = " ".join(words)
        if kind == "nest":
            inner = f"SELECT y.* FROM ({text}) AS y"
        elif kind == "join":
            inner = f"{text} UNION ALL {chance.choice((*BENIGN, *ATTACKS))}"
        text = inner
    return text


class Target:
    """A database as the product asks it, by an account that may write, and as its owner looks at all of it."""

    def __init__(self, url: str, dump: Callable[[], Any]) -> None:
        config = DatabaseSettings(
            name="main", url=url, tables=("t", "u"), hidden=("t.h",), sensitive=("t.s",), sensitive_access="mask"
        )
        self.dump = dump
        self.manager = DatabaseManager(
            [config], Settings(statement_timeout=2, allow_privileged_login=True), Telemetry()
        )
        with self.manager.connect("main") as connection:
            self.schema: Schema = reflect_schema(connection, config, self.manager.dialect("main"))
        self.passed = 0

    def ask(self, sql: str) -> Rows | None:
        """The rows, or None when the guard or the server refused."""
        try:
            policy = Policy(sensitive="mask")
            statement = GUARD.check(Statement(sql, "analyst"), self.schema, max_rows=100, policy=policy)
        except StatementRefused:
            return None
        assert set(statement.tables) <= {"t", "u"}
        try:
            rows = self.manager.execute("main", statement.sql, max_rows=100, deadline=time.monotonic() + 2)
        except SqlSynthesizerError:
            return None
        self.passed += 1
        return rows

    def check(self, sql: str) -> None:
        before = self.dump()
        rows = self.ask(sql)
        assert self.dump() == before, sql
        assert rows is None or MARKER.casefold() not in repr(rows.rows).casefold(), sql


@pytest.fixture(scope="module")
def sqlite_target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    path: Path = tmp_path_factory.mktemp("guard") / "data.sqlite"
    with closing(sqlite3.connect(path)) as connection:
        for statement in SETUP:
            connection.execute(statement)
        connection.commit()
    target = Target(f"sqlite:///{path}", path.read_bytes)
    yield target
    target.manager.close()


def _dump(cursor: Any, catalogues: tuple[str, ...]) -> list[Any]:
    found = []
    for query in (*(f"SELECT * FROM {table} ORDER BY 1" for table in ("t", "u", "secret")), *catalogues):
        cursor.execute(query)
        found.append(cursor.fetchall())
    return found


@pytest.fixture(scope="module")
def postgres_target(postgres_server: Any) -> Iterator[Target]:
    with postgres_server.connect() as connection, connection.cursor() as cursor:
        cursor.execute("DROP DATABASE IF EXISTS guard_servers")
        cursor.execute("CREATE DATABASE guard_servers")
    url = postgres_server.url.replace("/postgres", "/guard_servers")
    with (
        closing(psycopg.connect(url.replace("+psycopg", ""), autocommit=True)) as connection,
        connection.cursor() as cursor,
    ):
        for statement in (*SETUP, "CREATE SEQUENCE s"):
            cursor.execute(statement)
        seen = (
            "SELECT last_value, is_called FROM s",
            "SELECT oid, relname, relacl FROM pg_class WHERE oid >= 16384 ORDER BY 1",
            "SELECT oid, proname FROM pg_proc WHERE oid >= 16384 ORDER BY 1",
            "SELECT rolname, rolsuper FROM pg_roles ORDER BY 1",
            "SELECT count(*) FROM pg_largeobject_metadata",
        )
        target = Target(url, lambda: _dump(cursor, seen))
        yield target
        target.manager.close()


@pytest.fixture(scope="module")
def mariadb_target(mariadb_server: Any) -> Iterator[Target]:
    with closing(mariadb_server.connect()) as connection, connection.cursor() as cursor:
        for statement in (
            "DROP DATABASE IF EXISTS guard_servers",
            "CREATE DATABASE guard_servers",
            "USE guard_servers",
        ):
            cursor.execute(statement)
        for statement in SETUP:
            cursor.execute(statement)
        seen = (
            "SHOW DATABASES",
            "SELECT table_name, create_time FROM information_schema.tables WHERE table_schema = 'guard_servers'",
            "SELECT user, host, select_priv FROM mysql.user ORDER BY 1, 2",
            "SELECT db, name FROM mysql.proc WHERE db <> 'sys' ORDER BY 1, 2",
        )
        target = Target(mariadb_server.url.replace("/shop", "/guard_servers"), lambda: _dump(cursor, seen))
        yield target
        target.manager.close()
        cursor.execute("DROP DATABASE guard_servers")


KINDS = [
    "sqlite",
    pytest.param("postgres", marks=pytest.mark.server),
    pytest.param("mariadb", marks=pytest.mark.server),
]


@pytest.fixture
def target(request: pytest.FixtureRequest) -> Target:
    found: Target = request.getfixturevalue(f"{request.param}_target")
    return found


@pytest.mark.parametrize("target", KINDS, indirect=True)
def test_what_passes_changes_and_leaks_nothing(target: Target) -> None:
    target.passed = 0

    @given(statements())
    @FEW
    def run(sql: str) -> None:
        target.check(sql)

    run()
    assert target.passed >= 40, "most statements are refused; the test shows little"


@pytest.mark.parametrize("target", KINDS, indirect=True)
def test_templates(target: Target) -> None:
    refused = [sql for sql in BENIGN if target.ask(sql) is None]
    assert refused == [BENIGN[3], BENIGN[14]], "grouped by a masked column, or given to a function"
    for sql in ATTACKS:
        target.check(sql)
    assert [sql for sql in ATTACKS if target.ask(sql) is not None] == []


@pytest.mark.parametrize("target", KINDS, indirect=True)
def test_masked_values(target: Target) -> None:
    rows = target.ask("SELECT * FROM t ORDER BY a")
    assert rows is not None
    assert rows.columns == ("a", "b", "c", "s")
    assert {row[-1] for row in rows.rows} == {MASK}
    grouped = target.ask("SELECT max(s), count(*) AS n FROM t")
    assert grouped is not None
    assert grouped.rows == ((MASK, 3),)


@pytest.mark.parametrize("target", KINDS, indirect=True)
@pytest.mark.parametrize("name", ["S", '"s"', "`s`", "[s]", "\u017f", "\u015f", "t.S", '"t"."s"', "t.\u017f"])
def test_no_spelling_of_a_column_gets_around_its_mark(target: Target, name: str) -> None:
    target.check(f"SELECT {name} FROM t")
    target.check(f"SELECT {name.replace('S', 'H').replace('s', 'h')} FROM t")


# --- the roles that the documentation says to make ---------------------------------------------

SHOP = (
    "CREATE TABLE customers (id INTEGER, name VARCHAR(20))",
    "CREATE TABLE staff (id INTEGER, name VARCHAR(20), salary INTEGER)",
    "CREATE TABLE secret (k VARCHAR(20))",
    "INSERT INTO customers VALUES (1, 'a')",
    "INSERT INTO staff VALUES (1, 'b', 5)",
)
READ = ("SELECT id, name FROM customers", "SELECT id, name FROM staff")
REFUSED = (
    "SELECT salary FROM staff",
    "SELECT * FROM staff",
    "SELECT k FROM secret",
    "INSERT INTO customers VALUES (2, 'x')",
    "UPDATE customers SET name = 'x'",
    "DELETE FROM customers",
    "TRUNCATE TABLE customers",
    "DROP TABLE customers",
    "ALTER TABLE customers ADD COLUMN x INTEGER",
    "CREATE TABLE v (a INTEGER)",
    "CREATE TEMPORARY TABLE v (a INTEGER)",
    "CREATE VIEW v AS SELECT 1",
    "GRANT SELECT ON secret TO reader",
)
ONLY_IN = {
    "postgres": (
        "SELECT * INTO v FROM customers",
        "SELECT lo_create(0), lo_creat(-1)",
        "SELECT lo_from_bytea(0, 'x')",
        "COPY customers TO '/tmp/guard-servers'",
        "SELECT pg_read_file('/etc/hostname')",
        "CREATE FUNCTION f() RETURNS integer LANGUAGE sql AS 'SELECT 1'",
        "CREATE SCHEMA s",
        "SET ROLE owner",
    ),
    "mariadb": (
        "SELECT * FROM customers INTO OUTFILE '/tmp/guard-servers'",
        "CREATE DATABASE x",
        "CREATE FUNCTION f() RETURNS INTEGER RETURN 1",
        "SET GLOBAL max_connections = 5",
    ),
}
PAGE = Path(__file__).parents[2] / "docs" / "statements.md"


def _role(server: str) -> list[str]:
    block = PAGE.read_text(encoding="utf-8").partition(f"<!-- role: {server} -->\n```sql\n")[2].partition("```")[0]
    assert block
    return [statement for statement in block.split(";\n") if statement.strip()]


def _run(connection: Any, *statements: str) -> list[Any]:
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
        return list(cursor.fetchall()) if cursor.description else []


def _check_role(reader: Any, server: str) -> None:
    assert [_run(reader, sql) for sql in READ] == [[(1, "a")], [(1, "b")]]
    done = []
    for sql in (*REFUSED, *ONLY_IN[server]):
        try:
            _run(reader, sql)
        except (psycopg.Error, pymysql.Error):
            continue
        done.append(sql)
    assert done == []


@pytest.mark.server
def test_the_role_for_postgresql(own_postgres: Any) -> None:
    with closing(own_postgres.connect()) as owner:
        _run(owner, "CREATE DATABASE shop")
    address = f"host=127.0.0.1 port={own_postgres.port} dbname=shop"
    with closing(psycopg.connect(f"{address} user=owner password={PASSWORD}", autocommit=True)) as owner:
        _run(owner, *SHOP, *_role("postgres"))
    with closing(psycopg.connect(f"{address} user=reader password=change-me", autocommit=True)) as reader:
        assert _run(reader, "SHOW transaction_read_only") == [("on",)]
        # What the settings of the role forbid is not enough: it may change them.
        _run(reader, "SET default_transaction_read_only = off")
        _check_role(reader, "postgres")


@pytest.mark.server
def test_the_role_for_mariadb(own_mariadb: Any) -> None:
    with closing(own_mariadb.connect()) as owner:
        _run(owner, *SHOP, *_role("mariadb"))
    account = {"host": "127.0.0.1", "port": own_mariadb.port, "user": "reader", "password": "change-me"}
    with closing(pymysql.connect(**account, database="shop", autocommit=True)) as reader:
        _check_role(reader, "mariadb")


# --- recursion ----------------------------------------------------------------------------------

ENDLESS = (
    "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n FROM r WHERE n < 9) SELECT max(n) FROM r",
    "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT t.a FROM r JOIN t ON t.a >= r.n) SELECT count(*) FROM r",
)


@pytest.mark.parametrize("target", KINDS, indirect=True)
@pytest.mark.parametrize("sql", ENDLESS)
def test_a_recursion_without_end_is_ended(target: Target, sql: str) -> None:
    statement = GUARD.check(Statement(sql, "analyst"), target.schema, max_rows=100)
    try:
        rows = target.manager.execute("main", statement.sql, max_rows=100, deadline=time.monotonic() + 2)
    except StatementTimeout:
        return
    assert target.manager.dialect("main") == "mariadb", "it counts rounds"
    assert len(rows.rows) == 1
