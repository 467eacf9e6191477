"""Ways to write the name of a table that is meant: with its schema, with its database, in other case."""

from __future__ import annotations

import datetime
import time
from dataclasses import replace

import pytest

from sql_synthesizer.errors import StatementRefused
from sql_synthesizer.guard.statement import StatementGuard
from sql_synthesizer.model import Column, ColumnKind, Schema, Statement, Table
from sql_synthesizer.schema.values import NO_VALUES
from sql_synthesizer.synthesizer import Context
from sql_synthesizer.synthesizer.embedded import EmbeddedSynthesizer
from tests.support.data import KINDS, Data
from tests.support.data import data as data

pytestmark = pytest.mark.world
COLUMNS = (Column("id", ColumnKind.INTEGER), Column("total", ColumnKind.NUMBER))
SHOPS = {
    "postgresql": Schema("main", "postgresql", (Table("orders", COLUMNS, home="public"),), catalog="shop"),
    "trino": Schema("main", "trino", (Table("orders", COLUMNS, home="public"),), catalog="shop"),
    "sqlite": Schema("main", "sqlite", (Table("orders", COLUMNS, home="main"),)),
}


def answer(question: str, schema: Schema) -> str:
    context = Context(question, schema, NO_VALUES, datetime.date(2026, 3, 15), 1000, time.monotonic() + 60)
    return EmbeddedSynthesizer().synthesize(context).sql


def passed(sql: str, schema: Schema) -> Statement:
    return StatementGuard().check(Statement(sql, "llm"), schema, max_rows=3)


@pytest.mark.parametrize(
    ("dialect", "sql"),
    [
        ("postgresql", "SELECT id FROM public.orders"),
        ("postgresql", "SELECT id FROM shop.public.orders"),
        ("postgresql", "SELECT orders.id FROM shop.public.orders WHERE orders.total > 1"),
        ("postgresql", 'SELECT o.id FROM "shop"."public"."orders" AS o'),
        ("trino", "SELECT id FROM shop.public.orders"),
        ("trino", "SELECT id FROM public.orders"),
        ("sqlite", "SELECT id FROM main.orders"),
    ],
)
def test_the_same_table_under_its_longer_names(dialect: str, sql: str) -> None:
    """Before: an unknown table, or a clause that is not allowed."""
    assert passed(sql, SHOPS[dialect]).tables == ("orders",)
    assert "shop" not in passed(sql, SHOPS[dialect]).sql


@pytest.mark.parametrize(
    ("dialect", "sql"),
    [
        ("postgresql", "SELECT id FROM other.public.orders"),
        ("postgresql", "SELECT id FROM shop.side.orders"),
        ("postgresql", "SELECT id FROM shop.pg_catalog.pg_class"),
        ("postgresql", "SELECT id FROM shop.information_schema.tables"),
        ("trino", "SELECT id FROM SYSTEM.public.orders"),
        ("sqlite", "SELECT id FROM shop.main.orders"),
    ],
)
def test_another_catalogue_is_refused(dialect: str, sql: str) -> None:
    with pytest.raises(StatementRefused):
        passed(sql, SHOPS[dialect])


@pytest.mark.parametrize("odd", ["#", "%", "?", "_", "", " ", "имя", "客户", "²", "\u0301", "Größe"])
def test_a_name_of_any_signs_costs_no_other_table_its_answers(odd: str) -> None:
    """Before, every question failed whose database held a name without a letter from a to z."""
    id, text = Column("id", ColumnKind.INTEGER, primary_key=True), Column(odd, ColumnKind.TEXT)
    keyed = Table(odd, (replace(text, primary_key=True), replace(COLUMNS[1], name=f"{odd}#")))
    schema = Schema("main", "sqlite", (Table("customers", (id, text)), keyed, Table(f"{odd}{odd}_", (text, *COLUMNS))))
    counted = "SELECT COUNT(*) AS number_of_customers FROM customers"
    assert answer("How many customers are there?", schema) == counted


@pytest.mark.parametrize(("name", "word"), [("имя", "имя"), ("НашРайон", "наш район"), ("Größe", "größe")])
def test_letters_of_any_alphabet_make_words(name: str, word: str) -> None:
    id, text = Column("id", ColumnKind.INTEGER, primary_key=True), Column(name, ColumnKind.TEXT)
    schema = Schema("main", "sqlite", (Table("customers", (id, text, Column("zip", ColumnKind.TEXT))),))
    assert name in answer(f"Show the {word} of customers", schema)


@pytest.mark.server
@pytest.mark.parametrize("data", KINDS[1:], indirect=True)
def test_servers_know_the_longer_names(data: Data) -> None:
    data.run("CREATE TABLE orders (id INTEGER)")
    schemas = data.schemas()
    found, postgres = schemas.get("main"), data.url.startswith("postgresql")
    base = data.url.rpartition("/")[2]
    names = ["orders", "public.orders", f"{base}.public.orders"] if postgres else ["orders", f"{base}.orders"]
    for name in names:
        sql = passed(f"SELECT count(*) FROM {name}", found).sql
        with data.connect() as connection:
            assert connection.exec_driver_sql(sql).scalar() == 0
