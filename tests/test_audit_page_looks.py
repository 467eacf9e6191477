"""The security officer's page: operators only, on record, and safe to show hostile text."""

from __future__ import annotations

import re
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from sql_synthesizer.audit.manifest import Manifest
from sql_synthesizer.audit.verdict import VerificationState
from sql_synthesizer.audit.verify import verify_record
from sql_synthesizer.model import Role
from sql_synthesizer.model.display import escape_unprintable
from sql_synthesizer.settings import load
from sql_synthesizer.web.audit_page import _count_verified_records, record_summary
from tests.support.app import App, running
from tests.support.audit_page import emit, rows

MARKUP = "<script>alert(1)</script>\"'&amp;"


def verified(app: App) -> None:
    """As the command does when nothing is wrong."""
    settings, keyring = app.rooms.settings, app.rooms.audit.keyring
    report = verify_record(settings.audit_path, keyring)
    assert report.sound
    report.state.save(settings.audit_state_path, keyring.current)


# --- who may see it ----------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/audit", "/audit/w/1"])
def test_only_operators_see_it_and_others_are_on_record(app_settings: dict[str, Any], path: str) -> None:
    with running(load(**app_settings, auth="required")) as app:
        reply = app.get(path)
        assert (reply.status_code, reply.headers["Location"]) == (302, "/login?next=" + quote(path))
        assert app.records("audit_access") == []
        keys = {role: app.rooms.access.keys.create_key(str(role), role) for role in Role}
        for role, key in keys.items():
            accept = {"Authorization": f"Bearer {key}", "Accept": "text/html"}
            reply = app.get(path, headers=accept)
            if role is not Role.OPERATOR:
                assert reply.status_code == 403
                assert "Your role does not allow this" in reply.text
                assert app.get(path, headers=accept | {"Accept": "*/*"}).get_json()["reason"] == "access_denied"
            else:
                assert reply.status_code == (200 if path == "/audit" else 404)
            assert ('href="/audit"' in app.get("/", headers=accept).text) == (role is Role.OPERATOR)
        denied = app.records("access_denied")
        assert len(denied) == 4
        assert {record["role"] for record in denied} == {"viewer", "analyst"}
        (access,) = app.records("audit_access")
        assert access["role"] == "operator"


@pytest.mark.parametrize(
    ("asked", "back"),
    [
        ("/audit", "/audit"),
        ("/audit?actor=a%20b&limit=5", "/audit?actor=a%20b&limit=5"),
        ("/audit/w/1", "/audit/w/1"),
        ("", "/"),
        ("/", "/"),
        ("//evil.example.org/audit", "/"),
        ("/auditor", "/"),
        ("/audit?a\r\nX: y", "/"),
        ("/audit?" + "a" * 2001, "/"),
        ("https://evil.example.org/audit", "/"),
    ],
)
def test_a_sign_in_leads_back_to_the_record_and_nowhere_else(
    app_settings: dict[str, Any], asked: str, back: str
) -> None:
    with running(load(**app_settings, auth="required")) as app:
        page = app.get("/login", query_string={"next": asked}).text
        kept = re.search(r'name="next" value="([^"]*)"', page)
        assert (unescape(kept[1]) if kept else "/") == back
        token = re.search(r'name="csrf_token" value="([^"]+)"', page)
        assert token is not None
        form = {"csrf_token": token[1], "next": asked, "api_key": "wrong"}
        assert ('name="next"' in app.post("/login", data=form).text) == (back != "/")
        form["api_key"] = app.rooms.access.keys.create_key("officer", Role.OPERATOR)
        reply = app.post("/login", data=form)
        assert (reply.status_code, reply.location) == (302, back)


def test_attempts_show_what_was_typed(app: App) -> None:
    """In the list; a hostile statement with its literals hashed."""
    app.ask("name is admin'--")
    app.post("/api/sql", {"sql": "DELETE FROM customers WHERE last_name = 'Secretive'"})
    assert "name is admin&#39;--" in app.get("/audit?event_type=suspicious_input").text
    page = app.get("/audit?event_type=statement_rejected").text
    assert "DELETE FROM customers" in page
    assert "Secretive" not in page


def test_each_look_is_on_record_before_it_is_shown(app: App) -> None:
    emit(app)
    page = app.get("/audit?actor=key-1&since=2020-01-01")
    (address,) = rows(page.text)
    assert app.get(address).status_code == 200
    first, second = app.records("audit_access")
    assert first["details"] == {
        "action": "page",
        "search": {"actor": "key-1", "since": "2020-01-01T00:00:00Z", "limit": 50},
    }
    _, writer, sequence = address.strip("/").split("/")
    assert second["details"] == {"action": "record", "writer": writer, "sequence": int(sequence)}
    assert page.headers["Cache-Control"] == "no-store"
    assert "unsafe-inline" not in page.headers["Content-Security-Policy"]


def test_nothing_is_shown_when_the_look_cannot_be_recorded(app: App) -> None:
    emit(app)
    for path in app.rooms.settings.audit_path.iterdir():
        path.unlink()
    app.rooms.settings.audit_path.rmdir()
    app.rooms.settings.audit_path.write_text("in the way")
    reply = app.get("/audit")
    assert (reply.status_code, reply.get_json()["reason"]) == (503, "audit_unavailable")
    app.rooms.settings.audit_path.unlink()


# --- what it shows -----------------------------------------------------------------------------


def test_hostile_text_stays_text(app: App) -> None:
    emit(app, actor=MARKUP, question=MARKUP, sql=MARKUP, **{MARKUP: MARKUP, "turned": "\u202egnp.exe\x1b[2J"})
    for path in ("/audit", rows(app.get("/audit?event_type=query_execution").text)[0]):
        page = app.get(path).text
        assert "<script>alert" not in page
        assert "&lt;script&gt;alert(1)" in page
        assert "\u202e" not in page
        assert "\x1b" not in page
        assert "\\u202egnp.exe" in page
    page = app.get("/audit", query_string=dict.fromkeys(("actor", "value", "since", "before"), MARKUP))
    assert page.status_code == 400
    assert "<script>alert" not in page.text


def test_one_record_in_full_with_its_trace(app: App) -> None:
    question_id = app.ask("' OR 1=1; DROP TABLE x --")
    trace_id = question_id.headers["X-Trace-Id"]
    addresses = rows(app.get(f"/audit?trace_id={trace_id}").text)
    assert len(addresses) == 2
    query, attack = (app.get(address).text for address in addresses)
    (record,) = app.records("sql_injection_attempt")
    for value in (record["mac"], record["writer"], record["span_id"], record["owasp"], record["details"]["rule"]):
        assert value in attack
    assert f'rel="next" href="{addresses[0]}"' in attack
    assert 'rel="prev"' not in attack
    assert f'rel="prev" href="{addresses[1]}"' in query
    assert f'href="/audit?trace_id={trace_id}"' in query
    assert "&#39; OR 1=1; DROP TABLE x --" in attack
    assert 'href="/audit?actor=local"' in query
    assert "&#39; OR 1=1; DROP TABLE x --" in query


@pytest.mark.parametrize(
    "path", ["/audit/nobody/1", "/audit/..%2f..%2fx/1", "/audit/nobody/" + "9" * 400, "/audit/x/y"]
)
def test_what_is_not_there_is_not_found(app: App, path: str) -> None:
    assert app.get(path).status_code == 404


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("event_type=access_denied", [2]),
        ("severity=high", [3]),
        ("actor=key-2", [2, 3]),
        ("event_type=query_execution&actor=key-1", [1]),
        ("until=2020-01-01", []),
        ("since=2020-01-01&actor=key-1", [1]),
        ("  actor=&severity=+high+", [3]),
    ],
)
def test_filters(app: App, query: str, found: list[int]) -> None:
    emit(app, question="how many")
    emit(app, "access_denied", actor="key-2")
    emit(app, "unexpected_error", actor="key-2")
    page = app.get(f"/audit?{query}").text
    shown = [int(address.rpartition("/")[2]) for address in rows(page)]
    assert sorted(shown) == found
    assert shown == sorted(shown, reverse=True)
    assert ("No record matches" in page) == (not found)


def test_a_value_is_found_by_the_hash_that_the_record_shows(app: App) -> None:
    app.post("/api/sql", {"sql": "SELECT name FROM customers WHERE city = 'Graz'"})
    (record,) = app.records("query_execution")
    shown = re.findall("#([0-9a-f]{16})", record["details"]["sql"])
    assert len(rows(app.get(f"/audit?value={shown[0]}").text)) >= 1
    assert rows(app.get(f"/audit?value=%23{'0' * 16}").text) == []


@pytest.mark.parametrize(
    "query",
    [
        "event_type=nope",
        "severity=x",
        "limit=0",
        "limit=501",
        "since=soon",
        "until=0001-01-01",
        "value=Graz",
        "before=x",
    ],
)
def test_filters_that_cannot_be_used_are_told_and_nothing_is_searched(app: App, query: str) -> None:
    emit(app)
    reply = app.get(f"/audit?{query}")
    assert reply.status_code == 400
    assert 'role="alert"' in reply.text
    assert 'aria-invalid="true"' in reply.text or "The link was damaged" in reply.text
    assert rows(reply.text) == []
    assert len(app.records("invalid_request")) == 1


# --- is the record sound? ----------------------------------------------------------------------


def test_the_page_tells_what_the_last_verification_said(app: App) -> None:
    emit(app)
    assert "The record was never verified" in app.get("/audit").text
    verified(app)
    page = app.get("/audit").text
    assert "No fault at the last verification" in page
    assert re.search(r"Records verified</dt><dd>2<", page)
    emit(app, "audit_verification_failed", faults=2, kind="changed", file="x.jsonl", writer="w", sequence=7)
    page = app.get("/audit").text
    assert "The record does not verify" in page
    assert re.search(r"2 faults, found.*changed in x\.jsonl, record 7", page, re.DOTALL)
    verified(app)
    assert "No fault at the last verification" in app.get("/audit").text


def test_of_a_manifest_that_cannot_be_read_no_record_counts_as_verified(tmp_path: Path) -> None:
    (tmp_path / "audit").touch()
    with pytest.raises(NotADirectoryError):
        Manifest(tmp_path / "audit").lines()
    assert _count_verified_records(tmp_path / "audit", VerificationState()) == 0


def test_moments_are_shown_to_the_millisecond(app: App) -> None:
    emit(app)
    (record, *_) = app.records()
    assert record["time"][:23].replace("T", " ") in app.get("/audit").text


def test_a_verification_that_is_overdue_is_no_good_news(app_settings: dict[str, Any]) -> None:
    with running(load(**app_settings, audit_verify_minutes=1)) as app:
        emit(app)
        settings, keyring = app.rooms.settings, app.rooms.audit.keyring
        state = verify_record(settings.audit_path, keyring).state
        state.verified_at -= 200
        state.save(settings.audit_state_path, keyring.current)
        assert "A verification is overdue" in app.get("/audit").text


def test_a_state_that_nobody_sealed_counts_for_nothing(app: App) -> None:
    emit(app)
    verified(app)
    path = app.rooms.settings.audit_state_path
    path.write_bytes(path.read_bytes().replace(b'"verified_at":1', b'"verified_at":2'))
    assert "The record was never verified" in app.get("/audit").text


# --- texts -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("details", "told"),
    [
        ({"question": "how many", "outcome": "answered", "reason": "ok", "milliseconds": 3}, "how many"),
        ({"question": "how many", "outcome": "refused", "sql": "x"}, "how many · outcome refused"),
        ({"sql": "SELECT 1", "row_count": 2}, "SELECT 1 · row_count 2"),
        ({"columns": ["a.b"], "key": ""}, 'columns ["a.b"]'),
        ({"x": "y" * 500}, "x " + "y" * 197 + "…"),
        ({}, ""),
        ([1], ""),
        (None, ""),
    ],
)
def test_a_record_in_one_line(details: Any, told: str) -> None:
    assert record_summary({"details": details}) == told


@pytest.mark.parametrize(
    ("text", "shown"),
    [("a\nb", "a\nb"), ("\t", "\\u0009"), ("\u2066x", "\\u2066x"), ("ä😀", "ä😀"), ("\u200b", "\\u200b"), (5, "5")],
)
def test_nothing_hides_in_a_text(text: object, shown: str) -> None:
    assert escape_unprintable(text) == shown
