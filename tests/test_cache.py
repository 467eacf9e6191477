"""The cache of answers on its real backends."""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from typing import Any

import orjson
import pytest
import redis as redis_client
from hypothesis import given
from hypothesis import strategies as st
from pymemcache.client.base import Client as MemcachedClient

from sql_synthesizer.cache import AnswerCache
from sql_synthesizer.cache.entries import CachedAnswer, to_rows
from sql_synthesizer.errors import CacheUnavailable, ConfigurationError
from sql_synthesizer.model import Rows, Statement
from sql_synthesizer.settings import Settings, load
from sql_synthesizer.telemetry import Operation, Reading, Telemetry, vocabulary
from sql_synthesizer.telemetry.testing import MemoryObserver
from tests.support.caches import Server
from tests.support.ports import free_port
from tests.support.serving import HANG, until

SECRET = b"s" * 32


def answer(rows: list[list[Any]], sql: str = "SELECT 1") -> CachedAnswer:
    return CachedAnswer(sql, sql, "rules", "", "select", [], ["a"], rows, truncated=False)


ANSWER = answer([[1, "x", None, 2.5, True]])


@pytest.fixture
def observer() -> MemoryObserver:
    return MemoryObserver()


@pytest.fixture
def telemetry(observer: MemoryObserver) -> Telemetry:
    facade = Telemetry()
    facade.observers.append(observer)
    return facade


def counts(telemetry: Telemetry, observer: MemoryObserver) -> list[tuple[str, str]]:
    telemetry.fold()
    return [(op.labels["operation"], op.labels["hit_miss"]) for op in observer.operations(vocabulary.CACHE_ACCESS)]


def accesses(telemetry: Telemetry, observer: MemoryObserver) -> list[Operation]:
    telemetry.fold()
    return observer.operations(vocabulary.CACHE_ACCESS)


BACKENDS = [
    "memory",
    pytest.param("redis", marks=pytest.mark.server),
    pytest.param("memcached", marks=pytest.mark.server),
]


@pytest.fixture(params=BACKENDS)
def settings(request: pytest.FixtureRequest) -> Settings:
    if request.param == "redis":
        return Settings(cache="redis", redis_url=request.getfixturevalue("redis_url"), cache_timeout=10)
    if request.param == "memcached":
        address = request.getfixturevalue("memcached_address")
        return Settings(cache="memcached", memcached_servers=address, cache_timeout=10)
    return Settings(cache="memory")


Make = Callable[..., AnswerCache]


@pytest.fixture
def make(telemetry: Telemetry) -> Iterator[Make]:
    """Makes caches that are closed at the end."""
    with ExitStack() as stack:

        def made(settings: Settings, secret: bytes = SECRET) -> AnswerCache:
            return stack.enter_context(closing(AnswerCache(settings, telemetry, secret)))

        yield made


@pytest.fixture
def cache(settings: Settings, make: Make) -> AnswerCache:
    """A cache whose keys nothing else on the server has."""
    return make(settings, secrets.token_bytes(32))


def raw(cache: AnswerCache) -> Any:
    return cache._backend


# --- every backend ---------------------------------------------------------------------------


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


@pytest.mark.parametrize(
    "forge",
    [
        lambda sealed: sealed[:-1],
        lambda sealed: sealed[:20],
        lambda _: b"",
        lambda sealed: sealed.replace(b"SELECT 1", b"SELECT 2"),
        lambda _: b'{"sql": "DROP TABLE x"}',
        lambda sealed: bytes(32) + sealed[32:],
        lambda sealed: sealed[:33] + b"\x7f" + sealed[34:],
    ],
    ids=["cut", "stub", "empty", "changed", "foreign", "unsigned", "prolonged"],
)
def test_a_forged_value_is_no_answer(
    cache: AnswerCache, telemetry: Telemetry, observer: MemoryObserver, caplog: pytest.LogCaptureFixture, forge: Any
) -> None:
    key = cache.key("q")
    cache.set(key, ANSWER)
    raw(cache).set(key, forge(raw(cache).get(key)), 60)
    with caplog.at_level(logging.WARNING):
        assert cache.get(key, CachedAnswer) is None
    assert counts(telemetry, observer)[-1] == ("get", "error")
    assert "not used" in caplog.text
    assert cache.set(key, ANSWER)
    assert cache.get(key, CachedAnswer) == ANSWER


def test_values_that_are_not_used_are_told_of_from_time_to_time(
    cache: AnswerCache, caplog: pytest.LogCaptureFixture
) -> None:
    key = cache.key("q")
    raw(cache).set(key, b"forged", 60)
    with caplog.at_level(logging.WARNING):
        assert [cache.get(key, CachedAnswer) for _ in range(5)] == [None] * 5
        assert len(caplog.records) == 1
        cache._warn_after = 0.0
        cache.get(key, CachedAnswer)
    assert len(caplog.records) == 2


def test_any_changed_byte_is_noticed(make: Make) -> None:
    cache = make(Settings(cache="memory"))
    key = cache.key("q")
    cache.set(key, ANSWER)
    sealed = raw(cache).get(key)
    for position in range(len(sealed)):
        raw(cache).set(key, sealed[:position] + bytes([sealed[position] ^ 1]) + sealed[position + 1 :], 60)
        assert cache.get(key, CachedAnswer) is None


@given(st.lists(st.text(max_size=4), max_size=4), st.lists(st.text(max_size=4), max_size=4))
def test_keys_are_equal_only_for_equal_parts(one: list[str], other: list[str]) -> None:
    cache = AnswerCache(Settings(), Telemetry(), SECRET)
    assert (cache.key(*one) == cache.key(*other)) == (one == other)


def test_a_value_of_another_key_or_secret_is_no_answer(cache: AnswerCache, settings: Settings, make: Make) -> None:
    mine, other = cache.key("mine"), cache.key("other")
    cache.set(mine, ANSWER)
    raw(cache).set(other, raw(cache).get(mine), 60)
    assert cache.get(other, CachedAnswer) is None
    stranger = make(settings, b"t" * 32)
    raw(stranger).set(mine, raw(cache).get(mine), 60)
    assert stranger.get(mine, CachedAnswer) is None
    assert stranger.key("mine") != mine


def test_an_expired_value_put_back_is_a_miss(
    cache: AnswerCache, telemetry: Telemetry, observer: MemoryObserver
) -> None:
    key = cache.key("q")
    raw(cache).set(key, cache._seal_value(key, b'{"sql": "old"}', -1), 60)
    assert cache.get(key, CachedAnswer) is None
    assert counts(telemetry, observer)[-1] == ("get", "miss")


def test_what_is_too_large_or_no_json_is_not_kept(settings: Settings, make: Make) -> None:
    cache = make(settings.model_copy(update={"cache_entry_bytes": 1000}))
    key = cache.key("large")
    assert not cache.set(key, answer([["x" * 2000]]))
    assert not cache.set(key, answer([[object()]]))
    assert not cache.set(key, answer([["\ud800"]]))
    assert cache.get(key, CachedAnswer) is None


@pytest.mark.parametrize("limit", [1_000_000, 60_000_000])
def test_the_largest_entry_that_settings_allow_fits_in_memory(make: Make, limit: int) -> None:
    cache = make(load(cache="memory", cache_entry_bytes=limit))
    key = cache.key("large")
    value = answer([["x" * (limit - len(orjson.dumps(answer([[""]]))))]])
    assert cache.set(key, value)
    assert cache.get(key, CachedAnswer) == value
    with pytest.raises(ConfigurationError, match="cache_entry_bytes"):
        load(cache_entry_bytes=60_000_001)


def test_a_value_at_the_size_limit_is_kept(cache: AnswerCache) -> None:
    key = cache.key("large")
    value = answer([["x" * (1_000_000 - len(orjson.dumps(answer([[""]]))))]])
    assert cache.set(key, value)
    assert cache.get(key, CachedAnswer) == value


def test_keys_tell_nothing_and_do_not_collide(cache: AnswerCache) -> None:
    key = cache.key("what is the salary of alice", "shop")
    assert "salary" not in key
    assert len({cache.key("ab", "c"), cache.key("a", "bc"), cache.key("abc"), cache.key("ab", "c", ""), key}) == 5
    assert cache.key("\ud800") == cache.key("\ud800")


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


# --- memory ----------------------------------------------------------------------------------


def test_memory_is_bounded_in_entries(telemetry: Telemetry, observer: MemoryObserver, make: Make) -> None:
    cache = make(Settings(cache="memory", cache_entries=10))
    keys = [cache.key(str(n)) for n in range(50)]
    cache.set(keys[0], ANSWER)
    for key in keys[1:]:
        assert cache.get(keys[0], CachedAnswer) == ANSWER
        cache.set(key, ANSWER)
    assert [n for n, key in enumerate(keys) if cache.get(key, CachedAnswer)] == [0, *range(41, 50)]
    telemetry.fold(readings=True)
    readings = [f for f in observer.facts if isinstance(f, Reading) and f.type is vocabulary.CACHE_ENTRIES]
    assert (readings[-1].labels, readings[-1].value) == ({"cache_type": "memory"}, 10)


def test_memory_is_bounded_in_bytes(make: Make) -> None:
    cache = make(Settings(cache="memory", cache_entries=100_000))
    for n in range(100):
        assert cache.set(cache.key(str(n)), answer([["x" * 990_000]]))
    assert raw(cache)._items.currsize <= 64_000_000
    assert 55 < len(raw(cache)) < 65


def test_off_keeps_nothing_and_counts_nothing(telemetry: Telemetry, observer: MemoryObserver, make: Make) -> None:
    cache = make(Settings(cache="off"))
    assert cache.type == "off"
    assert not cache.set("k", ANSWER)
    assert cache.get("k", CachedAnswer) is None
    cache.ping(1)
    with cache.lock("k", 1) as waited, cache.lock("k", 1):
        assert not waited
    cache.close()
    assert counts(telemetry, observer) == []


# --- faults ----------------------------------------------------------------------------------


@pytest.mark.server
@pytest.mark.parametrize("kind", ["redis", "memcached"])
@pytest.mark.parametrize("fault", ["stop", "freeze"])
def test_a_dead_backend_is_left_alone_and_comes_back(
    request: pytest.FixtureRequest,
    telemetry: Telemetry,
    observer: MemoryObserver,
    caplog: pytest.LogCaptureFixture,
    kind: str,
    fault: str,
    make: Make,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sql_synthesizer.cache.BACK_OFF", 2 * HANG)
    server: Server = request.getfixturevalue(f"own_{kind}")
    settings = Settings(cache=kind, redis_url=server.url, memcached_servers=server.address, cache_timeout=1)  # type: ignore[arg-type]
    cache = make(settings)
    key = cache.key("q")
    assert cache.set(key, ANSWER)
    getattr(server, fault)()
    with caplog.at_level(logging.WARNING):
        assert cache.get(key, CachedAnswer) is None
        down_until = cache._down_until
        assert down_until > time.monotonic()
        with cache.lock(key, 5) as waited:
            assert not waited
            assert cache.get(key, CachedAnswer) is None
            assert not cache.set(key, ANSWER)
        assert cache._down_until == down_until, "a skipped access tried the backend"
        with pytest.raises(CacheUnavailable) as raised:
            cache.ping(0.2)
    assert server.address not in str(raised.value)
    assert counts(telemetry, observer) == [
        ("set", "ok"),
        ("get", "error"),
        ("get", "error"),
        ("set", "error"),
    ]
    assert len(caplog.records) == 1
    if fault == "stop":
        server.start()
    else:
        server.thaw()
    assert not cache.set(key, ANSWER), "it is left alone for longer"

    def used_again() -> bool:
        cache._down_until = time.monotonic()
        return cache.set(key, ANSWER)

    until(used_again)
    assert cache.get(key, CachedAnswer) == ANSWER
    cache.close()


@pytest.mark.server
def test_one_caller_tries_a_dead_backend_again(own_redis: Server, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sql_synthesizer.cache.BACK_OFF", HANG)
    cache = make(Settings(cache="redis", redis_url=own_redis.url, cache_timeout=0.5))
    tried: list[int] = []
    own_redis.freeze()
    cache._down_until = time.monotonic() - 0.001
    get = raw(cache).get
    raw(cache).get = lambda key: (tried.append(1), get(key))[1]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(cache.get, ["k"] * 8, [CachedAnswer] * 8)) == [None] * 8
    own_redis.thaw()
    assert len(tried) == 1


@pytest.mark.server
def test_a_refusal_is_no_reason_to_leave_the_backend_alone(
    own_redis: Server, telemetry: Telemetry, observer: MemoryObserver, make: Make
) -> None:
    cache = make(Settings(cache="redis", redis_url=own_redis.url))
    key = cache.key("q")
    with redis_client.Redis.from_url(own_redis.url) as admin:
        admin.config_set("maxmemory", 1)
        assert not cache.set(key, ANSWER)
        assert cache.get(key, CachedAnswer) is None
        admin.config_set("maxmemory", 0)
    assert cache.set(key, ANSWER)
    assert counts(telemetry, observer) == [("set", "error"), ("get", "miss"), ("set", "ok")]


@pytest.mark.server
def test_nothing_readable_in_a_shared_backend(memcached_address: str, make: Make) -> None:
    cache = make(Settings(cache="memcached", memcached_servers=memcached_address))
    key = cache.key("the question")
    cache.set(key, ANSWER)
    host, port = memcached_address.split(":")
    with closing(MemcachedClient((host, int(port)))) as other:
        value = other.get(key)
    assert value is not None
    assert b"the question" not in key.encode() + value


def test_a_backend_that_never_was_costs_no_answer(make: Make) -> None:
    settings = Settings(cache="redis", redis_url=f"redis://user:hunter2@127.0.0.1:{free_port()}/0")
    cache = make(settings)
    assert cache.get("k", CachedAnswer) is None
    with pytest.raises(CacheUnavailable) as raised:
        cache.ping(1)
    assert "hunter2" not in repr(raised.value)


@pytest.mark.parametrize(
    "settings",
    [
        {"cache": "redis"},
        {"cache": "redis", "redis_url": "http://user:hunter2@host"},
        {"cache": "memcached", "memcached_servers": "localhost"},
        {"cache": "memcached", "memcached_servers": "a:1,"},
    ],
)
def test_settings_that_name_no_backend(settings: dict[str, Any], make: Make) -> None:
    with pytest.raises(ConfigurationError) as raised:
        make(Settings(**settings))
    assert "hunter2" not in str(raised.value)
