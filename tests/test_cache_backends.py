"""What every backend does: values come back, end, and are made by one caller for all."""

from __future__ import annotations

import secrets
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from sql_synthesizer.cache import AnswerCache
from sql_synthesizer.cache.entries import CachedAnswer, to_rows
from sql_synthesizer.model import Rows, Statement
from sql_synthesizer.settings import Settings
from sql_synthesizer.telemetry import Operation, Telemetry, vocabulary
from sql_synthesizer.telemetry.testing import MemoryObserver
from tests.support.caching import ANSWER, BACKENDS, Make, answer, counts, raw
from tests.support.caching import cache as cache
from tests.support.caching import make as make
from tests.support.caching import observer as observer
from tests.support.caching import settings as settings
from tests.support.caching import telemetry as telemetry
from tests.support.serving import HANG, until


def accesses(telemetry: Telemetry, observer: MemoryObserver) -> list[Operation]:
    telemetry.fold()
    return observer.operations(vocabulary.CACHE_ACCESS)


def test_a_value_comes_back_and_each_access_is_counted(
    cache: AnswerCache, telemetry: Telemetry, observer: MemoryObserver
) -> None:
    key = cache.key("how many", "shop")
    assert cache.get(key, CachedAnswer) is None
    assert cache.set(key, ANSWER)
    assert cache.get(key, CachedAnswer) == ANSWER
    assert counts(telemetry, observer) == [
        ("get", "miss"),
        ("set", "ok"),
        ("get", "hit"),
    ]
    assert {op.labels["cache_type"] for op in accesses(telemetry, observer)} == {cache.type}


def test_the_value_handed_out_is_a_copy(cache: AnswerCache) -> None:
    key = cache.key("q")
    cache.set(key, ANSWER)
    taken = cache.get(key, CachedAnswer)
    assert taken is not None
    taken.rows[0][0] = "changed"  # type: ignore[index]
    assert cache.get(key, CachedAnswer) == ANSWER


def test_values_end(cache: AnswerCache) -> None:
    brief, long = cache.key("brief"), cache.key("long")
    assert cache.set(long, ANSWER, ttl=600)
    assert cache.set(brief, ANSWER, ttl=1)
    until(lambda: cache.get(brief, CachedAnswer) is None)
    assert cache.get(long, CachedAnswer) == ANSWER


def test_twenty_threads_create_once(cache: AnswerCache) -> None:
    key = cache.key("expensive")
    created: list[int] = []

    def ask() -> tuple[Any, bool]:
        with cache.lock(key, HANG) as waited:
            found = cache.get(key, CachedAnswer)
            if found is None:
                created.append(1)
                until(lambda: cache._locks._locks[key][1] == 20)  # all the others are here
                cache.set(key, ANSWER)
            return found or ANSWER, waited

    with ThreadPoolExecutor(20) as pool:
        results = [future.result() for future in [pool.submit(ask) for _ in range(20)]]
    assert len(created) == 1
    assert [answer for answer, _ in results] == [ANSWER] * 20
    assert sum(waited for _, waited in results) == 19
    assert not cache._locks._locks


def test_threads_get_their_own_answers(cache: AnswerCache) -> None:
    def work(number: int) -> list[CachedAnswer | None]:
        key, found = cache.key(str(number)), []
        for round in range(20):
            assert cache.set(key, answer([[number, round]]))
            found.append(cache.get(key, CachedAnswer))
        return found

    with ThreadPoolExecutor(8) as pool:
        for number, found in enumerate(pool.map(work, range(8))):
            assert found == [answer([[number, round]]) for round in range(20)]


@pytest.mark.parametrize("settings", BACKENDS[1:], indirect=True)
def test_two_processes_create_once(settings: Settings, telemetry: Telemetry, make: Make) -> None:
    secret = secrets.token_bytes(32)
    one, other, third = (make(settings, secret) for _ in range(3))
    key = one.key("shared")
    waits: list[bool] = []
    refused = threading.Event()
    try_lock = raw(other).try_lock

    def trying(key: str, lease: int) -> Any:
        unlock = try_lock(key, lease)
        if unlock is None:
            refused.set()
        return unlock

    def second() -> None:
        with other.lock(key, HANG) as waited:
            waits.append(waited)

    raw(other).try_lock = trying
    with one.lock(key, HANG) as waited:
        assert not waited
        thread = threading.Thread(target=second)
        thread.start()
        assert refused.wait(HANG)
        with third.lock(key, 1.0) as waited_in_vain:
            assert waited_in_vain
        assert waits == []
    thread.join(HANG)
    assert waits == [True]


def test_a_lock_is_not_waited_for_past_its_time(cache: AnswerCache) -> None:
    with cache.lock("key", 5), ThreadPoolExecutor(1) as pool:

        def impatient(timeout: float) -> bool:
            with cache.lock("key", timeout) as waited:
                return waited

        assert pool.submit(impatient, 0.05).result(timeout=HANG)
        assert pool.submit(impatient, -1).result(timeout=HANG)


def test_an_error_under_the_lock_passes_and_frees_it(cache: AnswerCache) -> None:
    with pytest.raises(RuntimeError, match="mine"), cache.lock("key", 5):
        raise RuntimeError("mine")
    with cache.lock("key", 5) as waited:
        assert not waited


def test_an_answer_is_kept_with_its_statement_and_rows(cache: AnswerCache) -> None:
    statement = Statement("SELECT a, b FROM t LIMIT 9", "llm", "Lists t.", "select", ("t",), ("t.b",))
    rows = Rows(("a", "b"), ((1, None), (2, "x")), truncated=True)
    key = cache.key("q")
    assert cache.set(key, CachedAnswer.of(statement, "SELECT * FROM t", rows))
    found = cache.get(key, CachedAnswer)
    assert found is not None
    assert found.to_statement() == Statement(statement.sql, "llm", "Lists t.", "select")
    assert (found.statement, found.sensitive) == ("SELECT * FROM t", ["t.b"])
    assert to_rows(found) == rows


def test_ping(cache: AnswerCache) -> None:
    cache.ping(1)
