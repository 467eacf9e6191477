"""Who is let in where: roles by route, sessions of the page, and addresses behind proxies."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from sql_synthesizer.model import Role
from sql_synthesizer.settings import load
from sql_synthesizer.web.admission import Strangers, find_audience
from tests.support.app import App, running
from tests.support.serving import ROOT

PAGE = (ROOT / "docs/access.md").read_text(encoding="utf-8")
HOST = "sql.example.org"
COOKIE = "sql_synthesizer"


@pytest.fixture
def locked(app_settings: dict[str, Any]) -> Iterator[App]:
    with running(load(auth="required", **app_settings)) as made:
        yield made


def send(client: FlaskClient, method: str, path: str, **headers: str) -> TestResponse:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return client.open(path, method=method, headers={"Host": HOST, **named}, json={} if method == "POST" else None)


def some(rule: str) -> str:
    """A path that the rule matches."""
    return re.sub(r"<(int:)?[^>]+>", lambda found: "1" if found[1] else "0" * 16, rule)


# --- roles -----------------------------------------------------------------------------------


def test_every_view_declares_its_audience(app: App) -> None:
    for rule in app.flask.url_map.iter_rules():
        assert hasattr(app.flask.view_functions[rule.endpoint], "audience"), rule


def test_each_route_takes_its_role_and_those_above(locked: App) -> None:
    keys = {role: locked.rooms.access.keys.create_key(role, role) for role in Role}
    for rule in locked.flask.url_map.iter_rules():
        audience = find_audience(locked.flask, rule.endpoint)
        if audience.role is None or rule.endpoint == "logout":
            continue
        path = some(rule.rule)
        method = "POST" if "POST" in (rule.methods or ()) else "GET"
        for role, key in keys.items():
            reply = send(locked.flask.test_client(), method, path, Authorization=f"Bearer {key}")
            assert reply.status_code != 401
            assert (reply.status_code == 403) == (not role.includes(audience.role)), (path, role)
        stranger = send(locked.flask.test_client(), method, path)
        led = audience.strangers in (Strangers.SIGN_IN, Strangers.SERVED)
        assert stranger.status_code == (302 if led else 401), path


@pytest.mark.parametrize("role", list(Role))
def test_a_route_that_declares_nothing_needs_an_operator(locked: App, role: Role) -> None:
    locked.flask.add_url_rule("/new", "new", lambda: "new")
    reply = send(locked.client, "GET", "/new", X_API_Key=locked.rooms.access.keys.create_key(role, role))
    assert reply.status_code == (200 if role is Role.OPERATOR else 403)


def test_what_is_public_tells_nothing_of_the_data(locked: App) -> None:
    for path in ("/health", "/health/ready", "/health/live", "/login"):
        reply = send(locked.client, "GET", path)
        assert reply.status_code == 200
        assert "customers" not in reply.text


# --- sessions --------------------------------------------------------------------------------


def token_of(client: FlaskClient, path: str) -> str:
    text = send(client, "GET", path).text
    name = 'name="csrf_token"' if path == "/login" else 'name="csrf-token"'
    return text.split(name)[1].split('="')[1].split('"')[0]


def sign_in(client: FlaskClient, key: str) -> TestResponse:
    form = {"api_key": key, "csrf_token": token_of(client, "/login")}
    return client.post("/login", data=form, headers={"Host": HOST})


def cookie(client: FlaskClient) -> str:
    found = client.get_cookie(COOKIE, HOST)
    assert found is not None
    return found.value


def me(client: FlaskClient) -> int:
    return send(client, "GET", "/api/me").status_code


def test_the_cookie_is_the_pages_alone(locked: App) -> None:
    reply = sign_in(locked.client, locked.rooms.access.keys.create_key("laptop", Role.VIEWER))
    (header,) = reply.headers.getlist("Set-Cookie")
    assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= set(header.split("; "))
    assert "Domain" not in header
    assert "Secure" not in header


def test_behind_a_proxy_the_cookie_is_for_encrypted_connections(app_settings: dict[str, Any]) -> None:
    proxy = {"base_url": f"https://{HOST}", "headers": {"X-Forwarded-For": "192.0.2.7", "X-Forwarded-Proto": "https"}}
    with running(load(trusted_proxies=1, **app_settings)) as app:
        page = app.client.get("/login", **proxy)
        (header,) = page.headers.getlist("Set-Cookie")
        assert header.startswith("__Host-sql_synthesizer=")
        assert {"HttpOnly", "Secure", "SameSite=Strict", "Path=/"} <= set(header.split("; "))
        token = page.text.split('name="csrf_token"')[1].split('="')[1].split('"')[0]
        form = {"api_key": app.rooms.access.keys.create_key("laptop", Role.VIEWER), "csrf_token": token}
        assert app.client.post("/login", data=form, **proxy).status_code == 302
        assert app.client.get("/api/me", **proxy).status_code == 200
        (record,) = app.records("authentication_success")
        assert record["address"] == "192.0.2.7"


def test_a_session_planted_before_the_sign_in_is_of_no_use(locked: App) -> None:
    client, key = locked.client, locked.rooms.access.keys.create_key("laptop", Role.VIEWER)
    before = token_of(client, "/login")
    planted = cookie(client)
    assert client.post("/login", data={"api_key": key, "csrf_token": before}, headers={"Host": HOST}).status_code == 302
    assert me(client) == 200
    assert send(client, "POST", "/api/query", X_CSRFToken=before).status_code == 403
    client.set_cookie(COOKIE, planted, domain=HOST)
    assert me(client) == 401


def test_a_cookie_kept_from_before_the_sign_out_is_of_no_use(locked: App) -> None:
    client, key = locked.client, locked.rooms.access.keys.create_key("laptop", Role.VIEWER)
    sign_in(client, key)
    token, kept = token_of(client, "/"), cookie(client)
    assert send(client, "POST", "/logout").status_code == 403
    assert me(client) == 200
    reply = client.post("/logout", data={"csrf_token": token}, headers={"Host": HOST})
    assert (reply.status_code, reply.location) == (302, "/login")
    client.set_cookie(COOKIE, kept, domain=HOST)
    assert me(client) == 401
    (record,) = [r for r in locked.records("credential_change") if r["details"]["change"] == "signed_out"]
    assert record["actor"] == record["details"]["key"] == key.split("_")[1]
    assert send(client, "GET", "/api/me", X_API_Key=key).status_code == 200


def test_who_is_signed_out_already_may_sign_out(locked: App) -> None:
    client, key = locked.client, locked.rooms.access.keys.create_key("laptop", Role.VIEWER)
    sign_in(client, key)
    token = token_of(client, "/")
    locked.rooms.access.keys.revoke_key(key.split("_")[1])
    reply = client.post("/logout", data={"csrf_token": token}, headers={"Host": HOST})
    assert (reply.status_code, reply.location) == (302, "/login")
    assert send(client, "GET", "/").location == "/login"


@pytest.mark.parametrize("change", ["revoke_key", "rotate_key"])
def test_a_session_ends_with_its_key(locked: App, change: str) -> None:
    key = locked.rooms.access.keys.create_key("laptop", Role.VIEWER)
    sign_in(locked.client, key)
    assert me(locked.client) == 200
    getattr(locked.rooms.access.keys, change)(key.split("_")[1])
    assert me(locked.client) == 401


def test_using_a_session_does_not_prolong_it(locked: App) -> None:
    sign_in(locked.client, locked.rooms.access.keys.create_key("laptop", Role.VIEWER))
    token_of(locked.client, "/")
    assert "Set-Cookie" not in send(locked.client, "GET", "/api/me").headers


def test_no_route_changes_anything_without_its_token(locked: App) -> None:
    sign_in(locked.client, locked.rooms.access.keys.create_key("operator", Role.OPERATOR))
    for rule in locked.flask.url_map.iter_rules():
        path = some(rule.rule)
        for method in sorted((rule.methods or set()) - {"GET", "HEAD", "OPTIONS"}):
            assert send(locked.client, method, path).status_code == 403, (method, path)


# --- proxies ---------------------------------------------------------------------------------

SPOOFED = "203.0.113.66"
PEER = "10.0.0.1"


@pytest.mark.parametrize(
    ("hops", "forwarded", "address"),
    [
        (0, None, PEER),
        (0, SPOOFED, PEER),
        (0, f"{SPOOFED}, 127.0.0.1", PEER),
        (1, None, PEER),
        (1, "192.0.2.7", "192.0.2.7"),
        (1, f"{SPOOFED}, 192.0.2.7", "192.0.2.7"),
        (1, f"{SPOOFED},127.0.0.1,192.0.2.7", "192.0.2.7"),
        (1, f"{SPOOFED}, 2001:db8::7", "2001:db8::7"),
        (2, "192.0.2.7", PEER),
        (2, "192.0.2.7, 10.0.0.2", "192.0.2.7"),
        (2, f"{SPOOFED}, 192.0.2.7, 10.0.0.2", "192.0.2.7"),
        (2, f"{SPOOFED}, 2001:db8::7, 10.0.0.2", "2001:db8::7"),
        (2, "2001:db8::7, fd00::2", "2001:db8::7"),
        (1, "192.0.2.7:1234", "192.0.2.7"),
        (1, "[2001:db8::7]:443", "2001:db8::7"),
        (1, "[2001:db8::7]", "2001:db8::7"),
        (1, "::ffff:192.0.2.7", "192.0.2.7"),
        (1, "fe80::7%<b>", "fe80::7"),
        (1, "192.0.2.7:x", "unknown"),
        (1, "<b>nobody</b>", "unknown"),
    ],
)
def test_only_trusted_hops_are_believed(
    app_settings: dict[str, Any], hops: int, forwarded: str | None, address: str
) -> None:
    with running(load(auth="required", trusted_proxies=hops, **app_settings)) as app:
        headers = {"Host": HOST, **({"X-Forwarded-For": forwarded} if forwarded else {})}
        reply = app.client.get("/api/me", headers=headers, environ_overrides={"REMOTE_ADDR": PEER})
        assert reply.status_code == 401
        (record,) = app.records("authentication_failure")
        assert record["address"] == record["details"]["address"] == address


@pytest.mark.parametrize("hops", [0, 1, 2])
@pytest.mark.parametrize("path", ["/api/me", "/metrics"])
@pytest.mark.parametrize(
    "headers",
    [
        {"X-Forwarded-For": "127.0.0.1"},
        {"X-Forwarded-For": "127.0.0.1, 127.0.0.1"},
        {"X-Forwarded-For": "::1, ::1, ::1"},
        {"X-Forwarded-Host": "127.0.0.1:5000"},
        {"X-Forwarded-Host": "localhost", "X-Forwarded-For": "127.0.0.1, 127.0.0.1"},
        {"X-Forwarded-Proto": "https"},
        {"X-Forwarded-Proto": "http, http"},
        {"Forwarded": "for=127.0.0.1;host=localhost"},
        {"X-Real-IP": "127.0.0.1"},
        {"Via": "1.1 proxy"},
    ],
)
def test_no_header_makes_a_stranger_local(
    proxied: dict[int, FlaskClient], hops: int, path: str, headers: dict[str, str]
) -> None:
    """From outside, and through a proxy on this machine that passes the client's headers on."""
    for peer, host in ((PEER, "127.0.0.1:5000"), ("127.0.0.1", "127.0.0.1:5000")):
        environ = {"REMOTE_ADDR": peer, "HTTP_HOST": host}
        assert proxied[hops].get(path, headers=headers, environ_overrides=environ).status_code == 401


@pytest.fixture(scope="module")
def proxied(demo_path: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[int, FlaskClient]]:
    """The open loopback behind no, one and two trusted proxies; they answer in turn, on one facade."""
    directory = tmp_path_factory.mktemp("proxied")
    (directory / "databases.yml").write_text(json.dumps({"databases": {"shop": {"url": f"sqlite:///{demo_path}"}}}))
    settings = {"databases_file": directory / "databases.yml", "failed_login_limit": ""}
    with (
        running(load(state_dir=directory / "0", **settings)) as none,
        running(load(state_dir=directory / "1", trusted_proxies=1, **settings)) as one,
        running(load(state_dir=directory / "2", trusted_proxies=2, **settings)) as two,
    ):
        yield {0: none.client, 1: one.client, 2: two.client}


def test_the_open_loopback_closes_behind_a_proxy(proxied: dict[int, FlaskClient]) -> None:
    """A proxy on this machine that adds no header would look like its user."""
    environ = {"REMOTE_ADDR": "127.0.0.1", "HTTP_HOST": "127.0.0.1:5000"}
    statuses = [proxied[hops].get("/api/me", environ_overrides=environ).status_code for hops in (0, 1, 2)]
    assert statuses == [200, 401, 401]
