"""Whatever the statement guard lets pass changes nothing, reads nothing else, and means what was typed."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pymysql
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sql_synthesizer.errors import QuestionRefused, SqlSynthesizerError, StatementRefused
from sql_synthesizer.guard.question import QuestionGuard
from sql_synthesizer.guard.statement import StatementGuard
from sql_synthesizer.model import Caller, Column, ColumnKind, Schema, Statement, Table
from sql_synthesizer.model.dialects import DIALECTS
from sql_synthesizer.telemetry import Telemetry

GUARD = StatementGuard()
SETUP = (
    "CREATE TABLE t (a INTEGER, b VARCHAR(20), c NUMERIC(8, 2))",
    "CREATE TABLE u (a INTEGER, d VARCHAR(20))",
    "CREATE TABLE secret (k VARCHAR(20))",
    "INSERT INTO t VALUES (1, 'x', 1.5), (2, 'it''s', 2.25), (3, NULL, NULL), (3, 'X', 0)",
    "INSERT INTO u VALUES (1, 'one'), (3, 'three'), (NULL, 'none')",
    "INSERT INTO secret VALUES ('do not read')",
)
TABLES = ("t", "u", "secret")
SLOW = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))


def schema(dialect: str = "sqlite") -> Schema:
    def table(name: str, *columns: str) -> Table:
        return Table(name, tuple(Column(c, ColumnKind.TEXT) for c in columns))

    return Schema("shop", dialect, (table("t", "a", "b", "c"), table("u", "a", "d")), "1")


def passed(sql: str, dialect: str = "sqlite") -> Statement | None:
    """The checked statement, or None when the guard refused it; any other error fails the test."""
    try:
        return GUARD.check(Statement(sql, "analyst"), schema(dialect), max_rows=1000)
    except StatementRefused:
        return None


def refusal_rule(sql: str) -> str:
    with pytest.raises(StatementRefused) as caught:
        GUARD.check(Statement(sql, "analyst"), schema(), max_rows=1000)
    return str(caught.value.details["rule"])


# --- queries that are meant to pass -------------------------------------------------------------

COLUMNS = st.sampled_from(["t.a", "t.b", "t.c", "u.a", "u.d"])
LITERALS = st.one_of(
    st.integers(-100, 100).map(str),
    st.sampled_from(["NULL", "1.5", "0", "2e1"]),
    st.text(st.sampled_from("x'\"\\;-/*#%_ `\u00e9"), max_size=6).map(lambda s: "'" + s.replace("'", "''") + "'"),
)


def _extend(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    pair = st.tuples(inner, inner)
    operators = st.sampled_from(["+", "-", "*", "=", "<>", "<", ">=", "AND", "OR", "IS", "IS NOT", "||", "LIKE"])
    return st.one_of(
        st.tuples(inner, operators, inner).map(lambda p: f"({p[0]} {p[1]} {p[2]})"),
        st.tuples(inner, operators, inner, operators, inner).map(lambda p: f"({' '.join(p)})"),
        pair.map(lambda p: f"coalesce({p[0]}, {p[1]})"),
        pair.map(lambda p: f"nullif({p[0]}, {p[1]})"),
        pair.map(lambda p: f"CASE WHEN {p[0]} THEN {p[1]} ELSE 0 END"),
        pair.map(lambda p: f"{p[0]} IN ({p[1]}, 1)"),
        pair.map(lambda p: f"{p[0]} NOT BETWEEN {p[1]} AND 2"),
        inner.map(lambda e: f"NOT ({e})"),
        inner.map(lambda e: f"-({e})"),
        inner.map(lambda e: f"({e}) IS NOT NULL"),
        inner.map(lambda e: f"cast({e} AS INTEGER)"),
        inner.map(lambda e: f"cast({e} AS NUMERIC)"),
        inner.map(lambda e: f"upper({e}) /* note */"),
        inner.map(lambda e: f"(SELECT max(u.a) FROM u WHERE u.a > {e})"),
    )


EXPRESSIONS = st.recursive(st.one_of(COLUMNS, LITERALS), _extend, max_leaves=6)
FROM = st.sampled_from(
    ["t, u", "t CROSS JOIN u", "t JOIN u ON t.a = u.a", "t LEFT JOIN u ON t.a = u.a", "t JOIN u USING (a)"]
)


@st.composite
def queries(draw: st.DrawFn) -> str:
    first, second, where = draw(EXPRESSIONS), draw(EXPRESSIONS), draw(EXPRESSIONS)
    source = draw(FROM)
    shape = draw(st.sampled_from(["plain", "grouped", "window", "union", "cte", "derived"]))
    order = "ORDER BY 1, 2"
    return {
        "plain": f"SELECT {first} AS x, {second} AS y FROM {source} WHERE {where} {order}",
        "grouped": f"SELECT {first} AS x, count(*) AS y FROM {source} GROUP BY {first} HAVING count(*) > 0 {order}",
        "window": f"SELECT {first} AS x, sum(t.a) OVER (PARTITION BY {second}) AS y FROM {source} {order}",
        "union": f"SELECT {first} AS x, 1 AS y FROM {source} UNION SELECT {second}, 2 FROM {source} {order}",
        "cte": f"WITH w AS (SELECT {first} AS x, {second} AS y FROM {source}) SELECT x, y FROM w {order} -- end",
        "derived": f"SELECT x, y FROM (SELECT {first} AS x, {second} AS y FROM {source}) AS s {order};",
    }[shape]


# --- texts that are meant to be refused, or to be nonsense ----------------------------------------

FRAGMENTS = """
    SELECT * FROM WHERE t u secret sqlite_master a b 1 ' '' " ` ; -- /* */ ( ) , . = < > + - || && @ @x := ? :p $1 $$ \\
    UNION ALL EXCEPT DELETE UPDATE SET INSERT INTO VALUES DROP TABLE CREATE AS ALTER ATTACH DATABASE PRAGMA
    WITH RECURSIVE RETURNING BEGIN COMMIT EXPLAIN LIMIT OFFSET ORDER BY GROUP HAVING JOIN ON USING CASE WHEN THEN
    END CAST NOT NULL IN count( load_extension( writefile( pg_sleep( sleep( nextval( OUTFILE FOR UPDATE /*! */ # [ ]
    { } E' N' X'4' 0x1 1e 9.e.a
""".split()
SOUP = st.lists(st.sampled_from(FRAGMENTS), max_size=25).flatmap(lambda w: st.sampled_from([" ".join(w), "".join(w)]))
REFUSED = (
    "DELETE FROM t",
    "INSERT INTO t VALUES (9, 'z', 0)",
    "UPDATE t SET a = 0",
    "DROP TABLE u",
    "CREATE TABLE v AS SELECT * FROM t",
    "SELECT * FROM t; DELETE FROM t",
    "WITH d AS (DELETE FROM t RETURNING *) SELECT * FROM d",
    "SELECT * INTO v FROM t",
    "SELECT * FROM secret",
    "SELECT (SELECT k FROM secret) FROM t",
    "SELECT * FROM t WHERE EXISTS (SELECT 1 FROM secret)",
    "WITH s AS (SELECT * FROM secret) SELECT * FROM s",
    "SELECT a FROM t UNION SELECT k FROM secret",
    "SELECT load_extension('x') FROM t",
    "SELECT nextval('s'), lo_create(1) FROM t",
)


@st.composite
def mutated(draw: st.DrawFn) -> str:
    text = draw(st.one_of(st.sampled_from(REFUSED), queries()))
    chance = random.Random(draw(st.integers(0, 2**32)))
    for _ in range(draw(st.integers(1, 4))):
        place = chance.randrange(len(text) + 1)
        kind = chance.choice(["insert", "cut", "case", "swap"])
        if kind == "insert":
            text = f"{text[:place]} {chance.choice(FRAGMENTS)} {text[place:]}"
        elif kind == "cut":
            text = text[:place] + text[place + chance.randrange(1, 8) :]
        elif kind == "case":
            text = text[:place] + text[place : place + 5].swapcase() + text[place + 5 :]
        else:
            text = text[place:] + " " + text[:place]
    return text


# --- SQLite -------------------------------------------------------------------------------------


class Watched:
    """A SQLite database that remembers which tables were read and refuses to change anything unseen."""

    def __init__(self) -> None:
        self.connection = sqlite3.connect(":memory:", isolation_level=None, cached_statements=0)
        for statement in SETUP:
            self.connection.execute(statement)
        self.read: set[str] = set()
        self.other: list[int] = []
        self.connection.set_authorizer(self._authorize)

    def _authorize(self, action: int, first: str | None, *rest: str | None) -> int:
        if action == sqlite3.SQLITE_READ:
            self.read.add(str(first).lower())
        elif action not in {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_FUNCTION}:
            self.other.append(action)
        return sqlite3.SQLITE_OK

    def rows(self, sql: str) -> list[tuple[Any, ...]] | str:
        """The rows, or what kind of error it was."""
        self.read.clear()
        self.other.clear()
        try:
            return self.connection.execute(sql).fetchall()
        except sqlite3.Error as error:
            return type(error).__name__


DATABASE = Watched()


def changes_nothing(sql: str) -> None:
    before = DATABASE.connection.total_changes
    DATABASE.rows(sql)
    assert DATABASE.read <= {"t", "u", ""}, sql
    assert not DATABASE.other, sql
    assert DATABASE.connection.total_changes == before, sql


@given(queries())
@settings(max_examples=300, deadline=None)
def test_what_is_written_means_what_was_typed(sql: str) -> None:
    statement = passed(sql)
    if statement is None:
        assert refusal_rule(sql) in {"ambiguous", "syntax"}
        return
    assert DATABASE.rows(statement.sql) == DATABASE.rows(sql)
    changes_nothing(statement.sql)
    again = passed(statement.sql)
    assert again is not None
    assert again.sql == statement.sql


@given(st.one_of(mutated(), SOUP))
@settings(max_examples=500, deadline=None)
def test_what_passes_changes_nothing_and_reads_no_other_table(sql: str) -> None:
    statement = passed(sql)
    if statement is not None:
        changes_nothing(statement.sql)
        assert DATABASE.read - {""} <= set(statement.tables)


@pytest.mark.parametrize("sql", REFUSED)
@pytest.mark.parametrize("dialect", DIALECTS)
def test_the_refused_are_refused(sql: str, dialect: str) -> None:
    assert passed(sql, dialect) is None


@given(st.one_of(SOUP, mutated(), st.text(max_size=60)), st.sampled_from(list(DIALECTS)))
@settings(max_examples=400, deadline=None)
def test_no_text_raises_anything_but_a_refusal(sql: str, dialect: str) -> None:
    statement = passed(sql, dialect)
    if statement is not None:
        assert set(statement.tables) <= {"t", "u"}
        assert statement.limit is not None
        assert statement.limit <= 1001


@given(st.text(max_size=200))
@settings(max_examples=200, deadline=None)
def test_no_question_raises_anything_but_a_documented_error(text: str) -> None:
    guard = partial(QuestionGuard(Telemetry(), lambda _: False, max_chars=150).check, caller=Caller("k1"))
    try:
        assert guard(guard(text)) == guard(text)
    except QuestionRefused as error:
        assert error.details["rule"]
    except SqlSynthesizerError as error:
        assert error.outcome == "invalid"


# --- real servers -------------------------------------------------------------------------------


def fingerprint(execute: Callable[[str], list[Any]]) -> list[Any]:
    return [execute(f"SELECT * FROM {table} ORDER BY 1, 2") for table in ("t", "u")] + [execute("SELECT k FROM secret")]


@pytest.fixture(scope="module")
def postgres(postgres_server: Any) -> Iterator[Callable[[str], list[Any]]]:
    with postgres_server.connect() as connection:
        connection.execute("DROP SCHEMA IF EXISTS guard CASCADE; CREATE SCHEMA guard; SET search_path TO guard")
        connection.execute("SET statement_timeout = '2s'")
        for statement in SETUP:
            connection.execute(statement)
        yield lambda sql: connection.execute(sql).fetchall()
        connection.execute("DROP SCHEMA guard CASCADE")


@pytest.fixture(scope="module")
def mariadb(mariadb_server: Any) -> Iterator[Callable[[str], list[Any]]]:
    connection = mariadb_server.connect()
    cursor = connection.cursor()
    for statement in ("DROP DATABASE IF EXISTS guard_test", "CREATE DATABASE guard_test", "USE guard_test", *SETUP):
        cursor.execute(statement)
    cursor.execute("SET max_statement_time = 2")

    def execute(sql: str) -> list[Any]:
        cursor.execute(sql)
        return list(cursor.fetchall())

    yield execute
    cursor.execute("DROP DATABASE guard_test")
    connection.close()


@pytest.mark.server
@given(st.one_of(queries(), mutated()))
@SLOW
def test_nothing_changes_in_postgresql(postgres: Callable[[str], list[Any]], sql: str) -> None:
    unchanged(postgres, sql, "postgresql", psycopg.Error)


@pytest.mark.server
@given(st.one_of(queries(), mutated()))
@SLOW
def test_nothing_changes_in_mariadb(mariadb: Callable[[str], list[Any]], sql: str) -> None:
    unchanged(mariadb, sql, "mariadb", pymysql.Error)


def unchanged(execute: Callable[[str], list[Any]], sql: str, dialect: str, error: type[Exception]) -> None:
    statement = passed(sql, dialect)
    if statement is None:
        return
    before = fingerprint(execute)
    try:
        written = execute(statement.sql)
    except error:
        written = None
    try:
        typed = execute(sql)
    except error:
        typed = None
    assert fingerprint(execute) == before
    if written is not None and typed is not None:
        assert sorted(map(repr, written)) == sorted(map(repr, typed)), sql


SYNTAX = (Path(__file__).parent / "guard_syntax.sql").read_text().split("-- ")
LINES = [(part.splitlines()[0], sql) for part in SYNTAX[1:] for sql in part.splitlines()[1:]]


@pytest.mark.server
@pytest.mark.parametrize(("dialect", "sql"), LINES)
def test_the_syntax_of_a_server_survives(dialect: str, sql: str, request: pytest.FixtureRequest) -> None:
    execute = request.getfixturevalue({"postgresql": "postgres", "mariadb": "mariadb"}[dialect])
    statement = passed(sql, dialect)
    assert statement is not None
    assert execute(statement.sql) == execute(sql), statement.sql
