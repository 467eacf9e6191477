"""A small shop, and short ways to put a statement before the statement guard."""

from __future__ import annotations

import pytest

from sql_synthesizer.errors import StatementRefused
from sql_synthesizer.guard.statement import StatementGuard
from sql_synthesizer.model import Column, ColumnKind, Schema, Statement, Table, dialects

DIALECTS = tuple(dialects.DIALECTS)


def column(name: str, *, sensitive: bool = False) -> Column:
    return Column(name, ColumnKind.TEXT, sensitive=sensitive)


CUSTOMERS = Table(
    "customers", (column("id"), column("name"), column("email", sensitive=True), column("phone", sensitive=True))
)
ORDERS = Table("orders", (column("id"), column("customer_id"), column("total"), column("note")))
STAFF = Table("staff", (column("id"), column("name"), column("salary", sensitive=True)))
TABLES = (CUSTOMERS, ORDERS, STAFF)


def schema(dialect: str = "sqlite", *tables: Table) -> Schema:
    tables = tables or TABLES
    return Schema("shop", dialect, tables, str(hash(tables)))


def refusal(guard: StatementGuard, sql: str, dialect: str = "sqlite", *tables: Table) -> StatementRefused:
    with pytest.raises(StatementRefused) as caught:
        guard.check(Statement(sql, "analyst"), schema(dialect, *tables), max_rows=100)
    return caught.value


def rule(guard: StatementGuard, sql: str, dialect: str = "sqlite", *tables: Table) -> str:
    return str(refusal(guard, sql, dialect, *tables).details["rule"])


def passed(guard: StatementGuard, sql: str, dialect: str = "sqlite", *tables: Table, max_rows: int = 100) -> Statement:
    return guard.check(Statement(sql, "analyst"), schema(dialect, *tables), max_rows=max_rows)
