"""MariaDB and MySQL: streamed results in a read-only transaction."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

import pymysql
from pymysql.constants import CLIENT, FIELD_TYPE
from pymysql.cursors import SSCursor
from sqlalchemy import URL

from sql_synthesizer.database.driver import (
    Batches,
    Driver,
    fetch_batches,
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
from sql_synthesizer.errors import PrivilegedLogin
from sql_synthesizer.settings import Settings

_CHARSET = "utf8mb4"
_COMMON_PINS = {
    # how text is read; the collation after the character set, which resets it
    "character_set_client": _CHARSET,
    "character_set_connection": _CHARSET,
    "collation_connection": "utf8mb4_general_ci",
    "character_set_results": _CHARSET,
    "time_zone": "+00:00",
    # what a condition or function means, and what comes of its values
    "sql_auto_is_null": 0,
    "default_week_format": 0,
    "div_precision_increment": 4,
    "group_concat_max_len": 1_048_576,
    "max_sort_length": 1024,
    "lc_time_names": "en_US",
    "sql_big_selects": 1,
    # how definitions are written, and what ends with a transaction
    "sql_quote_show_create": 1,
    "completion_type": "NO_CHAIN",
}
_MODES = "STRICT_TRANS_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION"
MARIADB_PINS: dict[str, object] = {
    **_COMMON_PINS,
    "sql_mode": _MODES,
    "old_mode": "",
    "system_versioning_asof": "DEFAULT",
    "max_recursive_iterations": 1000,
}
MYSQL_PINS: dict[str, object] = {
    **_COMMON_PINS,
    "sql_mode": f"{_MODES},ONLY_FULL_GROUP_BY,NO_ZERO_IN_DATE,NO_ZERO_DATE",
    "cte_max_recursion_depth": 1000,
}
"""Settings of a session -> the value they have here, whatever the server's configuration and the URL say."""
_ALL_ROWS = 2**64 - 1
_GRANT = re.compile(r"GRANT (?P<rights>.+?) ON (?P<scope>.+?) TO ")
_TOO_MUCH = frozenset({"ALL PRIVILEGES", "SUPER", "FILE"})
_HARMLESS = frozenset({"USAGE", "SELECT", "SHOW VIEW", "SHOW DATABASES", "PROCESS", "EXECUTE"})

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
    **dict.fromkeys((1060, 1136, 1222, 1235, 1248, 1327, 1353), "other"),
    **dict.fromkeys((*range(3573, 3600), *range(4002, 4015)), "other"),  # WITH and windows, of MySQL and of MariaDB
    **dict.fromkeys((1044, 1142, 1143, 1370), DENIED),
    **dict.fromkeys((1227, 1290, 1419, 1792, 1836), REFUSED),
    **dict.fromkeys((1205, 1969, 3024), TIMEOUT),
    **dict.fromkeys((0, 1040, 1045, 1053, 1130, 1203, 1226, 1698, 1927), UNAVAILABLE),
    **dict.fromkeys((1317,), CANCELLED),
    **dict.fromkeys((1021, 1037, 1038, 1041), FAILED),
}
_NAME = re.compile(
    r"(?:Unknown column|Table|Unknown table|Unknown database|Column) '(?P<name>[^']+)'|FUNCTION (?P<function>\S+)"
)


class MysqlDriver(Driver):
    """MariaDB and MySQL through PyMySQL, streamed."""

    errors = (pymysql.Error,)

    def __init__(self, kind: str, url: URL, settings: Settings, schemas: Sequence[str]) -> None:
        super().__init__(kind, url)
        # Dates stay text: Python's types have no room for zero dates and long times.
        converters: dict[Any, Any] = {**pymysql.converters.conversions, **dict.fromkeys(_TIMESTAMPS, _iso_timestamp)}
        for code in _AS_TEXT - _TIMESTAMPS:
            del converters[code]
        given = url_arguments(url)
        flags = given.get("client_flag", 0) & ~CLIENT.MULTI_STATEMENTS
        self._parameters = {**given, "client_flag": flags, "charset": _CHARSET, "conv": converters}
        self._may_be_privileged = settings.allow_privileged_login
        self._pin = ""

    def _open_connection(self, timeout: float) -> Any:
        return pymysql.connect(
            **{**self._parameters, "connect_timeout": timeout, "read_timeout": timeout, "write_timeout": timeout},
            autocommit=True,
        )

    def _settle_session(self, raw: Any) -> None:
        if database := self._parameters.get("database"):
            raw.select_db(database)  # init_connect may have chosen another
        pins = MARIADB_PINS if _is_mariadb(raw) else MYSQL_PINS
        self._pin = _assign_values(pins)
        with raw.cursor() as cursor:
            cursor.execute("SET SESSION TRANSACTION READ ONLY")
            cursor.execute(f"SET SESSION {self._pin}")
            cursor.execute("SELECT " + ", ".join(f"@@SESSION.{name}" for name in pins))
            verify_pins(pins, cursor.fetchone(), lambda text: sorted(text.split(",")))
        too_much = {right for right, everywhere in self._rights(raw) if everywhere and right in _TOO_MUCH}
        if too_much and not self._may_be_privileged:
            raise PrivilegedLogin(details=dict.fromkeys(sorted(too_much), "*.*"))

    @staticmethod
    def _rights(raw: Any) -> Iterator[tuple[str, bool]]:
        """Each right of the login and of its roles, and whether it has it everywhere."""
        with raw.cursor() as cursor:
            cursor.execute("SHOW GRANTS")
            for (text,) in cursor.fetchall():
                if found := _GRANT.match(text):
                    rights = re.sub(r"\([^)]*\)", "", found["rights"]).split(",")
                    yield from ((right.strip(), found["scope"] == "*.*") for right in rights)

    def may_write(self, raw: Any) -> bool:
        """Whether the login has any right but those to read."""
        return any(right not in _HARMLESS for right, _ in self._rights(raw))

    def begin(self, raw: Any, seconds: float, max_rows: int | None) -> None:
        """Starts a read-only transaction with a time limit."""
        # PyMySQL has no public way to change the limit of a read once it is connected.
        raw._read_timeout = seconds + 2 * self.grace  # noqa: SLF001
        limit = f"max_execution_time = {to_milliseconds(seconds)}"
        if _is_mariadb(raw):
            limit = f"max_statement_time = {seconds:.3f}"
        rows = _ALL_ROWS if max_rows is None else max_rows + 1
        with raw.cursor() as cursor:
            cursor.execute(f"SET SESSION {limit}, sql_select_limit = {rows}, {self._pin}")
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

    def session_id(self, raw: Any) -> int:
        """The number of the connection."""
        return int(raw.thread_id())

    def end_session(self, raw: Any, session: int, age: float) -> bool:
        """Ends a connection; a server gives each number once."""
        del age
        with raw.cursor() as cursor:
            if not cursor.execute("SELECT 1 FROM information_schema.processlist WHERE id = %s", (session,)):
                return True
            with suppress(pymysql.OperationalError):  # it may have ended meanwhile
                cursor.execute(f"KILL CONNECTION {session:d}")
        return False

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


def _is_mariadb(raw: Any) -> bool:
    return "mariadb" in raw.get_server_info().lower()


def _assign_values(pins: Mapping[str, object]) -> str:
    # A session may have stopped its clock, which cannot be compared with anything, so it is not among the pins.
    return ", ".join(
        f"{name} = {value}" if value == "DEFAULT" or isinstance(value, int) else f"{name} = '{value}'"
        for name, value in {**pins, "timestamp": "DEFAULT"}.items()
    )


def _iso_timestamp(text: object) -> str:
    return str(text).replace(" ", "T", 1)
