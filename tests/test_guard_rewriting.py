"""The statement guard: what it writes, what a check may cost, and what it remembers."""

from __future__ import annotations

import sqlite3

import pytest

from benchmarks.worst import NESTED
from sql_synthesizer.errors import StatementRefused
from sql_synthesizer.guard.statement import StatementGuard
from sql_synthesizer.model import Schema, Statement
from tests.support.serving import ends
from tests.support.statements import DIALECTS, ORDERS, STAFF, passed, refusal, rule, schema


@pytest.fixture(scope="module")
def guard() -> StatementGuard:
    return StatementGuard()


# --- limits -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sql", "limit"),
    [
        ("SELECT id FROM orders", 101),
        ("SELECT id FROM orders LIMIT 5", 5),
        ("SELECT id FROM orders LIMIT 0", 0),
        ("SELECT id FROM orders LIMIT 101", 101),
        ("SELECT id FROM orders LIMIT 5000 OFFSET 20", 101),
        ("SELECT id FROM orders LIMIT -1", 101),
        ("SELECT id FROM orders UNION SELECT id FROM staff", 101),
        ("SELECT id FROM orders UNION SELECT id FROM staff LIMIT 7", 7),
        ("(SELECT id FROM orders LIMIT 900)", 101),
        ("SELECT * FROM (SELECT id FROM orders LIMIT 5000) AS x", 101),
        ("SELECT id FROM orders FETCH FIRST 3 ROWS ONLY", 3),
        ("SELECT id FROM orders FETCH FIRST ROW ONLY", 1),
    ],
)
def test_rows_are_limited(guard: StatementGuard, sql: str, limit: int) -> None:
    database = sqlite3.connect(":memory:")
    database.execute("CREATE TABLE orders (id)")
    database.execute("CREATE TABLE staff (id)")
    database.executemany("INSERT INTO orders VALUES (?)", [(n,) for n in range(6000)])
    statement = passed(guard, sql)
    assert statement.limit == limit
    assert len(database.execute(statement.sql).fetchall()) == limit
    database.close()


@pytest.mark.parametrize(
    ("dialect", "sql", "end"),
    [
        ("postgresql", "SELECT id FROM orders LIMIT ALL", "LIMIT 101"),
        ("postgresql", "SELECT id FROM orders LIMIT NULL OFFSET 3", "LIMIT 101 OFFSET 3"),
        ("postgresql", "SELECT id FROM orders OFFSET 2 ROWS FETCH NEXT 5 ROWS ONLY", "LIMIT 5 OFFSET 2"),
        ("postgresql", "((SELECT id FROM orders LIMIT 900))", "orders LIMIT 101"),  # not behind a parenthesis
        ("mariadb", "SELECT id FROM orders LIMIT 5, 10", "LIMIT 10 OFFSET 5"),
        ("mariadb", "(SELECT id FROM orders) UNION (SELECT id FROM staff)", "LIMIT 101"),
        ("trino", "SELECT id FROM orders OFFSET 2 LIMIT 500", "OFFSET 2 LIMIT 101"),
        ("clickhouse", "SELECT id FROM orders", "LIMIT 101"),
    ],
)
def test_limits_of_other_dialects(guard: StatementGuard, dialect: str, sql: str, end: str) -> None:
    assert passed(guard, sql, dialect).sql.endswith(end)


@pytest.mark.parametrize("sql", ["SELECT 1 LIMIT 1 + 1", "SELECT 1 LIMIT (SELECT 2)", "SELECT 1 LIMIT 1.5"])
def test_a_computed_limit_is_refused_rather_than_changed(guard: StatementGuard, sql: str) -> None:
    assert rule(guard, sql) == "limit"


# --- literals -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value", ["it's", "a\\", "\\'", "a;b", "--", "/* x */", "#", '"', "`", "%s", "?", "é ☃ 😀", "\n\t"]
)
def test_text_constants_arrive_unchanged(guard: StatementGuard, value: str) -> None:
    quoted = value.replace("'", "''")
    database = sqlite3.connect(":memory:")
    statement = passed(guard, f"SELECT '{quoted}', '{quoted}' || 'x'")
    assert database.execute(statement.sql).fetchone() == (value, value + "x")
    database.close()


def test_a_backslash_ends_no_constant_in_postgresql(guard: StatementGuard) -> None:
    assert passed(guard, r"SELECT 'a\' AS x, 'y'", "postgresql").sql == r"SELECT 'a\' AS x, 'y' LIMIT 101"


def test_a_backslash_escapes_in_mysql(guard: StatementGuard) -> None:
    assert passed(guard, r"SELECT 'a\'b', 'c\\'", "mysql").sql == r"SELECT 'a''b', 'c\\' LIMIT 101"


@pytest.mark.parametrize(
    ("sql", "dialect"),
    [
        ("SELECT note -> 'a''b' FROM orders", "postgresql"),
        ("SELECT note ->> 'x'' || pg_sleep(5) || ''' FROM orders", "postgresql"),
        ("SELECT note ->> '$.\"x'' || load_file(1) || ''\"' FROM orders", "mariadb"),
        ("SELECT note -> '$.a'' || readfile(1) || ''' FROM orders", "sqlite"),
    ],
)
def test_quotes_in_json_paths_break_out_of_nothing(guard: StatementGuard, sql: str, dialect: str) -> None:
    try:
        written = passed(guard, sql, dialect).sql
    except StatementRefused:
        return
    assert passed(guard, written, dialect).sql == written


def test_control_characters_are_refused(guard: StatementGuard) -> None:
    assert rule(guard, "SELECT 'a\x00b'") in {"control_character", "syntax"}
    assert rule(guard, 'SELECT "a\x01b" FROM orders') == "control_character"


# --- cost ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("sql", NESTED)
def test_costly_nesting_is_given_up(guard: StatementGuard, dialect: str, sql: str) -> None:
    try:
        ends(lambda: passed(guard, sql, dialect))
    except StatementRefused as error:
        assert error.details["rule"] in {"too_complex", "too_many_joins", "function", "node_type", "syntax"}


# --- remembered verdicts ------------------------------------------------------------------------


def test_verdicts_are_remembered_for_the_schema_they_were_made_for() -> None:
    guard = StatementGuard()
    first = guard.check(Statement("SELECT * FROM orders", "llm", explanation="a"), schema(), max_rows=5)
    again = guard.check(Statement("SELECT * FROM orders", "rules", explanation="b"), schema(), max_rows=5)
    assert (again.sql, again.source, again.explanation) == (first.sql, "rules", "b")
    assert guard.check(Statement("SELECT * FROM orders", "llm"), schema(), max_rows=9).limit == 10
    with pytest.raises(StatementRefused):
        guard.check(Statement("SELECT * FROM orders", "llm"), Schema("shop", "sqlite", (STAFF,), "2"), max_rows=5)


def test_schemas_without_a_version_are_told_apart() -> None:
    guard = StatementGuard()
    guard.check(Statement("SELECT * FROM orders", "llm"), Schema("shop", "sqlite", (ORDERS,)), max_rows=5)
    with pytest.raises(StatementRefused):
        guard.check(Statement("SELECT * FROM orders", "llm"), Schema("shop", "sqlite", (STAFF,)), max_rows=5)


def test_a_remembered_refusal_is_a_new_error_each_time(guard: StatementGuard) -> None:
    first, second = refusal(guard, "DROP TABLE t"), refusal(guard, "DROP TABLE t")
    assert first is not second
    assert first.details == second.details
    assert first.details is not second.details


def test_the_policy_has_a_stable_version() -> None:
    assert StatementGuard().policy_version == StatementGuard().policy_version
