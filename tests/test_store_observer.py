"""Questions become history, and a store that does not answer holds up nobody."""

from __future__ import annotations

import contextlib
import functools
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sql_synthesizer.errors import Declined, StoreUnavailable
from sql_synthesizer.store import HistoryObserver, Store
from sql_synthesizer.store._engine import RowRefused
from sql_synthesizer.telemetry import Telemetry, vocabulary
from sql_synthesizer.telemetry.testing import MemoryObserver
from tests.support.serving import HANG, until
from tests.support.store import change_store
from tests.support.store import open_store as open_store
from tests.support.store import store as store
from tests.support.store import url as url


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


def test_the_next_questions_do_not_wait_for_a_retry(watched: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    _, history, _, telemetry = watched
    monkeypatch.setattr("sql_synthesizer.store._history.HISTORY_RETRY", 2 * HANG)
    for name in ("q1", "q2"):
        ask(telemetry, name)
        telemetry.fold()
        assert history.flush(HANG)


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
    monkeypatch.setattr("sql_synthesizer.store._history.HISTORY_WAITING", 3)
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
    monkeypatch.setattr("sql_synthesizer.store._history.HISTORY_CLOSE", 0.01)
    with locked(tmp_path):
        ask(telemetry, "q1")
        telemetry.fold()
        history.close()
        assert ("history", 1) in reported(telemetry, observer, "telemetry_dropped")
    (told,) = caplog.records
    assert told.args == (1,)
    history._thread.join(HANG)
    assert not history._thread.is_alive()
