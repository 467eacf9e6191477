"""The statement guard: what passes, what is refused and why."""

from __future__ import annotations

import pytest
from sqlglot import exp

from sql_synthesizer.errors import StatementRefused
from sql_synthesizer.guard.statement import StatementGuard
from sql_synthesizer.guard.statement.functions import ALLOWED
from sql_synthesizer.guard.statement.nodes import check_nodes
from sql_synthesizer.model import Table
from sql_synthesizer.model.dialects import DIALECTS as ROWS
from tests.support.statements import DIALECTS, column, passed, refusal, rule


@pytest.fixture(scope="module")
def guard() -> StatementGuard:
    return StatementGuard()


# --- what passes --------------------------------------------------------------------------------


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 1",
        "select count(*) from orders;",
        "SELECT name FROM customers WHERE name = 'O''Brien' -- a comment",
        "/* delete */ SELECT c.name, sum(o.total) AS t FROM customers c JOIN orders o ON o.id = c.id GROUP BY 1",
        "SELECT name FROM customers GROUP BY name HAVING count(*) > 5 ORDER BY count(*) DESC LIMIT 3",
        "SELECT id FROM orders UNION ALL SELECT id FROM customers",
        "(SELECT id FROM orders) UNION ALL (SELECT id FROM customers) ORDER BY 1",
        "WITH updates AS (SELECT id FROM orders) SELECT * FROM updates WHERE id IN (SELECT id FROM customers)",
        "SELECT row_number() OVER (PARTITION BY customer_id ORDER BY total) AS n FROM orders",
        "SELECT CASE WHEN total > 1 THEN 'DROP TABLE x' ELSE 'b' END FROM orders",
        "SELECT cast(total AS integer), coalesce(note, '-'), upper(note) FROM orders WHERE note LIKE '%;%'",
        "SELECT name FROM customers c WHERE EXISTS (SELECT 1 FROM orders o WHERE o.customer_id = c.id)",
        "SELECT * FROM orders WHERE id = 5 OR 1=1",
        "SELECT x.n FROM (SELECT count(*) AS n FROM orders) AS x",
        "SELECT x.n FROM ((SELECT count(*) AS n FROM orders)) AS x",
        "SELECT c.name FROM (customers AS c JOIN orders AS o ON o.customer_id = c.id)",
        "SELECT lpad(replace(replace(note, ' ', ''), '-', ''), 20, '0'), repeat('-', 10) FROM orders",
        "SELECT ceil(total), floor(total), ceiling(total), initcap(note) FROM orders",
        "SELECT avg(total) OVER w FROM orders WINDOW w AS (PARTITION BY id ORDER BY note)",
        "SELECT x.user FROM (SELECT note AS user FROM orders) AS x WHERE x.user <> ''",
        "SELECT a.id FROM orders AS a CROSS JOIN staff AS b CROSS JOIN customers AS c",
        "SELECT größe, 名前 FROM (SELECT id AS größe, note AS 名前 FROM orders) AS x",
    ],
)
def test_ordinary_queries_pass_everywhere(guard: StatementGuard, dialect: str, sql: str) -> None:
    statement = passed(guard, sql, dialect)
    assert "--" not in statement.sql
    assert "/*" not in statement.sql
    assert passed(guard, statement.sql, dialect).sql == statement.sql


@pytest.mark.parametrize(
    ("dialect", "sql"),
    [
        ("postgresql", "SELECT DISTINCT ON (customer_id) * FROM orders ORDER BY customer_id, id DESC"),
        ("postgresql", "SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY total) FROM orders"),
        ("postgresql", "SELECT note::date, now() - interval '30 days', E'a\\nb', $$it's$$, note ->> 'a' FROM orders"),
        ("postgresql", "SELECT c.name FROM customers c LEFT JOIN LATERAL (SELECT 1 FROM orders) o ON true"),
        (
            "postgresql",
            "SELECT d::date FROM generate_series('2023-01-01'::date, '2023-12-31'::date, interval '1 month') d",
        ),
        ("mariadb", "SELECT GROUP_CONCAT(DISTINCT name ORDER BY name SEPARATOR '; ') FROM customers"),
        (
            "mariadb",
            "SELECT DATE_FORMAT(note, '%Y-%m'), `name` FROM orders, customers WHERE note REGEXP '^A' LIMIT 5, 10",
        ),
        ("sqlite", "SELECT strftime('%Y', note), iif(total, 1, 2), group_concat(name, ';') FROM orders, customers"),
        ("sqlite", "SELECT value FROM orders, json_each(orders.note)"),
        ("sqlite", "SELECT replace(printf('%.2f', total), '.', ',') FROM orders"),
        ("postgresql", "SELECT format('%s-%s', lpad(note, 5, '0'), name) FROM orders, customers"),
        ("trino", "SELECT approx_distinct(id), date_diff('day', note, now()) FROM orders"),
        ("clickhouse", "SELECT countIf(total > 1), quantile(0.5)(total), toStartOfMonth(note) FROM orders"),
    ],
)
def test_queries_of_one_dialect_pass(guard: StatementGuard, dialect: str, sql: str) -> None:
    assert passed(guard, sql, dialect).sql


@pytest.mark.parametrize(
    ("sql", "query_type", "tables"),
    [
        ("SELECT name FROM customers", "select", ("customers",)),
        ("SELECT 1", "select", ()),
        ("SELECT c.name FROM customers c, orders o WHERE o.id = c.id", "join", ("customers", "orders")),
        ("SELECT count(*) FROM customers JOIN orders ON true", "aggregate", ("customers", "orders")),
        ("SELECT total FROM orders GROUP BY total", "aggregate", ("orders",)),
        ("SELECT count(*) FROM orders UNION SELECT id FROM staff", "set", ("orders", "staff")),
        ("WITH orders2 AS (SELECT * FROM ORDERS) SELECT * FROM orders2", "select", ("orders",)),
    ],
)
def test_type_and_tables(guard: StatementGuard, sql: str, query_type: str, tables: tuple[str, ...]) -> None:
    statement = passed(guard, sql)
    assert (statement.query_type, statement.tables) == (query_type, tables)


# --- what is refused ----------------------------------------------------------------------------


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize(
    "sql",
    [
        "",
        ";",
        "-- only a comment",
        "DELETE FROM orders",
        "INSERT INTO orders VALUES (1)",
        "UPDATE orders SET total = 0",
        "REPLACE INTO orders VALUES (1)",
        "MERGE INTO orders USING staff ON true WHEN MATCHED THEN DELETE",
        "DROP TABLE orders",
        "CREATE TABLE x AS SELECT * FROM orders",
        "ALTER TABLE orders ADD c int",
        "TRUNCATE orders",
        "GRANT SELECT ON orders TO bob",
        "SET x = 1",
        "PRAGMA writable_schema = 1",
        "EXPLAIN SELECT 1",
        "SHOW TABLES",
        "VALUES (1)",
        "CALL p()",
        "COPY orders TO '/tmp/x'",
        "ATTACH DATABASE '/tmp/x' AS y",
        "VACUUM INTO '/tmp/x'",
        "DO $$ BEGIN END $$",
        "BEGIN",
        "SELECT 1; SELECT 2",
        "SELECT 1;; DELETE FROM orders",
        "SELECT 1 /* ; */ ; DROP TABLE orders",
        "WITH d AS (DELETE FROM orders RETURNING *) SELECT * FROM d",
        "WITH x AS (SELECT 1) DELETE FROM orders",
        "SELECT * INTO x FROM orders",
        "SELECT * FROM orders INTO OUTFILE '/tmp/x'",
        "SELECT id INTO @x FROM orders",
        "SELECT * FROM orders FOR UPDATE",
        "SELECT @x := 5",
        "SELECT @@version",
        "SELECT ?",
        "SELECT :x",
        "SELECT $1",
        "SELECT current_user",
        "SELECT user",
        "SELECT CURRENT_ROLE",
        "SELECT version()",
        "SELECT * FROM nowhere",
        "SELECT * FROM other.orders",
        "SELECT * FROM information_schema.tables",
        "SELECT * FROM sqlite_master",
        "SELECT * FROM pg_catalog.pg_class",
        "SELECT * FROM mysql.user",
        "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r) SELECT * FROM r",
        "WITH r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r) SELECT * FROM r",
        "SELECT count(*) FROM orders a, orders b, orders c, orders d, orders e",
        "SELECT count(*) FROM orders a, orders b, orders c, orders d WHERE 1 = 1",
        "SELECT count(*) FROM orders a JOIN orders b ON true JOIN orders c ON true JOIN orders d ON 1 = 1",
        "SELECT * FROM orders TABLESAMPLE sleep(1)",
        "SELECT 1 /*!50000 , sleep(5) */",
        "SELECT 1 FROM (SELECT 1",
        "SELECT * FROM orders LIMIT (SELECT 1)",
        "SELECT cast(id AS regclass) FROM orders",
        "SELECT pg_sleep(1)",
        "SELECT sleep(1)",
        'SELECT "sleep"(1)',
        "SELECT x.sleep(1)",
        "SELECT repeat('a', 1000000000)",
        "SELECT lpad('a', total, 'x') FROM orders",
        "SELECT repeat(repeat('x', 10000), 10000)",
        "SELECT repeat(upper((SELECT max(rpad(note, 10000, 'x')) FROM orders)), 10000)",
        "SELECT replace(repeat('x', 10000), 'x', repeat('x', 10000))",
        "SELECT regexp_replace(note, 'x', lpad('x', 10000, 'x')) FROM orders",
        "SELECT c.id FROM (customers) AS c",
        "SELECT j.email FROM (customers JOIN orders ON orders.customer_id = customers.id) AS j",
        "SELECT j.* FROM ((customers)) AS j",
        "SELECT j.email FROM ((SELECT 1 AS a) AS x JOIN customers ON true) AS j",
    ],
)
def test_refused_everywhere(guard: StatementGuard, dialect: str, sql: str) -> None:
    error = refusal(guard, sql, dialect)
    assert error.details["rule"]
    assert error.hint
    assert len(str(error)) < 200


@pytest.mark.parametrize(
    "name",
    """
    pg_sleep pg_read_file pg_ls_dir lo_import lo_export dblink set_config current_setting nextval setval currval
    pg_advisory_lock pg_terminate_backend pg_notify query_to_xml txid_current pg_reload_conf inet_server_addr setseed
    sleep benchmark get_lock load_file database user version last_insert_id connection_id sys_exec found_rows
    load_extension readfile writefile randomblob zeroblob sqlite_version changes last_insert_rowid
    url file s3 remote numbers hostname getsetting dictget currentuser xp_cmdshell
    """.split(),
)
def test_functions_that_reach_further_are_on_no_list(name: str) -> None:
    assert not [dialect for dialect, names in ALLOWED.items() if name in names]


@pytest.mark.parametrize(
    ("dialect", "sql", "name"),
    [
        ("postgresql", "SELECT pg_catalog.pg_sleep(5)", "node_type"),
        ("postgresql", "SELECT * FROM pg_ls_dir('/')", "function"),
        ("postgresql", "SELECT count(*) FROM generate_series(1, 100000000000)", "result_size"),
        ("postgresql", "SELECT count(*) FROM generate_series(1, (SELECT max(id) FROM orders))", "result_size"),
        ("postgresql", "SELECT format('%1000000000s', 'x')", "result_size"),
        ("postgresql", "SELECT user", "session_value"),
        ("postgresql", "SELECT current_role", "session_value"),
        ("postgresql", "SELECT * FROM pg_shadow", "system_catalog"),
        ("postgresql", "SELECT orders.to_something FROM orders", "column"),
        ("postgresql", "SELECT (o).note FROM orders o", "node_type"),
        ("postgresql", "SELECT * FROM ONLY orders", "clause"),
        ("postgresql", "SELECT * FROM orders FETCH FIRST 5 ROWS WITH TIES", "limit"),
        ("postgresql", "SELECT a OPERATOR(pg_catalog.+) b FROM orders", "node_type"),
        ("postgresql", "SELECT E'a\\\\b'", "escape"),
        ("mariadb", "SELECT 1 /*! , sleep(5) */ FROM orders", "executable_comment"),
        ("mariadb", "SELECT 1 /*M!100000 , sleep(5) */ FROM orders", "executable_comment"),
        ("mariadb", "SELECT /*+ MAX_EXECUTION_TIME(0) */ * FROM orders", "clause"),
        ("mariadb", "SELECT SQL_CALC_FOUND_ROWS * FROM orders", "clause"),
        ("mariadb", "SELECT * FROM orders USE INDEX (i)", "clause"),
        ("mariadb", "SELECT * FROM orders LOCK IN SHARE MODE", "clause"),
        ("mariadb", "SELECT * FROM Orders", "unknown_table"),
        ("mariadb", "SELECT !id = 1 FROM orders", "ambiguous"),
        ("sqlite", "SELECT id = total NOT IN (1) FROM orders", "ambiguous"),
        ("sqlite", "SELECT * FROM pragma_table_info('orders')", "function"),
        ("sqlite", "SELECT printf('%.*c', 1000000000, 'x')", "result_size"),
        ("sqlite", "SELECT replace(printf('%999d', 1), ' ', 'xx')", "result_size"),
        ("mariadb", "SELECT repeat(space(10000), 10000)", "result_size"),
        ("clickhouse", "SELECT replaceAll(leftPad('x', 10000), 'x', 'yy')", "result_size"),
        ("postgresql", "SELECT format('%1$s%1$s', format('%1$s%1$s', note)) FROM orders", "result_size"),
        ("sqlite", "SELECT 1_000", "number"),
        ("clickhouse", "SELECT * FROM orders SETTINGS max_threads = 1", "clause"),
        ("clickhouse", "SELECT * FROM orders FORMAT JSON", "clause"),
        ("clickhouse", "SELECT * FROM url('http://x', CSV)", "function"),
        ("trino", "SELECT * FROM system.runtime.queries", "clause"),
    ],
)
def test_refused_by_rule(guard: StatementGuard, dialect: str, sql: str, name: str) -> None:
    assert rule(guard, sql, dialect) == name


@pytest.mark.parametrize("digits", ["0g", "1'; "])
def test_digits_are_looked_at_again_behind_the_parser(digits: str) -> None:
    with pytest.raises(StatementRefused) as caught:
        check_nodes(exp.select(exp.HexString(this=digits)), ROWS["postgresql"])
    assert caught.value.details["rule"] == "number"


def test_a_text_that_each_round_makes_anew_does_not_grow(guard: StatementGuard) -> None:
    rounds = "SELECT 1, 'a' UNION ALL SELECT n + 1, repeat('b', 500) FROM r WHERE n < 9"
    passed(guard, f"WITH RECURSIVE r(n, t) AS ({rounds}) SELECT strpos(t, repeat('c', 500)) FROM r", "postgresql")


def test_a_refusal_names_the_function_and_carries_a_security_event(guard: StatementGuard) -> None:
    error = refusal(guard, "SELECT pg_sleep(10)")
    assert "pg_sleep" in error.message
    told = {"rule": "function", "function": "pg_sleep", "sql": "SELECT pg_sleep(10)", "database_type": "sqlite"}
    assert error.details == told
    assert (error.event, error.status, error.reason) == ("statement_rejected", 422, "statement_refused")


def test_details_of_a_refusal_are_short(guard: StatementGuard) -> None:
    error = refusal(guard, f"SELECT {'f' * 5000}(1)")
    assert all(len(value) <= 100 for name, value in error.details.items() if name != "sql")
    assert len(error.message) < 200


# --- tables -------------------------------------------------------------------------------------


def test_a_cte_hides_a_table_only_where_it_is_visible(guard: StatementGuard) -> None:
    inner = "SELECT * FROM (WITH hidden AS (SELECT 1 AS a) SELECT * FROM hidden) AS x"
    assert passed(guard, inner).tables == ()
    assert rule(guard, f"{inner}, hidden") == "unknown_table"
    assert rule(guard, "WITH a AS (SELECT * FROM b), b AS (SELECT 1) SELECT * FROM a", "postgresql") == "unknown_table"


def test_case_decides_in_postgresql_between_a_cte_and_a_table(guard: StatementGuard) -> None:
    assert rule(guard, 'WITH "Hidden" AS (SELECT 1) SELECT * FROM hidden', "postgresql") == "unknown_table"
    assert rule(guard, 'SELECT * FROM "ORDERS"', "postgresql") == "unknown_table"
    assert passed(guard, "SELECT * FROM ORDERS", "postgresql").tables == ("orders",)


def test_a_cte_that_names_its_own_table(guard: StatementGuard) -> None:
    sql = "WITH orders AS (SELECT * FROM orders WHERE id > 1) SELECT * FROM orders"
    assert passed(guard, sql, "postgresql").tables == ("orders",)
    assert rule(guard, sql, "sqlite") == "recursion"


def test_schemas_are_written_out(guard: StatementGuard) -> None:
    sales = Table("orders", (column("id"),), schema="sales")
    archive = Table("orders", (column("id"),), schema="archive")
    assert "sales.orders" in passed(guard, "SELECT orders.id FROM orders", "postgresql", sales).sql
    assert passed(guard, "SELECT id FROM SALES.orders", "postgresql", sales).tables == ("orders",)
    assert rule(guard, "SELECT id FROM public.orders", "postgresql", sales) == "unknown_table"
    guard = StatementGuard()
    assert rule(guard, "SELECT id FROM orders", "postgresql", sales, archive) == "ambiguous_table"
    assert passed(guard, "SELECT id FROM archive.orders", "postgresql", sales, archive).tables == ("orders",)


@pytest.mark.parametrize("dialect", ["postgresql", "mariadb", "trino", "clickhouse"])
def test_a_schema_may_be_named_metadata(dialect: str) -> None:
    guard = StatementGuard()
    table = Table("items", (column("id"),), schema="metadata")
    assert "metadata" in passed(guard, "SELECT id FROM items", dialect, table).sql
    assert passed(guard, "SELECT id FROM metadata.items", dialect, table).tables == ("items",)
    assert rule(guard, "SELECT catalog_name FROM metadata.catalogs", dialect, table) == "unknown_table"
    assert rule(guard, "SELECT catalog_name FROM system.metadata.items", dialect, table) == "clause"


def test_a_wrong_spelling_gets_the_right_one_as_a_hint(guard: StatementGuard) -> None:
    assert "orders" in refusal(guard, "SELECT * FROM Orders", "mariadb").hint


# --- sensitive columns --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sql", "found"),
    [
        ("SELECT name FROM customers", ()),
        ("SELECT id, total FROM orders", ()),
        ("SELECT count(*) FROM customers", ()),
        ("SELECT EMAIL FROM customers", ("customers.email",)),
        ('SELECT "email" FROM customers', ("customers.email",)),
        ("SELECT c.email AS x FROM customers AS c", ("customers.email",)),
        ("SELECT name FROM customers WHERE email LIKE 'a%'", ("customers.email",)),
        ("SELECT name FROM customers ORDER BY phone", ("customers.phone",)),
        ("SELECT * FROM customers", ("customers.email", "customers.phone")),
        ("SELECT c.* FROM customers c JOIN staff s ON s.id = c.id", ("customers.email", "customers.phone")),
        ("SELECT o.* FROM customers c JOIN orders o ON o.id = c.id", ()),
        ("SELECT * FROM (SELECT * FROM staff) AS x", ("staff.salary",)),
        ("SELECT * FROM ((staff))", ("staff.salary",)),
        ("SELECT * FROM ((SELECT 1 AS a) AS x JOIN staff ON true)", ("staff.salary",)),
        ("SELECT * FROM orders a JOIN orders b JOIN orders c JOIN staff ON 1 = 1 ON 1 = 1 ON 1 = 1", ("staff.salary",)),
        ("SELECT s.id FROM (staff AS s JOIN orders AS o ON o.id = s.id)", ()),
        ("WITH x AS (SELECT salary AS a FROM staff) SELECT a FROM x", ("staff.salary",)),
        ("WITH x AS (SELECT * FROM staff) SELECT id FROM x", ("staff.salary",)),
        ("SELECT (SELECT max(salary) FROM staff) FROM orders", ("staff.salary",)),
        ("SELECT staff.name FROM customers AS staff", ()),
        ("SELECT staff.email FROM customers AS staff", ("customers.email",)),
        ("SELECT id FROM customers UNION SELECT salary FROM staff", ("staff.salary",)),
        ("SELECT c.id FROM customers c NATURAL JOIN staff", ("customers.email", "customers.phone", "staff.salary")),
        ("SELECT c.id FROM customers c JOIN customers d USING (email)", ("customers.email",)),
    ],
)
def test_sensitive_columns_are_found(guard: StatementGuard, sql: str, found: tuple[str, ...]) -> None:
    assert passed(guard, sql).sensitive == found


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT s FROM staff s",
        "SELECT row_to_json(s) FROM staff s",
        "SELECT to_jsonb(staff) FROM staff",
        "SELECT count(s) FROM staff s",
        "SELECT array_agg(s) FROM staff s",
        "SELECT s.a FROM staff AS s(a, b, c)",
        "SELECT x.salary FROM (SELECT s.* FROM staff s) x",
        "SELECT row(s.*) FROM staff s",
    ],
)
def test_whole_rows_are_found_in_postgresql(guard: StatementGuard, sql: str) -> None:
    assert passed(guard, sql, "postgresql").sensitive == ("staff.salary",)
