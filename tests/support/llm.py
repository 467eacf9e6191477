"""A small schema with a sensitive column, and contexts over it."""

from __future__ import annotations

import time
from datetime import date

from sql_synthesizer.model import Column, ColumnKind, ForeignKey, Schema, Table, ValueMatch
from sql_synthesizer.synthesizer import Context

CUSTOMERS = Table(
    "customers",
    (
        Column("id", ColumnKind.INTEGER, "INTEGER", primary_key=True, nullable=False),
        Column("name", ColumnKind.TEXT, "TEXT"),
        Column("email", ColumnKind.TEXT, "TEXT", sensitive=True, shareable=True, comment="private address"),
        Column("city", ColumnKind.TEXT, "VARCHAR(40)", shareable=True, comment="where they live"),
    ),
    comment="people who buy",
)
ORDERS = Table(
    "orders",
    (
        Column("id", ColumnKind.INTEGER, "INTEGER", primary_key=True, nullable=False),
        Column("customer_id", ColumnKind.INTEGER, "INTEGER", nullable=False),
        Column("placed_on", ColumnKind.DATE, "DATE"),
    ),
    (ForeignKey(("customer_id",), "customers", ("id",)),),
)
SCHEMA = Schema("shop", "sqlite", (ORDERS, CUSTOMERS))


class Values:
    def __init__(self, *matches: ValueMatch) -> None:
        self.matches = matches

    def find(self, text: str) -> list[ValueMatch]:
        return [match for match in self.matches if match.value.casefold() == text.casefold()]


def context(
    question: str = "how many customers are there?", *, schema: Schema = SCHEMA, seconds=60.0, values=()
) -> Context:
    return Context(question, schema, Values(*values), date(2026, 3, 5), 100, time.monotonic() + seconds)
