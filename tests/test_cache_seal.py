"""Only what this service put under this key is an answer, and nothing of it can be read by others."""

from __future__ import annotations

import logging
from contextlib import closing
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymemcache.client.base import Client as MemcachedClient

from sql_synthesizer.cache import AnswerCache
from sql_synthesizer.cache.entries import CachedAnswer
from sql_synthesizer.settings import Settings
from sql_synthesizer.telemetry import Telemetry
from sql_synthesizer.telemetry.testing import MemoryObserver
from tests.support.caching import ANSWER, SECRET, Make, counts, raw
from tests.support.caching import cache as cache
from tests.support.caching import make as make
from tests.support.caching import observer as observer
from tests.support.caching import settings as settings
from tests.support.caching import telemetry as telemetry


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


def test_keys_tell_nothing_and_do_not_collide(cache: AnswerCache) -> None:
    key = cache.key("what is the salary of alice", "shop")
    assert "salary" not in key
    assert len({cache.key("ab", "c"), cache.key("a", "bc"), cache.key("abc"), cache.key("ab", "c", ""), key}) == 5
    assert cache.key("\ud800") == cache.key("\ud800")


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
