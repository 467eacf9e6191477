"""Backends that are down, refuse or were never there cost no answer."""

from __future__ import annotations

import logging
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import redis as redis_client

from sql_synthesizer.cache.entries import CachedAnswer
from sql_synthesizer.errors import CacheUnavailable, ConfigurationError
from sql_synthesizer.settings import Settings
from sql_synthesizer.telemetry import Telemetry
from sql_synthesizer.telemetry.testing import MemoryObserver
from tests.support.caches import Server
from tests.support.caching import ANSWER, Make, answer, counts, raw
from tests.support.caching import make as make
from tests.support.caching import observer as observer
from tests.support.caching import telemetry as telemetry
from tests.support.ports import free_port
from tests.support.serving import HANG, until


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


def test_a_value_over_the_memory_is_no_reason_to_leave_it_alone(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sql_synthesizer.cache._backends.MEMORY_BYTES", 1000)
    cache = make(Settings(cache="memory"))
    assert not cache.set(cache.key("large"), answer([["x" * 1000]]))
    assert cache.set(cache.key("small"), ANSWER)
    assert cache.get(cache.key("small"), CachedAnswer) == ANSWER


@pytest.mark.server
def test_each_of_several_servers_must_answer(memcached_address: str, own_memcached: Server, make: Make) -> None:
    cache = make(Settings(cache="memcached", memcached_servers=f"{memcached_address}, {own_memcached.address}"))
    cache.ping(HANG)
    own_memcached.stop()
    with pytest.raises(CacheUnavailable):
        cache.ping(HANG)


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
