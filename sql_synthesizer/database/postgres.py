"""PostgreSQL: a query runs as a cursor in a read-only transaction, and only a query can be a cursor."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Sequence
from typing import Any

import psycopg
from psycopg.adapt import Loader
from sqlalchemy import URL

from sql_synthesizer.database.driver import BATCH, Batches, Driver, make_socket_stopper, to_milliseconds, url_arguments
from sql_synthesizer.database.faults import FAILED, NAMED, REFUSED, TIMEOUT, UNAVAILABLE, DriverFault, clean_identifier
from sql_synthesizer.errors import StatementTimeout
from sql_synthesizer.settings import Settings

_STATES = {
    **dict.fromkeys(("42703",), "undefined_column"),
    **dict.fromkeys(("42P01", "3F000"), "undefined_table"),
    **dict.fromkeys(("42883",), "undefined_function"),
    **dict.fromkeys(("42702",), "ambiguous_column"),
    **dict.fromkeys(("42803", "42P20"), "grouping"),
    **dict.fromkeys(("42601",), "syntax"),
    **dict.fromkeys(("42804", "42846", "42725", "42P18", "42P22"), "type"),
    **dict.fromkeys(("21000",), "data"),
    **dict.fromkeys(("0A000",), "other"),
    **dict.fromkeys(("42501", "42P11", "25001", "25006"), REFUSED),
    **dict.fromkeys(("57014", "55P03"), TIMEOUT),
    **dict.fromkeys(("3D000", "53300", "57P01", "57P02", "57P03", "57P05"), UNAVAILABLE),
}
_CLASSES = {"08": UNAVAILABLE, "28": UNAVAILABLE, "22": "data", "42": "other", "54": "other"}
_NAME = re.compile(
    r'(?:column(?: reference)?|relation|schema|table) "?(?P<name>[^"]+?)"? (?:does not exist|of relation|is ambiguous)'
    r'|entry for table "(?P<entry>[^"]+)"|function (?P<function>[^\s(]+)\('
)


class _Text(Loader):
    """A value as the server writes it: unlike Python's types it has room for infinity and BC."""

    def load(self, data: Any) -> str:
        return bytes(data).decode()


class _Timestamp(Loader):
    """A timestamp with the ``T`` of ISO 8601."""

    def load(self, data: Any) -> str:
        return bytes(data).decode().replace(" ", "T", 1)


class PostgresDriver(Driver):
    """PostgreSQL through psycopg; a query runs as a cursor, which only a query can."""

    errors = (psycopg.Error,)
    as_text = ("date", "time", "timetz", "interval", "json", "jsonb")

    def __init__(self, kind: str, url: URL, _settings: Settings) -> None:
        super().__init__(kind, url)
        self._parameters = url_arguments(url)

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
        # cursor_tuple_fraction: plan for all rows, as a plain query would be.
        raw.execute(
            f"BEGIN READ ONLY; SET LOCAL statement_timeout = {to_milliseconds(seconds)};"
            "SET LOCAL cursor_tuple_fraction = 1".encode()
        )

    def run(self, raw: psycopg.Connection[Any], sql: str, deadline: float) -> tuple[Sequence[str], Batches]:
        """Runs one query."""
        # binary: the extended protocol, which takes a single statement only.
        raw.execute(b"DECLARE answer NO SCROLL CURSOR FOR " + sql.encode(), binary=True)
        cursor = raw.execute(f"FETCH FORWARD {BATCH} FROM answer".encode())
        return [column.name for column in cursor.description or ()], self._fetch_batches(cursor, deadline)

    @staticmethod
    def _fetch_batches(cursor: psycopg.Cursor[Any], deadline: float) -> Batches:
        while rows := cursor.fetchall():
            yield rows
            if len(rows) < BATCH:
                return
            left = deadline - time.monotonic()
            if left <= 0:
                raise StatementTimeout
            cursor.execute(f"SET LOCAL statement_timeout = {to_milliseconds(left)}".encode())
            cursor.execute(f"FETCH FORWARD {BATCH} FROM answer".encode())

    def end(self, raw: psycopg.Connection[Any]) -> bool:
        """Ends the transaction; False when the connection cannot be used again."""
        if not raw.closed:
            raw.rollback()
        return not raw.closed

    def stopper(self, raw: psycopg.Connection[Any]) -> Callable[[], None]:
        """What makes a hanging call return."""
        return make_socket_stopper(raw.fileno())

    def classify_error(self, error: Exception) -> DriverFault:
        """What an exception means, by its SQLSTATE."""
        state = getattr(error, "sqlstate", None)
        if state is None:
            lost = isinstance(error, (psycopg.OperationalError, psycopg.InterfaceError))
            return DriverFault(UNAVAILABLE if lost else FAILED)
        kind = _STATES.get(state) or _CLASSES.get(state[:2], FAILED)
        found = _NAME.search(str(error)) if kind in NAMED else None
        return DriverFault(kind, clean_identifier(found and (found["name"] or found["entry"] or found["function"])))
