"""The cache of answers on each of its backends, and what it counted."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from typing import Any

import pytest

from sql_synthesizer.cache import AnswerCache
from sql_synthesizer.cache.entries import CachedAnswer
from sql_synthesizer.settings import Settings
from sql_synthesizer.telemetry import Telemetry, vocabulary
from sql_synthesizer.telemetry.testing import MemoryObserver

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
