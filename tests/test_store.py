"""The service's own state on SQLite and PostgreSQL."""

from __future__ import annotations

import contextlib
import functools
import logging
import multiprocessing
import sqlite3
import stat
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine

from sql_synthesizer.errors import ConfigurationError, Declined, StoreUnavailable
from sql_synthesizer.model import ApiKey, Role
from sql_synthesizer.store import COMMENT_CHARS, HistoryEntry, HistoryObserver, Store
from sql_synthesizer.store._engine import MIGRATIONS, RowRefused, _open_connection, migrate_tables, open_engine
from sql_synthesizer.telemetry import Telemetry, vocabulary
from sql_synthesizer.telemetry.testing import MemoryObserver
from tests.support.serving import HANG, until

TABLES = ("api_keys", "history", "feedback", "meta", "schema_version")
SPAWN = multiprocessing.get_context("spawn")


def key(name: str = "k1", **changes: Any) -> ApiKey:
    return ApiKey(
        **{
            "id": name,
            "label": "laptop",
            "role": Role.ANALYST,
            "salt": "5a",
            "digest": "d1",
            "created_at": 1.0,
            **changes,
        }
    )


def entry(name: str = "q1", **changes: Any) -> HistoryEntry:
    values = {
        "question_id": name,
        "identity": "k1",
        "database": "shop",
        "question": "how many?",
        "sql": "SELECT 1",
        "source": "rules",
        "outcome": "answered",
        "row_count": 1,
        "asked_at": time.time(),
    }
    return HistoryEntry(**{**values, **changes})


def wipe(url: str) -> str:
    engine = create_engine(url)
    with engine.begin() as connection:
        for table in TABLES:
            connection.exec_driver_sql(f"DROP TABLE IF EXISTS {table}")
    engine.dispose()
    return url


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.server)])
def url(request: pytest.FixtureRequest) -> str | None:
    return wipe(request.getfixturevalue("postgres_url")) if request.param == "postgresql" else None


@pytest.fixture
def open_store(tmp_path: Path) -> Iterator[Callable[..., Store]]:
    with contextlib.ExitStack() as stack:

        def opened(url: str | None = None, directory: Path = tmp_path) -> Store:
            return stack.enter_context(contextlib.closing(Store(url, directory)))

        yield opened


@pytest.fixture
def store(url: str | None, open_store: Callable[..., Store]) -> Store:
    return open_store(url)


# --- keys ------------------------------------------------------------------------------------


def test_keys_are_kept_listed_and_revoked(store: Store) -> None:
    one, two = key("k1"), key("k2", role=Role.OPERATOR, created_at=0.5, expires_at=9.0)
    store.add_key(one)
    store.add_key(two)
    assert store.get_key("k1") == one
    assert store.list_keys() == [two, one]
    assert store.get_key("nobody") is None
    assert store.get_key("a\0\ud800") is None
    assert store.revoke_key("k1")
    assert not store.revoke_key("k1")
    assert not store.revoke_key("nobody")
    revoked = store.get_key("k1")
    assert revoked is not None
    assert revoked.revoked_at == pytest.approx(time.time(), abs=HANG)


def test_a_key_is_rotated_whole_or_not_at_all(store: Store) -> None:
    store.add_key(key("old"))
    assert not store.rotate("nobody", key("new"))
    assert [k.id for k in store.list_keys()] == ["old"]
    with pytest.raises(StoreUnavailable):
        store.rotate("old", key("old"))
    assert store.list_keys() == [key("old")]
    assert store.rotate("old", key("new", created_at=2.0))
    assert [(k.id, k.revoked_at is None) for k in store.list_keys()] == [("old", False), ("new", True)]


def test_a_key_in_force_is_given_a_limit_and_loses_its_sessions(store: Store) -> None:
    store.add_key(key("k1", rate_limit="5/minute"))
    assert store.get_key("k1") == key("k1", rate_limit="5/minute")
    assert store.limit_key("k1", "7/hour")
    store.end_sessions("k1")
    store.end_sessions("k1")
    assert store.get_key("k1") == key("k1", rate_limit="7/hour", session_version=2)
    assert not store.limit_key("nobody", "7/hour")
    store.end_sessions("nobody")
    store.revoke_key("k1")
    assert not store.limit_key("k1", "9/hour")


def test_the_digest_is_not_shown() -> None:
    assert "d1" not in repr(key())
    assert "5a" not in repr(key())


# --- history and feedback --------------------------------------------------------------------


def test_history_is_the_callers_own_newest_first(store: Store) -> None:
    store.add_key(key("k1"))
    store.add_history([entry("a", asked_at=1_900_000_001.5), entry("b", asked_at=1_900_000_002.0)])
    store.add_history([entry("c", identity="other", asked_at=1_900_000_003.0)])
    store.add_history([])
    items = store.history("k1")
    assert [item.question_id for item in items] == ["b", "a"]
    assert items[1] == entry("a", asked_at=1_900_000_001.5)
    assert [item.question_id for item in store.history("k1", 1)] == ["b"]
    assert store.history("k1", -5) == []
    found = store.find_question("c")
    assert found is not None
    assert found.identity == "other"
    assert store.find_question("nothing") is None
    used = store.get_key("k1")
    assert used is not None
    assert used.last_used_at == 1_900_000_002.0


def test_odd_text_is_kept_as_far_as_it_can_be(store: Store) -> None:
    store.add_history([entry(question="a\0b \ud800 é 你", sql="'; DROP TABLE history; --")])
    found = store.find_question("q1")
    assert found is not None
    assert found.question == "ab ? é 你"
    assert found.sql == "'; DROP TABLE history; --"


def test_an_id_seen_twice_is_kept_once(store: Store) -> None:
    store.add_history([entry(question="first"), entry(question="second")])
    store.add_history([entry(question="third"), entry("q2")])
    assert [item.question for item in store.history("k1")][-1] == "first"
    assert len(store.history("k1")) == 2


def test_only_ones_own_question_is_rated_and_the_last_rating_counts(store: Store) -> None:
    store.add_history([entry()])
    assert store.rate("q1", "k1", "down", "x" * 900)
    assert store.rate("q1", "k1", "up", None)
    assert store.rate("q1", "k1", "down", "é" * 900)
    assert not store.rate("q1", "other", "up")
    assert not store.rate("none", "k1", "up")
    with store._engine.connect() as connection:
        rows = connection.exec_driver_sql("SELECT rating, comment FROM feedback").all()
    assert [tuple(row) for row in rows] == [("down", "é" * COMMENT_CHARS)]


def test_history_is_bounded(store: Store) -> None:
    now = time.time()
    store.add_history([entry(f"q{n}", asked_at=now - n) for n in range(20)])
    store.add_history([entry("ancient", asked_at=now - 91 * 86_400)])
    assert store.rate("q15", "k1", "up")
    assert store.rate("q1", "k1", "up")
    store.prune(rows=100)
    assert store.find_question("ancient") is None
    assert len(store.history("k1", 100)) == 20
    store.prune(rows=10)
    assert [item.question_id for item in store.history("k1", 100)] == [f"q{n}" for n in range(10)]
    with store._engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM feedback").scalar() == 1


def test_threads_share_the_store(store: Store) -> None:
    def work(n: int) -> None:
        store.add_history([entry(f"{n}-{i}") for i in range(5)])
        store.rate(f"{n}-0", "k1", "up")
        store.history("k1")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(40)))
    assert len(store.history("k1", 1000)) == 200


# --- observer --------------------------------------------------------------------------------


def test_questions_become_history(store: Store) -> None:
    telemetry = Telemetry()
    telemetry.observers.append(HistoryObserver(store, telemetry))
    with telemetry.operation(vocabulary.HTTP_REQUEST) as request:
        with telemetry.operation(vocabulary.QUESTION, source="llm") as question:
            request.trace.actor, request.trace.question_id = "k1", "q1"
            details = question.details
            details.question, details.sql, details.row_count, details.database = "how many?", "SELECT 2", 3, "shop"
        telemetry.emit(vocabulary.FEEDBACK, rating="up")
    with contextlib.suppress(Declined), telemetry.operation(vocabulary.QUESTION) as question:
        question.trace.actor, question.trace.question_id = "k1", "q2"
        raise Declined
    with telemetry.operation(vocabulary.QUESTION):
        pass
    telemetry.close()
    found = {item.question_id: item for item in store.history("k1")}
    assert set(found) == {"q1", "q2"}
    assert (found["q1"].outcome, found["q1"].source, found["q1"].row_count) == ("answered", "llm", 3)
    assert (found["q2"].outcome, found["q2"].source, found["q2"].sql) == ("declined", "none", "")


def ask(telemetry: Telemetry, *names: str) -> None:
    for name in names:
        with telemetry.operation(vocabulary.QUESTION) as question:
            question.trace.actor, question.trace.question_id = "k1", name


def reported(telemetry: Telemetry, observer: MemoryObserver, name: str) -> list[Any]:
    telemetry.fold()
    return [(event.details["signal"], event.count) for event in observer.events(name)]


@pytest.fixture
def watched(open_store: Callable[..., Store]) -> Iterator[tuple[Store, HistoryObserver, MemoryObserver, Telemetry]]:
    store, observer, telemetry = open_store(), MemoryObserver(), Telemetry()
    history = HistoryObserver(store, telemetry)
    telemetry.observers += [history, observer]
    yield store, history, observer, telemetry
    telemetry.close()


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """The store while somebody else writes it for a long time."""
    with contextlib.closing(sqlite3.connect(path / "store.sqlite", isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        yield
        other.execute("ROLLBACK")


def test_a_store_that_does_not_answer_holds_up_nobody(watched: Any, tmp_path: Path) -> None:
    store, history, observer, telemetry = watched
    with locked(tmp_path):
        ask(telemetry, "q1", "q2")
        telemetry.fold()
        assert len(observer.operations(vocabulary.QUESTION)) == 2
        assert not history.flush(0.01)
    assert history.flush(HANG)
    assert {item.question_id for item in store.history("k1")} == {"q1", "q2"}


def test_what_a_store_refused_is_kept_for_the_next_try(watched: Any, tmp_path: Path) -> None:
    store, history, observer, telemetry = watched
    change = functools.partial(change_store, tmp_path / "store.sqlite")
    change("ALTER TABLE history RENAME TO away")
    ask(telemetry, "q1")
    until(lambda: reported(telemetry, observer, "telemetry_error"))
    assert reported(telemetry, observer, "telemetry_error")[0] == ("history", 1)
    change("ALTER TABLE away RENAME TO history")
    assert history.flush(HANG)
    assert [item.question_id for item in store.history("k1")] == ["q1"]


def change_store(path: Path, statement: str) -> None:
    with contextlib.closing(sqlite3.connect(path)) as other:
        other.execute(statement)


def test_a_row_that_the_database_refuses_is_dropped_and_counted_and_the_rest_is_kept(store: Store) -> None:
    telemetry, observer = Telemetry(), MemoryObserver()
    history = HistoryObserver(store, telemetry)
    telemetry.observers += [history, observer]
    for name in ("q1", "q2", "q3"):
        with telemetry.operation(vocabulary.QUESTION) as question:
            question.trace.actor, question.trace.question_id = "k1", name
            question.details.row_count = 2**70 if name == "q2" else 1
    telemetry.fold()
    assert history.flush(30)
    assert {item.question_id for item in store.history("k1")} == {"q1", "q3"}
    assert reported(telemetry, observer, "telemetry_dropped") == [("history", 1)]
    telemetry.close()


def test_a_store_that_goes_away_between_refused_rows_is_waited_for(
    watched: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, history, observer, telemetry = watched
    tried: list[list[str]] = []

    def add_history(batch: Any) -> None:
        tried.append([entry.question_id for entry in batch])
        if len(batch) > 1 or "q1" in tried[-1]:
            raise RowRefused
        if len(tried) == 3:
            raise StoreUnavailable

    monkeypatch.setattr(store, "add_history", add_history)
    with history._changed:
        ask(telemetry, "q1", "q2", "q3")
        telemetry.fold()
    assert history.flush(30)
    assert tried == [["q1", "q2", "q3"], ["q1"], ["q2"], ["q2", "q3"], ["q2"], ["q3"]]
    assert reported(telemetry, observer, "telemetry_dropped") == [("history", 1)]


def test_no_more_questions_wait_than_fit(watched: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, history, observer, telemetry = watched
    monkeypatch.setattr("sql_synthesizer.store.HISTORY_WAITING", 3)
    with locked(tmp_path):
        ask(telemetry, "q1", "q2")
        telemetry.fold()
        ask(telemetry, "q3", "q4", "q5")
        telemetry.fold()
        assert reported(telemetry, observer, "telemetry_dropped") == [("history", 2)]
    assert history.flush(HANG)
    assert {item.question_id for item in store.history("k1")} == {"q1", "q2", "q3"}


def test_the_end_waits_for_the_store_only_so_long(
    watched: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    _, history, observer, telemetry = watched
    monkeypatch.setattr("sql_synthesizer.store.HISTORY_CLOSE", 0.01)
    with locked(tmp_path):
        ask(telemetry, "q1")
        telemetry.fold()
        history.close()
        assert ("history", 1) in reported(telemetry, observer, "telemetry_dropped")
    assert "1 questions are missing" in caplog.text
    history._thread.join(HANG)
    assert not history._thread.is_alive()


# --- migrations ------------------------------------------------------------------------------


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
    with pytest.raises(StoreUnavailable):
        open_store()
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


# --- faults ----------------------------------------------------------------------------------


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
def test_postgresql_that_hangs_is_not_waited_for(own_postgres: Any, open_store: Callable[..., Store]) -> None:
    store = open_store(own_postgres.url)
    store.add_key(key())
    own_postgres.freeze()
    try:
        with ThreadPoolExecutor(1) as pool, pytest.raises(StoreUnavailable):
            pool.submit(store.get_key, "k1").result(HANG)
    finally:
        own_postgres.thaw()
    assert store.get_key("k1") == key()
