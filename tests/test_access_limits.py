"""How often somebody may ask, counted in memory and in Redis."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from functools import partial
from typing import Any

import pytest

from sql_synthesizer.access import Access
from sql_synthesizer.access._limits import WINDOWS, MemoryStorage
from sql_synthesizer.errors import AuthenticationFailed, ConfigurationError, InvalidRequest, RateLimited
from sql_synthesizer.model import Caller, Role
from sql_synthesizer.store import Store
from sql_synthesizer.telemetry.testing import MemoryRecorder
from tests.support.access import access as access
from tests.support.access import events_named, id_of, later, refused, with_key
from tests.support.access import limits as limits
from tests.support.access import make as make
from tests.support.access import recorder as recorder
from tests.support.access import store as store
from tests.support.caches import Server
from tests.support.ports import free_port
from tests.support.serving import HANG, until

NO_LIMIT = {"rate_limit": "", "failed_login_limit": ""}


def test_requests_are_limited_for_each_caller(make: Callable[..., Access], limits: dict[str, Any]) -> None:
    access = make(rate_limit="3/minute", **limits)
    one, two = Caller("k1", address="192.0.2.7"), Caller("k2")
    assert [refused(lambda: access.limit(one)) for _ in range(5)] == [None] * 3 + [RateLimited] * 2
    assert refused(lambda: access.limit(two)) is None
    with pytest.raises(RateLimited) as raised:
        access.limit(one)
    assert raised.value.retry_after is not None
    assert 1 <= raised.value.retry_after <= 60
    assert raised.value.details == {"limit": "requests", "caller": "k1", "address": "192.0.2.7"}


def test_a_key_may_have_a_limit_of_its_own(make: Callable[..., Access], limits: dict[str, Any]) -> None:
    access = make(auth="required", rate_limit="3/minute", **limits)
    given = {"default": 3, "5/minute": 5, "2/10minutes": 2, "none": 9}
    for limit, allowed in given.items():
        key = access.keys.create_key("laptop", Role.OPERATOR, limit=limit)
        caller = access.authenticate(with_key(key))
        assert [refused(partial(access.limit, caller)) for _ in range(9)].count(None) == allowed


def test_a_limit_is_changed_on_record(access: Access, store: Store, recorder: MemoryRecorder) -> None:
    key = access.keys.create_key("laptop", Role.OPERATOR, limit="2/minute")
    limits = []
    for limit in ("9/minute", "none", "default"):
        access.keys.limit_key(id_of(key), limit)
        limits.append(access.authenticate(with_key(key)).rate_limit)
    assert limits == ["9/minute", "none", ""]
    changes = [e.details for e in events_named(recorder, "credential_change")]
    assert [(c["change"], c["key"]) for c in changes] == [("created", id_of(key))] + [("limited", id_of(key))] * 3
    assert [c["limit"] for c in changes] == ["2/minute", "9/minute", "none", "default"]
    assert {(c["label"], c["expires_at"]) for c in changes} == {("laptop", "never")}
    access.keys.create_key("guest", Role.VIEWER, days=1)
    ends = datetime.fromisoformat(events_named(recorder, "credential_change")[-1].details["expires_at"])
    assert ends.timestamp() == pytest.approx(time.time() + 86_400, abs=HANG)
    assert [c.get("before") for c in changes] == [None, "2/minute", "9/minute", "none"]


BAD_LIMITS = [
    "",
    "5",
    "5/",
    "0/minute",
    "-1/minute",
    "5/fortnight",
    "5/0minutes",
    "5/1000minutes",
    "5 per minute",
    "5/minute\n",
    "٥/minute",
    "1" * 5000,
]


@pytest.mark.parametrize("limit", [*BAD_LIMITS, "none"])
def test_limits_that_no_key_gets(access: Access, store: Store, limit: str) -> None:
    key_id = id_of(access.keys.create_key("laptop", Role.ANALYST))
    for change in (
        lambda: access.keys.create_key("other", Role.ANALYST, limit=limit),
        lambda: access.keys.limit_key(key_id, limit),
    ):
        with pytest.raises(InvalidRequest):
            change()
    assert [key.rate_limit for key in store.list_keys()] == [""]


def test_a_window_ends(make: Callable[..., Access], limits: dict[str, Any]) -> None:
    access, caller = make(rate_limit="2/hour", **limits), Caller("k1")
    assert [refused(lambda: access.limit(caller)) for _ in range(3)] == [None, None, RateLimited]
    later(access, 3600)
    assert [refused(lambda: access.limit(caller)) for _ in range(3)] == [None, None, RateLimited]


def test_threads_are_counted_exactly(make: Callable[..., Access], limits: dict[str, Any]) -> None:
    access, caller = make(rate_limit="50/hour", **limits), Caller("k1")
    with ThreadPoolExecutor(8) as pool:
        refusals = list(pool.map(lambda _: refused(lambda: access.limit(caller)), range(200)))
    assert refusals.count(None) == 50


def test_no_limit_when_none_is_set(make: Callable[..., Access]) -> None:
    access = make(**NO_LIMIT, auth="required")
    for _ in range(300):
        access.limit(Caller("k1"))
        assert refused(lambda: access.authenticate(with_key("wrong"))) is AuthenticationFailed


def test_counters_in_memory_are_bounded() -> None:
    memory = MemoryStorage()
    for n in range(WINDOWS + 500):
        memory.incr(str(n), 60)
    assert len(memory._windows) == WINDOWS
    memory.clear(str(WINDOWS))
    assert memory.get(str(WINDOWS)) == 0
    assert memory.check()
    memory.reset()
    assert not memory._windows


@pytest.mark.server
def test_processes_share_limits_through_redis(make: Callable[..., Access], own_redis: Server) -> None:
    settings = {"rate_limit": "4/minute", "rate_limit_storage": "redis", "redis_url": own_redis.url}
    one, other, caller = make(**settings), make(**settings), Caller("k1")
    refusals = [refused(partial(access.limit, caller)) for access in (one, other) * 3]
    assert refusals == [None] * 4 + [RateLimited] * 2


@pytest.mark.server
@pytest.mark.parametrize("fault", ["stop", "freeze"])
def test_limits_go_on_in_memory_without_redis(
    make: Callable[..., Access], own_redis: Server, caplog: pytest.LogCaptureFixture, fault: str
) -> None:
    access = make(rate_limit="3/hour", rate_limit_storage="redis", redis_url=own_redis.url, cache_timeout=1)
    caller = Caller("k1")
    access.limit(caller)
    getattr(own_redis, fault)()
    with caplog.at_level(logging.WARNING):
        assert [refused(lambda: access.limit(caller)) for _ in range(5)] == [None] * 3 + [RateLimited] * 2
    assert len(caplog.records) == 1
    assert own_redis.address not in caplog.text
    if fault == "stop":
        own_redis.start()
    else:
        own_redis.thaw()
    until(lambda: refused(lambda: access.limit(caller)) is None)


@pytest.mark.parametrize("settings", [{}, {"redis_url": "http://user:hunter2@host"}])
def test_redis_settings_of_no_use(make: Callable[..., Access], settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError) as raised:
        make(rate_limit_storage="redis", **settings)
    assert "hunter2" not in str(raised.value)


def test_a_redis_that_never_was(make: Callable[..., Access]) -> None:
    access = make(rate_limit="1/hour", rate_limit_storage="redis", redis_url=f"redis://127.0.0.1:{free_port()}/0")
    assert [refused(lambda: access.limit(Caller("k1"))) for _ in range(2)] == [None, RateLimited]
