"""Who guesses keys is locked out, for longer each time; who has a key is not."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from sql_synthesizer.access import Access, Credentials
from sql_synthesizer.access._lockout import USED
from sql_synthesizer.errors import AuthenticationFailed, AuthenticationRequired, ConfigurationError, RateLimited
from sql_synthesizer.model import Role
from sql_synthesizer.settings import load
from sql_synthesizer.store import Store
from sql_synthesizer.telemetry.testing import MemoryRecorder
from tests.support.access import REMOTE, events_named, id_of, later, refused, with_key, wrong
from tests.support.access import limits as limits
from tests.support.access import make as make
from tests.support.access import recorder as recorder
from tests.support.access import store as store
from tests.support.caches import Server


def test_guessing_is_limited_for_each_address(make: Callable[..., Access], limits: dict[str, Any]) -> None:
    access = make(auth="required", failed_login_limit="3/minute", **limits)
    key = access.keys.create_key("laptop", Role.VIEWER)
    guess = with_key(wrong(key))
    assert [refused(lambda: access.authenticate(guess)) for _ in range(5)] == [AuthenticationFailed] * 3 + [
        RateLimited
    ] * 2
    assert refused(lambda: access.authenticate(with_key("malformed"))) is RateLimited
    assert refused(lambda: access.authenticate(with_key(key))) is RateLimited, "unknown here: may be a guess too"
    assert refused(lambda: access.authenticate(replace(with_key(key), address="192.0.2.8"))) is None
    assert refused(lambda: access.authenticate(REMOTE)) is AuthenticationRequired


def test_a_neighbour_that_guesses_locks_nobody_out(make: Callable[..., Access]) -> None:
    access = make(auth="required", failed_login_limit="3/minute")
    key = access.keys.create_key("laptop", Role.VIEWER)
    access.authenticate(with_key(key))
    for _ in range(5):
        refused(lambda: access.authenticate(with_key("wrong")))
    access.keys.forget(id_of(key))
    assert access.authenticate(with_key(key)).identity == id_of(key)


@pytest.mark.parametrize(
    ("one", "other", "together"),
    [
        ("2001:db8::1", "2001:db8::ffff:2", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("192.0.2.1", "192.0.2.2", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("", "junk", True),
    ],
)
def test_guesses_are_counted_by_network(make: Callable[..., Access], one: str, other: str, together: bool) -> None:
    access = make(auth="required", failed_login_limit="1/minute")
    assert refused(lambda: access.authenticate(Credentials(key="x", address=one))) is AuthenticationFailed
    second = refused(lambda: access.authenticate(Credentials(key="x", address=other)))
    assert second is (RateLimited if together else AuthenticationFailed)


def guess_until_locked(access: Access, credentials: Credentials, attempts: int) -> RateLimited:
    """The refusal that started a lock, after so many wrong keys that did not."""
    for _ in range(attempts):
        assert refused(lambda: access.authenticate(credentials)) is AuthenticationFailed
    with pytest.raises(RateLimited) as raised:
        access.authenticate(credentials)
    return raised.value


LOCKING = {"auth": "required", "failed_login_limit": "3/minute", "lock_seconds": 60, "lock_max_seconds": 400}


def test_each_lock_is_twice_as_long_until_it_is_forgotten(
    make: Callable[..., Access], limits: dict[str, Any], recorder: MemoryRecorder
) -> None:
    access, seen = make(**LOCKING, **limits), []
    credentials = with_key(wrong(access.keys.create_key("laptop", Role.VIEWER)))
    for _ in range(5):
        started = time.monotonic()
        lock = guess_until_locked(access, credentials, 3)
        seen.append((lock.details["locks"], lock.retry_after))
        assert lock.retry_after == lock.details["locked_seconds"]
        later(access, lock.details["locked_seconds"] - 30)
        with pytest.raises(RateLimited) as again:
            access.authenticate(credentials)
        assert 29 - (time.monotonic() - started) <= again.value.retry_after <= 30
        assert again.value.details["locks"] == lock.details["locks"]
        later(access, 32)
    assert seen == [(1, 60), (2, 120), (3, 240), (4, 400), (5, 400)]
    later(access, 401)
    assert guess_until_locked(access, credentials, 3).details["locks"] == 1
    assert len(events_named(recorder, "authentication_failure")) == 6, "what starts a lock was a wrong key, too"


def test_a_lock_names_whom_it_locks(make: Callable[..., Access]) -> None:
    access = make(**LOCKING)
    lock = guess_until_locked(access, with_key("malformed"), 3)
    assert lock.details == {
        "limit": "failures",
        "caller": "192.0.2.7",
        "address": "192.0.2.7",
        "locked_seconds": 60,
        "locks": 1,
    }


def strangers(key: str, count: int) -> Iterator[Credentials]:
    return (replace(with_key(wrong(key)), address=f"198.51.100.{n}") for n in range(count))


def test_guesses_from_many_addresses_lock_the_key_but_not_its_holder(
    make: Callable[..., Access], limits: dict[str, Any]
) -> None:
    access = make(**LOCKING, **limits)
    key, other = (access.keys.create_key(name, Role.VIEWER) for name in ("laptop", "other"))
    access.authenticate(with_key(key))
    refusals = [refused(lambda c=c: access.authenticate(c)) for c in strangers(key, 9)]
    assert refusals == [AuthenticationFailed] * 6 + [RateLimited] * 3
    elsewhere = replace(with_key(key), address="203.0.113.9")
    with pytest.raises(RateLimited) as raised:
        access.authenticate(elsewhere)
    assert raised.value.details["caller"] == f"key:{id_of(key)}"
    assert access.authenticate(replace(elsewhere, key=other)).identity == id_of(other)
    assert access.authenticate(with_key(key)).identity == id_of(key)
    later(access, 62)
    assert access.authenticate(elsewhere).identity == id_of(key)


def test_an_unknown_key_is_locked_as_a_known_one(make: Callable[..., Access]) -> None:
    access = make(**LOCKING)
    unknown = "sqs_0123456789ab_" + "x" * 43
    refusals = [refused(lambda c=c: access.authenticate(c)) for c in strangers(unknown, 9)]
    assert refusals == [AuthenticationFailed] * 6 + [RateLimited] * 3


def test_one_network_alone_never_locks_a_key(make: Callable[..., Access]) -> None:
    access = make(**LOCKING)
    key = access.keys.create_key("laptop", Role.VIEWER)
    for _ in range(6):
        guess_until_locked(access, with_key(wrong(key)), 3)
        later(access, 401)
        assert refused(lambda: access.authenticate(replace(with_key(key), address="203.0.113.9"))) is None
        with access._lock:
            access._seen.clear()
        access._lockout._used.clear()


def test_who_used_a_key_long_ago_is_not_locked_out(make: Callable[..., Access]) -> None:
    access = make(**LOCKING)
    key = access.keys.create_key("laptop", Role.VIEWER)
    access.authenticate(with_key(key))
    with access._lock:
        access._seen.clear()
    for credentials in (*strangers(key, 9), *[with_key("malformed")] * 5):
        refused(lambda c=credentials: access.authenticate(c))
    assert access.authenticate(with_key(key)).identity == id_of(key)
    with access._lock:
        access._seen.clear()
    access._lockout._used.expire(time.monotonic() + USED + 1)
    assert refused(lambda: access.authenticate(with_key(key))) is RateLimited


@pytest.mark.server
def test_processes_share_locks_and_who_used_a_key(make: Callable[..., Access], own_redis: Server) -> None:
    shared = {"rate_limit_storage": "redis", "redis_url": own_redis.url, "cache_timeout": 2}
    one, other = (make(**LOCKING, **shared) for _ in range(2))
    key = one.keys.create_key("laptop", Role.VIEWER)
    one.authenticate(with_key(key))
    for credentials in strangers(key, 9):
        refused(lambda c=credentials: one.authenticate(c))
    assert refused(lambda: other.authenticate(replace(with_key(key), address="203.0.113.9"))) is RateLimited
    assert other.authenticate(with_key(key)).identity == id_of(key)


@pytest.mark.parametrize("ended", ["revoked", "expired"])
def test_the_right_secret_of_an_ended_key_is_no_guess(make: Callable[..., Access], store: Store, ended: str) -> None:
    access = make(**LOCKING)
    key = access.keys.create_key("old job", Role.VIEWER, days=1)
    kept = store.get_key(id_of(key))
    assert kept is not None
    with access.keys._lock:
        access.keys._cached[id_of(key)] = replace(
            kept, **{f"{ended}_at": 1.0} if ended == "revoked" else {"expires_at": 1.0}
        )
    for _ in range(9):
        assert refused(lambda: access.authenticate(with_key(key))) is AuthenticationFailed
    assert refused(lambda: access.authenticate(with_key(access.keys.create_key("new", Role.VIEWER)))) is None


def test_threads_start_one_lock(make: Callable[..., Access], limits: dict[str, Any]) -> None:
    access = make(**LOCKING, **limits)
    with ThreadPoolExecutor(8) as pool:
        refusals = list(pool.map(lambda _: refused(lambda: access.authenticate(with_key("x"))), range(100)))
    assert refusals.count(AuthenticationFailed) == 3
    with pytest.raises(RateLimited) as raised:
        access.authenticate(with_key("x"))
    assert raised.value.details["locks"] == 1


@pytest.mark.parametrize("settings", [{"lock_seconds": 61, "lock_max_seconds": 60}, {"lock_max_seconds": 86_401}])
def test_locks_of_no_use(settings: dict[str, int]) -> None:
    with pytest.raises(ConfigurationError, match="longest lock"):
        load(**settings)
