"""Secrets, private files, backups and what is restored from them."""

from __future__ import annotations

import sqlite3
import stat
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from sql_synthesizer.errors import ConfigurationError, StoreUnavailable
from sql_synthesizer.store import Store
from tests.support.store import change_store, entry, key
from tests.support.store import open_store as open_store
from tests.support.store import store as store
from tests.support.store import url as url

# --- secrets and files -----------------------------------------------------------------------


def test_secrets_last(store: Store, url: str | None, open_store: Callable[..., Store], tmp_path: Path) -> None:
    value = store.secret("cache")
    assert len(value) == 32
    assert open_store(url).secret("cache") == value
    assert store.secret("session") != value
    with pytest.raises(ValueError):
        store.secret("../cache")
    if url is None:
        assert stat.S_IMODE((tmp_path / "cache.key").stat().st_mode) == 0o600
        assert sorted(path.name for path in tmp_path.glob("*.key")) == ["cache.key", "session.key"]
        assert not list(tmp_path.glob(".*"))


def test_threads_make_one_secret(open_store: Callable[..., Store]) -> None:
    store = open_store()
    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(store.secret, ["shared"] * 8))) == 1


@pytest.mark.parametrize("content", ["", "abcd", "not hex"])
def test_a_damaged_secret_is_not_used(open_store: Callable[..., Store], tmp_path: Path, content: str) -> None:
    (tmp_path / "cache.key").write_text(content)
    with pytest.raises((ConfigurationError, StoreUnavailable)):
        open_store().secret("cache")


def test_the_files_are_private(open_store: Callable[..., Store], tmp_path: Path) -> None:
    store = open_store(directory=tmp_path / "new" / "state")
    store.add_history([entry()])
    files = list((tmp_path / "new" / "state").iterdir())
    assert len(files) == 3
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
    assert stat.S_IMODE((tmp_path / "new" / "state").stat().st_mode) == 0o700


# --- backup and restore ----------------------------------------------------------------------


def test_a_backup_taken_in_use_is_restored(open_store: Callable[..., Store], tmp_path: Path) -> None:
    store = open_store()
    store.add_history([entry("before")])
    backup = tmp_path / "backup.sqlite"
    store.backup(backup)
    assert stat.S_IMODE(backup.stat().st_mode) == 0o600
    store.add_history([entry("after")])
    with pytest.raises(ConfigurationError, match="in use"):
        Store.restore(backup, None, tmp_path)
    assert len(store.history("k1")) == 2
    store.close()
    kept = Store.restore(backup, None, tmp_path)
    assert [item.question_id for item in open_store().history("k1")] == ["before"]
    assert kept is not None
    old = open_store(f"sqlite:///{kept}")
    assert {item.question_id for item in old.history("k1")} == {"before", "after"}
    assert not list(tmp_path.glob(".*"))


def test_a_backup_replaces_nothing(open_store: Callable[..., Store], tmp_path: Path) -> None:
    store = open_store()
    target = tmp_path / "mine"
    target.write_text("precious")
    with pytest.raises(ConfigurationError, match="exists"):
        store.backup(target)
    assert target.read_text() == "precious"
    with pytest.raises(ConfigurationError, match="cannot be written"):
        store.backup(tmp_path / "no" / "such" / "place")


@pytest.mark.parametrize("fault", ["empty", "text", "other", "newer", "cut", "missing"])
def test_what_is_no_backup_is_not_restored(open_store: Callable[..., Store], tmp_path: Path, fault: str) -> None:
    store = open_store()
    store.add_history([entry(f"q{n}") for n in range(200)])
    backup = tmp_path / "backup.sqlite"
    if fault == "text":
        backup.write_text("not a database " * 100)
    elif fault == "empty":
        backup.touch()
    elif fault == "other":
        with sqlite3.connect(backup) as other:
            other.execute("CREATE TABLE x (y)")
        other.close()
    elif fault != "missing":
        store.backup(backup)
    if fault == "newer":
        with sqlite3.connect(backup) as newer:
            newer.execute("INSERT INTO schema_version VALUES (99)")
        newer.close()
    if fault == "cut":
        backup.write_bytes(backup.read_bytes()[:-8192])
    store.close()
    with pytest.raises(ConfigurationError):
        Store.restore(backup, None, tmp_path)
    assert len(open_store().history("k1", 1000)) == 200


def test_a_copy_that_is_no_backup_is_not_left_behind(open_store: Callable[..., Store], tmp_path: Path) -> None:
    store, target = open_store(), tmp_path / "backup.sqlite"
    change_store(tmp_path / "store.sqlite", "ALTER TABLE feedback RENAME TO away")
    for _ in range(2):
        with pytest.raises(ConfigurationError, match="not a backup"):
            store.backup(target)
    change_store(tmp_path / "store.sqlite", "ALTER TABLE away RENAME TO feedback")
    store.backup(target)
    assert [file.name for file in tmp_path.glob("*backup*")] == [target.name]


def test_a_damaged_store_is_replaced_and_kept(open_store: Callable[..., Store], tmp_path: Path) -> None:
    store = open_store()
    store.add_key(key())
    store.backup(tmp_path / "backup.sqlite")
    store.close()
    (tmp_path / "store.sqlite").write_bytes(b"rubbish" * 1000)
    with pytest.raises(StoreUnavailable, match="is damaged") as damaged:
        open_store()
    assert "sql-synthesizer store restore FILE" in damaged.value.hint
    kept = Store.restore(tmp_path / "backup.sqlite", None, tmp_path)
    assert kept is not None
    assert kept.read_bytes().startswith(b"rubbish")
    assert open_store().get_key("k1") == key()


def test_a_backup_is_restored_where_nothing_was(open_store: Callable[..., Store], tmp_path: Path) -> None:
    store = open_store()
    store.add_key(key())
    store.backup(tmp_path / "backup.sqlite")
    assert Store.restore(tmp_path / "backup.sqlite", None, tmp_path / "new") is None
    assert open_store(directory=tmp_path / "new").get_key("k1") == key()


@pytest.mark.server
def test_postgresql_has_tools_of_its_own(postgres_url: str, open_store: Callable[..., Store], tmp_path: Path) -> None:
    store = open_store(postgres_url)
    with pytest.raises(ConfigurationError) as raised:
        store.backup(tmp_path / "backup")
    assert "pg_dump" in raised.value.hint
    with pytest.raises(ConfigurationError):
        Store.restore(tmp_path / "backup", postgres_url, tmp_path)
