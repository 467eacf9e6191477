"""Settings that mean no database at all: a sentence says so."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from sql_synthesizer.database import DatabaseManager
from sql_synthesizer.errors import ConfigurationError, DatabaseUnavailable
from sql_synthesizer.settings import DatabaseSettings, Settings
from sql_synthesizer.telemetry import Telemetry
from tests.support.managers import Bench
from tests.support.managers import bench as bench

pytestmark = pytest.mark.world


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://reader:secret@127.0.0.1:5432",
        "postgresql://reader:secret@127.0.0.1:5432/",
        "mysql://reader:secret@127.0.0.1",
        "mariadb+pymysql://reader:secret@127.0.0.1:3306/",
    ],
)
def test_a_url_without_a_database(url: str) -> None:
    """Before: no table could be read, or "try again in a minute"."""
    with pytest.raises(ConfigurationError, match="names no database") as caught:
        DatabaseManager([DatabaseSettings(name="main", url=url)], Settings(), Telemetry())
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("url", ["postgresql:///?dbname=shop", "postgresql:///?service=shop"])
def test_a_database_that_is_named_in_another_way(url: str) -> None:
    DatabaseManager([DatabaseSettings(name="main", url=url)], Settings(), Telemetry()).close()


@pytest.mark.parametrize("content", [b"no database " * 100, b"\x89PNG" * 300, b"PK\x03\x04" + b"\0" * 2000])
def test_a_file_that_is_no_database(tmp_path: Path, bench: Callable[..., Bench], content: bytes) -> None:
    """Before: "The database cannot be reached. Try again in a minute"."""
    (tmp_path / "a.sqlite").write_bytes(content)
    one = bench(f"sqlite:///{tmp_path / 'a.sqlite'}")
    for ask in (lambda: one.run("SELECT 1"), lambda: one.manager.ping("main", 60), lambda: one.run("SELECT 1")):
        with pytest.raises(DatabaseUnavailable, match="is no SQLite database"):
            ask()
