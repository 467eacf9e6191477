"""A database as the product asks it, and every setting that could make its server read another text than the guard."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pymysql
from sqlalchemy import make_url

from sql_synthesizer.database import DatabaseManager
from sql_synthesizer.database.urls import read_url
from sql_synthesizer.errors import SqlSynthesizerError
from sql_synthesizer.guard.statement import StatementGuard
from sql_synthesizer.model import Statement
from sql_synthesizer.schema import reflect_schema
from sql_synthesizer.settings import DatabaseSettings, Settings
from sql_synthesizer.telemetry import Telemetry
from tests.support.databases import MariadbServer, PostgresServer, Server
from tests.support.serving import HANG

PASSWORD = "read-0nly"
SECRET = "sEcReT"
"""Stands where no statement may read."""
TABLES = (
    "CREATE TABLE t (a INTEGER, b VARCHAR(20), d DATE, n INTEGER)",
    r"INSERT INTO t VALUES (1, 'x', '2026-02-01', NULL), (2, '', '2026-01-02', 2), (3, 'a\\b', '2026-12-31', 3)",
    "CREATE TABLE secret (k VARCHAR(20))",
    f"INSERT INTO secret VALUES ('{SECRET}')",
)
POSTGRES = (
    r"UPDATE t SET b = 'a\b' WHERE a = 3",
    "CREATE TABLE instant (at TIMESTAMPTZ)",
    "INSERT INTO instant VALUES ('2026-01-01 20:00:00+00')",
    "CREATE TABLE moment AS SELECT * FROM instant",
    "CREATE SCHEMA shadow",
    "CREATE TABLE shadow.t AS SELECT 1 AS a, k AS b, NULL::date AS d, 0 AS n FROM secret",
    "CREATE FUNCTION shadow.upper(text) RETURNS text LANGUAGE sql AS 'SELECT k FROM public.secret'",
    f"CREATE ROLE reader LOGIN PASSWORD '{PASSWORD}'",
    "CREATE SCHEMA reader",
    "CREATE VIEW reader.moment AS SELECT k AS at FROM secret",
    "GRANT USAGE ON SCHEMA public, shadow, reader TO reader",
    "GRANT SELECT ON ALL TABLES IN SCHEMA public, shadow, reader TO reader",
)
MARIADB = (
    "CREATE TABLE versioned (a INTEGER) WITH SYSTEM VERSIONING",
    "INSERT INTO versioned VALUES (1)",
    "CREATE DATABASE shadow",
    f"CREATE TABLE shadow.t AS SELECT 1 AS a, '{SECRET}' AS b, NULL AS d, 0 AS n",
    f"CREATE USER reader IDENTIFIED BY '{PASSWORD}'",
    "GRANT SELECT ON shop.* TO reader",
    "GRANT SELECT ON shadow.* TO reader",
)

POSTGRES_WRONG = {
    "standard_conforming_strings": "off",
    "backslash_quote": "on",
    "client_encoding": "LATIN1",
    "array_nulls": "off",
    "xmloption": "document",
    "DateStyle": "German, DMY",
    "IntervalStyle": "sql_standard",
    "TimeZone": "Asia/Tokyo",
    "timezone_abbreviations": "Australia",
    "transform_null_equals": "on",
    "row_security": "off",
    "gin_fuzzy_search_limit": "1",
    "default_text_search_config": "pg_catalog.german",
    "default_transaction_read_only": "off",
    "default_transaction_isolation": "serializable",
    "bytea_output": "escape",
    "extra_float_digits": "-5",
    "lc_numeric": "POSIX",
    "lc_time": "POSIX",
    "quote_all_identifiers": "on",
    "search_path": "shadow",
}
MARIADB_WRONG = {
    "character_set_client": "gbk",
    "character_set_connection": "gbk",
    "collation_connection": "gbk_bin",
    "character_set_results": "latin1",
    "time_zone": "+09:00",
    "sql_auto_is_null": "1",
    "default_week_format": "3",
    "div_precision_increment": "0",
    "group_concat_max_len": "4",
    "max_sort_length": "64",
    "lc_time_names": "de_DE",
    "sql_big_selects": "0",
    "sql_quote_show_create": "0",
    "completion_type": "CHAIN",
    "sql_mode": "ORACLE,NO_BACKSLASH_ESCAPES,HIGH_NOT_PRECEDENCE,EMPTY_STRING_IS_NULL",
    "old_mode": "ZERO_DATE_TIME_CAST",
    "system_versioning_asof": "2020-01-01 00:00:00.000000",
    "max_recursive_iterations": "1",
}
SQLITE_WRONG = {
    "query_only": "0",
    "trusted_schema": "1",
    "cell_size_check": "0",
    "cache_size": "-1",
    "reverse_unordered_selects": "1",
    "full_column_names": "1",
    "short_column_names": "0",
    "case_sensitive_like": "1",
}
"""Setting -> a value that changes what statements or answers say."""


class Desk:
    """Asks one database as the service does: schema, guard, then the server; ``k`` of ``secret`` is out of reach."""

    def __init__(self, url: str, **given: Any) -> None:
        self.config = DatabaseSettings(name="main", url=url, hidden=("secret",))
        self.manager = DatabaseManager([self.config], Settings(connect_timeout=60, **given), Telemetry())
        with self.manager.connect("main") as connection:
            self.schema = reflect_schema(connection, self.config, self.manager.dialect("main"))

    def ask(self, sql: str) -> Any:
        """The rows, or the reason why there are none."""
        try:
            statement = StatementGuard().check(Statement(sql, "analyst"), self.schema, max_rows=100)
            assert "secret" not in statement.tables
            rows = self.manager.execute("main", statement.sql, max_rows=100, deadline=time.monotonic() + HANG)
        except SqlSynthesizerError as error:
            return error.reason
        return list(rows.rows)


@contextmanager
def desk(url: str, **given: Any) -> Iterator[Desk]:
    """A desk with these settings of the service, closed at the end."""
    made = Desk(url, **given)
    with closing(made.manager):
        yield made


@dataclass(frozen=True)
class Place:
    """A server with the tables of this file, and how to turn its settings the wrong way on each level."""

    server: Server
    url: str
    """A login that only reads."""
    levels: tuple[str, ...]
    owner: Callable[..., list[Any]]
    """Runs statements as who may do everything in the database of these tables; the rows of the last one."""

    @contextmanager
    def turned(self, level: str, settings: Mapping[str, str]) -> Iterator[str]:
        """The URL to ask while these settings are so on a level."""
        if isinstance(self.server, PostgresServer):
            yield from _turn_postgres(self, level, settings)
        else:
            yield from _turn_mariadb(self, level, settings)


def _turn_postgres(place: Place, level: str, settings: Mapping[str, str]) -> Iterator[str]:
    if level == "url":
        options = " ".join(f"-c {name}=" + value.replace(" ", "\\ ") for name, value in settings.items())
        yield make_url(place.url).update_query_dict({"options": options}).render_as_string(hide_password=False)
        return
    target = {"role": "ROLE reader", "database": "DATABASE shop", "cluster": "SYSTEM"}[level]
    # A text may be no list of names where a list is asked for.
    place.owner(
        *(f"ALTER {target} SET {n} = " + (v if n == "search_path" else f"'{v}'") for n, v in settings.items()),
        *["SELECT pg_reload_conf()"] * (level == "cluster"),
    )
    try:
        yield place.url
    finally:
        place.owner(f"ALTER {target} RESET ALL", *["SELECT pg_reload_conf()"] * (level == "cluster"))


def _turn_mariadb(place: Place, level: str, settings: Mapping[str, str]) -> Iterator[str]:
    given = {n: v if v.isdigit() else f"'{v}'" for n, v in settings.items()}
    if "charset" in settings:
        yield make_url(place.url).update_query_dict(settings).render_as_string(hide_password=False)
    elif level == "url":
        text = "SET " + ", ".join(f"{name} = {value}" for name, value in given.items())
        yield make_url(place.url).update_query_dict({"init_command": text}).render_as_string(hide_password=False)
    elif level == "init_connect":
        text = "; ".join(v if n == "USE" else f"SET {n} = {given[n]}" for n, v in settings.items()).replace("'", "''")
        place.owner(f"SET GLOBAL init_connect = '{text}'")
        try:
            yield place.url
        finally:
            place.owner("SET GLOBAL init_connect = ''")
    else:
        (before,) = place.owner("SELECT " + ", ".join(f"@@GLOBAL.{name}" for name in given))
        place.owner(*(f"SET GLOBAL {name} = {value}" for name, value in given.items()))
        try:
            yield place.url
        finally:
            kept = zip(given, (v if isinstance(v, int) else f"'{v}'" for v in before), strict=True)
            place.owner(*(f"SET GLOBAL {name} = " + str(v).replace("'DEFAULT'", "DEFAULT") for name, v in kept))


@contextmanager
def postgres_place() -> Iterator[Place]:
    server = PostgresServer()
    try:
        with closing(server.connect()) as connection:
            connection.execute("CREATE DATABASE shop")

        def owner(*statements: str) -> list[Any]:
            plain = make_url(server.url).set(drivername="postgresql", database="shop")
            with closing(psycopg.connect(plain.render_as_string(hide_password=False), autocommit=True)) as connection:
                return _run_all(connection.cursor(), statements)

        owner(*TABLES, *POSTGRES)
        yield Place(server, _as_reader(server.url, "shop"), ("role", "database", "cluster", "url"), owner)
    finally:
        server.remove()


@contextmanager
def mariadb_place() -> Iterator[Place]:
    server = MariadbServer()
    try:

        def owner(*statements: str) -> list[Any]:
            with closing(server.connect()) as connection:
                return _run_all(connection.cursor(), statements)

        owner(*TABLES, *MARIADB)
        yield Place(server, _as_reader(server.url, "shop"), ("global", "init_connect", "url"), owner)
    finally:
        server.remove()


def _as_reader(url: str, database: str) -> str:
    target = make_url(url).set(username="reader", password=PASSWORD, database=database)
    return target.render_as_string(hide_password=False)


def _run_all(cursor: Any, statements: Iterable[str]) -> list[Any]:
    for statement in statements:
        cursor.execute(statement)
    return list(cursor.fetchall()) if cursor.description else []


# --- what holds -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Held:
    """One line of the matrix: what a plain client gets on this level, and what the product has instead."""

    server: str
    level: str
    setting: str
    plain: str
    pinned: str


def read_matrix(place: Place, wrong: Mapping[str, str]) -> Iterator[Held]:
    """Every setting, turned the wrong way on each level."""
    for level in place.levels:
        given = wrong
        if level == "global":
            # These follow the client's own character set, whatever the server says.
            given = {n: v for n, v in wrong.items() if "character_set" not in n and n != "collation_connection"}
        with place.turned(level, given) as url:
            plain, pinned = _look(place, url, given)
            for name, before, now in zip(given, plain, pinned, strict=True):
                yield Held(place.server.account, level, name, str(before), str(now))


def _look(place: Place, url: str, names: Iterable[str]) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    postgres = isinstance(place.server, PostgresServer)
    driver, _ = read_url(DatabaseSettings(name="main", url=url), Settings())
    read = ", ".join(f"pg_catalog.current_setting('{name}')" if postgres else f"@@{name}" for name in names)
    found = []
    for begin in (False, True):
        raw = driver.connect(60) if begin else _connect_plainly(driver)
        with closing(raw), raw.cursor() as cursor:
            if begin:
                driver.begin(raw, HANG, 5)
            cursor.execute(f"SELECT {read}")
            found.append(tuple(cursor.fetchone()))
    return found[0], found[1]


def _connect_plainly(driver: Any) -> Any:
    if driver.kind == "postgresql":
        return psycopg.connect(**driver._parameters, autocommit=True)
    return pymysql.connect(**driver._parameters)


class WrongSqlite(sqlite3.Connection):
    """A connection of an SQLite that was compiled otherwise."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name, value in SQLITE_WRONG.items():
            self.execute(f"PRAGMA {name} = {value}")


def make_sqlite(path: Path) -> str:
    with closing(sqlite3.connect(path)) as connection:
        for statement in TABLES:
            connection.execute(statement)
        connection.commit()
    return f"sqlite:///{path}"
