"""PostgreSQL: a query runs as a cursor in a read-only transaction, and only a query can be a cursor."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from typing import Any

import psycopg
from psycopg.adapt import Loader

from sql_synthesizer.database.driver import BATCH, Batches, milliseconds, shutdown
from sql_synthesizer.database.faults import Fault, postgres_fault
from sql_synthesizer.errors import StatementTimeout


class _Text(Loader):
    """A value as the server writes it: unlike Python's types it has room for infinity and BC."""

    def load(self, data: Any) -> str:
        return bytes(data).decode()


class _Timestamp(Loader):
    """A timestamp with the ``T`` of ISO 8601."""

    def load(self, data: Any) -> str:
        return bytes(data).decode().replace(" ", "T", 1)


class PostgresDriver:
    """PostgreSQL through psycopg; a query runs as a cursor, which only a query can."""

    kind = "postgresql"
    grace = 0.5
    breaks = True
    errors: tuple[type[Exception], ...] = (psycopg.Error,)
    as_text = ("date", "time", "timetz", "interval", "json", "jsonb")

    def __init__(self, parameters: dict[str, Any]) -> None:
        self._parameters = parameters

    def connect(self, timeout: float) -> psycopg.Connection[Any]:
        """A connection whose session reads only."""
        raw = psycopg.connect(
            **{
                "application_name": "sql-synthesizer",
                "keepalives_idle": 30,
                "keepalives_interval": 10,
                "keepalives_count": 3,
                **self._parameters,
                "connect_timeout": math.ceil(timeout),
            },
            autocommit=True,
            prepare_threshold=None,
        )
        for name in self.as_text:
            raw.adapters.register_loader(name, _Text)
        for name in ("timestamp", "timestamptz"):
            raw.adapters.register_loader(name, _Timestamp)
        raw.execute("SET default_transaction_read_only = on")
        return raw

    def begin(self, raw: psycopg.Connection[Any], seconds: float, max_rows: int | None) -> None:
        """Starts a read-only transaction with a time limit."""
        del max_rows
        # cursor_tuple_fraction: plan for all rows, as a plain query would be.
        raw.execute(
            f"BEGIN READ ONLY; SET LOCAL statement_timeout = {milliseconds(seconds)};"
            "SET LOCAL cursor_tuple_fraction = 1".encode()
        )

    def run(self, raw: psycopg.Connection[Any], sql: str, deadline: float) -> tuple[Sequence[str], Batches]:
        """Runs one query."""
        # binary: the extended protocol, which takes a single statement only.
        raw.execute(b"DECLARE answer NO SCROLL CURSOR FOR " + sql.encode(), binary=True)
        cursor = raw.execute(f"FETCH FORWARD {BATCH} FROM answer".encode())
        return [column.name for column in cursor.description or ()], self._rows(cursor, deadline)

    @staticmethod
    def _rows(cursor: psycopg.Cursor[Any], deadline: float) -> Batches:
        while rows := cursor.fetchall():
            yield rows
            if len(rows) < BATCH:
                return
            left = deadline - time.monotonic()
            if left <= 0:
                raise StatementTimeout
            cursor.execute(f"SET LOCAL statement_timeout = {milliseconds(left)}".encode())
            cursor.execute(f"FETCH FORWARD {BATCH} FROM answer".encode())

    def end(self, raw: psycopg.Connection[Any]) -> bool:
        """Ends the transaction; False when the connection cannot be used again."""
        if not raw.closed:
            raw.rollback()
        return not raw.closed

    def stopper(self, raw: psycopg.Connection[Any]) -> Callable[[], None]:
        """What makes a hanging call return."""
        return shutdown(raw.fileno())

    def fault(self, error: Exception) -> Fault:
        """What an exception means."""
        return postgres_fault(error)
