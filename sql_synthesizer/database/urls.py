"""Database URLs as operators write them, and the driver that each one means."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import quote, quote_plus

from sqlalchemy import URL, create_engine, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError

from sql_synthesizer.database.driver import Driver
from sql_synthesizer.database.http import HttpDriver
from sql_synthesizer.database.sqlite import SqliteDriver
from sql_synthesizer.errors import ConfigurationError
from sql_synthesizer.settings import Settings

_TYPES = {"postgres": "postgresql", "clickhousedb": "clickhouse"}
_DRIVERS = {
    "sqlite": "sqlite+pysqlite",
    "postgresql": "postgresql+psycopg",
    "mariadb": "mariadb+pymysql",
    "mysql": "mysql+pymysql",
    "trino": "trino",
    "clickhouse": "clickhousedb+connect",
}


@dataclass(frozen=True, slots=True)
class DatabaseTarget:
    """What a URL says: how to speak to the database, and what of it must not be shown."""

    engine_url: URL
    driver: Driver
    redact: Callable[[str], str]


def read_url(text: str, settings: Settings) -> DatabaseTarget:
    """Reads a database URL. Raises ConfigurationError, which never repeats the URL."""
    url, type = _parse_url(text)
    if type == "sqlite":
        return DatabaseTarget(URL.create(_DRIVERS[type]), SqliteDriver(url, settings), _make_redactor(text, url))
    try:
        dialect = create_engine(url).dialect
        _, parameters = dialect.create_connect_args(url)
    except (NoSuchModuleError, ImportError):
        raise ConfigurationError(
            f"The driver for {type} is not installed.", hint=f"Install it with: pip install 'sql-synthesizer[{type}]'."
        ) from None
    except (ArgumentError, ValueError, TypeError):
        raise ConfigurationError("The options in the database URL cannot be used.") from None
    driver: Driver
    if type == "postgresql":
        from sql_synthesizer.database.postgres import PostgresDriver  # noqa: PLC0415

        driver = PostgresDriver(dict(parameters))
    elif type in {"mariadb", "mysql"}:
        from sql_synthesizer.database.mysql import MysqlDriver  # noqa: PLC0415

        driver = MysqlDriver(type, dict(parameters))
    else:
        driver = HttpDriver(type, dialect, url, settings)
    return DatabaseTarget(url, driver, _make_redactor(text, url))


def _parse_url(text: str) -> tuple[URL, str]:
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        raise ConfigurationError(
            "The database URL cannot be read.", hint="Write it as kind://user:password@host:port/database."
        ) from None
    backend, _, driver = url.drivername.partition("+")
    type = _TYPES.get(backend, backend)
    if type not in _DRIVERS:
        raise ConfigurationError(
            "The database URL names a kind of database that is not supported.",
            hint=f"Use one of: {', '.join(_DRIVERS)}.",
        )
    wanted = _DRIVERS[type].partition("+")[2]
    if driver and driver != wanted:
        raise ConfigurationError(f"The database URL names another driver; for {type} write {_DRIVERS[type]}://.")
    return url.set(drivername=_DRIVERS[type]), type


def _make_redactor(text: str, url: URL) -> Callable[[str], str]:
    password = str(url.password or "")
    secrets = {text, password, quote(password, safe=""), quote_plus(password)} - {""}

    def redact_message(message: str) -> str:
        for secret in sorted(secrets, key=len, reverse=True):
            message = message.replace(secret, "***")
        return message

    return redact_message
