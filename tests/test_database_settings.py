"""URLs, drivers and names of databases."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sql_synthesizer import errors
from sql_synthesizer.database import DatabaseManager
from sql_synthesizer.database.http import CLICKHOUSE_PINS, limit_session
from sql_synthesizer.settings import DatabaseSettings, Settings
from sql_synthesizer.telemetry import Telemetry
from tests.support.managers import Bench
from tests.support.managers import sqlite_url as sqlite_url


@pytest.mark.parametrize(
    "url",
    [
        "sqlite://",
        "sqlite:///:memory:",
        "sqlite:////nowhere/at/all.sqlite",
        "sqlite:///file:x?mode=rwc&uri=true",
        "not a url top-secret",
        "postgresql://u:top-secret@host:port/db",
        "postgresql+asyncpg://u:top-secret@host/db",
        "mysql+mysqldb://u:top-secret@host/db",
        "oracle://u:top-secret@host/db",
        "postgresql://u:top-secret@host/db?port=x&port=y",
    ],
)
def test_unusable_urls_are_explained_without_their_password(url: str, tmp_path: Path) -> None:
    with pytest.raises(errors.ConfigurationError) as caught:
        Bench(url)
    shown = caught.value.message + caught.value.hint
    assert "top-secret" not in shown
    assert "main" in shown


def test_a_missing_extra_is_named() -> None:
    with pytest.raises(errors.ConfigurationError, match=r"sql-synthesizer\[trino\]"):
        Bench("trino://user@host:8080/catalog")
    with pytest.raises(errors.ConfigurationError, match=r"sql-synthesizer\[clickhouse\]"):
        Bench("clickhouse://user@host:8123/db")


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ({}, {}),
        ({"session_properties": {"join_distribution_type": "BROADCAST"}}, {"join_distribution_type": "BROADCAST"}),
        ({"session_properties": {"query_max_execution_time": "9h"}}, {}),
    ],
)
def test_trino_keeps_its_session_properties_under_the_limits(given: dict[str, Any], kept: dict[str, str]) -> None:
    assert limit_session("trino", {"host": "host", **given}, 1.5, 7) == {
        "host": "host",
        "session_properties": {**kept, "query_max_execution_time": "7s"},
        "request_timeout": (1.5, 8),
        "timezone": "UTC",
    }


def test_clickhouse_is_limited_whatever_its_url_says() -> None:
    given = {"ch_readonly": "0", "ch_max_threads": "2", "connect_timeout": "60"}
    assert limit_session("clickhouse", given, 1.5, 7) == {
        **{f"ch_{name}": value for name, value in CLICKHOUSE_PINS.items()},
        "ch_max_threads": "2",
        "ch_readonly": "2",
        "ch_max_execution_time": "7",
        "connect_timeout": "2",
        "send_receive_timeout": "8",
    }


def test_names_and_defaults(sqlite_url: str) -> None:
    databases = [DatabaseSettings(name=name, url=sqlite_url) for name in ("one", "two")]
    manager = DatabaseManager(databases, Settings(default_database="two"), Telemetry())
    assert (manager.names, manager.default) == (("one", "two"), "two")
    assert manager.config("one").name == "one"
    with pytest.raises(errors.UnknownDatabase, match="one, two"):
        manager.config("three")
    with pytest.raises(errors.ConfigurationError, match="three"):
        DatabaseManager(databases, Settings(default_database="three"), Telemetry())
    assert DatabaseManager([], Settings(), Telemetry()).default == ""


@pytest.mark.parametrize(
    ("url", "dialect"),
    [
        ("postgres://u:p@h/d", "postgresql"),
        ("postgresql://u:p@h/d", "postgresql"),
        ("mysql://u:p@h/d", "mysql"),
        ("mariadb://u:p@h/d", "mariadb"),
    ],
)
def test_urls_without_a_driver_are_given_one(url: str, dialect: str) -> None:
    assert Bench(url).manager.dialect("main") == dialect
