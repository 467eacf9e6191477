"""How much is kept."""

from __future__ import annotations

import orjson
import pytest

from sql_synthesizer.cache import AnswerCache
from sql_synthesizer.cache.entries import CachedAnswer
from sql_synthesizer.errors import ConfigurationError
from sql_synthesizer.settings import Settings, load
from sql_synthesizer.telemetry import Reading, Telemetry, vocabulary
from sql_synthesizer.telemetry.testing import MemoryObserver
from tests.support.caching import ANSWER, Make, answer, counts, raw
from tests.support.caching import cache as cache
from tests.support.caching import make as make
from tests.support.caching import observer as observer
from tests.support.caching import settings as settings
from tests.support.caching import telemetry as telemetry


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
    with pytest.raises(ConfigurationError, match="CACHE_ENTRY_BYTES"):
        load(cache_entry_bytes=60_000_001)


def test_a_value_at_the_size_limit_is_kept(cache: AnswerCache) -> None:
    key = cache.key("large")
    value = answer([["x" * (1_000_000 - len(orjson.dumps(answer([[""]]))))]])
    assert cache.set(key, value)
    assert cache.get(key, CachedAnswer) == value


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
