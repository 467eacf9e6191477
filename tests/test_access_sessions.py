"""Sessions of people who signed in with a key."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

import pytest

from sql_synthesizer.access import Access, Credentials, Session
from sql_synthesizer.errors import AuthenticationFailed, CsrfFailed
from sql_synthesizer.model import Caller, Role
from sql_synthesizer.telemetry.testing import MemoryRecorder
from tests.support.access import REMOTE, events_named, id_of, refused, with_key
from tests.support.access import access as access
from tests.support.access import make as make
from tests.support.access import recorder as recorder
from tests.support.access import store as store
from tests.support.serving import HANG


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
