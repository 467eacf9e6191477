"""Who is let in with a key and without one, and what their role lets them do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from sql_synthesizer.access import Access, Credentials
from sql_synthesizer.errors import AccessDenied, AuthenticationFailed, AuthenticationRequired, CsrfFailed
from sql_synthesizer.model import Caller, Role
from tests.support.access import access as access
from tests.support.access import make as make
from tests.support.access import recorder as recorder
from tests.support.access import store as store
from tests.support.access import with_key

LOCAL = Credentials(address="127.0.0.1", host="127.0.0.1:5000")


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
