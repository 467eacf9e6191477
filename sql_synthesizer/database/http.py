"""Trino and ClickHouse, spoken to over HTTP with the drivers that the extras install."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import URL, create_engine

from sql_synthesizer.connecting import look_up
from sql_synthesizer.database.driver import Batches, Driver, fetch_batches
from sql_synthesizer.database.faults import CANCELLED, DENIED, FAILED, REFUSED, TIMEOUT, UNAVAILABLE, DriverFault
from sql_synthesizer.settings import Settings

_WORDS = {
    **dict.fromkeys(("COLUMN_NOT_FOUND", "UNKNOWN_IDENTIFIER"), "undefined_column"),
    **dict.fromkeys(("TABLE_NOT_FOUND", "SCHEMA_NOT_FOUND", "UNKNOWN_TABLE", "UNKNOWN_DATABASE"), "undefined_table"),
    **dict.fromkeys(("FUNCTION_NOT_FOUND", "UNKNOWN_FUNCTION"), "undefined_function"),
    **dict.fromkeys(("AMBIGUOUS_NAME", "AMBIGUOUS_IDENTIFIER"), "ambiguous_column"),
    **dict.fromkeys(("EXPRESSION_NOT_AGGREGATE", "NOT_AN_AGGREGATE"), "grouping"),
    **dict.fromkeys(("SYNTAX_ERROR",), "syntax"),
    **dict.fromkeys(("TYPE_MISMATCH", "ILLEGAL_TYPE_OF_ARGUMENT"), "type"),
    **dict.fromkeys(("DIVISION_BY_ZERO", "ILLEGAL_DIVISION", "INVALID_CAST_ARGUMENT"), "data"),
    **dict.fromkeys(("MISMATCHED_COLUMN_ALIASES", "NUMBER_OF_COLUMNS_DOESNT_MATCH"), "other"),
    **dict.fromkeys(("PERMISSION_DENIED", "ACCESS_DENIED"), DENIED),
    **dict.fromkeys(("READONLY",), REFUSED),
    **dict.fromkeys(("USER_CANCELED", "ADMINISTRATIVELY_KILLED", "QUERY_WAS_CANCELLED"), CANCELLED),
    **dict.fromkeys(("EXCEEDED_TIME_LIMIT", "TIMEOUT_EXCEEDED"), TIMEOUT),
    **dict.fromkeys(("AUTHENTICATION_FAILED",), UNAVAILABLE),
}
_WORD = re.compile(r"\b(" + "|".join(sorted(_WORDS, key=len, reverse=True)) + r")\b")


class HttpDriver(Driver):
    """Trino and ClickHouse: limits are given to the server when the session is opened, nothing can be interrupted."""

    def __init__(self, kind: str, url: URL, settings: Settings, schemas: Sequence[str]) -> None:
        super().__init__(kind, url)
        self._dialect = create_engine(url).dialect
        self._arguments, self._parameters = self._dialect.create_connect_args(url)
        self._seconds = math.ceil(settings.statement_timeout)
        self.errors = (self._dialect.loaded_dbapi.Error, OSError)

    def _open_connection(self, timeout: float) -> Any:
        # The session reads only; of what the URL sets for it, limits and pins do not stay.
        parameters = limit_session(self.kind, self._parameters, timeout, self._seconds)
        return self._dialect.loaded_dbapi.connect(*self._arguments, **parameters)

    def begin(self, raw: Any, seconds: float, max_rows: int | None) -> None:
        """Looks for the server's name first, for which the drivers have no limit."""
        look_up(self.engine_url.host or "", self.engine_url.port or 0, seconds)

    def run(self, raw: Any, sql: str, deadline: float) -> tuple[Sequence[str], Batches]:
        """Runs one query."""
        cursor = raw.cursor()
        cursor.execute(sql)
        return [column[0] for column in cursor.description or ()], fetch_batches(cursor, deadline)

    def classify_error(self, error: Exception) -> DriverFault:
        """What an exception means, by the error name that the server gives."""
        found = _WORD.search(f"{getattr(error, 'error_name', '')} {error}")
        if found:
            return DriverFault(_WORDS[found[1]])
        name = type(error).__name__
        gone = {"OperationalError", "Http503Error", "OSError", "gaierror"}
        if "Connection" in name or "Timeout" in name or name in gone:
            return DriverFault(UNAVAILABLE)
        return DriverFault("other" if name in {"ProgrammingError", "TrinoUserError"} else FAILED)


CLICKHOUSE_PINS = {
    "dialect": "clickhouse",
    "session_timezone": "UTC",
    "date_time_input_format": "basic",
    "date_time_output_format": "simple",
    "prefer_column_name_to_alias": "0",
    "asterisk_include_alias_columns": "0",
    "asterisk_include_materialized_columns": "0",
    "transform_null_in": "0",
    "join_use_nulls": "0",
    "aggregate_functions_null_for_empty": "0",
    "union_default_mode": "",
    "final": "0",
    "limit": "0",
    "offset": "0",
    "additional_table_filters": "{}",
    "additional_result_filter": "",
}
"""Settings that go with each request -> their value: a server that cannot take one of them refuses the request."""
_TRINO_PATH = "x-trino-path"
"""The header that says where functions are looked for; the client has none of its own."""


def limit_session(kind: str, parameters: Mapping[str, Any], timeout: float, seconds: int) -> dict[str, Any]:
    """The parameters of a session, bounded by ``timeout`` for the connection and ``seconds`` for each statement."""
    if kind == "clickhouse":
        return {
            **parameters,
            **{f"ch_{name}": value for name, value in CLICKHOUSE_PINS.items()},
            "ch_readonly": "2",
            "ch_max_execution_time": str(seconds),
            "connect_timeout": str(math.ceil(timeout)),
            "send_receive_timeout": str(seconds + 1),
        }
    if kind == "trino":
        session = {**parameters.get("session_properties", {}), "query_max_execution_time": f"{seconds}s"}
        headers = {k: v for k, v in (parameters.get("http_headers") or {}).items() if k.casefold() != _TRINO_PATH}
        limits = {"session_properties": session, "request_timeout": (timeout, seconds + 1), "timezone": "UTC"}
        return {**parameters, **limits, **({"http_headers": headers} if "http_headers" in parameters else {})}
    raise ValueError(kind)
