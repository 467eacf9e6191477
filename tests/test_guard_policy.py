"""The statement guard: hidden and sensitive columns, catalogues by role, recursion, and schemas made up."""

from __future__ import annotations

import sqlite3

import pytest

from sql_synthesizer.errors import StatementRefused
from sql_synthesizer.guard.statement import StatementGuard
from sql_synthesizer.guard.statement.imagined import imagined_schema
from sql_synthesizer.guard.statement.judging import Policy, policy_of
from sql_synthesizer.model import Column, ColumnKind, Role, Schema, Statement, Table
from sql_synthesizer.settings import DatabaseSettings
from tests.support.statements import DIALECTS, column

GUARD = StatementGuard()
CUSTOMERS = Table("customers", (column("id"), column("name"), column("email", sensitive=True)))
ORDERS = Table("orders", (column("id"), column("customer_id"), column("total")), hidden=("margin", "name"))
STAFF = Table(
    "staff", (Column("id", ColumnKind.INTEGER, primary_key=True, sensitive=True), column("salary", sensitive=True))
)
MASK, DENY, CATALOGUES = Policy(sensitive="mask"), Policy(sensitive="deny"), Policy(catalogues=True)


def passed(sql: str, dialect: str = "postgresql", policy: Policy | None = None) -> Statement:
    schema = Schema("shop", dialect, (CUSTOMERS, ORDERS, STAFF), "1")
    return GUARD.check(Statement(sql, "analyst"), schema, max_rows=100, policy=policy or Policy())


def rule(sql: str, dialect: str = "postgresql", policy: Policy | None = None) -> str:
    with pytest.raises(StatementRefused) as caught:
        passed(sql, dialect, policy)
    return str(caught.value.details["rule"])


# --- hidden columns -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sql", "written"),
    [
        ("SELECT * FROM orders", 'SELECT orders."id", orders."customer_id", orders."total" FROM orders'),
        ("SELECT o.* FROM orders o", 'SELECT o."id", o."customer_id", o."total" FROM orders AS o'),
        (
            "SELECT * FROM customers AS c JOIN orders AS o ON o.id = c.id",
            'SELECT c.*, o."id", o."customer_id", o."total" FROM customers AS c JOIN orders AS o ON o.id = c.id',
        ),
        (
            "SELECT * FROM (SELECT * FROM orders) AS x",
            'SELECT * FROM (SELECT orders."id", orders."customer_id", orders."total" FROM orders) AS x',
        ),
        ("SELECT count(*) FROM orders", "SELECT count(*) FROM orders"),
        (
            "SELECT id FROM customers WHERE EXISTS(SELECT * FROM orders)",
            "SELECT id FROM customers WHERE EXISTS(SELECT * FROM orders)",
        ),
    ],
)
def test_a_star_stands_for_the_columns_that_are_shown(sql: str, written: str) -> None:
    assert passed(sql).sql == f"{written} LIMIT 101"


@pytest.mark.parametrize(
    ("sql", "name"),
    [
        ("SELECT margin FROM orders", "column"),
        ("SELECT MARGIN FROM orders", "column"),
        ('SELECT "margin" FROM orders', "column"),
        ("SELECT o.margin FROM orders o", "column"),
        ("SELECT 1 FROM orders ORDER BY margin", "column"),
        ("(SELECT id FROM orders) ORDER BY margin", "column"),
        ("SELECT (SELECT margin) FROM orders", "column"),
        ("SELECT (SELECT margin FROM customers LIMIT 1) FROM orders", "column"),
        ('SELECT (SELECT margin FROM (SELECT 1 AS "MARGIN") d) FROM orders', "column"),
        ("SELECT id FROM customers JOIN orders USING (name)", "column"),
        ("SELECT id FROM customers NATURAL JOIN orders", "column"),
        ("SELECT o FROM orders o", "column"),
        ("SELECT row_to_json(o) FROM orders o", "column"),
        ("SELECT count(o.*) FROM orders o", "column"),
        ("SELECT x.c FROM orders AS x(a, b, c, d, e)", "column"),
        ("SELECT * FROM customers JOIN orders USING (id)", "star"),
        ("SELECT * FROM ((orders))", "star"),
    ],
)
def test_hidden_columns_do_not_exist(sql: str, name: str) -> None:
    assert rule(sql) == name


def test_a_name_that_another_table_shows_is_no_hidden_one() -> None:
    inner = "SELECT name FROM customers WHERE id IN (SELECT customer_id FROM orders)"
    assert passed(inner).sql == f"{inner} LIMIT 101"
    assert rule("SELECT name FROM orders WHERE id IN (SELECT id FROM customers)") == "column"


@pytest.mark.parametrize(("dialect", "name"), [("sqlite", "rowid"), ("sqlite", "OID"), ("mysql", "_rowid")])
def test_other_names_of_a_key(dialect: str, name: str) -> None:
    assert rule(f"SELECT {name} FROM orders", dialect) == "column"
    assert passed(f"SELECT {name} FROM staff", dialect).sensitive == ("staff.id",)
    assert passed(f"SELECT {name} FROM customers", dialect).sensitive == ()


@pytest.mark.parametrize("name", ["marg\u0130n", "marg\u0131n", "m\u00e4rgin", "\uff4dargin"])
def test_names_that_a_server_may_take_for_another(name: str) -> None:
    assert rule(f"SELECT {name} FROM orders", "mysql") == "column"


# --- sensitive columns --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sql", "written"),
    [
        ("SELECT email FROM customers", "SELECT '***' AS \"email\" FROM customers"),
        ("SELECT * FROM customers", 'SELECT customers."id", customers."name", \'***\' AS "email" FROM customers'),
        ("SELECT upper(email), name FROM customers", "SELECT '***' AS \"upper\", name FROM customers"),
        ("SELECT count(DISTINCT email) AS n FROM customers", "SELECT max('***') AS \"n\" FROM customers"),
        ("SELECT email || name AS x FROM customers", "SELECT '***' AS \"x\" FROM customers"),
        ("SELECT c FROM customers AS c", "SELECT '***' AS \"c\" FROM customers AS c"),
        ("SELECT name FROM customers WHERE id = 3", "SELECT name FROM customers WHERE id = 3"),
        (
            "SELECT x.email FROM (SELECT email FROM customers) AS x",
            "SELECT x.email FROM (SELECT '***' AS \"email\" FROM customers) AS x",
        ),
        (
            "SELECT (SELECT max(email) FROM customers) AS e FROM orders",
            "SELECT (SELECT max('***') AS \"max\" FROM customers) AS e FROM orders",
        ),
    ],
)
def test_masked_columns_are_not_read(sql: str, written: str) -> None:
    statement = passed(sql, policy=MASK)
    assert statement.sql == f"{written} LIMIT 101"
    assert statement.sensitive == (("customers.email",) if "***" in written else ())
    assert passed(statement.sql, policy=MASK).sql == statement.sql


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT name FROM customers WHERE email = 'x'",
        "SELECT name FROM customers GROUP BY name HAVING max(email) > 'x'",
        "SELECT name FROM customers ORDER BY email",
        "SELECT email FROM customers ORDER BY 1",
        "SELECT email, count(*) FROM customers GROUP BY 1",
        "SELECT email FROM customers GROUP BY email",
        "SELECT DISTINCT ON (email) name FROM customers",
        "SELECT customers.id FROM customers JOIN staff ON email = salary",
        "SELECT staff.id FROM staff JOIN staff AS s USING (salary)",
        "SELECT row_number() OVER (ORDER BY email) FROM customers",
        "SELECT CASE WHEN email LIKE 'a%' THEN 1 / 0 END FROM customers",
        "SELECT 1 / (salary - 5) FROM staff",
        "SELECT cast(email AS integer) FROM customers",
        "SELECT email IN ('a', 'b') FROM customers",
        "SELECT to_json(c) FROM customers AS c",
        "SELECT x.b FROM customers AS x(a, b, c)",
        "SELECT name FROM customers WHERE id IN (SELECT id FROM staff WHERE salary > 5)",
    ],
)
def test_a_masked_column_decides_about_nothing(sql: str) -> None:
    assert rule(sql, policy=MASK) == "sensitive_column"


def test_masked_rows_in_sqlite() -> None:
    database = sqlite3.connect(":memory:")
    database.execute("CREATE TABLE customers (id, name, email)")
    database.executemany("INSERT INTO customers VALUES (?, ?, ?)", [(1, "a", "x@y"), (2, "b", "z@y")])
    asked = "SELECT max(email) AS m, count(*) AS n FROM customers"
    assert database.execute(passed(asked, "sqlite", MASK).sql).fetchall() == [("***", 2)]
    asked = "SELECT * FROM customers ORDER BY id"
    assert database.execute(passed(asked, "sqlite", MASK).sql).fetchall() == [(1, "a", "***"), (2, "b", "***")]
    database.close()


def test_denied_columns() -> None:
    with pytest.raises(StatementRefused) as caught:
        passed("SELECT email FROM customers", policy=DENY)
    told = {"rule": "sensitive_column", "columns": "customers.email"}
    assert told.items() <= caught.value.details.items()
    assert caught.value.event == "statement_rejected"
    assert rule("SELECT * FROM customers", policy=DENY) == "sensitive_column"
    assert rule("SELECT name FROM customers ORDER BY email", policy=DENY) == "sensitive_column"
    assert passed("SELECT name FROM customers WHERE EXISTS (SELECT * FROM staff)", policy=DENY).sensitive == ()
    assert passed("SELECT email FROM (SELECT name AS email FROM customers) AS x", policy=DENY).sensitive == ()


def test_a_verdict_is_remembered_for_its_policy() -> None:
    sql = "SELECT email FROM customers"
    assert "***" not in passed(sql).sql
    assert "***" in passed(sql, policy=MASK).sql
    assert rule(sql, policy=DENY) == "sensitive_column"
    assert passed(sql).sensitive == ("customers.email",)


# --- catalogues ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dialect", "sql"),
    [
        ("postgresql", "SELECT c.relname FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace"),
        ("postgresql", "SELECT table_name FROM information_schema.tables"),
        ("postgresql", "SELECT version(), current_user, session_user, current_database()"),
        ("mysql", "SELECT table_name FROM information_schema.tables"),
        ("mysql", "SELECT version(), user(), database()"),
        ("sqlite", "SELECT name, sql FROM sqlite_master"),
        ("sqlite", "SELECT sqlite_version()"),
        ("trino", "SELECT table_name FROM information_schema.columns"),
        ("clickhouse", "SELECT name FROM system.tables"),
    ],
)
def test_catalogues_by_policy(dialect: str, sql: str) -> None:
    assert passed(sql, dialect, CATALOGUES).sql
    assert rule(sql, dialect) in {"system_catalog", "function", "session_value", "node_type"}


@pytest.mark.parametrize(
    ("dialect", "sql"),
    [
        ("postgresql", "SELECT * FROM pg_shadow"),
        ("postgresql", "SELECT * FROM pg_authid"),
        ("postgresql", "SELECT most_common_vals FROM pg_stats"),
        ("postgresql", "SELECT query FROM pg_stat_activity"),
        ("postgresql", "SELECT c.pg_relation_filepath FROM pg_class c"),
        ("postgresql", "SELECT current_setting('data_directory')"),
        ("postgresql", "SELECT inet_server_addr()"),
        ("postgresql", "SELECT * FROM orders FOR SHARE"),
        ("mysql", "SELECT * FROM mysql.user"),
        ("mysql", "SELECT * FROM information_schema.processlist"),
        ("mysql", "SELECT @@version"),
        ("clickhouse", "SELECT * FROM system.users"),
    ],
)
def test_what_no_policy_allows(dialect: str, sql: str) -> None:
    assert rule(sql, dialect, CATALOGUES)


@pytest.mark.parametrize(
    ("least", "allowed"),
    [(None, []), (Role.OPERATOR, [Role.OPERATOR]), (Role.ANALYST, [Role.ANALYST, Role.OPERATOR])],
)
def test_the_policy_of_a_role(least: Role | None, allowed: list[Role]) -> None:
    config = DatabaseSettings(name="main", url="sqlite:///x", catalogue_role=least, sensitive_access="deny")
    assert [
        role for role in (Role.VIEWER, Role.ANALYST, Role.OPERATOR) if policy_of(config, role).catalogues
    ] == allowed
    assert policy_of(config, Role.OPERATOR).sensitive == "deny"


# --- recursion ----------------------------------------------------------------------------------


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize(
    "sql",
    [
        "WITH RECURSIVE r AS (SELECT id FROM orders UNION ALL SELECT o.id FROM orders o JOIN r USING (id)) SELECT 1",
        "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n < 100) SELECT n FROM r",
        "WITH RECURSIVE r(n) AS (SELECT 9 UNION ALL SELECT n - 1 FROM r WHERE n > 0) SELECT n FROM r",
        "WITH RECURSIVE a AS (SELECT 1 AS n), b AS (SELECT * FROM a) SELECT * FROM b",
    ],
)
def test_bounded_recursion_passes(dialect: str, sql: str) -> None:
    assert passed(sql, dialect).sql.startswith("WITH RECURSIVE")


@pytest.mark.parametrize(
    ("sql", "name"),
    [
        ("WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r) SELECT * FROM r", "recursion"),
        ("WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE true) SELECT * FROM r", "recursion"),
        ("WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n > 0) SELECT * FROM r", "recursion"),
        ("WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE 0 <= n) SELECT * FROM r", "recursion"),
        ("WITH RECURSIVE r(n) AS (SELECT n FROM r UNION ALL SELECT 1) SELECT * FROM r", "recursion"),
        ("WITH RECURSIVE r(n) AS (SELECT a.n FROM r a, r b WHERE a.n < 9) SELECT * FROM r", "recursion"),
        (
            "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT a.n FROM r a, r b WHERE a.n < 9) SELECT * FROM r",
            "recursion",
        ),
        ("WITH RECURSIVE a AS (SELECT * FROM hidden), hidden AS (SELECT 1) SELECT * FROM a", "recursion"),
        ("WITH RECURSIVE hidden AS (SELECT * FROM hidden) SELECT * FROM hidden", "recursion"),
        (
            "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n < 1e9) SELECT * FROM r",
            "result_size",
        ),
        ("WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r LIMIT 1e9) SELECT * FROM r", "result_size"),
    ],
)
def test_other_recursion_is_refused(sql: str, name: str) -> None:
    assert rule(sql) == name


# --- series -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "bounds",
    [
        "1, 100000",
        "10, 1, -1",
        "'2020-01-01'::date, '2023-12-31', '1 day'",
        "current_date - 30, current_date, interval '1 day'",
        "now() - interval '2 months', now(), '1 hour'",
        "date_trunc('year', now()), current_date + interval '1 year', interval '1' month",
        "date '2020-01-01', now()::date, '-1 week'",
    ],
)
def test_bounded_series_pass(bounds: str) -> None:
    assert passed(f"SELECT d FROM generate_series({bounds}) AS d").sql


@pytest.mark.parametrize(
    "bounds",
    [
        "1, 100001",
        f"1, {10**99}",
        f"current_date, current_date + {10**99}, '1 day'",
        "1, 10, 0",
        "1, (SELECT max(id) FROM orders)",
        "now() - interval '9000 years', now(), '1 hour'",
        "current_date, current_date + 999999, '1 day'",
        "now(), now() + interval '1 day', interval '1 second'",
        "now(), now() + interval '1 day', '0 days'",
        "now() - (SELECT max(total) FROM orders), now(), '1 day'",
        "now() + now(), now(), '1 day'",
        "",
    ],
)
def test_other_series_are_refused(bounds: str) -> None:
    assert rule(f"SELECT d FROM generate_series({bounds}) AS d") == "result_size"


# --- tables after IN ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dialect", "condition"),
    [
        ("sqlite", "id IN hidden"),
        ("sqlite", "id NOT IN main.hidden"),
        ("sqlite", "id IN 'hidden'"),
        ("sqlite", "id IN json_each('[1]')"),
        ("clickhouse", "id IN hidden"),
        ("clickhouse", "id IN (hidden)"),
        ("clickhouse", "id GLOBAL IN ((other.hidden))"),
    ],
)
def test_a_name_after_in_is_a_table(dialect: str, condition: str) -> None:
    assert rule(f"SELECT id FROM orders WHERE {condition}", dialect) == "in_table"


@pytest.mark.parametrize("condition", ["id IN ('a')", "id IN (-1)", "id IN [1, 2]", "id IN (toDate('2020-01-01'))"])
def test_lists_after_in(condition: str) -> None:
    assert passed(f"SELECT id FROM orders WHERE {condition}", "clickhouse").sql


# --- schemas made up ----------------------------------------------------------------------------


def judged(sql: str, dialect: str) -> Statement:
    return GUARD.check(Statement(sql, "analyst"), imagined_schema(sql, dialect), max_rows=100)


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize(
    ("sql", "tables"),
    [
        ("SELECT a.x, y FROM a JOIN sales.b ON a.id = b.id", ("a", "b")),
        ("WITH w AS (SELECT x FROM a) SELECT x FROM w", ("a",)),
        ("SELECT ceil(x), floor(y) FROM a", ("a",)),
        ("SELECT 1", ()),
    ],
)
def test_a_statement_is_judged_without_a_database(dialect: str, sql: str, tables: tuple[str, ...]) -> None:
    assert judged(sql, dialect).tables == tables


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize(
    "sql",
    [
        "DELETE FROM a",
        "SELECT",
        "",
        "(" * 5000,
        "SELECT * FROM information_schema.tables",
        "SELECT * FROM pg_shadow",
        "SELECT * FROM sqlite_master",
        "SELECT * FROM all_tables",
        "SELECT * FROM sys.objects",
        "SELECT * FROM a.b.c",
    ],
)
def test_made_up_schemas_hold_no_catalogue(dialect: str, sql: str) -> None:
    with pytest.raises(StatementRefused):
        judged(sql, dialect)
