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

from sql_synthesizer.database.driver import (
    BATCH,
    Batches,
    Driver,
    make_socket_stopper,
    to_milliseconds,
    url_arguments,
    verify_pins,
)
from sql_synthesizer.database.faults import (
    CANCELLED,
    DENIED,
    FAILED,
    NAMED,
    REFUSED,
    TIMEOUT,
    UNAVAILABLE,
    DriverFault,
    clean_identifier,
)
from sql_synthesizer.errors import PrivilegedLogin, StatementTimeout
from sql_synthesizer.settings import Settings
from sql_synthesizer.telemetry.traceparent import find_comment

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
    **dict.fromkeys(("42501",), DENIED),
    **dict.fromkeys(("42P11", "25001", "25006"), REFUSED),
    **dict.fromkeys(("57014",), CANCELLED),
    **dict.fromkeys(("55P03",), TIMEOUT),
    **dict.fromkeys(("3D000", "53300", "57P01", "57P02", "57P03", "57P05"), UNAVAILABLE),
}
_CLASSES = {"08": UNAVAILABLE, "28": UNAVAILABLE, "22": "data", "42": "other", "54": "other"}
_NAME = re.compile(
    r'(?:column(?: reference)?|relation|schema|table) "?(?P<name>[^"]+?)"? (?:does not exist|of relation|is ambiguous)'
    r'|entry for table "(?P<entry>[^"]+)"|function (?P<function>[^\s(]+)\('
)


PINS = {
    # how text is read
    "standard_conforming_strings": "on",
    "backslash_quote": "safe_encoding",
    "client_encoding": "UTF8",
    "array_nulls": "on",
    "xmloption": "content",
    "DateStyle": "ISO, MDY",
    "IntervalStyle": "postgres",
    "TimeZone": "UTC",
    # what a condition means, and which rows it sees
    "transform_null_equals": "off",
    "row_security": "on",
    "gin_fuzzy_search_limit": "0",
    "default_text_search_config": "pg_catalog.english",
}
"""Settings that any role or database may turn -> the value of each transaction, beside ``search_path``."""
PINS_ONCE = {
    "timezone_abbreviations": "Default",  # read from a file by the server, at the price of a transaction
    "default_transaction_read_only": "on",
    "default_transaction_isolation": "read committed",
    # how values and definitions are written
    "bytea_output": "hex",
    "extra_float_digits": "1",
    "lc_numeric": "C",
    "lc_time": "C",
    "quote_all_identifiers": "off",
}
"""The same for those of a connection. Not lc_monetary: stored amounts of money would have other decimals."""
_PRIVILEGES = """
    SELECT rolname, rolsuper, rolbypassrls FROM pg_catalog.pg_roles
    WHERE pg_catalog.pg_has_role(session_user, oid, 'MEMBER') AND (rolsuper OR rolbypassrls OR rolname IN
    ('pg_read_server_files', 'pg_write_server_files', 'pg_execute_server_program'))
    ORDER BY rolname <> session_user
"""
_WRITES = """
    WITH own AS (
        SELECT oid FROM pg_catalog.pg_namespace WHERE nspname <> 'information_schema' AND nspname !~ '^pg_'
    )
    SELECT pg_catalog.has_database_privilege(pg_catalog.current_database(), 'CREATE')
    OR EXISTS (SELECT FROM own WHERE pg_catalog.has_schema_privilege(oid, 'CREATE'))
    OR EXISTS (
        SELECT FROM pg_catalog.pg_class AS c JOIN own ON own.oid = c.relnamespace
        WHERE c.relkind IN ('r', 'p', 'v', 'f')
        AND (pg_catalog.has_table_privilege(c.oid, 'INSERT, UPDATE, DELETE, TRUNCATE')
        OR pg_catalog.has_any_column_privilege(c.oid, 'INSERT, UPDATE'))
    )
"""


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
    as_text = ("date", "time", "timetz", "interval", "json", "jsonb", "record")

    def __init__(self, kind: str, url: URL, settings: Settings, schemas: Sequence[str]) -> None:
        super().__init__(kind, url)
        self._parameters = url_arguments(url)
        self._may_be_privileged = settings.allow_privileged_login
        # pg_catalog comes first unless it is named; pg_temp would, too. Extensions have their operators in public.
        path = [*dict.fromkeys((*schemas, "public")), "pg_temp"]
        quoted = ", ".join('"' + name.replace('"', '""') + '"' for name in path)
        # A constant without a backslash is the same however the server reads it.
        each = {"search_path": quoted, **{name: f"'{value}'" for name, value in PINS.items()}}
        once = {name: f"'{value}'" for name, value in PINS_ONCE.items()}
        self._pins = {"search_path": quoted, **PINS, **PINS_ONCE}
        self._pin_session = "; ".join(f"SET {name} = {value}" for name, value in (each | once).items())
        self._pin_transaction = "; ".join(f"SET LOCAL {name} = {value}" for name, value in each.items())

    def _open_connection(self, timeout: float) -> psycopg.Connection[Any]:
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
        return raw

    def _settle_session(self, raw: psycopg.Connection[Any]) -> None:
        raw.execute(self._pin_session.encode())
        read = ", ".join(f"pg_catalog.current_setting('{name}')" for name in self._pins)
        found = raw.execute(f"SELECT {read}".encode()).fetchone()
        verify_pins(self._pins, found or (), lambda text: text.replace('"', ""))
        if not self._may_be_privileged and (rows := raw.execute(_PRIVILEGES).fetchall()):
            kinds = ("superuser" if row[1] else "BYPASSRLS" if row[2] else "files" for row in rows)
            raise PrivilegedLogin(details={row[0]: kind for row, kind in zip(rows, kinds, strict=True)})

    def begin(self, raw: psycopg.Connection[Any], seconds: float, max_rows: int | None) -> None:
        """Starts a read-only transaction with a time limit."""
        # cursor_tuple_fraction: plan for all rows, as a plain query would be.
        raw.execute(
            f"BEGIN READ ONLY; SET LOCAL statement_timeout = {to_milliseconds(seconds)};"
            f"SET LOCAL cursor_tuple_fraction = 1;{self._pin_transaction}".encode()
        )

    def run(self, raw: psycopg.Connection[Any], sql: str, deadline: float) -> tuple[Sequence[str], Batches]:
        """Runs one query."""
        # binary: the extended protocol, which takes a single statement only.
        raw.execute(b"DECLARE answer NO SCROLL CURSOR FOR " + sql.encode(), binary=True)
        # What takes the time, and so is logged as slow, is not the declaration.
        fetch = f"FETCH FORWARD {BATCH} FROM answer{find_comment(sql)}".encode()
        cursor = raw.execute(fetch)
        return [column.name for column in cursor.description or ()], self._fetch_batches(cursor, fetch, deadline)

    @staticmethod
    def _fetch_batches(cursor: psycopg.Cursor[Any], fetch: bytes, deadline: float) -> Batches:
        while rows := cursor.fetchall():
            yield rows
            if len(rows) < BATCH:
                return
            left = deadline - time.monotonic()
            if left <= 0:
                raise StatementTimeout
            cursor.execute(f"SET LOCAL statement_timeout = {to_milliseconds(left)}".encode())
            cursor.execute(fetch)

    def may_write(self, raw: psycopg.Connection[Any]) -> bool:
        """Whether the login may change a table, or make one in a schema."""
        row = raw.execute(_WRITES).fetchone()
        return row is not None and bool(row[0])

    def end(self, raw: psycopg.Connection[Any]) -> bool:
        """Ends the transaction; False when the connection cannot be used again."""
        if not raw.closed:
            raw.rollback()
        return not raw.closed

    def stopper(self, raw: psycopg.Connection[Any]) -> Callable[[], None]:
        """What makes a hanging call return."""
        return make_socket_stopper(raw.fileno())

    def session_id(self, raw: psycopg.Connection[Any]) -> int:
        """The process that serves the connection."""
        return raw.info.backend_pid

    def end_session(self, raw: psycopg.Connection[Any], session: int, age: float) -> bool:
        """Ends a process, unless it has started since: numbers of processes come again."""
        ended = raw.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE pid = %s AND backend_start < clock_timestamp() - make_interval(secs => %s)",
            (session, age),
        )
        return not ended.fetchall()

    def classify_error(self, error: Exception) -> DriverFault:
        """What an exception means, by its SQLSTATE."""
        state = getattr(error, "sqlstate", None)
        if state is None:
            lost = isinstance(error, (psycopg.OperationalError, psycopg.InterfaceError))
            return DriverFault(UNAVAILABLE if lost else FAILED)
        kind = _STATES.get(state) or _CLASSES.get(state[:2], FAILED)
        found = _NAME.search(str(error)) if kind in NAMED else None
        return DriverFault(kind, clean_identifier(found and (found["name"] or found["entry"] or found["function"])))
