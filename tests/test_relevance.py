"""Which tables of a large schema a question is read with."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sql_synthesizer.model import Column, ColumnKind, ForeignKey, Schema, Table, ValueMatch
from sql_synthesizer.schema.values import NO_VALUES
from sql_synthesizer.synthesizer.exposure import hidden_name_pattern
from sql_synthesizer.synthesizer.relevance import MOST_TABLES, relevant_schema

pytestmark = pytest.mark.world
ID, NAME = Column("id", ColumnKind.INTEGER, primary_key=True), Column("name", ColumnKind.TEXT)
FILLER = tuple(Table(f"log_{chr(97 + n % 26)}_{n}", (ID, Column("line", ColumnKind.TEXT))) for n in range(5_000))
CLIENTS = Table("clients", (ID, NAME))
ORDERS = Table(
    "SalesOrders", (ID, Column("client_id", ColumnKind.INTEGER)), (ForeignKey(("client_id",), "clients", ("id",)),)
)
STAFF = Table("zz_staff", (ID, Column("salary", ColumnKind.INTEGER), Column("badge", ColumnKind.TEXT, sensitive=True)))
LARGE = Schema("main", "sqlite", (*FILLER, CLIENTS, ORDERS, STAFF), "1")


class Stored:
    """Holds one word in the names of clients."""

    def find(self, text: str) -> tuple[ValueMatch, ...]:
        return (ValueMatch("clients", "name", "Acme"),) if text == "acme" else ()


@pytest.mark.parametrize(
    ("question", "wanted"),
    [
        ("how many clients are there", {"clients"}),
        ("sales orders of each client", {"SalesOrders", "clients"}),
        ("show salesorders", {"SalesOrders", "clients"}),
        ("lines of log_c_4370", {"log_c_4370"}),
        ("highest salary", {"zz_staff"}),
        ("where is acme", {"clients"}),
        ("nothing that is known", {"zz_staff"}),
    ],
)
def test_a_question_is_read_with_the_tables_that_it_speaks_of(question: str, wanted: set[str]) -> None:
    """Before, 4,500 of these tables did not exist, and with the rest a first question took half a minute."""
    found = relevant_schema(LARGE, question, Stored())
    assert len(found.tables) <= MOST_TABLES
    assert wanted | {"zz_staff"} <= {table.name for table in found.tables}, "what is sensitive is always known"


def test_many_tables_with_something_sensitive_leave_room_for_the_others() -> None:
    """Before, no other table was understood."""
    pins = (replace(NAME, name=f"pin{n}", sensitive=True) for n in range(150))
    private = (Table(f"private_{pin.name}", (ID, pin)) for pin in pins)
    whole = Schema("main", "sqlite", (*private, CLIENTS, ORDERS), "2")
    found = relevant_schema(whole, "sales orders of each client", Stored())
    assert {"clients", "SalesOrders"} <= {table.name for table in found.tables}
    assert len(found.tables) <= MOST_TABLES
    assert hidden_name_pattern(found).pattern == hidden_name_pattern(whole).pattern, "what may not leave"


def test_a_small_schema_is_read_whole() -> None:
    small = replace(LARGE, tables=LARGE.tables[-MOST_TABLES:])
    assert relevant_schema(small, "clients", NO_VALUES) is small


def test_no_key_leads_to_a_table_that_is_not_there() -> None:
    found = relevant_schema(LARGE, "how many logs", NO_VALUES)
    names = {table.name for table in found.tables}
    assert all(key.target in names for table in found.tables for key in table.foreign_keys)
