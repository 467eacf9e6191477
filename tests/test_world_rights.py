"""What a login may read is what is offered, of every kind of table that a server has; the rest is named."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
import sqlalchemy

from sql_synthesizer.errors import StatementRefused
from sql_synthesizer.guard.statement import StatementGuard
from sql_synthesizer.model import Cause, LeftOut, Schema, Statement
from tests.support.data import KINDS, Data
from tests.support.databases import PASSWORD

pytestmark = [pytest.mark.world, pytest.mark.server]
POSTGRES, MARIADB = ([kind] for kind in KINDS[1:])
STAFF = "CREATE TABLE staff (id INTEGER PRIMARY KEY, name VARCHAR(20), salary INTEGER)"
NESTS = "CREATE TABLE nests (id INTEGER PRIMARY KEY, staff_id INTEGER REFERENCES staff (id), secret INTEGER)"
SECRETS = "CREATE TABLE secrets (id INTEGER PRIMARY KEY)"
WHO = "CREATE VIEW who AS SELECT id, name FROM staff"
GRANTS = ("SELECT (id, name) ON {}staff", "SELECT ON {}who", "SELECT (id, staff_id) ON {}nests")


@pytest.fixture
def reader(data: Data) -> Iterator[Callable[..., Any]]:
    """Makes a login with these rights; its schema, and a function that runs a statement as it."""
    url = sqlalchemy.make_url(data.url)
    name, mariadb = f"r_{url.database}", url.drivername.startswith("mariadb")

    def make(*grants: str) -> tuple[Schema, Callable[[str], Any]]:
        identified = f"IDENTIFIED BY '{PASSWORD}'" if mariadb else f"LOGIN PASSWORD '{PASSWORD}'"
        data.run(f"CREATE {'USER' if mariadb else 'ROLE'} {name} {identified}")
        prefix = f"{url.database}." if mariadb else ""
        data.run(*(f"GRANT {grant.format(prefix)} TO {name}" for grant in grants))
        own = url.set(username=name, password=PASSWORD).render_as_string(hide_password=False)
        engine = sqlalchemy.create_engine(own)

        def run(sql: str) -> Any:
            statement = StatementGuard().check(Statement(sql, "analyst"), found, max_rows=10)
            with engine.connect() as connection:
                rows = connection.exec_driver_sql(statement.sql).fetchall()
            engine.dispose()
            return rows

        found = data.read(own)
        return found, run

    yield make
    data.close()
    with suppress(sqlalchemy.exc.SQLAlchemyError):
        data.run(*(() if mariadb else (f"DROP OWNED BY {name}",)), f"DROP {'USER' if mariadb else 'ROLE'} {name}")


def shape(schema: Schema) -> dict[str, list[str]]:
    return {table.name: [column.name for column in table.columns] for table in schema.tables}


@pytest.mark.parametrize("data", [*POSTGRES, *MARIADB], indirect=True)
def test_only_what_may_be_read_is_offered(data: Data, reader: Callable[..., Any]) -> None:
    """Before: PostgreSQL offered all, and the questions failed; MariaDB offered nothing, not even the rest."""
    data.run(STAFF, NESTS, SECRETS, WHO, "INSERT INTO staff VALUES (1, 'Ann', 9)")
    found, run = reader(*GRANTS)
    assert shape(found) == {"nests": ["id", "staff_id"], "staff": ["id", "name"], "who": ["id", "name"]}
    assert run("SELECT * FROM staff") == [(1, "Ann")]
    assert run("SELECT count(*) FROM staff") == [(1,)]
    with pytest.raises((StatementRefused, sqlalchemy.exc.OperationalError)):
        run("SELECT salary FROM staff")
    if found.dialect == "postgresql":  # MariaDB does not tell a login of what it may not see
        assert LeftOut("secrets", Cause.FORBIDDEN) in found.left_out
        assert LeftOut("staff", Cause.FORBIDDEN, 1) in found.left_out
        assert found.tables[0].foreign_keys[0].target == "staff"


@pytest.mark.parametrize("data", POSTGRES, indirect=True)
def test_what_cannot_be_described_is_left_out_alone(data: Data, reader: Callable[..., Any]) -> None:
    """Before, the first error ended the transaction, and with it the database."""
    data.run("CREATE SCHEMA hr", "CREATE TABLE hr.pay (id INTEGER GENERATED ALWAYS AS IDENTITY)", STAFF)
    data.run("CREATE TABLE hr.notes (id INTEGER)")
    reader("SELECT ON staff")
    url = sqlalchemy.make_url(data.url)
    own = url.set(username=f"r_{url.database}", password=PASSWORD).render_as_string(hide_password=False)
    found = data.read(own, schemas=("hr", "public"))
    assert shape(found) == {"staff": ["id", "name", "salary"]}
    assert {(one.name.rpartition(".")[2], one.cause) for one in found.left_out} == {
        ("notes", Cause.FORBIDDEN),
        ("pay", Cause.FORBIDDEN),
    }


@pytest.mark.parametrize("data", POSTGRES, indirect=True)
def test_every_kind_of_table_of_postgres_is_offered(data: Data) -> None:
    """Before: materialised views and foreign tables were not."""
    data.run(
        STAFF,
        "CREATE MATERIALIZED VIEW kept AS SELECT id, name FROM staff",
        "CREATE MATERIALIZED VIEW empty AS SELECT id, name FROM staff WITH NO DATA",
        "CREATE EXTENSION IF NOT EXISTS file_fdw",
        "CREATE SERVER files FOREIGN DATA WRAPPER file_fdw",
        "CREATE FOREIGN TABLE lines (line text) SERVER files OPTIONS (filename '/dev/null')",
        "CREATE UNLOGGED TABLE quick (id int)",
        "CREATE TABLE parts (id int) PARTITION BY RANGE (id)",
        "CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM (0) TO (9)",
        'CREATE TABLE "Staff" (id int, "Name" text, name text)',
    )
    found = data.read()
    assert sorted(shape(found)) == ["Staff", "kept", "lines", "parts", "quick", "staff"]
    assert found.left_out == (LeftOut("empty", Cause.UNREADABLE),)


@pytest.mark.parametrize("data", MARIADB, indirect=True)
def test_every_kind_of_table_of_mariadb_is_offered(data: Data) -> None:
    """Before: tables with a history were not, and a broken view made SQLAlchemy fail."""
    data.run(
        "CREATE TABLE past (id INTEGER, name VARCHAR(9)) WITH SYSTEM VERSIONING",
        "CREATE TABLE spans (id INTEGER, a DATE, b DATE, PERIOD FOR span (a, b))",
        "CREATE SEQUENCE numbers",
        "CREATE TABLE Past (id INTEGER)",
        "CREATE TABLE gone (id INTEGER)",
        "CREATE VIEW broken AS SELECT * FROM gone",
        "DROP TABLE gone",
        "CREATE TABLE m1 (id INTEGER) ENGINE = MyISAM",
        "CREATE TABLE merged (id INTEGER) ENGINE = MERGE UNION = (m1)",
        "CREATE TABLE m2 (id INTEGER) ENGINE = MyISAM",
        "CREATE TABLE torn (id INTEGER) ENGINE = MERGE UNION = (m2)",
        "DROP TABLE m2",
        "CREATE VIEW fine AS SELECT id FROM past",
    )
    found = data.read()
    assert sorted(shape(found)) == ["Past", "fine", "m1", "merged", "past", "spans"]
    assert {(one.name, one.cause) for one in found.left_out} == {
        ("broken", Cause.UNREADABLE),
        ("torn", Cause.UNREADABLE),
    }


@pytest.mark.parametrize("data", [*POSTGRES, *MARIADB], indirect=True)
def test_names_that_differ_by_case_only_are_two_tables(data: Data) -> None:
    """Before: one of them was lost."""
    quote = '"' if data.url.startswith("postgresql") else "`"
    other = f"{quote}Staff{quote}"
    data.run(STAFF, f"CREATE TABLE {other} (number INTEGER)", f"INSERT INTO {other} VALUES (7)")
    found = data.read()
    assert shape(found) == {"Staff": ["number"], "staff": ["id", "name", "salary"]}
    assert [found.table(name).name for name in ("staff", "Staff", "STAFF")] == ["staff", "Staff", "Staff"]  # type: ignore[union-attr]
    for sql, names in ((f"SELECT * FROM {other}", ("Staff",)), ("SELECT * FROM staff", ("staff",))):
        assert StatementGuard().check(Statement(sql, "analyst"), found, max_rows=1).tables == names
