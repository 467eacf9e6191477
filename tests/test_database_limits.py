"""Nothing is waited for longer than its deadline, whatever the server does, and a pool is shared fairly."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from sql_synthesizer import errors
from sql_synthesizer.telemetry import vocabulary
from tests.support.databases import Server
from tests.support.managers import KINDS, SERVERS, Bench
from tests.support.managers import bench as bench
from tests.support.managers import sqlite_url as sqlite_url
from tests.support.managers import url as url
from tests.support.serving import HANG, until


@contextmanager
def statements(server: Server) -> Iterator[Callable[[str], int]]:
    """How many other sessions of the server run a statement that holds this text."""
    connection = server.connect()

    def running(text: str) -> int:
        with connection.cursor() as cursor:
            if server.account == "postgres":
                cursor.execute(
                    "SELECT count(*) FROM pg_stat_activity WHERE state <> 'idle' AND pid <> pg_backend_pid()"
                    " AND query LIKE %s",
                    (f"%{text}%",),
                )
            else:
                cursor.execute(
                    "SELECT COUNT(*) FROM information_schema.processlist WHERE info LIKE %s AND id <> CONNECTION_ID()",
                    (f"%{text}%",),
                )
            return int(cursor.fetchone()[0])

    try:
        yield running
    finally:
        connection.close()


# --- time -------------------------------------------------------------------------------------


RUNNING = {"postgres": "FETCH FORWARD", "mariadb": "SLEEP(60)"}
"""What the server says it is running then."""
SLOW = {
    "sqlite": "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n",
    "postgresql": "SELECT pg_sleep(60)",
    "mariadb": "SELECT SLEEP(60)",
}


@pytest.mark.parametrize("url", KINDS, indirect=True)
def test_the_deadline_cancels_the_statement(url: str, bench: Callable[..., Bench]) -> None:
    one = bench(url, pool_size=1)
    assert one.run("SELECT 1").rows == ((1,),), "it is connected"
    with pytest.raises(errors.StatementTimeout):
        one.run(SLOW[one.manager.dialect("main")], seconds=1)
    assert one.in_use() == 0
    assert one.run("SELECT 1").rows == ((1,),)


@pytest.mark.parametrize("url", KINDS, indirect=True)
def test_a_slow_stream_of_rows_is_cut_by_the_deadline(url: str, bench: Callable[..., Bench]) -> None:
    one = bench(url, pool_size=1, byte_cap=10**9)
    assert one.run("SELECT 1").rows == ((1,),), "it is connected"
    with pytest.raises(errors.StatementTimeout):
        one.run("SELECT a.id, b.id FROM item a, item b, item c", rows=10**9, seconds=1)
    assert one.run("SELECT 1").rows == ((1,),)


@pytest.mark.server
@pytest.mark.parametrize("kind", ["postgres", "mariadb"])
def test_no_statement_is_left_in_the_server(
    kind: str, request: pytest.FixtureRequest, bench: Callable[..., Bench]
) -> None:
    server: Server = request.getfixturevalue(f"{kind}_server")
    one = bench(server.url)
    with statements(server) as running:
        assert one.run("SELECT 1").rows == ((1,),), "it is connected"
        with pytest.raises(errors.StatementTimeout):
            one.run(SLOW[one.manager.dialect("main")], seconds=1)
        until(lambda: running(RUNNING[kind]) == 0)  # the server tells the client first, then its list


@pytest.mark.server
@pytest.mark.parametrize("kind", ["postgres", "mariadb"])
def test_a_server_that_hangs_does_not_hold_the_caller(
    kind: str, request: pytest.FixtureRequest, bench: Callable[..., Bench]
) -> None:
    server: Server = request.getfixturevalue(f"own_{kind}")
    one = bench(server.url, pool_size=1, connect_timeout=2)
    begun = threading.Event()
    failures: list[BaseException] = []

    def ask() -> None:
        begun.set()
        try:
            one.run(SLOW[one.manager.dialect("main")], seconds=4)
        except errors.SqlSynthesizerError as error:
            failures.append(error)

    assert one.run("SELECT 1").rows == ((1,),)
    asking = threading.Thread(target=ask)
    with statements(server) as running:
        asking.start()
        until(lambda: running(RUNNING[kind]) == 1)
    server.freeze()
    asking.join(HANG)
    assert [type(failure) for failure in failures] == [errors.StatementTimeout]
    assert one.in_use() == 0
    with pytest.raises(errors.DatabaseUnavailable):
        one.run("SELECT 1", seconds=10)
    with pytest.raises(errors.DatabaseUnavailable):
        one.manager.ping("main", 0.5)
    server.thaw()
    until(lambda: answers(one))
    assert one.in_use() == 0


@pytest.mark.server
@pytest.mark.parametrize("kind", ["postgres", "mariadb"])
def test_idle_connections_to_a_hung_server_time_out(
    kind: str, request: pytest.FixtureRequest, bench: Callable[..., Bench]
) -> None:
    server: Server = request.getfixturevalue(f"own_{kind}")
    one = bench(server.url, pool_size=1, connect_timeout=5)
    one.run("SELECT 1")
    server.freeze()
    with pytest.raises(errors.StatementTimeout):
        one.run("SELECT 1", seconds=1)
    assert one.in_use() == 0


@pytest.mark.server
@pytest.mark.parametrize("kind", ["postgres", "mariadb"])
def test_a_restarted_server_is_used_again(
    kind: str, request: pytest.FixtureRequest, bench: Callable[..., Bench]
) -> None:
    server: Server = request.getfixturevalue(f"own_{kind}")
    one = bench(server.url, pool_size=3)
    with one.manager.connect("main"), one.manager.connect("main"), one.manager.connect("main"):
        pass
    server.kill()
    with pytest.raises(errors.DatabaseUnavailable):
        one.run("SELECT 1")
    with pytest.raises(errors.DatabaseUnavailable):
        one.manager.ping("main", 2)
    server.start()
    with one.manager.connect("main"), one.manager.connect("main"):
        assert one.run("SELECT 1").rows == ((1,),)
    one.manager.ping("main", HANG)
    assert one.in_use() == 0


@pytest.mark.server
@pytest.mark.parametrize("url", SERVERS, indirect=True)
def test_a_connection_lost_while_idle_is_replaced(url: str, bench: Callable[..., Bench]) -> None:
    one = bench(url, pool_size=1)
    with one.manager.connect("main") as connection:
        raw = connection.connection.driver_connection
    raw.close()
    assert one.run("SELECT 1").rows == ((1,),)
    assert one.in_use() == 0


@pytest.mark.server
@pytest.mark.parametrize("url", SERVERS, indirect=True)
def test_a_connection_lost_after_its_transaction_began_is_unavailable(
    url: str, bench: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch
) -> None:
    one = bench(url, pool_size=1)
    driver = one.manager._pools["main"].driver
    begin = driver.begin

    def begin_and_lose(raw: Any, seconds: float, max_rows: int | None) -> None:
        begin(raw, seconds, max_rows)
        raw.close()

    with monkeypatch.context() as patched:
        patched.setattr(driver, "begin", begin_and_lose)
        with pytest.raises(errors.DatabaseUnavailable):
            one.run("SELECT 1")
    assert one.run("SELECT 1").rows == ((1,),)
    assert one.in_use() == 0


def answers(one: Bench) -> bool:
    try:
        one.run("SELECT 1")
    except errors.DatabaseUnavailable:
        return False
    return True


# --- the pool ---------------------------------------------------------------------------------


def test_a_full_pool_times_out_and_says_so(sqlite_url: str, bench: Callable[..., Bench]) -> None:
    one = bench(sqlite_url, pool_size=2, pool_wait=0.05)
    with one.manager.connect("main"), one.manager.connect("main"), pytest.raises(errors.PoolTimeout):
        one.run("SELECT 1")
    assert one.run("SELECT 1").rows == ((1,),)
    one.telemetry.fold()
    waits = one.observer.operations(vocabulary.CONNECTION_WAIT)
    assert [wait.details.timed_out for wait in waits] == [None, None, 1, None]
    assert [wait.reason for wait in waits] == ["ok", "ok", "pool_timeout", "ok"]
    assert {wait.labels["database"] for wait in waits} == {"main"}


@pytest.mark.parametrize("url", KINDS, indirect=True)
def test_many_threads_share_a_small_pool(url: str, bench: Callable[..., Bench]) -> None:
    one = bench(url, pool_size=2, pool_wait=30)
    results: list[Any] = []

    def ask() -> None:
        for _ in range(10):
            results.append(one.run("SELECT count(*) FROM item").rows[0][0])  # noqa: PERF401 - one at a time

    threads = [threading.Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(HANG)
    assert results == [2000] * 60
    assert one.in_use() == 0
