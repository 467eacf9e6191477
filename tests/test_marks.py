"""What is hidden or sensitive stays so in all that shows the same data."""

from __future__ import annotations

from contextlib import suppress

import pytest
import sqlalchemy

from sql_synthesizer.errors import ConfigurationError
from sql_synthesizer.model import Schema
from sql_synthesizer.schema import reflect_schema
from sql_synthesizer.schema.definitions import Definition
from sql_synthesizer.settings import DatabaseSettings
from tests.support.data import EMPLOYEES, KINDS, Data

pytestmark = pytest.mark.boundary
POSTGRES = pytest.mark.parametrize("data", [KINDS[1]], indirect=True)
MARIADB = pytest.mark.parametrize("data", [KINDS[2]], indirect=True)
READER = "reader-Of-Tests"


def marked(schema: Schema, kind: str) -> dict[str, set[str]]:
    """Table -> its sensitive columns, or those that are not shown; a table that is not there at all is not in it."""
    if kind == "sensitive":
        return {table.name: {column.name for column in table.columns if column.sensitive} for table in schema.tables}
    return {table.name: set(table.hidden) for table in schema.tables}


VIEWS: dict[str, tuple[str, set[str]]] = {
    "plain": ("SELECT id, home_phone FROM employees", {"home_phone"}),
    "renamed": ("SELECT id, home_phone AS x FROM employees", {"x"}),
    "expression": ("SELECT id, COALESCE(home_phone, '+') AS x, name FROM employees e", {"x"}),
    "every column": ("SELECT * FROM employees", {"home_phone"}),
    "with more columns": ("SELECT e.*, home_phone AS x, name AS y FROM employees e", {"home_phone", "x"}),
    "aggregate": ("SELECT name, MAX(home_phone) AS x FROM employees GROUP BY name", {"x"}),
    "subquery": ("SELECT 1 AS id, (SELECT MAX(home_phone) FROM employees) AS x", {"x"}),
    "derived table": ("SELECT id, x FROM (SELECT id, home_phone AS x FROM employees) d", {"id", "x"}),
    "common table": ("WITH c AS (SELECT id, home_phone AS x FROM employees) SELECT id, x FROM c", {"id", "x"}),
    "union": ("SELECT id, name AS x FROM employees UNION SELECT id, home_phone FROM employees", {"id", "x"}),
    "equality": ("SELECT n.number FROM numbers n JOIN employees e ON n.number = e.home_phone", {"number"}),
    "filter": ("SELECT id FROM employees WHERE home_phone > '5'", {"id"}),
    "case": ("SELECT ID, Home_Phone AS X FROM employees", {"x"}),
    "without it": ("SELECT id, name FROM employees", set()),
    "of another table": ("SELECT number AS home_phone FROM numbers", set()),
    "count": ("SELECT COUNT(*) AS n FROM employees", set()),
    "joined": ("SELECT n.number, e.home_phone AS x FROM numbers n JOIN employees e ON e.name = n.number", {"x"}),
}


@pytest.mark.parametrize("kind", ["hidden", "sensitive"])
@pytest.mark.parametrize("data", KINDS, indirect=True)
def test_views_of_a_marked_column(data: Data, kind: str) -> None:
    views = {f"v{number}": view for number, view in enumerate(VIEWS.values())}
    data.run(EMPLOYEES, "CREATE TABLE numbers (number VARCHAR(50))")
    data.run(*(f"CREATE VIEW {name} AS {query}" for name, (query, _) in views.items()))
    found = marked(data.read(**{kind: ("employees.home_phone",)}), kind)
    assert found.pop("employees") == {"home_phone"}
    assert found.pop("numbers") == set()
    columns = {name: expected for name, (_, expected) in views.items()}
    if kind == "hidden":  # of some nothing is left
        gone = {"v7", "v8", "v9", "v10", "v11"}
        assert not gone & found.keys()
        columns = {name: expected for name, expected in columns.items() if name not in gone}
    assert {name: {one.lower() for one in names} for name, names in found.items()} == columns


@pytest.mark.parametrize("data", KINDS, indirect=True)
def test_views_of_views(data: Data) -> None:
    data.run(
        EMPLOYEES,
        "CREATE VIEW a AS SELECT id, home_phone AS x FROM employees",
        "CREATE VIEW b AS SELECT id AS key_, x AS y FROM a",
        "CREATE VIEW c AS SELECT y AS z, key_ FROM b",
    )
    found = marked(data.read(sensitive=("employees.home_phone",)), "sensitive")
    assert found == {"employees": {"home_phone"}, "a": {"x"}, "b": {"y"}, "c": {"z"}}
    alone = marked(data.read(sensitive=("employees.home_phone",), tables=("c",)), "sensitive")
    assert alone == {"c": {"z"}}


@pytest.mark.parametrize("data", KINDS, indirect=True)
def test_columns_that_the_view_names_anew(data: Data) -> None:
    data.run(
        EMPLOYEES,
        "CREATE VIEW a (one, two) AS SELECT id, home_phone FROM employees",
        "CREATE VIEW b (one, two, three) AS SELECT * FROM employees",
        "CREATE VIEW c AS SELECT two AS x, one FROM a",
    )
    found = marked(data.read(sensitive=("employees.home_phone",)), "sensitive")
    assert (found["a"], found["b"], found["c"]) == ({"two"}, {"three"}, {"x"})
    assert marked(data.read(sensitive=("employees.home_phone",), tables=("c",)), "sensitive") == {"c": {"x"}}


@pytest.mark.parametrize("data", KINDS, indirect=True)
def test_a_hidden_table_is_in_no_view(data: Data) -> None:
    data.run(
        EMPLOYEES,
        "CREATE TABLE orders (id INTEGER PRIMARY KEY, clerk INTEGER)",
        "CREATE VIEW clerks AS SELECT o.id, e.name FROM orders o JOIN employees e ON e.id = o.clerk",
        "CREATE VIEW sizes AS SELECT COUNT(*) AS n FROM employees",
        "CREATE VIEW plain AS SELECT id FROM orders",
        "CREATE VIEW more AS SELECT name FROM clerks",
    )
    assert [table.name for table in data.read(hidden=("employees",)).tables] == ["orders", "plain"]


@pytest.mark.parametrize("data", KINDS, indirect=True)
def test_generated_columns(data: Data) -> None:
    data.run(
        "CREATE TABLE employees (id INTEGER PRIMARY KEY, home_phone VARCHAR(50), other VARCHAR(50),"
        " short VARCHAR(50) GENERATED ALWAYS AS (SUBSTR(home_phone, 1, 3)) STORED,"
        " fine VARCHAR(50) GENERATED ALWAYS AS (UPPER(other)) STORED)",
        "CREATE VIEW shorts AS SELECT id, short AS s FROM employees",
    )
    found = marked(data.read(sensitive=("employees.home_phone",)), "sensitive")
    assert found == {"employees": {"home_phone", "short"}, "shorts": {"s"}}
    hidden = marked(data.read(hidden=("employees.home_phone",)), "hidden")
    assert hidden == {"employees": {"home_phone", "short"}, "shorts": {"s"}}


@pytest.mark.parametrize("data", [KINDS[0]], indirect=True)
def test_row_ids_and_virtual_tables(data: Data) -> None:
    data.run(
        EMPLOYEES,
        "CREATE VIEW ids AS SELECT rowid AS x, name FROM employees",
        "CREATE VIRTUAL TABLE search USING fts5(name, home_phone, content='employees')",
    )
    tables = ("employees", "ids", "search")
    config = DatabaseSettings(name="main", url=data.url, sensitive=("employees.id",), tables=tables)
    engine = sqlalchemy.create_engine(data.url)
    with engine.connect() as connection:  # the service's own refuses the module of the virtual table
        found = marked(reflect_schema(connection, config, "sqlite"), "sensitive")
    engine.dispose()
    assert found == {"employees": {"id"}, "ids": {"x"}, "search": {"name", "home_phone"}}


PARTITIONED = (
    "CREATE TABLE events (id int, at date, phone text) PARTITION BY RANGE (at)",
    "CREATE TABLE events_new PARTITION OF events FOR VALUES FROM ('2024-01-01') TO (MAXVALUE) PARTITION BY RANGE (at)",
    "CREATE TABLE events_new_1 PARTITION OF events_new FOR VALUES FROM ('2024-01-01') TO ('2024-02-01')",
    "CREATE TABLE events_old PARTITION OF events DEFAULT",
    "CREATE VIEW olds AS SELECT id, phone AS p FROM events_old",
    "CREATE VIEW news AS SELECT id, phone AS p FROM events_new_1",
)


@POSTGRES
def test_partitions(data: Data) -> None:
    data.run(*PARTITIONED)
    assert [table.name for table in data.read().tables] == ["events", "news", "olds"]
    for name in ("events.phone", "events_new_1.phone"):
        found = marked(data.read(sensitive=(name,)), "sensitive")
        assert found == {"events": {"phone"}, "news": {"p"}, "olds": {"p"}}
    alone = data.read(hidden=("events.phone",), tables=("events_old",))
    assert marked(alone, "hidden") == {"events_old": {"phone"}}
    assert data.read(hidden=("events",)).tables == ()


@POSTGRES
def test_inherited_tables(data: Data) -> None:
    data.run(
        "CREATE TABLE people (id int, phone text)",
        "CREATE TABLE staff (salary int) INHERITS (people)",
        "CREATE TABLE guests (room int) INHERITS (people)",
        "CREATE SCHEMA side",
        "CREATE TABLE side.bosses (car text) INHERITS (staff)",
    )
    found = marked(data.read(hidden=("people.phone",), schemas=("public", "side")), "hidden")
    assert found == {name: {"phone"} for name in ("people", "staff", "guests", "bosses")}
    upwards = marked(data.read(hidden=("staff.phone", "staff.salary")), "hidden")
    assert upwards["people"] >= {"phone"}
    assert data.read(hidden=("people",), schemas=("public", "side")).tables == ()


@POSTGRES
def test_what_a_view_of_postgres_does_not_name(data: Data) -> None:
    data.run(
        EMPLOYEES,
        "CREATE VIEW whole AS SELECT id, to_jsonb(e) AS x FROM employees e",
        "CREATE VIEW anew AS SELECT e.a AS x, e.b AS y FROM employees e(a, b, c)",
        "CREATE VIEW again AS SELECT e.c AS x, e.b AS y FROM employees e(a, b, c)",
        "CREATE VIEW xml AS SELECT query_to_xml('select * from employees', true, true, '') AS x",
        "CREATE VIEW samples AS SELECT most_common_vals::text AS x FROM pg_stats",
        "CREATE FUNCTION phones() RETURNS SETOF text LANGUAGE sql STABLE AS 'SELECT home_phone FROM employees'",
        "CREATE VIEW called AS SELECT p AS x FROM phones() p",
        "CREATE FUNCTION twice(text) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT $1 || $1'",
        "CREATE VIEW fine AS SELECT id, twice(name) AS x, twice(home_phone) AS y FROM employees",
        "CREATE VIEW listed AS TABLE employees",
        "CREATE VIEW natural_ AS SELECT b.home_phone AS x FROM employees a NATURAL JOIN employees b",
        "CREATE RECURSIVE VIEW deep (n, x) AS SELECT id, home_phone FROM employees UNION SELECT n + 1, x FROM deep",
        "CREATE VIEW renamed AS SELECT id, name, home_phone FROM employees",
        "ALTER VIEW renamed RENAME COLUMN home_phone TO x",
    )
    found = marked(data.read(sensitive=("employees.home_phone",)), "sensitive")
    assert found.pop("employees") == {"home_phone"}
    assert found.pop("listed") == {"home_phone"}
    assert found.pop("fine") == {"y"}
    assert found.pop("renamed") == {"x"}
    assert {name for name, columns in found.items() if "x" not in columns} == set()


@POSTGRES
def test_materialised_views_and_other_schemas(data: Data) -> None:
    data.run(
        "CREATE SCHEMA hr",
        "CREATE TABLE hr.employees (id int, home_phone text)",
        "CREATE MATERIALIZED VIEW hr.kept AS SELECT id, home_phone AS x FROM hr.employees",
        "CREATE VIEW employees AS SELECT id, home_phone FROM hr.employees",
        "CREATE VIEW shown AS SELECT id, x AS y FROM hr.kept",
        "CREATE MATERIALIZED VIEW near AS SELECT id, x AS z FROM hr.kept",
    )
    for setting in ("hr.employees.home_phone", "HR.Employees.Home_Phone"):
        found = marked(data.read(sensitive=(setting,)), "sensitive")
        assert found == {"employees": {"home_phone"}, "shown": {"y"}, "near": {"z"}}
    found = marked(data.read(sensitive=("hr.kept.x",)), "sensitive")
    assert found == {"employees": set(), "shown": {"y"}, "near": {"z"}}
    assert data.read(hidden=("hr.employees",)).tables == ()
    found = marked(data.read(sensitive=("near.z",)), "sensitive")
    assert found == {"employees": set(), "shown": set(), "near": {"z"}}
    assert [table.name for table in data.read(tables=("employees", "near")).tables] == ["employees", "near"]
    with pytest.raises(ConfigurationError, match=r"there is no kept\.x"):
        data.read(sensitive=("kept.x",))


@POSTGRES
def test_a_reader_of_postgres_sees_the_lineage(data: Data) -> None:
    name = sqlalchemy.make_url(data.url).database
    with suppress(sqlalchemy.exc.ProgrammingError):
        data.run(f"CREATE ROLE {name} LOGIN PASSWORD '{READER}'")
    data.run(*PARTITIONED, "CREATE SCHEMA hr", "CREATE TABLE hr.base (phone text)")
    data.run("CREATE VIEW shown AS SELECT phone AS p FROM hr.base", f"GRANT SELECT ON shown, olds TO {name}")
    reader = sqlalchemy.make_url(data.url).set(username=name, password=READER).render_as_string(hide_password=False)
    try:
        found = marked(data.read(reader, sensitive=("events.phone", "hr.base.phone")), "sensitive")
        assert (found["shown"], found["olds"], found.get("events")) == ({"p"}, {"p"}, None)  # which it may not read
    finally:
        data.close()
        data.run(f"DROP OWNED BY {name}", f"DROP ROLE {name}")


@MARIADB
def test_what_a_view_of_mariadb_does_not_name(data: Data) -> None:
    base = sqlalchemy.make_url(data.url).database
    data.run(
        EMPLOYEES,
        "CREATE TABLE m1 (id INTEGER, home_phone VARCHAR(50)) ENGINE=MyISAM",
        "CREATE TABLE merged (id INTEGER, home_phone VARCHAR(50)) ENGINE=MERGE UNION=(m1)",
        "CREATE FUNCTION phone() RETURNS VARCHAR(50) READS SQL DATA RETURN (SELECT MAX(home_phone) FROM employees)",
        "CREATE VIEW called AS SELECT phone() AS x",
        "CREATE VIEW fine AS SELECT id, CONCAT('a', name) AS x FROM employees WHERE id IN (1, 2)",
        f"CREATE USER {base} IDENTIFIED BY '{READER}'",
        f"GRANT SELECT ON {base}.* TO {base}",
    )
    try:
        found = marked(data.read(sensitive=("employees.home_phone",)), "sensitive")
        assert found["called"] == {"x"}
        assert found["merged"] == {"id", "home_phone"}
        assert found["fine"] == set()
        reader = sqlalchemy.make_url(data.url).set(username=base, password=READER)
        url = reader.render_as_string(hide_password=False)
        found = marked(data.read(url, sensitive=("employees.home_phone",)), "sensitive")
        assert (found.get("called"), found["fine"]) == (None, {"id", "x"})  # their definitions are not shown
        data.run(f"GRANT SHOW VIEW ON {base}.* TO {base}")
        data.close()
        found = marked(data.read(url, sensitive=("employees.home_phone",)), "sensitive")
        assert (found.get("called"), found["fine"]) == (None, set())
    finally:
        data.run(f"DROP USER {base}")


HARD = (
    "SELECT * FROM employees JOIN numbers USING (id)",
    "SELECT * FROM employees NATURAL JOIN numbers",
    "SELECT n.*, e.* FROM employees e, numbers n",
    "SELECT e.*, n.number FROM (SELECT * FROM employees) e, numbers n",
    "SELECT *, name AS y FROM employees e LEFT JOIN numbers n ON n.id = e.id",
    'SELECT [home_phone] AS a, `name` AS b FROM "employees"',
    "SELECT e.'home_phone' AS a, name FROM employees e",
    "SELECT /* home_phone */ name, id FROM employees -- home_phone",
    "SELECT name, MAX(home_phone) OVER (ORDER BY id) AS a FROM employees",
    "SELECT name, FIRST_VALUE(home_phone) OVER w AS a FROM employees WINDOW w AS (ORDER BY id)",
    "SELECT CASE WHEN id THEN home_phone END AS a, id FROM employees",
    "SELECT id FROM employees UNION ALL SELECT home_phone FROM employees",
    "SELECT TRIM(e.home_phone) AS a, e.name FROM employees e",
    "SELECT (SELECT home_phone FROM employees i WHERE i.id = n.id) AS a, id FROM numbers n",
    "SELECT a, b FROM (SELECT home_phone AS a, name AS b FROM employees)",
    "WITH c(a, b) AS (SELECT name, home_phone FROM employees) SELECT b AS name, a FROM c",
    "WITH c AS (SELECT * FROM employees) SELECT c.* FROM c",
    "WITH RECURSIVE c(a, n) AS (SELECT home_phone, 1 FROM employees UNION SELECT a, 2 FROM c) SELECT * FROM c",
    "SELECT GROUP_CONCAT(home_phone) AS a, COUNT(*) AS b FROM employees GROUP BY name HAVING COUNT(*) > 0",
    "SELECT id, name FROM employees ORDER BY (SELECT home_phone)",
    "VALUES ((SELECT home_phone FROM employees))",
    "SELECT * FROM employees AS e JOIN (employees AS i JOIN numbers n ON n.id = i.id) ON e.id = i.id",
)  # fmt: skip


@pytest.mark.parametrize("data", [KINDS[0]], indirect=True)
def test_no_value_of_a_marked_column_is_in_an_unmarked_one(data: Data) -> None:
    """Whatever the query: what the server answers is looked at."""
    numbers = "CREATE TABLE numbers (id INTEGER PRIMARY KEY, number VARCHAR(50))"
    data.run(EMPLOYEES, numbers, "INSERT INTO employees VALUES (1, 'Anna', '555 1234')")
    data.run("INSERT INTO numbers VALUES (1, 'n')", *(f"CREATE VIEW v{n} AS {query}" for n, query in enumerate(HARD)))
    data.run(*(f"CREATE VIEW w{n} AS SELECT * FROM v{n}" for n, _ in enumerate(HARD)))
    found = marked(data.read(sensitive=("employees.home_phone",)), "sensitive")
    engine = sqlalchemy.create_engine(data.url)
    shown = {}
    with engine.connect() as connection:
        for name in found.keys() - {"employees", "numbers"}:
            (row, *_) = connection.exec_driver_sql(f"SELECT * FROM {name}").mappings().all()
            columns = [(column, str(value)) for column, value in row.items()]
            shown[name] = {column for column, value in columns if "555 1234" in value} - found[name]
    engine.dispose()
    assert len(shown) == 2 * len(HARD)
    assert {name: columns for name, columns in shown.items() if columns} == {}
    assert not found["v7"] | found["w7"]


def test_definitions_of_other_engines() -> None:
    marks = {("hr", "employees"): {"home_phone"}}
    for text, dialect, shown in (
        ('SELECT id, home_phone x FROM "hr"."employees"', "trino", {"b"}),
        ("SELECT id, name FROM hr.employees", "trino", set()),
        ("AS CREATE VIEW hr.v AS SELECT COLUMNS('phone') FROM hr.employees", "clickhouse", {"a", "b"}),
        ("AS CREATE TABLE hr.d ENGINE = Distributed('c', 'hr', 'employees')", "clickhouse", {"a", "b"}),
        ("AS CREATE VIEW hr.v AS SELECT id FROM hr.others", "clickhouse", set()),
        ("no SQL ' at all", "trino", {"a", "b"}),
        ("(" * 3000 + "SELECT 1 FROM employees", "trino", {"a", "b"}),
        (None, "mysql", {"a", "b"}),
        ("", "mariadb", {"a", "b"}),
    ):
        definition = Definition(text, dialect)
        definition.columns = ("a", "b")
        assert definition.find_shown(marks, {}) == shown, text
