"""What an older release left is carried on, once, whoever starts first."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sql_synthesizer.errors import ConfigurationError, StoreUnavailable
from sql_synthesizer.store import Store
from sql_synthesizer.store._engine import MIGRATIONS, migrate_tables, open_engine
from tests.support.serving import HANG
from tests.support.store import key
from tests.support.store import open_store as open_store
from tests.support.store import url as url

SPAWN = multiprocessing.get_context("spawn")


def test_migrations_run_once_each(url: str | None, tmp_path: Path) -> None:
    engine = open_engine(url, tmp_path)
    assert migrate_tables(engine) == len(MIGRATIONS)
    with engine.begin() as connection:
        connection.exec_driver_sql("INSERT INTO meta (key, value) VALUES ('kept', 'yes')")
    longer = (*MIGRATIONS, ("ALTER TABLE meta ADD COLUMN note TEXT", "UPDATE meta SET note = 'new'"))
    assert migrate_tables(engine, longer) == len(longer)
    assert migrate_tables(engine, longer) == len(longer)
    with engine.connect() as connection:
        assert tuple(connection.exec_driver_sql("SELECT key, value, note FROM meta").one()) == ("kept", "yes", "new")
        versions = connection.exec_driver_sql("SELECT version FROM schema_version ORDER BY 1").scalars().all()
    assert list(versions) == list(range(1, len(longer) + 1))
    with pytest.raises(ConfigurationError, match="knows only"):
        migrate_tables(engine)
    engine.dispose()


FIRST_KEY = "INSERT INTO api_keys VALUES ('k1', 'laptop', 'analyst', '5a', 'd1', 1.0, NULL, NULL, NULL)"


def test_keys_of_the_first_release_are_kept(url: str | None, tmp_path: Path, open_store: Callable[..., Store]) -> None:
    engine = open_engine(url, tmp_path)
    assert migrate_tables(engine, MIGRATIONS[:1]) == 1
    with engine.begin() as connection:
        connection.exec_driver_sql(FIRST_KEY)
    engine.dispose()
    assert open_store(url).list_keys() == [key()]


def test_a_backup_of_the_first_release_is_restored(tmp_path: Path, open_store: Callable[..., Store]) -> None:
    engine = open_engine(None, tmp_path / "old")
    migrate_tables(engine, MIGRATIONS[:1])
    with engine.begin() as connection:
        connection.exec_driver_sql(FIRST_KEY)
    engine.dispose()
    assert Store.restore(tmp_path / "old" / "store.sqlite", None, tmp_path / "new") is None
    assert open_store(directory=tmp_path / "new").list_keys() == [key()]


def test_a_migration_that_fails_leaves_the_version_before_it(url: str | None, tmp_path: Path) -> None:
    engine = open_engine(url, tmp_path)
    migrate_tables(engine)
    with pytest.raises(StoreUnavailable):
        migrate_tables(engine, (*MIGRATIONS, ("CREATE TABLE half (x INTEGER)", "NOT SQL")))
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT max(version) FROM schema_version").scalar() == len(MIGRATIONS)
    with pytest.raises(StoreUnavailable):
        migrate_tables(engine, (*MIGRATIONS, ("SELECT * FROM half",)))
    engine.dispose()


def _start(url: str | None, directory: Path, results: Any) -> None:
    try:
        store = Store(url, directory)
        results.put((store.version, store.secret("cache").hex()))
        store.close()
    except Exception as error:  # noqa: BLE001 - handed to the test
        results.put(repr(error))


def test_processes_that_start_together_agree(url: str | None, tmp_path: Path) -> None:
    results = SPAWN.Queue()
    processes = [SPAWN.Process(target=_start, args=(url, tmp_path / "state", results)) for _ in range(4)]
    for process in processes:
        process.start()
    found = {results.get(timeout=HANG) for _ in processes}
    for process in processes:
        process.join(HANG)
    results.close()
    assert len(found) == 1
    version, _ = found.pop()
    assert version == len(MIGRATIONS)
