"""What was given up at its deadline is gone from the server too: ended over another connection, and counted if not."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from typing import Any

import pytest

from sql_synthesizer import errors
from sql_synthesizer.database import DatabaseManager, reaper
from sql_synthesizer.database.mysql import MysqlDriver
from sql_synthesizer.database.postgres import PostgresDriver
from sql_synthesizer.model.cancellation import Cancellation
from sql_synthesizer.settings import DatabaseSettings, Settings
from sql_synthesizer.telemetry import Telemetry, vocabulary
from sql_synthesizer.telemetry.testing import MemoryObserver
from tests.support.databases import Server
from tests.support.serving import until

pytestmark = [pytest.mark.boundary, pytest.mark.server]

KINDS = ("postgres", "mariadb")
DRIVERS: dict[str, Any] = {"postgres": PostgresDriver, "mariadb": MysqlDriver}
SLEEP = {"postgres": "SELECT pg_sleep(3600)", "mariadb": "SELECT SLEEP(3600)"}
COUNT = {
    "postgres": "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'"
    " AND pid <> pg_backend_pid() AND application_name = 'sql-synthesizer'",
    "mariadb": "SELECT count(*) FROM information_schema.processlist WHERE id <> connection_id()",
}
SLEEPING = {
    "postgres": "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'",
    "mariadb": "SELECT count(*) FROM information_schema.processlist WHERE state = 'User sleep'",
}
BEGIN = {"postgres": "BEGIN READ ONLY", "mariadb": "START TRANSACTION READ ONLY"}
"""How a transaction begins whose statements the server does not cancel by itself."""


class Watched:
    """A manager over one server, and a connection that sees all sessions of it."""

    def __init__(self, kind: str, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
        self.kind = kind
        self.driver = DRIVERS[kind]
        monkeypatch.setattr(self.driver, "begin", lambda _, raw, *__: raw.cursor().execute(BEGIN[kind]))
        monkeypatch.setattr(self.driver, "grace", 0.0)
        self.observer = MemoryObserver()
        self.telemetry = Telemetry()
        self.telemetry.observers.append(self.observer)
        config = DatabaseSettings(name="main", url=server.url)  # type: ignore[arg-type]
        self.manager = DatabaseManager(
            [config], Settings(connect_timeout=60, allow_privileged_login=True), self.telemetry
        )
        self.admin = server.connect()
        until(lambda: self.sessions() == 0)

    def sessions(self) -> int:
        with self.admin.cursor() as cursor:
            cursor.execute(COUNT[self.kind])
            return int(cursor.fetchone()[0])

    def sleeps(self) -> bool:
        """Whether a statement runs: a session is there before it has one."""
        with self.admin.cursor() as cursor:
            cursor.execute(SLEEPING[self.kind])
            return bool(cursor.fetchone()[0])

    def time_out(self) -> None:
        assert self.manager.execute("main", "SELECT 1", max_rows=1, deadline=time.monotonic() + 60).rows == ((1,),)
        with pytest.raises(errors.StatementTimeout):
            self.manager.execute("main", SLEEP[self.kind], max_rows=1, deadline=time.monotonic() + 0.5)

    def left(self) -> list[dict[str, str]]:
        self.telemetry.fold()
        return [dict(fact.details) for fact in self.observer.events(vocabulary.SESSION_LEFT.name)]


@pytest.fixture(params=KINDS)
def watched(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Watched]:
    made = Watched(request.param, request.getfixturevalue(f"own_{request.param}"), monkeypatch)
    yield made
    made.manager.close()
    made.admin.close()


def test_a_statement_that_its_server_does_not_cancel_is_ended(watched: Watched) -> None:
    watched.time_out()
    until(lambda: watched.sessions() == 0)
    assert watched.left() == []


def test_a_statement_that_is_taken_back_is_ended(watched: Watched) -> None:
    cancellation = Cancellation()
    limits: dict[str, Any] = {"max_rows": 1, "deadline": time.monotonic() + 600, "cancellation": cancellation}

    def cancel_running() -> None:
        until(watched.sleeps)
        cancellation.cancel()

    with ThreadPoolExecutor(1) as pool:
        cancelling = pool.submit(cancel_running)
        with pytest.raises(errors.Cancelled):
            watched.manager.execute("main", SLEEP[watched.kind], **limits)
        cancelling.result()
    until(lambda: watched.sessions() == 0)
    with pytest.raises(errors.Cancelled):
        watched.manager.execute("main", "SELECT 1", **limits)


def test_several_are_ended_at_once(watched: Watched) -> None:
    for _ in range(3):
        watched.time_out()
    until(lambda: watched.sessions() == 0)
    assert watched.left() == []


def test_a_session_that_cannot_be_ended_is_counted(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watched.driver, "end_session", lambda *_: False)
    monkeypatch.setattr(reaper, "PATIENCE", 0.2)
    watched.time_out()
    assert until(watched.left) == [{"database": "main"}]


def test_one_more_than_can_be_ended_is_counted(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(reaper.AT_ONCE):
        watched.manager._reaper._free.acquire()
    monkeypatch.setattr(reaper, "PATIENCE", 0.2)
    watched.time_out()
    assert len(until(watched.left)) == 1


def test_when_too_many_wait_the_next_is_counted_at_once(watched: Watched) -> None:
    for _ in range(reaper.WAITING):
        watched.manager._reaper._waiting.acquire()
    watched.time_out()
    assert len(watched.left()) == 1


@pytest.mark.parametrize("reason", ["the server has no connection left", "the login is one to be refused"])
def test_a_failed_login_of_the_reaper_is_counted(
    watched: Watched, monkeypatch: pytest.MonkeyPatch, reason: str
) -> None:
    def refuse(*_: Any) -> Any:
        raise errors.PrivilegedLogin if "refused" in reason else watched.driver.errors[0](reason)

    assert watched.manager.execute("main", "SELECT 1", max_rows=1, deadline=time.monotonic() + 60).rows == ((1,),)
    monkeypatch.setattr(watched.driver, "connect", refuse)
    watched.time_out()
    assert len(until(watched.left)) == 1


def test_nobody_else_is_ended(watched: Watched) -> None:
    # A number that was given anew: its session has not been there when the other was hung up on.
    driver = watched.manager._pools["main"].driver
    other = driver.connect(60)
    with closing(driver.connect(60)) as raw:
        if watched.kind == "postgres":
            assert driver.end_session(raw, driver.session_id(other), 10**6)
        assert driver.end_session(raw, 2**31 - 1, 0.0)
        other.cursor().execute("SELECT 1")
        until(lambda: driver.end_session(raw, driver.session_id(other), 0.0))
        with pytest.raises(driver.errors):
            other.cursor().execute("SELECT 1")
    with suppress(*driver.errors):
        other.close()
