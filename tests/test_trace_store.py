"""The store of traces: what it keeps and lets go of, and that its faults cost rows and nothing else."""

from __future__ import annotations

import multiprocessing
import sqlite3
import time
from datetime import UTC, datetime, timedelta

import pytest

from sql_synthesizer.errors import PoolTimeout, StoreUnavailable
from sql_synthesizer.monitoring import trace_store
from sql_synthesizer.monitoring.tail import TailObserver
from sql_synthesizer.monitoring.trace_reading import find_trace, list_traces
from sql_synthesizer.monitoring.trace_store import TraceStore
from sql_synthesizer.settings import Settings
from sql_synthesizer.telemetry import Telemetry, vocabulary
from sql_synthesizer.telemetry.testing import MemoryObserver


def opened(state, **settings):
    """A facade whose traces are stored."""
    facade = Telemetry()
    given = Settings(state_dir=state, **settings)
    facade.observers = [TailObserver(given, facade, [TraceStore(given, facade)]), MemoryObserver()]
    return facade


def ask(facade, error=None, question="", took=0.0):
    """A request with one stage, its trace id."""
    with facade.operation(vocabulary.HTTP_REQUEST, method="POST", route="/api/query") as request:
        request.trace.question_id = question
        try:
            with facade.operation(vocabulary.STAGE_OPERATION, stage="schema"):
                if error is not None:
                    raise error
        except PoolTimeout as failure:
            request.fail(failure)
        request._start -= int(took * 1e9)
    return request.trace.trace_id


def write(facade):
    """Hands everything to the file, as the store's thread does."""
    facade.fold()
    outbox = facade.observers[0]._keepers[0]._outbox
    while outbox._send_batch():
        pass


@pytest.fixture
def still(monkeypatch):
    """The store's thread stays away; the test does its work."""
    monkeypatch.setattr("sql_synthesizer.monitoring.outbox.Outbox._run_thread", lambda _: None)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "traces.sqlite"


def dropped(facade):
    facade.fold(readings=True)
    events = facade.observers[1].events("telemetry_dropped")
    assert all(event.details == {"signal": "trace_store"} for event in events)
    return sum(event.count for event in events)


def test_a_trace_is_found_by_its_id_and_by_its_question(tmp_path, path):
    facade = opened(tmp_path)
    trace = ask(facade, PoolTimeout(), question="0123456789abcdef")
    ask(facade)
    facade.close()
    found = find_trace(path, trace)
    assert found == find_trace(path, "0123456789abcdef")
    root, stage = found.spans
    assert (root["name"], root["reason"], stage["name"]) == ("POST /api/query", "pool_timeout", "schema")
    assert stage["parent_id"] == root["span_id"]
    assert root["started_ns"] <= stage["started_ns"]
    assert root["instance"].startswith("sql-synthesizer@")
    assert found.complete
    assert find_trace(path, "0" * 32) is find_trace(path, "0" * 16) is None
    assert path.stat().st_mode & 0o077 == 0


def test_traces_are_listed_newest_first(tmp_path, path):
    facade = opened(tmp_path)
    facade.slow_ns = 1_000_000_000
    sound, failed, slow = ask(facade), ask(facade, PoolTimeout()), ask(facade, took=2)
    facade.close()
    assert [row.trace_id for row in list_traces(path)] == [slow, failed, sound]
    assert [row.trace_id for row in list_traces(path, failed=True)] == [failed]
    assert [row.trace_id for row in list_traces(path, slow=True)] == [slow]
    assert [row.trace_id for row in list_traces(path, slow=True, failed=True)] == [slow, failed]
    first = list_traces(path, limit=1)
    assert [row.trace_id for row in list_traces(path, before=first[0].id, limit=1)] == [failed]
    now = datetime.now(UTC)
    assert len(list_traces(path, since=now - timedelta(hours=1))) == 3
    assert list_traces(path, since=now + timedelta(hours=1)) == []
    assert list_traces(tmp_path / "none.sqlite") == []


def test_what_closed_before_its_request_is_found_and_not_listed(tmp_path, path):
    facade = opened(tmp_path)
    request = facade.operation(vocabulary.HTTP_REQUEST, method="POST", route="/api/query")
    with request:
        with facade.operation(vocabulary.STAGE_OPERATION, stage="schema"):
            pass
        facade.close()
    assert [span["name"] for span in find_trace(path, request.trace.trace_id).spans] == ["schema"]
    assert list_traces(path) == []


def _write_traces(state):
    facade = opened(state)
    for _ in range(100):
        ask(facade, PoolTimeout())
    facade.close()
    assert dropped(facade) == 0


def test_processes_share_the_file(tmp_path, path):
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_write_traces, args=(tmp_path,)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0, 0]
    traces = {row.trace_id for before in (None, 101, 201) for row in list_traces(path, before=before, limit=100)}
    assert len(traces) == 300


@pytest.mark.usefixtures("still")
def test_the_file_stays_within_its_limit_and_the_telling_outlast_the_others(tmp_path, path):
    facade = opened(tmp_path, trace_store_bytes=1_000_000)
    telling = [ask(facade, PoolTimeout()) for _ in range(50)]
    for _ in range(30):
        for _ in range(100):
            ask(facade)
        write(facade)
        assert path.stat().st_size <= 1_000_000
    assert {row.trace_id for row in list_traces(path, failed=True)} == set(telling)
    assert dropped(facade) == 0


@pytest.mark.usefixtures("still")
def test_a_limit_that_was_lowered_holds(tmp_path, path):
    facade = opened(tmp_path)
    for _ in range(20):
        for _ in range(100):
            ask(facade, PoolTimeout())
        write(facade)
    facade.close()
    assert path.stat().st_size > 1_000_000
    facade = opened(tmp_path, trace_store_bytes=600_000)
    for _ in range(10):
        ask(facade)
        write(facade)
    facade.close()
    assert path.stat().st_size <= 600_000


@pytest.mark.usefixtures("still")
@pytest.mark.parametrize(("jumped", "left"), [(0.0, 1), (-1e6, 2)])
def test_old_traces_go_unless_the_clock_was_set(tmp_path, path, monkeypatch, jumped, left):
    monkeypatch.setattr(trace_store, "UPKEEP", -1.0)
    facade = opened(tmp_path, trace_store_hours=1.0)
    with facade.operation(vocabulary.COMMAND) as command:
        pass
    command.started_ns -= 7_200_000_000_000
    facade.observers[0]._keepers[0]._file._offset += jumped
    write(facade)
    ask(facade)
    write(facade)
    assert len(list_traces(path)) == left


def test_a_trace_with_too_many_spans_is_cut_and_counted(tmp_path, path, monkeypatch):
    monkeypatch.setattr(trace_store, "SPANS", 3)
    facade = opened(tmp_path)
    with facade.operation(vocabulary.COMMAND) as command:
        for _ in range(4):
            with facade.operation(vocabulary.STAGE_OPERATION, stage="schema"):
                pass
    facade.close()
    assert dropped(facade) == 2
    found = find_trace(path, command.trace.trace_id)
    assert (len(found.spans), found.complete) == (3, False)


# --- faults ---------------------------------------------------------------------------------


def remove(path):
    for part in path.parent.glob("traces.sqlite*"):
        part.unlink()


def scribble(path):
    path.write_bytes(b"no database " * 1000)


def cut(path):
    path.write_bytes(path.read_bytes()[:5000])


def replace_tables(path):
    path.unlink()
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE traces (id INTEGER)")
        connection.execute(f"PRAGMA user_version = {trace_store.VERSION}")
    connection.close()


@pytest.mark.usefixtures("still")
@pytest.mark.parametrize("harm", [remove, scribble, cut, replace_tables])
def test_a_store_that_was_harmed_is_begun_again(tmp_path, path, harm):
    facade = opened(tmp_path)
    ask(facade)
    write(facade)
    facade.observers[0]._keepers[0]._file.close()
    harm(path)
    kept = []
    for _ in range(3):
        kept.append(ask(facade))
        write(facade)
    stored = {row.trace_id for row in list_traces(path)}
    assert kept[-1] in stored
    assert len(set(kept) - stored) == dropped(facade)


@pytest.mark.usefixtures("still")
def test_a_store_that_is_deleted_under_the_service_is_made_again(tmp_path, path):
    facade = opened(tmp_path)
    ask(facade)
    write(facade)
    remove(path)
    trace = ask(facade)
    write(facade)
    assert [row.trace_id for row in list_traces(path)] == [trace]
    assert dropped(facade) == 0


@pytest.mark.usefixtures("still")
def test_a_store_that_is_locked_costs_what_comes_meanwhile(tmp_path, path, monkeypatch):
    monkeypatch.setattr(trace_store, "WAIT", 0.05)
    facade = opened(tmp_path)
    ask(facade)
    write(facade)
    facade.observers[0]._keepers[0]._file.close()
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    ask(facade)
    write(facade)
    other.close()
    ask(facade)
    write(facade)
    assert (dropped(facade), len(list_traces(path))) == (1, 2)


@pytest.mark.usefixtures("still")
def test_without_a_directory_nothing_else_fails(tmp_path):
    facade = opened(tmp_path / "gone")
    ask(facade)
    write(facade)
    assert dropped(facade) == 1
    facade.close()


def test_a_thread_writes_what_waits_within_a_moment(tmp_path, path):
    facade = opened(tmp_path)
    ask(facade)
    facade.fold()
    deadline = time.monotonic() + 60
    while not list_traces(path) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert len(list_traces(path)) == 1
    facade.close()


def test_a_reader_of_a_damaged_store_is_told(path):
    scribble(path)
    with pytest.raises(StoreUnavailable, match="cannot be read"):
        list_traces(path)
