"""One caller reads a schema and its values for all, and a stale one bridges an outage."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy

from sql_synthesizer import errors
from sql_synthesizer.database import DatabaseManager
from sql_synthesizer.demo import create_demo, demo_settings
from sql_synthesizer.model import ValueMatch
from sql_synthesizer.schema import SchemaCache
from sql_synthesizer.schema import cache as schema_cache
from sql_synthesizer.settings import DatabaseSettings, Settings
from sql_synthesizer.telemetry import Telemetry
from tests.support.managers import KINDS
from tests.support.managers import sqlite_url as sqlite_url
from tests.support.schema import Door
from tests.support.schema import cache as cache
from tests.support.schema import door as door
from tests.support.schema import url as url
from tests.support.serving import HANG

CONFIG = DatabaseSettings(name="main", url="sqlite://")


def ask_together(door: Door, ask: Callable[[], Any], number: int) -> None:
    """Has so many threads ask before the first gets a connection, and waits for them."""
    door.open.clear()
    threads = [threading.Thread(target=ask) for _ in range(number)]
    for thread in threads:
        thread.start()
    door.open.set()
    for thread in threads:
        thread.join()


def test_one_caller_reads_for_all(door: Door) -> None:
    schemas = SchemaCache(door, [CONFIG], Settings())
    found: list[Any] = []
    ask_together(door, lambda: found.append(schemas.get("main")), 8)
    assert len(door.timeouts) == 1
    assert len({id(one) for one in found}) == 1


def test_a_stale_schema_is_used_while_the_database_is_down(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    schemas = SchemaCache(door, [CONFIG], Settings(schema_ttl=10))
    known = schemas.get("main")
    door.failing = errors.DatabaseUnavailable()
    now = time.monotonic()
    monkeypatch.setattr(schema_cache.time, "monotonic", lambda: now + 50)
    assert schemas.get("main") is known
    assert schemas.get("main") is known
    assert len(door.timeouts) == 2
    monkeypatch.setattr(schema_cache.time, "monotonic", lambda: now + 200)
    with pytest.raises(errors.DatabaseUnavailable):
        schemas.get("main")


def test_unknown_names_and_failures(door: Door) -> None:
    schemas = SchemaCache(door, [CONFIG], Settings())
    with pytest.raises(errors.UnknownDatabase):
        schemas.get("other")
    door.failing = errors.PoolTimeout()
    with pytest.raises(errors.PoolTimeout):
        schemas.get("main")


def test_those_who_waited_share_the_failure(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    schemas = SchemaCache(door, [CONFIG], Settings())
    door.failing = errors.DatabaseUnavailable()
    found: list[Exception] = []

    def ask() -> None:
        try:
            schemas.get("main")
        except errors.DatabaseUnavailable as error:
            found.append(error)

    ask_together(door, ask, 6)
    assert len(door.timeouts) == 1
    assert len({id(error) for error in found}) == 6
    door.failing = None
    later = time.monotonic() + schema_cache.FAILURE_SECONDS
    monkeypatch.setattr(schema_cache.time, "monotonic", lambda: later)
    assert schemas.get("main") is schemas.get("main")


def test_a_refresh_ends_a_failure(door: Door) -> None:
    schemas = SchemaCache(door, [CONFIG], Settings())
    door.failing = errors.DatabaseUnavailable()
    with pytest.raises(errors.DatabaseUnavailable):
        schemas.get("main")
    door.failing = None
    assert schemas.refresh("main") is schemas.get("main")


def ready(values: Any) -> Any:
    assert values._ready.wait(HANG)
    return values


@pytest.mark.parametrize("url", KINDS, indirect=True)
def test_values_are_found_as_stored(url: str, cache: Callable[..., SchemaCache]) -> None:
    schemas = cache(url, tables=("part", "uses"), sensitive=("uses.note",))
    values = ready(schemas.values("main"))
    assert set(values.find(" aCME ")) == {ValueMatch("part", "maker", "Acme"), ValueMatch("uses", "maker", "Acme")}
    assert values.find("secret note") == ()
    assert values.find("nothing") == ()
    assert schemas.values("main") is values


@pytest.mark.parametrize("url", KINDS, indirect=True)
def test_a_column_that_cannot_be_read_costs_only_itself(url: str, cache: Callable[..., SchemaCache]) -> None:
    schemas = cache(url, tables=("part", "big_parts"))
    assert [table.name for table in schemas.get("main").tables] == ["big_parts", "part"]
    engine = sqlalchemy.create_engine(url)
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP VIEW big_parts")
    engine.dispose()
    values = ready(schemas.values("main"))
    assert not values.failed
    assert values.find("acme") == (ValueMatch("part", "maker", "Acme"),)


def test_a_failed_index_leaves_the_last_and_is_tried_again(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    with door.engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE part (maker TEXT)")
        connection.exec_driver_sql("INSERT INTO part VALUES ('Acme')")
    schemas = SchemaCache(door, [CONFIG], Settings(schema_ttl=1000))
    acme = (ValueMatch("part", "maker", "Acme"),)
    assert ready(schemas.values("main")).find("acme") == acme
    with door.engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE part ADD COLUMN note TEXT")
    schemas.refresh("main")
    door.failing = errors.PoolTimeout()
    clock = [time.monotonic()]
    monkeypatch.setattr(schema_cache.time, "monotonic", lambda: clock[0])
    seen = []
    for _ in range(3):
        clock[0] += schema_cache.RETRY_SECONDS + 1
        seen.append(ready(schemas.values("main")))
        assert schemas.values("main") is seen[-1]
        assert seen[-1].find("acme") == acme
    assert len(set(map(id, seen))) == 3
    assert seen[-1].previous is seen[0].previous
    door.failing = None
    clock[0] += schema_cache.RETRY_SECONDS + 1
    last = ready(schemas.values("main"))
    assert not last.failed
    assert last.find("acme") == acme


def test_a_first_index_that_failed_is_built_later(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    with door.engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE part (maker TEXT)")
        connection.exec_driver_sql("INSERT INTO part VALUES ('Acme')")
    schemas = SchemaCache(door, [CONFIG], Settings(schema_ttl=1000))
    schemas.get("main")
    door.failing = errors.PoolTimeout()
    assert ready(schemas.values("main")).find("acme") == ()
    door.failing = None
    later = time.monotonic() + schema_cache.RETRY_SECONDS + 1
    monkeypatch.setattr(schema_cache.time, "monotonic", lambda: later)
    assert ready(schemas.values("main")).find("acme") == (ValueMatch("part", "maker", "Acme"),)


def test_values_may_be_switched_off(door: Door) -> None:
    assert SchemaCache(door, [CONFIG], Settings(value_index=False)).values("main").find("Acme") == ()
    assert len(door.timeouts) == 0


def test_an_index_ends_at_its_size_and_says_so_once(
    door: Door, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("sql_synthesizer.schema.values.VALUES_IN_ALL", 1)
    with door.engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE part (maker TEXT, good TEXT, note TEXT)")
        connection.exec_driver_sql("INSERT INTO part VALUES ('Acme', 'bolt', 'new')")
    schemas = SchemaCache(door, [CONFIG], Settings(schema_ttl=1000))
    schemas.get("main")
    with caplog.at_level("INFO", "sql_synthesizer.schema"):
        values = ready(schemas.values("main"))
    assert [len(values.find(text)) for text in ("acme", "bolt", "new")] == [1, 0, 0]
    assert [record.message for record in caplog.records] == ["database main: its value index is cut at its limits"]


def test_columns_of_many_values_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "shop.sqlite"
    create_demo(path)
    config = demo_settings(path)
    manager = DatabaseManager([config], Settings(), Telemetry())
    schemas = SchemaCache(manager.connect, [config], Settings())
    values = ready(schemas.values("shop"))
    assert values.find("germany") == (ValueMatch("countries", "name", "Germany"),)
    assert values.find("credit card") == (ValueMatch("payments", "method", "credit card"),)
    assert values.find("anna.adams1@example.com") == ()
    assert len(schemas.get("shop").tables) == 13
    manager.close()
