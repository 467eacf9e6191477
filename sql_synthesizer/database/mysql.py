"""MariaDB and MySQL: streamed results in a read-only transaction."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import pymysql
from pymysql.constants import FIELD_TYPE
from pymysql.cursors import SSCursor
from sqlalchemy import URL

from sql_synthesizer.database.driver import (
    Batches,
    Driver,
    fetch_batches,
    make_socket_stopper,
    to_milliseconds,
    url_arguments,
)
from sql_synthesizer.database.faults import FAILED, NAMED, REFUSED, TIMEOUT, UNAVAILABLE, DriverFault, clean_identifier
from sql_synthesizer.settings import Settings

_AS_TEXT = frozenset({FIELD_TYPE.DATE, FIELD_TYPE.TIME, FIELD_TYPE.DATETIME, FIELD_TYPE.TIMESTAMP})
_TIMESTAMPS = frozenset({FIELD_TYPE.DATETIME, FIELD_TYPE.TIMESTAMP})

_NUMBERS = {
    **dict.fromkeys((1054,), "undefined_column"),
    **dict.fromkeys((1049, 1051, 1109, 1146), "undefined_table"),
    **dict.fromkeys((1128, 1305, 1630), "undefined_function"),
    **dict.fromkeys((1052,), "ambiguous_column"),
    **dict.fromkeys((1055, 1056, 1111, 1140, 4015), "grouping"),
    **dict.fromkeys((1064, 1065, 1149), "syntax"),
    **dict.fromkeys((1253, 1267, 1270, 1271, 1582, 4078, 4079), "type"),
    **dict.fromkeys((1241, 1242, 1264, 1292, 1365, 1366, 1406, 1411, 1690), "data"),
    **dict.fromkeys((1060, 1222, 1235, 1248, 1327), "other"),
    **dict.fromkeys((1044, 1142, 1143, 1227, 1290, 1370, 1419, 1792, 1836), REFUSED),
    **dict.fromkeys((1205, 1969, 3024), TIMEOUT),
    **dict.fromkeys((0, 1040, 1045, 1053, 1130, 1203, 1226, 1698, 1927), UNAVAILABLE),
    **dict.fromkeys((1317, 1021, 1037, 1038, 1041), FAILED),
}
_NAME = re.compile(
    r"(?:Unknown column|Table|Unknown table|Unknown database|Column) '(?P<name>[^']+)'|FUNCTION (?P<function>\S+)"
)


class MysqlDriver(Driver):
    """MariaDB and MySQL through PyMySQL, streamed."""

    errors = (pymysql.Error,)

    def __init__(self, kind: str, url: URL, _settings: Settings) -> None:
        super().__init__(kind, url)
        # Dates stay text: Python's types have no room for zero dates and long times.
        converters: dict[Any, Any] = {**pymysql.converters.conversions, **dict.fromkeys(_TIMESTAMPS, _iso_timestamp)}
        for code in _AS_TEXT - _TIMESTAMPS:
            del converters[code]
        self._parameters = {"charset": "utf8mb4", **url_arguments(url), "conv": converters}

    def connect(self, timeout: float) -> Any:
        """A connection whose session reads only."""
        raw = pymysql.connect(
            **{**self._parameters, "connect_timeout": timeout, "read_timeout": timeout, "write_timeout": timeout},
            autocommit=True,
        )
        with raw.cursor() as cursor:
            cursor.execute("SET SESSION TRANSACTION READ ONLY")
        return raw

    def begin(self, raw: Any, seconds: float, max_rows: int | None) -> None:
        """Starts a read-only transaction with a time limit."""
        # PyMySQL has no public way to change the limit of a read once it is connected.
        raw._read_timeout = seconds + 2 * self.grace  # noqa: SLF001
        mariadb = "mariadb" in raw.get_server_info().lower()
        limit = f"max_statement_time = {seconds:.3f}" if mariadb else f"max_execution_time = {to_milliseconds(seconds)}"
        rows = "DEFAULT" if max_rows is None else str(max_rows + 1)
        with raw.cursor() as cursor:
            cursor.execute(f"SET SESSION {limit}, sql_select_limit = {rows}")
            cursor.execute("START TRANSACTION READ ONLY")

    def run(self, raw: Any, sql: str, deadline: float) -> tuple[Sequence[str], Batches]:
        """Runs one query."""
        cursor = raw.cursor(SSCursor)
        cursor.execute(sql)
        return [column[0] for column in cursor.description or ()], self._fetch_batches(raw, cursor, deadline)

    @staticmethod
    def _fetch_batches(raw: Any, cursor: Any, deadline: float) -> Batches:
        finished = False
        try:
            yield from fetch_batches(cursor, deadline)
            finished = True
        finally:
            if not finished:
                # Closing the cursor would read the rest of the result; dropping the connection does not.
                cursor.connection = None
                if raw._result is not None:  # noqa: SLF001
                    raw._result.unbuffered_active = False  # noqa: SLF001
                raw._force_close()  # noqa: SLF001

    def end(self, raw: Any) -> bool:
        """Ends the transaction; False when the connection cannot be used again."""
        if raw.open:
            raw.rollback()
        return bool(raw.open)

    def stopper(self, raw: Any) -> Callable[[], None]:
        """What makes a hanging call return. Raises InterfaceError when the connection is lost."""
        if not raw.open:
            raise pymysql.InterfaceError(0, "the connection is closed")
        return make_socket_stopper(raw._sock.fileno())  # noqa: SLF001

    def classify_error(self, error: Exception) -> DriverFault:
        """What an exception means, by its number."""
        number = error.args[0] if error.args and isinstance(error.args[0], int) else -1
        if 2000 <= number < 3000:  # raised by the client itself: the connection is gone
            return DriverFault(UNAVAILABLE)
        kind = _NUMBERS.get(number)
        if kind is None:
            invalid = isinstance(error, (pymysql.ProgrammingError, pymysql.NotSupportedError, pymysql.DataError))
            return DriverFault("other" if invalid else FAILED)
        found = _NAME.search(str(error.args[1])) if kind in NAMED and len(error.args) > 1 else None
        return DriverFault(kind, clean_identifier(found and (found["name"] or found["function"])))


def _iso_timestamp(text: object) -> str:
    return str(text).replace(" ", "T", 1)
