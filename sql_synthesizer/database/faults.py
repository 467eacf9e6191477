"""What a driver's exception means: the error of the tree that it becomes.

Only a class and, for names, the identifier from the statement leave this module; the driver's text may hold data.
"""

from __future__ import annotations

import re
import sqlite3
from dataclasses import dataclass

import psycopg
import pymysql

from sql_synthesizer import errors

REFUSED, TIMEOUT, UNAVAILABLE, FAILED = "refused", "timeout", "unavailable", "failed"
IDENTIFIER_LENGTH = 128

MESSAGES = {
    "undefined_column": "There is no column {0}.",
    "undefined_table": "There is no table {0}.",
    "undefined_function": "There is no function {0} for these arguments.",
    "ambiguous_column": "The column {0} occurs in more than one table; name the table too.",
    "grouping": "A column is neither grouped nor aggregated, or an aggregate stands where none may.",
    "syntax": "The statement has a syntax error.",
    "type": "The types of an operation or function do not fit.",
    "data": "A value cannot be computed or converted, for example a division by zero.",
    "other": "The database could not run the statement as written.",
}
"""The classes of an invalid statement, with what the caller is told."""


@dataclass(frozen=True, slots=True)
class Fault:
    """``kind`` is refused, timeout, unavailable, failed or a class of invalid statement."""

    kind: str
    identifier: str = ""

    def error(self) -> errors.SqlSynthesizerError:
        """The error to raise."""
        if self.kind == REFUSED:
            return errors.StatementRefused(
                "The database refused the statement: only reading permitted data is allowed."
            )
        if self.kind == TIMEOUT:
            return errors.StatementTimeout()
        if self.kind == UNAVAILABLE:
            return errors.DatabaseUnavailable()
        if self.kind == FAILED:
            return errors.DatabaseFailed()
        shown = f"'{self.identifier}'" if self.identifier else "of that name"
        return errors.StatementInvalid(
            MESSAGES[self.kind].format(shown), details={"class": self.kind, "identifier": self.identifier}
        )


# --- SQLite -----------------------------------------------------------------------------------

_SQLITE_CODES = {
    sqlite3.SQLITE_PERM: REFUSED,
    sqlite3.SQLITE_READONLY: REFUSED,
    sqlite3.SQLITE_AUTH: REFUSED,
    sqlite3.SQLITE_INTERRUPT: TIMEOUT,
    sqlite3.SQLITE_BUSY: UNAVAILABLE,
    sqlite3.SQLITE_LOCKED: UNAVAILABLE,
    sqlite3.SQLITE_CANTOPEN: UNAVAILABLE,
    sqlite3.SQLITE_NOTADB: UNAVAILABLE,
    sqlite3.SQLITE_TOOBIG: "data",
    sqlite3.SQLITE_MISMATCH: "data",
}
_SQLITE_MESSAGES = (
    (re.compile(r"^no such column: (?P<name>.+)"), "undefined_column"),
    (re.compile(r"^no such (?:table|view): (?P<name>.+)"), "undefined_table"),
    (re.compile(r"^unknown database (?P<name>.+)"), "undefined_table"),
    (re.compile(r"^no such function: (?P<name>.+)"), "undefined_function"),
    (re.compile(r"^ambiguous column name: (?P<name>.+)"), "ambiguous_column"),
    (re.compile(r"misuse of (?:aggregate|window)|aggregate functions are not allowed"), "grouping"),
    (re.compile(r"syntax error|incomplete input|unrecognized token"), "syntax"),
    (re.compile(r"not authorized|prohibited|too many attached databases|unsafe use of"), REFUSED),
    (re.compile(r"wrong number of arguments"), "type"),
    (re.compile(r"integer overflow|malformed JSON|bad JSON path|LIKE or GLOB pattern too complex"), "data"),
)


def sqlite_fault(error: Exception) -> Fault:
    """Classifies an exception of the sqlite3 module."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in _SQLITE_CODES:
        return Fault(_SQLITE_CODES[code])
    text = str(error)
    for pattern, kind in _SQLITE_MESSAGES:
        if found := pattern.search(text):
            return Fault(kind, _name(found.groupdict().get("name")))
    # More than one statement: the module says so with its Warning or ProgrammingError.
    if isinstance(error, sqlite3.Warning) or "one statement at a time" in text:
        return Fault(REFUSED)
    return Fault("other" if code in (0, sqlite3.SQLITE_ERROR) else FAILED)


# --- PostgreSQL -------------------------------------------------------------------------------

_POSTGRES_STATES = {
    "42703": "undefined_column",
    "42P01": "undefined_table",
    "3F000": "undefined_table",
    "42883": "undefined_function",
    "42702": "ambiguous_column",
    "42803": "grouping",
    "42P20": "grouping",
    "42601": "syntax",
    "42804": "type",
    "42846": "type",
    "42725": "type",
    "42P18": "type",
    "42P22": "type",
    "21000": "data",
    "0A000": "other",
    "42501": REFUSED,
    "42P11": REFUSED,
    "25001": REFUSED,
    "25006": REFUSED,
    "57014": TIMEOUT,
    "55P03": TIMEOUT,
    "3D000": UNAVAILABLE,
    "53300": UNAVAILABLE,
    "57P01": UNAVAILABLE,
    "57P02": UNAVAILABLE,
    "57P03": UNAVAILABLE,
    "57P05": UNAVAILABLE,
}
_POSTGRES_CLASSES = {"08": UNAVAILABLE, "28": UNAVAILABLE, "22": "data", "42": "other", "54": "other"}
_POSTGRES_NAME = re.compile(
    r'(?:column(?: reference)?|relation|schema|table) "?(?P<name>[^"]+?)"? (?:does not exist|of relation|is ambiguous)'
    r'|entry for table "(?P<entry>[^"]+)"|function (?P<function>[^\s(]+)\('
)
_NAMED = frozenset({"undefined_column", "undefined_table", "undefined_function", "ambiguous_column"})


def postgres_fault(error: Exception) -> Fault:
    """Classifies an exception of psycopg by its SQLSTATE."""
    state = getattr(error, "sqlstate", None)
    if state is None:
        lost = isinstance(error, (psycopg.OperationalError, psycopg.InterfaceError))
        return Fault(UNAVAILABLE if lost else FAILED)
    kind = _POSTGRES_STATES.get(state) or _POSTGRES_CLASSES.get(state[:2], FAILED)
    found = _POSTGRES_NAME.search(str(error)) if kind in _NAMED else None
    return Fault(kind, _name(found and (found["name"] or found["entry"] or found["function"])))


# --- MariaDB and MySQL ------------------------------------------------------------------------

_MYSQL_NUMBERS = {
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
_MYSQL_NAME = re.compile(
    r"(?:Unknown column|Table|Unknown table|Unknown database|Column) '(?P<name>[^']+)'|FUNCTION (?P<function>\S+)"
)


def mysql_fault(error: Exception) -> Fault:
    """Classifies an exception of PyMySQL by its number."""
    number = error.args[0] if error.args and isinstance(error.args[0], int) else -1
    if 2000 <= number < 3000:  # raised by the client itself: the connection is gone
        return Fault(UNAVAILABLE)
    kind = _MYSQL_NUMBERS.get(number)
    if kind is None:
        invalid = isinstance(error, (pymysql.ProgrammingError, pymysql.NotSupportedError, pymysql.DataError))
        return Fault("other" if invalid else FAILED)
    found = _MYSQL_NAME.search(str(error.args[1])) if kind in _NAMED and len(error.args) > 1 else None
    return Fault(kind, _name(found and (found["name"] or found["function"])))


# --- Trino and ClickHouse ---------------------------------------------------------------------

_WORDS = {
    "COLUMN_NOT_FOUND": "undefined_column",
    "UNKNOWN_IDENTIFIER": "undefined_column",
    "TABLE_NOT_FOUND": "undefined_table",
    "SCHEMA_NOT_FOUND": "undefined_table",
    "UNKNOWN_TABLE": "undefined_table",
    "UNKNOWN_DATABASE": "undefined_table",
    "FUNCTION_NOT_FOUND": "undefined_function",
    "UNKNOWN_FUNCTION": "undefined_function",
    "AMBIGUOUS_NAME": "ambiguous_column",
    "AMBIGUOUS_IDENTIFIER": "ambiguous_column",
    "EXPRESSION_NOT_AGGREGATE": "grouping",
    "NOT_AN_AGGREGATE": "grouping",
    "SYNTAX_ERROR": "syntax",
    "TYPE_MISMATCH": "type",
    "ILLEGAL_TYPE_OF_ARGUMENT": "type",
    "DIVISION_BY_ZERO": "data",
    "ILLEGAL_DIVISION": "data",
    "INVALID_CAST_ARGUMENT": "data",
    "PERMISSION_DENIED": REFUSED,
    "ACCESS_DENIED": REFUSED,
    "READONLY": REFUSED,
    "EXCEEDED_TIME_LIMIT": TIMEOUT,
    "TIMEOUT_EXCEEDED": TIMEOUT,
    "AUTHENTICATION_FAILED": UNAVAILABLE,
}
_WORD = re.compile(r"\b(" + "|".join(sorted(_WORDS, key=len, reverse=True)) + r")\b")


def other_fault(error: Exception) -> Fault:
    """Classifies an exception of another driver by the error name that its server gives."""
    found = _WORD.search(f"{getattr(error, 'error_name', '')} {error}")
    if found:
        return Fault(_WORDS[found[1]])
    name = type(error).__name__
    if "Connection" in name or "Timeout" in name or name in {"OperationalError", "Http503Error", "OSError"}:
        return Fault(UNAVAILABLE)
    return Fault("other" if name in {"ProgrammingError", "TrinoUserError"} else FAILED)


def _name(text: str | None) -> str:
    return (text or "").strip().replace('"', "").replace("`", "")[:IDENTIFIER_LENGTH]
