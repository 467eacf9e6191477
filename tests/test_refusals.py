"""Every way to be refused over HTTP leaves its event: in the audit record, and in the counter."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from werkzeug.test import TestResponse

from sql_synthesizer.demo import demo_settings
from sql_synthesizer.model import ApiKey, Role
from sql_synthesizer.settings import load
from tests.support.app import App, running

QUESTION = {"question": "how many customers are there"}
HOST = "sql.example.org"
COOKIE = "sql_synthesizer"
LIMIT = 3
"""Wrong keys that an address may send."""


class Visit:
    """What one test sends, from an address of its own and with cookies of its own."""

    def __init__(self, app: App, address: str) -> None:
        self.access = app.rooms.access
        self.address = address
        self.client = app.flask.test_client()

    def send(self, path: str = "/api/query", *, key: str | None = None, **kwargs: Any) -> TestResponse:
        headers = {"Host": HOST, **kwargs.pop("headers", {})}
        if key is not None:
            headers["Authorization"] = f"Bearer {key}"
        method = kwargs.pop("method", "POST")
        if method == "POST" and not {"data", "json"} & set(kwargs):
            kwargs["json"] = QUESTION
        kwargs |= {"environ_overrides": {"REMOTE_ADDR": self.address}}
        return self.client.open(path, method=method, headers=headers, **kwargs)

    def key(self, role: Role = Role.VIEWER, **kwargs: Any) -> str:
        return self.access.keys.create_key("visitor", role, **kwargs)

    def token(self, path: str = "/login") -> str:
        text = self.send(path, method="GET").text
        return text.split('name="csrf_token"')[1].split('value="')[1].split('"')[0]

    def sign_in(self, key: str) -> TestResponse:
        return self.send("/login", data={"api_key": key, "csrf_token": self.token()})

    def signed_in(self, key: str) -> str:
        """Signs in and returns the page's CSRF token."""
        assert self.sign_in(key).status_code == 302
        return self.send("/", method="GET").text.split('name="csrf-token" content="')[1].split('"')[0]


def ended(visit: Visit, **changes: Any) -> str:
    """A key whose row in the store says so."""
    key = visit.key()
    kept = visit.access.keys.find_key(id_of(key))
    assert isinstance(kept, ApiKey)
    with visit.access.keys._lock:
        visit.access.keys._cached[kept.id] = replace(kept, **changes)
    return key


def id_of(key: str) -> str:
    return key.split("_")[1]


def wrong(key: str) -> str:
    return key[:-2] + ("AA" if not key.endswith("AA") else "BB")


def revoked(visit: Visit) -> TestResponse:
    key = visit.key()
    visit.access.keys.revoke_key(id_of(key))
    return visit.send(key=key)


def signed_out(visit: Visit) -> TestResponse:
    token = visit.signed_in(visit.key())
    kept = visit.client.get_cookie(COOKIE, HOST)
    assert kept is not None
    assert visit.send("/logout", data={"csrf_token": token}).status_code == 302
    visit.client.set_cookie(COOKIE, kept.value, domain=HOST)
    return visit.send(headers={"X-CSRFToken": token})


def session_over(visit: Visit) -> TestResponse:
    token = visit.signed_in(visit.key())
    with visit.client.session_transaction(base_url=f"http://{HOST}") as session:
        key_id, version, _ = session["signed_in"]
        session["signed_in"] = (key_id, version, 1.0)
    return visit.send(headers={"X-CSRFToken": token})


def forged_session(visit: Visit) -> TestResponse:
    visit.signed_in(visit.key())
    kept = visit.client.get_cookie(COOKIE, HOST)
    assert kept is not None
    visit.client.set_cookie(COOKIE, kept.value[:-2] + "xx", domain=HOST)
    return visit.send()


def from_elsewhere(visit: Visit) -> TestResponse:
    token = visit.signed_in(visit.key())
    return visit.send(headers={"X-CSRFToken": token, "Origin": "https://evil.example.org"})


def without_token(visit: Visit) -> TestResponse:
    visit.signed_in(visit.key())
    return visit.send()


def with_anothers_token(visit: Visit) -> TestResponse:
    visit.signed_in(visit.key())
    return visit.send(headers={"X-CSRFToken": "x" * 40})


def too_often(visit: Visit) -> TestResponse:
    key = visit.key(limit="1/day")
    assert visit.send(key=key).status_code == 200
    return visit.send(key=key)


def guessing(visit: Visit) -> TestResponse:
    assert [visit.send(key="guess").status_code for _ in range(LIMIT)] == [401] * LIMIT
    return visit.send(key="guess")


def while_locked(visit: Visit) -> TestResponse:
    guessing(visit)
    return visit.send(key=visit.key())


def signing_in_while_locked(visit: Visit) -> TestResponse:
    guessing(visit)
    return visit.sign_in(visit.key())


def from_many_addresses(visit: Visit) -> TestResponse:
    key, here = visit.key(), visit.address
    for n in range(2 * LIMIT):
        visit.address = f"198.51.100.{n}"
        assert visit.send(key=wrong(key)).status_code == 401
    visit.address = here
    return visit.send(key=wrong(key))


Way = Callable[[Visit], TestResponse]
LOGIN_FAILED = "authentication_failure"
WAYS: list[tuple[str, Way, int, str, str]] = [
    ("no key", lambda v: v.send(), 401, "authentication_required", LOGIN_FAILED),
    ("empty key", lambda v: v.send(key=""), 401, "authentication_required", LOGIN_FAILED),
    (
        "other scheme",
        lambda v: v.send(headers={"Authorization": "Basic eDp5"}),
        401,
        "authentication_required",
        LOGIN_FAILED,
    ),
    ("malformed key", lambda v: v.send(key="nonsense"), 401, "authentication_failed", LOGIN_FAILED),
    ("other header", lambda v: v.send(headers={"X-API-Key": "nonsense"}), 401, "authentication_failed", LOGIN_FAILED),
    ("unknown key", lambda v: v.send(key=f"sqs_0123456789ab_{'x' * 43}"), 401, "authentication_failed", LOGIN_FAILED),
    ("wrong secret", lambda v: v.send(key=wrong(v.key())), 401, "authentication_failed", LOGIN_FAILED),
    ("revoked key", revoked, 401, "authentication_failed", LOGIN_FAILED),
    ("expired key", lambda v: v.send(key=ended(v, expires_at=1.0)), 401, "authentication_failed", LOGIN_FAILED),
    ("signed out", signed_out, 401, "authentication_failed", LOGIN_FAILED),
    ("session over", session_over, 401, "authentication_failed", LOGIN_FAILED),
    ("forged session", forged_session, 401, "authentication_required", LOGIN_FAILED),
    ("wrong key on the page", lambda v: v.send("/", method="GET", key="nonsense"), 302, "", LOGIN_FAILED),
    ("wrong key in the form", lambda v: v.sign_in("nonsense"), 401, "", LOGIN_FAILED),
    ("metrics without a key", lambda v: v.send("/metrics", method="GET"), 401, "authentication_required", LOGIN_FAILED),
    (
        "role",
        lambda v: v.send("/api/sql", key=v.key(), json={"sql": "SELECT 1"}),
        403,
        "access_denied",
        "access_denied",
    ),
    (
        "metrics",
        lambda v: v.send("/metrics", method="GET", key=v.key(Role.ANALYST)),
        403,
        "access_denied",
        "access_denied",
    ),
    ("no CSRF token", without_token, 403, "csrf_failed", "csrf_failure"),
    ("another's CSRF token", with_anothers_token, 403, "csrf_failed", "csrf_failure"),
    ("another site", from_elsewhere, 403, "csrf_failed", "csrf_failure"),
    ("form without a token", lambda v: v.send("/login", data={"api_key": "x"}), 403, "csrf_failed", "csrf_failure"),
    ("signing out without a token", lambda v: v.send("/logout", data={}), 403, "csrf_failed", "csrf_failure"),
    ("over its limit", too_often, 429, "rate_limited", "rate_limit_exceeded"),
    ("guessing", guessing, 429, "rate_limited", "rate_limit_exceeded"),
    ("guessed key", from_many_addresses, 429, "rate_limited", "rate_limit_exceeded"),
    ("large body", lambda v: v.send(key=v.key(), data=b"x" * 100_000), 413, "request_too_large", "request_too_large"),
    (
        "long question",
        lambda v: v.send(key=v.key(), json={"question": "x" * 3000}),
        413,
        "question_too_long",
        "request_too_large",
    ),
    ("no JSON", lambda v: v.send(key=v.key(), data=b"{"), 400, "invalid_json", "invalid_request"),
    (
        "no UTF-8",
        lambda v: v.send(key=v.key(), data=b'{"question": "\xff"}'),
        400,
        "invalid_encoding",
        "invalid_request",
    ),
    ("no question", lambda v: v.send(key=v.key(), json={}), 400, "invalid_request", "invalid_request"),
    ("empty question", lambda v: v.send(key=v.key(), json={"question": " "}), 400, "question_empty", "invalid_request"),
    ("no such page", lambda v: v.send("/nothing", method="GET"), 404, "not_found", "invalid_request"),
    ("no such method", lambda v: v.send("/api/me", key=v.key()), 405, "method_not_allowed", "invalid_request"),
]


@pytest.fixture(scope="module")
def app(demo_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    settings = {
        "state_dir": tmp_path_factory.mktemp("refusals"),
        "database_url": demo_settings(demo_path).url.get_secret_value(),
        "auth": "required",
        "rate_limit": "",
        "failed_login_limit": f"{LIMIT}/minute",
    }
    with running(load(**settings)) as made:
        yield made


@pytest.fixture
def visit(app: App, request: pytest.FixtureRequest) -> Visit:
    number = [way[0] for way in WAYS].index(request.getfixturevalue("name")) if "name" in request.fixturenames else 99
    return Visit(app, f"192.0.2.{number}")


@pytest.mark.parametrize(("name", "way", "status", "reason", "event"), WAYS, ids=[way[0] for way in WAYS])
def test_a_refusal_is_an_event(
    app: App, visit: Visit, name: str, way: Way, status: int, reason: str, event: str
) -> None:
    recorded, counted = len(app.records()), app.counted("security_events_total", event_type=event)
    reply = way(visit)
    assert reply.status_code == status, reply.text
    if reason:
        assert reply.get_json()["reason"] == reason
    trace = reply.headers["X-Trace-Id"]
    found = [record for record in app.records()[recorded:] if record["event_type"] == event]
    (record,) = [record for record in found if record["trace_id"] == trace]
    assert record["address"] == visit.address
    assert app.counted("security_events_total", event_type=event) - counted == len(found)
    if status == 429:
        assert int(reply.headers["Retry-After"]) >= 1


@pytest.mark.parametrize("locked", [while_locked, signing_in_while_locked])
def test_a_lock_refuses_the_right_key_too(app: App, locked: Way) -> None:
    visit = Visit(app, f"203.0.113.{len(locked.__name__)}")
    before = len(app.records("rate_limit_exceeded"))
    reply = locked(visit)
    assert reply.status_code == 429
    first, second = app.records("rate_limit_exceeded")[before:]
    assert first["details"]["locked_seconds"] == 60
    assert first["details"]["locks"] == second["details"]["locks"] == 1
    assert second["details"]["caller"] == visit.address


def test_causes_are_told_to_the_record_only(app: App) -> None:
    visit = Visit(app, "192.0.2.250")
    before = len(app.records(LOGIN_FAILED))
    key = visit.key()
    replies = [visit.send(key=k) for k in (f"sqs_0123456789ab_{'x' * 43}", wrong(key), ended(visit, expires_at=1.0))]
    bodies = [{n: v for n, v in reply.get_json().items() if n != "trace_id"} for reply in replies]
    assert bodies[0] == bodies[1] == bodies[2]
    causes = [record["details"]["cause"] for record in app.records(LOGIN_FAILED)[before:]]
    assert causes == ["unknown", "secret", "expired"]
    assert key.split("_", 2)[2] not in str(app.records())
