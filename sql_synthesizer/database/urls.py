"""Database URLs as operators write them, and the driver that each one means."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import assert_never
from urllib.parse import quote, quote_plus

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError

from sql_synthesizer.database.driver import Driver
from sql_synthesizer.database.http import HttpDriver
from sql_synthesizer.database.sqlite import SqliteDriver
from sql_synthesizer.errors import ConfigurationError
from sql_synthesizer.model.dialects import DIALECTS, DialectRow, find_dialect
from sql_synthesizer.settings import DatabaseSettings, Settings

DriverFactory = Callable[[str, URL, Settings, Sequence[str]], Driver]
"""Takes the name of the dialect, the URL, the settings, and the schemas that may be read."""


def read_url(config: DatabaseSettings, settings: Settings) -> tuple[Driver, Callable[[str], str]]:
    """The driver for a database's URL, and what masks its secrets in a text. Raises ConfigurationError without them."""
    text = config.url.get_secret_value()
    url, dialect = _parse_url(text)
    try:
        driver = find_driver(dialect)(dialect.name, url, settings, config.schemas)
    except (NoSuchModuleError, ImportError):
        package = f"sql-synthesizer[{dialect.extra}]" if dialect.extra else "sql-synthesizer"
        raise ConfigurationError(
            f"The driver for {dialect.name} is not installed.", hint=f"Install it with: pip install '{package}'."
        ) from None
    except (ArgumentError, ValueError, TypeError):
        raise ConfigurationError("The options in the database URL cannot be used.") from None
    return driver, _make_redactor(text, url)


def find_driver(dialect: DialectRow) -> DriverFactory:
    """What speaks the dialect's protocol. Raises ImportError where it is not installed."""
    if dialect.protocol == "sqlite":
        return SqliteDriver
    if dialect.protocol == "postgres":
        from sql_synthesizer.database.postgres import PostgresDriver  # noqa: PLC0415

        return PostgresDriver
    if dialect.protocol == "mysql":
        from sql_synthesizer.database.mysql import MysqlDriver  # noqa: PLC0415

        return MysqlDriver
    if dialect.protocol == "http":
        return HttpDriver
    assert_never(dialect.protocol)


def _parse_url(text: str) -> tuple[URL, DialectRow]:
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        raise ConfigurationError(
            "The database URL cannot be read.", hint="Write it as kind://user:password@host:port/database."
        ) from None
    backend, _, driver = url.drivername.partition("+")
    dialect = find_dialect(backend)
    if dialect is None:
        raise ConfigurationError(
            "The database URL names a kind of database that is not supported.",
            hint=f"Use one of: {', '.join(DIALECTS)}.",
        )
    if driver and driver != dialect.driver.partition("+")[2]:
        raise ConfigurationError(
            f"The database URL names another driver; for {dialect.name} write {dialect.driver}://."
        )
    named = url.database or {"dbname", "service"} & url.query.keys()
    if not named and (dialect.protocol == "mysql" or dialect.catalogs):
        raise ConfigurationError(
            "The database URL names no database.",
            hint=f"Write it as {dialect.name}://user:password@host:port/database.",
        )
    return url.set(drivername=dialect.driver), dialect


def _make_redactor(text: str, url: URL) -> Callable[[str], str]:
    password = str(url.password or "")
    secrets = {text, password, quote(password, safe=""), quote_plus(password)} - {""}

    def redact_message(message: str) -> str:
        for secret in sorted(secrets, key=len, reverse=True):
            message = message.replace(secret, "***")
        return message

    return redact_message
