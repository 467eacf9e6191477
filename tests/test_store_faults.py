"""Stores that cannot be used, die, hang and come back."""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from sql_synthesizer.errors import ConfigurationError, StoreUnavailable
from sql_synthesizer.store import Store
from sql_synthesizer.store._engine import _open_connection, open_engine
from tests.support.serving import HANG
from tests.support.store import key
from tests.support.store import open_store as open_store


@pytest.mark.parametrize(
    "url", ["mysql://root:hunter2@localhost/x", "nonsense hunter2", "sqlite://", "sqlite:///:memory:", "what://hunter2"]
)
def test_urls_of_no_use(url: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as raised:
        Store(url, tmp_path)
    assert "hunter2" not in str(raised.value)


def test_a_directory_of_no_use(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreUnavailable):
        Store(None, tmp_path / "file" / "state")


def settle(server: Any) -> None:
    """The test server commits without waiting for its disk: what it holds must survive the kill."""
    with server.connect() as connection:
        connection.execute("CHECKPOINT")


@pytest.mark.server
def test_postgresql_that_dies_and_comes_back(
    own_postgres: Any, open_store: Callable[..., Store], caplog: pytest.LogCaptureFixture
) -> None:
    store = open_store(own_postgres.url)
    store.add_key(key())
    store.ping()
    settle(own_postgres)
    own_postgres.kill()
    with caplog.at_level(logging.DEBUG), pytest.raises(StoreUnavailable) as raised:
        store.get_key("k1")
    assert "s3cret" not in caplog.text + repr(raised.value) + str(raised.value.details)
    own_postgres.start()
    assert store.get_key("k1") == key()


@pytest.mark.server
def test_a_restart_is_not_noticed(own_postgres: Any, open_store: Callable[..., Store]) -> None:
    store = open_store(own_postgres.url)
    store.add_key(key())
    settle(own_postgres)
    own_postgres.kill()
    own_postgres.start()
    assert store.get_key("k1") == key()


@pytest.mark.server
def test_a_connection_after_a_restart_has_the_options_of_the_one_before(own_postgres: Any, tmp_path: Path) -> None:
    engine = open_engine(own_postgres.url, tmp_path)
    for _ in range(2):
        with _open_connection(engine, write=True) as connection:
            assert connection.get_execution_options()["write"] is True
        own_postgres.kill()
        own_postgres.start()
    engine.dispose()


@pytest.mark.server
def test_a_connection_that_is_interrupted_goes_back_to_the_pool(
    postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    engine = open_engine(postgres_url, tmp_path)
    monkeypatch.setattr("sqlalchemy.Connection.exec_driver_sql", interrupt)
    with pytest.raises(KeyboardInterrupt):
        _open_connection(engine, write=True)
    assert engine.pool.checkedout() == 0
    engine.dispose()


@pytest.mark.server
def test_postgresql_that_hangs_is_not_waited_for(
    own_postgres: Any, open_store: Callable[..., Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(own_postgres.url)
    store.add_key(key())
    own_postgres.freeze()
    monkeypatch.setattr("sql_synthesizer.store._engine.WAIT", 0)  # nothing is early for a server that does not answer
    try:
        with ThreadPoolExecutor(1) as pool, pytest.raises(StoreUnavailable):
            pool.submit(store.get_key, "k1").result(HANG)
    finally:
        monkeypatch.undo()
        own_postgres.thaw()
    assert store.get_key("k1") == key()
