"""Who may do what, how often."""

from __future__ import annotations

import contextlib
import logging
import stat
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import redis

from sql_synthesizer.access import KEY_TTL, Access, Credentials, Session
from sql_synthesizer.access._limits import WINDOWS, MemoryStorage
from sql_synthesizer.access._lockout import USED
from sql_synthesizer.errors import (
    AccessDenied,
    AuditUnavailable,
    AuthenticationFailed,
    AuthenticationRequired,
    ConfigurationError,
    CsrfFailed,
    InvalidRequest,
    NotFound,
    RateLimited,
    SqlSynthesizerError,
    StoreUnavailable,
)
from sql_synthesizer.model import ApiKey, Caller, Role
from sql_synthesizer.settings import Settings, load
from sql_synthesizer.store import Store
from sql_synthesizer.telemetry import Event, Telemetry, vocabulary
from sql_synthesizer.telemetry.testing import MemoryRecorder
from sql_synthesizer.telemetry.vocabulary import OperationType
from tests.support.caches import Server
from tests.support.ports import free_port
from tests.support.serving import HANG, until

LOCAL = Credentials(address="127.0.0.1", host="127.0.0.1:5000")
REMOTE = Credentials(address="192.0.2.7", host="sql.example.org")
NO_LIMIT = {"rate_limit": "", "failed_login_limit": ""}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with contextlib.closing(Store(None, tmp_path)) as store:
        yield store


@pytest.fixture
def recorder() -> MemoryRecorder:
    return MemoryRecorder()


@pytest.fixture
def make(store: Store, recorder: MemoryRecorder) -> Callable[..., Access]:
    def made(**settings: Any) -> Access:
        telemetry = Telemetry()
        telemetry.recorder = recorder
        return Access(Settings(**settings), store, telemetry)

    return made


@pytest.fixture
def access(make: Callable[..., Access]) -> Access:
    return make(auth="required", failed_login_limit="")


def events_named(recorder: MemoryRecorder, name: str) -> list[Event]:
    return [event for event in recorder.records if event.type.name == name]


def with_key(key: str | None, credentials: Credentials = REMOTE) -> Credentials:
    return replace(credentials, key=key)


def id_of(key: str) -> str:
    return key.split("_")[1]


def wrong(key: str) -> str:
    return key[:-2] + ("AA" if not key.endswith("AA") else "BB")


# --- open on loopback ------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "127.0.0.2"])
def test_no_key_is_needed_on_loopback(make: Callable[..., Access], host: str) -> None:
    access = make(host=host)
    assert not access.keys_required
    assert access.authenticate(LOCAL) == Caller("local", Role.OPERATOR, "127.0.0.1", "open")


@pytest.mark.parametrize(
    "changes",
    [
        {"host": "localhost"},
        {"host": "LOCALHOST:5000"},
        {"host": "[::1]:5000", "address": "::1"},
        {"address": "::ffff:127.0.0.1"},
        {"origin": "http://127.0.0.1:5000", "method": "POST"},
        {"origin": "http://127.0.0.1:5000", "fetch_site": "same-origin", "method": "POST"},
        {"fetch_site": "none"},
    ],
)
def test_who_is_local(make: Callable[..., Access], changes: dict[str, Any]) -> None:
    assert make().authenticate(replace(LOCAL, **changes)).method == "open"


@pytest.mark.parametrize(
    "changes",
    [
        {"host": "evil.example.org"},
        {"host": "evil.example.org:5000"},
        {"host": "127.0.0.1.evil.example.org"},
        {"host": "localhost.evil.example.org:5000"},
        {"host": "localhost:5000@evil.example.org"},
        {"host": "evil.example.org#127.0.0.1"},
        {"host": "localhost:5000\n"},
        {"host": "localhost:"},
        {"host": "127.0.0.1:notaport"},
        {"host": "0.0.0.0:5000"},
        {"host": "127.1"},
        {"host": "2130706433"},
        {"host": "[::ffff:127.0.0.1]"},
        {"host": ""},
        {"address": "192.0.2.7"},
        {"address": "10.0.0.1"},
        {"address": "::ffff:192.0.2.7"},
        {"address": ""},
        {"address": "localhost"},
        {"address": "not an address"},
        {"forwarded": True},
        {"origin": "http://evil.example.org"},
        {"origin": "null"},
        {"origin": "http://localhost:3000"},
        {"fetch_site": "cross-site"},
        {"fetch_site": "same-site"},
        {"fetch_site": "something-new"},
    ],
)
def test_who_is_not_local(make: Callable[..., Access], changes: dict[str, Any]) -> None:
    with pytest.raises(AuthenticationRequired):
        make().authenticate(replace(LOCAL, **changes))


@pytest.mark.parametrize("changes", [{"origin": "http://evil.example.org"}, {"fetch_site": "cross-site"}])
@pytest.mark.parametrize("method", ["POST", "DELETE", "post", "WHATEVER"])
def test_another_page_changes_nothing(make: Callable[..., Access], changes: dict[str, Any], method: str) -> None:
    with pytest.raises(CsrfFailed):
        make().authenticate(replace(LOCAL, method=method, **changes))


@pytest.mark.parametrize(
    "settings",
    [
        {"auth": "required"},
        {"host": "0.0.0.0"},
        {"host": "192.0.2.1"},
        {"host": "::"},
        {"trusted_proxies": 1},
    ],
)
def test_keys_are_required_elsewhere(make: Callable[..., Access], settings: dict[str, Any]) -> None:
    access = make(**settings)
    assert access.keys_required
    with pytest.raises(AuthenticationRequired) as raised:
        access.authenticate(LOCAL)
    assert type(raised.value) is AuthenticationRequired


def test_a_key_given_is_checked_even_where_none_is_needed(make: Callable[..., Access]) -> None:
    access = make()
    with pytest.raises(AuthenticationFailed):
        access.authenticate(with_key("sqs_0123456789ab_" + "x" * 43, LOCAL))
    key = access.keys.create_key("laptop", Role.VIEWER)
    assert access.authenticate(with_key(key, LOCAL)).role is Role.VIEWER


# --- keys ------------------------------------------------------------------------------------


@pytest.mark.parametrize("role", list(Role))
def test_a_key_names_its_caller(access: Access, store: Store, role: Role) -> None:
    key = access.keys.create_key("laptop", role)
    assert len(key.split("_", 2)[2]) == 43
    assert access.authenticate(with_key(key)) == Caller(id_of(key), role, "192.0.2.7", "key")
    kept = store.get_key(id_of(key))
    assert kept is not None
    assert key.split("_", 2)[2] not in str(
        (kept.label, kept.salt, kept.digest, (store._state_dir / "store.sqlite").read_bytes())
    )


@pytest.mark.parametrize(
    "spoil",
    [
        lambda key: key[:-1] + ("A" if key[-1] != "A" else "B"),
        lambda key: key[:-1],
        lambda key: key + "A",
        lambda key: key + "\n",
        lambda key: " " + key,
        lambda key: key.upper(),
        lambda key: "sqs_" + "0" * 12 + key[16:],
        lambda _: "x",
        lambda _: "sqs__",
        lambda _: "\0\ud800",
        lambda _: "x" * 100_000,
    ],
)
def test_a_wrong_key_is_refused_with_one_message(access: Access, recorder: MemoryRecorder, spoil: Any) -> None:
    key = access.keys.create_key("laptop", Role.VIEWER)
    wrong = spoil(key)
    with pytest.raises(AuthenticationFailed) as raised:
        access.authenticate(with_key(wrong))
    assert raised.value.message == "The API key is not valid."
    assert raised.value.details["address"] == "192.0.2.7"
    assert wrong not in str(raised.value.details)
    assert key[17:] not in str(raised.value.details)
    assert not events_named(recorder, "authentication_success")


def test_keys_end(access: Access, store: Store) -> None:
    key = access.keys.create_key("for a day", Role.VIEWER, days=1)
    kept = store.get_key(id_of(key))
    assert kept is not None
    assert kept.expires_at == pytest.approx(time.time() + 86_400, abs=HANG)
    access.authenticate(with_key(key))
    with access.keys._lock:
        access.keys._cached[id_of(key)] = replace(kept, expires_at=time.time() - 1)
    with pytest.raises(AuthenticationFailed) as raised:
        access.authenticate(with_key(key))
    assert raised.value.details["cause"] == "expired"


def test_a_revoked_key_is_refused(access: Access) -> None:
    key = access.keys.create_key("laptop", Role.VIEWER)
    access.authenticate(with_key(key))
    access.keys.revoke_key(id_of(key))
    for credentials in (with_key(key), replace(REMOTE, session=Session(id_of(key), 0, time.time() + 60))):
        with pytest.raises(AuthenticationFailed) as raised:
            access.authenticate(credentials)
        assert raised.value.details["cause"] == "revoked"
    with pytest.raises(NotFound):
        access.keys.revoke_key(id_of(key))


def test_a_key_in_use_is_read_again_when_its_time_is_over(access: Access, store: Store) -> None:
    key = access.keys.create_key("laptop", Role.VIEWER)
    access.authenticate(with_key(key))
    store.revoke_key(id_of(key))
    read_before = time.monotonic()
    for _ in range(3):
        access.authenticate(with_key(key))
    with access.keys._lock:
        access.keys._cached.expire(read_before + KEY_TTL)
    with pytest.raises(AuthenticationFailed):
        access.authenticate(with_key(key))


def test_a_key_is_rotated(access: Access, store: Store) -> None:
    old = access.keys.create_key("laptop", Role.ANALYST, days=30, limit="7/hour")
    new = access.keys.rotate_key(id_of(old))
    caller = access.authenticate(with_key(new))
    assert (caller.role, caller.rate_limit) == (Role.ANALYST, "7/hour")
    with pytest.raises(AuthenticationFailed):
        access.authenticate(with_key(old))
    one, two = store.list_keys()
    assert one.label == two.label
    assert two.expires_at == pytest.approx(time.time() + 30 * 86_400, abs=HANG)
    for key_id in (id_of(old), "nobody"):
        with pytest.raises(NotFound):
            access.keys.rotate_key(key_id)


@pytest.mark.parametrize(
    ("label", "days"), [("", None), ("x" * 65, None), ("a\nb", None), ("ok", 0), ("ok", -1), ("ok", 40_000)]
)
def test_keys_that_are_not_made(access: Access, store: Store, label: str, days: int | None) -> None:
    with pytest.raises(InvalidRequest):
        access.keys.create_key(label, Role.VIEWER, days=days)
    assert store.list_keys() == []


def test_the_store_is_not_asked_for_each_request(access: Access, store: Store) -> None:
    key = access.keys.create_key("laptop", Role.VIEWER)
    access.authenticate(with_key(key))
    store.close()
    (store._state_dir / "store.sqlite").unlink()
    assert access.authenticate(with_key(key)).identity == id_of(key)
    access.keys.forget(id_of(key))
    with pytest.raises(StoreUnavailable):
        access.authenticate(with_key(key))


# --- sessions --------------------------------------------------------------------------------


def sign_in(access: Access, key: str) -> Credentials:
    session = access.begin_session(access.authenticate(with_key(key)))
    return replace(REMOTE, session=session, origin="https://sql.example.org", method="POST")


def cause(access: Access, credentials: Credentials) -> str:
    """Why these credentials are refused; empty when they are not."""
    try:
        access.authenticate(credentials)
    except AuthenticationFailed as error:
        return str(error.details["cause"])
    return ""


def test_a_session_is_its_key(access: Access) -> None:
    key = access.keys.create_key("laptop", Role.ANALYST, limit="7/hour")
    credentials = sign_in(access, key)
    assert access.authenticate(credentials) == Caller(id_of(key), Role.ANALYST, "192.0.2.7", "session", "7/hour")
    with pytest.raises(CsrfFailed):
        access.authenticate(replace(credentials, origin="https://evil.example.org"))
    with pytest.raises(CsrfFailed):
        access.authenticate(replace(credentials, fetch_site="cross-site"))
    assert access.authenticate(replace(credentials, fetch_site="cross-site", method="GET")).method == "session"
    assert cause(access, replace(credentials, session=Session("gone", 0, time.time() + 60))) == "unknown"


def test_signing_out_ends_every_session_of_the_key(access: Access, recorder: MemoryRecorder) -> None:
    key, other = (access.keys.create_key(name, Role.VIEWER) for name in ("laptop", "other"))
    one, two, apart = sign_in(access, key), sign_in(access, key), sign_in(access, other)
    assert one.session is not None
    access.end_sessions(one.session)
    assert cause(access, one) == cause(access, two) == "signed out"
    assert access.authenticate(apart).identity == id_of(other)
    assert access.authenticate(with_key(key)).identity == id_of(key), "the key itself goes on"
    assert access.authenticate(sign_in(access, key)).method == "session"
    ended = [e.details for e in events_named(recorder, "credential_change") if e.details["change"] == "signed_out"]
    assert [details["key"] for details in ended] == [id_of(key)]


@pytest.mark.parametrize("stale", ["version", "until", "key"])
def test_a_session_that_has_ended_ends_no_other(access: Access, stale: str) -> None:
    key = access.keys.create_key("laptop", Role.VIEWER)
    credentials = sign_in(access, key)
    assert credentials.session is not None
    values = {"version": -1, "until": time.time() - 1, "key": "gone"}
    access.end_sessions(credentials.session._replace(**{stale: values[stale]}))
    assert cause(access, credentials) == ""


def test_a_session_lasts_as_long_as_it_is_set_to(make: Callable[..., Access]) -> None:
    access = make(auth="required", session_hours=2)
    credentials = sign_in(access, access.keys.create_key("laptop", Role.VIEWER))
    assert credentials.session is not None
    assert credentials.session.until == pytest.approx(time.time() + 7200, abs=HANG)
    over = replace(credentials, session=credentials.session._replace(until=time.time() - 1))
    assert cause(access, over) == "session expired"


def test_a_rotated_key_takes_its_sessions_with_it(access: Access) -> None:
    key = access.keys.create_key("laptop", Role.VIEWER)
    credentials = sign_in(access, key)
    access.keys.rotate_key(id_of(key))
    assert cause(access, credentials) == "revoked"


def test_another_process_knows_a_newer_session_at_once_and_an_ended_one_soon(make: Callable[..., Access]) -> None:
    one, other = make(auth="required"), make(auth="required")
    key = one.keys.create_key("laptop", Role.VIEWER)
    old = sign_in(one, key)
    other.authenticate(old)
    assert old.session is not None
    one.end_sessions(old.session)
    assert cause(other, old) == "", "believed for a while"
    assert other.authenticate(sign_in(one, key)).method == "session"
    assert cause(other, old) == "signed out"


def test_a_session_that_ended_is_no_guess(make: Callable[..., Access]) -> None:
    access = make(auth="required", failed_login_limit="2/minute")
    gone = replace(REMOTE, session=Session("gone", 0, time.time() + 60))
    for _ in range(5):
        assert refused(lambda: access.authenticate(gone)) is AuthenticationFailed


# --- roles -----------------------------------------------------------------------------------


@pytest.mark.parametrize("has", list(Role))
@pytest.mark.parametrize("needed", list(Role))
def test_a_role_includes_those_before_it(access: Access, has: Role, needed: Role) -> None:
    caller, order = Caller("k1", has), list(Role)
    if order.index(has) >= order.index(needed):
        access.require(caller, needed)
    else:
        with pytest.raises(AccessDenied) as raised:
            access.require(caller, needed)
        assert raised.value.details == {"needed": needed, "role": has, "identity": "k1"}


# --- record ----------------------------------------------------------------------------------


def test_success_is_recorded_once_for_each_address(access: Access, recorder: MemoryRecorder) -> None:
    key = access.keys.create_key("laptop", Role.VIEWER)
    for _ in range(3):
        access.authenticate(with_key(key))
    access.authenticate(replace(with_key(key), address="192.0.2.8"))
    first, second = events_named(recorder, "authentication_success")
    assert first.details == {"identity": id_of(key), "role": "viewer", "address": "192.0.2.7", "method": "key"}
    assert second.details["address"] == "192.0.2.8"
    with access._lock:
        access._seen.expire(time.monotonic() + 901)
    access.authenticate(with_key(key))
    assert len(events_named(recorder, "authentication_success")) == 3


@pytest.mark.parametrize("operation", [None, vocabulary.COMMAND])
def test_no_key_changes_unless_the_record_is_durable(
    access: Access, store: Store, recorder: MemoryRecorder, operation: OperationType | None
) -> None:
    key_id = id_of(access.keys.create_key("laptop", Role.VIEWER))
    before = store.list_keys()
    recorder.failing = AuditUnavailable()
    for change in (
        lambda: access.keys.create_key("other", Role.VIEWER),
        lambda: access.keys.rotate_key(key_id),
        lambda: access.keys.limit_key(key_id, "9/minute"),
        lambda: access.keys.revoke_key(key_id),
    ):
        with (
            pytest.raises(AuditUnavailable),
            contextlib.nullcontext() if operation is None else access._telemetry.operation(operation),
        ):
            change()
    assert store.list_keys() == before


def test_the_first_key_is_not_left_unless_the_record_is_durable(
    access: Access, store: Store, recorder: MemoryRecorder, tmp_path: Path
) -> None:
    recorder.failing = AuditUnavailable()
    with pytest.raises(AuditUnavailable):
        access.ensure_first_key(tmp_path / "key")
    assert store.list_keys() == []
    assert not (tmp_path / "key").exists()


def test_what_cannot_be_revoked_leaves_no_record_of_a_change(access: Access, recorder: MemoryRecorder) -> None:
    key_id = id_of(access.keys.create_key("laptop", Role.VIEWER))
    access.keys.revoke_key(key_id)
    for change in (access.keys.revoke_key, access.keys.rotate_key, partial(access.keys.limit_key, limit="9/minute")):
        for name in (key_id, "nobody"):
            with pytest.raises(NotFound):
                change(name)
    assert [e.details["change"] for e in events_named(recorder, "credential_change")] == ["created", "revoked"]


def test_nobody_gets_in_unrecorded(store: Store) -> None:
    class Full(MemoryRecorder):
        def append(self, event: Event) -> int:
            raise AuditUnavailable

    telemetry = Telemetry()
    access = Access(Settings(auth="required"), store, telemetry)
    key = access.keys.create_key("laptop", Role.VIEWER)
    telemetry.recorder = Full()
    with pytest.raises(AuditUnavailable):
        access.keys.create_key("unrecorded", Role.VIEWER)
    assert len(store.list_keys()) == 1
    for _ in range(2):
        with pytest.raises(AuditUnavailable):
            access.authenticate(with_key(key))


def test_what_is_remembered_is_bounded(access: Access) -> None:
    key = access.keys.create_key("laptop", Role.VIEWER)
    for n in range(10_050):
        access.authenticate(replace(with_key(key), address=f"10.0.{n >> 8}.{n & 255}"))
    assert len(access._seen) == 10_000


# --- limits ----------------------------------------------------------------------------------


@pytest.fixture(params=["memory", pytest.param("redis", marks=pytest.mark.server)])
def limits(request: pytest.FixtureRequest) -> dict[str, Any]:
    if request.param == "memory":
        return {"rate_limit_storage": "memory"}
    server: Server = request.getfixturevalue("own_redis")
    return {"rate_limit_storage": "redis", "redis_url": server.url, "cache_timeout": 2}


def refused(step: Callable[[], Any]) -> type[SqlSynthesizerError] | None:
    try:
        step()
    except SqlSynthesizerError as error:
        return type(error)
    return None


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


# --- locks -----------------------------------------------------------------------------------


def later(access: Access, seconds: float) -> None:
    """Makes everything that is counted so much older."""
    memory = access._counter._memory.storage
    for name, (count, end) in list(memory._windows.items()):
        memory._windows[name] = (count, end - seconds)
    if access._counter.shared:
        server: redis.Redis = access._counter.shared.storage.get_connection()
        for key in server.scan_iter():
            server.pexpire(key, server.pttl(key) - int(seconds * 1000))


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


# --- the first key ---------------------------------------------------------------------------


def test_the_first_key_is_left_in_a_private_file(make: Callable[..., Access], tmp_path: Path) -> None:
    access, path = make(auth="required"), tmp_path / "first-api-key"
    assert access.ensure_first_key(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    key = path.read_text(encoding="ascii").strip()
    assert access.authenticate(with_key(key)).role is Role.OPERATOR
    path.unlink()
    assert not access.ensure_first_key(path)
    assert not path.exists()


def test_no_first_key_where_none_is_needed(make: Callable[..., Access], tmp_path: Path, store: Store) -> None:
    assert not make().ensure_first_key(tmp_path / "key")
    assert store.list_keys() == []


def test_a_file_in_the_way_is_left_alone(
    make: Callable[..., Access], tmp_path: Path, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "key"
    path.write_text("mine")
    assert not make(auth="required").ensure_first_key(path)
    assert path.read_text() == "mine"
    assert store.list_keys() == []
    assert "remove it" in caplog.text
    with pytest.raises(ConfigurationError):
        make(auth="required").ensure_first_key(tmp_path / "no" / "key")


def test_no_file_without_its_key(make: Callable[..., Access], store: Store, tmp_path: Path) -> None:
    class Broken:
        list_keys, get_key, revoke_key, rotate = store.list_keys, store.get_key, store.revoke_key, store.rotate
        limit_key, end_sessions = store.limit_key, store.end_sessions

        def add_key(self, key: ApiKey) -> None:
            raise StoreUnavailable

    access = Access(Settings(auth="required"), Broken(), Telemetry())
    with pytest.raises(StoreUnavailable):
        access.ensure_first_key(tmp_path / "key")
    assert not (tmp_path / "key").exists()
    assert make(auth="required").ensure_first_key(tmp_path / "key")
