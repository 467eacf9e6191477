"""Work that is taken back: it stops at once, in the server of the database too, and nobody waits for it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from sql_synthesizer.errors import Cancelled
from sql_synthesizer.model.cancellation import Cancellation
from sql_synthesizer.telemetry import vocabulary
from tests.support.databases import Server
from tests.support.managers import KINDS, SERVERS, Bench
from tests.support.managers import bench as bench
from tests.support.managers import sqlite_url as sqlite_url
from tests.support.managers import url as url
from tests.support.serving import HANG, until
from tests.test_database_limits import RUNNING, SLOW, statements


def run(made: Bench, sql: str, cancellation: Cancellation) -> object:
    """A statement that may run for as long as tests wait."""
    return made.manager.execute("main", sql, max_rows=1, deadline=time.monotonic() + HANG, cancellation=cancellation)


def test_what_stops_the_work_is_called_once_and_only_in_its_block() -> None:
    cancellation, calls = Cancellation(), []
    with cancellation.stopping(lambda: calls.append("before")):
        pass
    with cancellation.stopping(lambda: calls.append("during")):
        cancellation.cancel()
        cancellation.cancel()
    assert calls == ["during"]
    with pytest.raises(Cancelled), cancellation.stopping(lambda: calls.append("after")):
        raise AssertionError
    assert calls == ["during"]


@pytest.mark.parametrize("url", KINDS, indirect=True)
def test_a_statement_that_is_taken_back_ends(url: str, bench: Callable[..., Bench]) -> None:
    made, cancellation = bench(url, statement_timeout=HANG), Cancellation()
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(run, made, SLOW[made.manager.dialect("main")], cancellation)
        until(lambda: made.in_use() == 1)
        cancellation.cancel()
        with pytest.raises(Cancelled):
            running.result(HANG)
    assert made.in_use() == 0
    assert made.run("SELECT 1").rows == ((1,),)


@pytest.mark.parametrize("kind", SERVERS)
def test_the_server_ends_it_too(kind: str, request: pytest.FixtureRequest, bench: Callable[..., Bench]) -> None:
    server: Server = request.getfixturevalue(f"{kind}_server")
    made, cancellation = bench(server.url, pool_size=8, statement_timeout=HANG), Cancellation()
    sql = SLOW[made.manager.dialect("main")]
    with statements(server) as left, ThreadPoolExecutor(8) as pool:
        running = [pool.submit(run, made, sql, cancellation) for _ in range(8)]  # twice what is ended at a time
        until(lambda: left(RUNNING[kind]) == 8)
        cancellation.cancel()
        assert all(isinstance(one.exception(HANG), Cancelled) for one in running)
        until(lambda: left(RUNNING[kind]) == 0)
    made.telemetry.fold()
    assert made.observer.events(vocabulary.SESSION_LEFT.name) == []


def test_what_was_taken_back_before_costs_no_connection(sqlite_url: str, bench: Callable[..., Bench]) -> None:
    made, cancellation = bench(sqlite_url), Cancellation()
    made.run("SELECT 1")
    kept = made.manager._pools["main"].pool.checkedin()
    cancellation.cancel()
    with pytest.raises(Cancelled):
        run(made, "SELECT 1", cancellation)
    assert made.manager._pools["main"].pool.checkedin() == kept


def test_nothing_is_cancelled_after_its_end(sqlite_url: str, bench: Callable[..., Bench]) -> None:
    """The connection of one that ended may be another's by then."""
    made = bench(sqlite_url, pool_size=1)
    ended = [Cancellation() for _ in range(20)]
    for cancellation in ended:
        run(made, "SELECT 1", cancellation)
    stop = threading.Thread(target=lambda: [cancellation.cancel() for cancellation in ended])
    stop.start()
    assert made.run(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 100000) SELECT count(*) FROM n"
    ).rows == ((100_000,),)
    stop.join()
