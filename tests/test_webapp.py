"""The HTTP interface: answers, every bad input with its status, reason, metric, log line and record."""

from __future__ import annotations

import codecs
import csv
import gc
import io
import json
import warnings
from typing import Any, NoReturn

import pytest

from sql_synthesizer.model import Role
from sql_synthesizer.settings import load
from tests.support.app import LOCAL, App, running

QUESTION = "how many customers are there"


def test_an_answer_shows_all_it_rests_on(app: App) -> None:
    reply = app.ask("how many orders per status")
    assert reply.status_code == 200
    body = reply.get_json()
    assert list(body) == [
        "question",
        "sql",
        "source",
        "explanation",
        "confidence",
        "sure",
        "columns",
        "rows",
        "row_count",
        "truncated",
        "timings_ms",
        "database",
        "question_id",
        "trace_id",
        "age_seconds",
        "next",
    ]
    assert body["source"] == "rules"
    assert body["explanation"].endswith(".")
    assert body["row_count"] == len(body["rows"]) > 1
    assert {"guard_question", "cache", "synthesize", "guard_statement", "execute"} <= set(body["timings_ms"])
    assert reply.headers["X-Trace-Id"] == body["trace_id"]


def test_one_trace_id_ties_reply_log_and_record(app: App, capfd: pytest.CaptureFixture[str]) -> None:
    trace = "a" * 32
    reply = app.post("/api/query", {"question": QUESTION}, headers={"traceparent": f"00-{trace}-{'b' * 16}-01"})
    assert reply.headers["X-Trace-Id"] == reply.get_json()["trace_id"] == trace
    (record,) = app.records("query_execution")
    assert (record["trace_id"], record["question_id"]) == (trace, reply.get_json()["question_id"])
    assert record["actor"] == "local"
    assert app.counted("queries_total", success="success") == 1
    app.rooms.telemetry.close()
    lines = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert {"http_request", "question"} <= {line["event"] for line in lines if line.get("trace_id") == trace}


def test_the_second_time_it_comes_from_the_cache(app: App) -> None:
    first, second = app.ask(QUESTION).get_json(), app.ask("  how many  customers are there ").get_json()
    assert (first["source"], second["source"]) == ("rules", "cache")
    assert first["rows"] == second["rows"]
    assert app.counted("cache_operations_total", operation="get", hit_miss="hit") == 1
    assert app.counted("question_outcomes_total", source="cache") == 1


def test_max_rows_truncates(app: App) -> None:
    body = app.ask("list all customers", max_rows=7).get_json()
    assert (body["row_count"], body["truncated"]) == (7, True)


def test_pages_belong_to_their_caller(app: App) -> None:
    body = app.ask("list all products", max_rows=25, page_size=10).get_json()
    assert body["row_count"] == 25
    seen, following = list(body["rows"]), body["next"]
    while following:
        page = app.get(following).get_json()
        assert page["columns"] == body["columns"]
        seen += page["rows"]
        following = page["next"]
    assert len(seen) == 25
    assert len(app.records("result_export")) == 2
    assert app.get(f"/api/results/{'0' * 16}").status_code == 410


def test_sensitive_columns_are_recorded_and_not_cached(app: App) -> None:
    for _ in range(2):
        body = app.post("/api/sql", {"sql": "SELECT email FROM customers LIMIT 3", "page_size": 1}).get_json()
        assert len(body["rows"]) == 3
        assert body["next"] is None
    records = app.records("sensitive_data_access")
    assert [record["details"]["columns"] for record in records] == [["customers.email"]] * 2


def test_schema(app: App) -> None:
    body = app.get("/api/schema").get_json()
    assert (body["database"], body["dialect"], body["databases"]) == ("shop", "sqlite", ["shop"])
    assert body["quote"] == '"'
    customers = next(table for table in body["tables"] if table["name"] == "customers")
    assert next(c for c in customers["columns"] if c["name"] == "email")["sensitive"]
    assert len(app.records("schema_access")) == 1


def test_history_feedback_and_export(app: App) -> None:
    question_id = app.ask("top 3 products by price").get_json()["question_id"]
    (item,) = app.get("/api/history").get_json()["items"]
    assert (item["question_id"], item["outcome"], item["row_count"]) == (question_id, "answered", 3)
    assert app.post("/api/feedback", {"question_id": question_id, "rating": "up"}).status_code == 201
    assert app.counted("feedback_total", rating="up") == 1
    assert app.post("/api/feedback", {"question_id": "f" * 16, "rating": "up"}).status_code == 404
    reply = app.get(f"/api/results/{question_id}/csv")
    assert reply.mimetype == "text/csv"
    assert reply.data.startswith(codecs.BOM_UTF8), "without it a spreadsheet garbles accents"
    _head, *rows = csv.reader(reply.text.splitlines())
    assert len(rows) == item["row_count"]
    assert len(app.records("result_export")) == 1


def test_a_file_holds_all_rows_that_the_answer_cut(app: App) -> None:
    body = app.ask("list all customers", max_rows=7).get_json()
    assert body["truncated"]
    reply = app.get(f"/api/results/{body['question_id']}/csv")
    _head, *rows = csv.reader(reply.text.splitlines())
    assert len(rows) == 2500
    assert reply.headers["X-Result-Truncated"] == "false"


def test_a_body_of_unknown_length_is_bounded(app: App) -> None:
    body = io.BytesIO(b'{"question": "' + b"x" * 200_000 + b'"}')
    environ = {**LOCAL, "wsgi.input_terminated": True, "HTTP_TRANSFER_ENCODING": "chunked"}
    builder = {"input_stream": body, "content_type": "application/json"}
    reply = app.client.post("/api/query", environ_overrides=environ, **builder)
    assert (reply.status_code, reply.get_json()["reason"]) == (413, "request_too_large")
    assert app.records("request_too_large")


def test_an_empty_statement_is_told_so(app: App) -> None:
    reply = app.post("/api/sql", {"sql": " \n"})
    assert (reply.status_code, reply.get_json()["message"]) == (400, "The statement is empty; write a SELECT.")


BAD = [
    ("empty", {"json": {"question": "   "}}, 400, "question_empty", "invalid_request"),
    ("huge question", {"json": {"question": "x" * 3000}}, 413, "question_too_long", "request_too_large"),
    (
        "huge body",
        {"data": b"x" * 100_000, "content_type": "application/json"},
        413,
        "request_too_large",
        "request_too_large",
    ),
    (
        "not UTF-8",
        {"data": b'{"question": "\xff"}', "content_type": "application/json"},
        400,
        "invalid_encoding",
        "invalid_request",
    ),
    ("not JSON", {"data": b"{", "content_type": "application/json"}, 400, "invalid_json", "invalid_request"),
    ("deep JSON", {"data": b"[" * 50_000, "content_type": "application/json"}, 400, "invalid_json", "invalid_request"),
    ("a form", {"data": {"question": "x"}}, 400, "invalid_json", "invalid_request"),
    ("a list", {"json": [1]}, 400, "invalid_json", "invalid_request"),
    ("a number", {"json": {"question": 3}}, 400, "invalid_request", "invalid_request"),
    ("no question", {"json": {}}, 400, "invalid_request", "invalid_request"),
    ("unknown field", {"json": {"question": "x", "colour": 1}}, 400, "invalid_request", "invalid_request"),
    ("max_rows 0", {"json": {"question": "x", "max_rows": 0}}, 400, "invalid_request", "invalid_request"),
    ("max_rows text", {"json": {"question": "x", "max_rows": "9"}}, 400, "invalid_request", "invalid_request"),
    ("control character", {"json": {"question": "a\x00b"}}, 400, "invalid_request", "invalid_request"),
    ("unknown database", {"json": {"question": "x", "database": "nope"}}, 404, "unknown_database", "invalid_request"),
    ("not understood", {"json": {"question": "what is the meaning of life"}}, 422, "declined", None),
    (
        "injection",
        {"json": {"question": "x' UNION SELECT password FROM users --"}},
        422,
        "question_refused",
        "sql_injection_attempt",
    ),
]


@pytest.mark.parametrize(
    ("request_", "status", "reason", "event"), [row[1:] for row in BAD], ids=[row[0] for row in BAD]
)
def test_bad_questions(
    app: App, capfd: pytest.CaptureFixture[str], request_: dict[str, Any], status: int, reason: str, event: str | None
) -> None:
    reply = app.post("/api/query", **request_)
    check_error(app, capfd, reply, status, reason, event)


def check_error(
    app: App, capfd: pytest.CaptureFixture[str], reply: Any, status: int, reason: str, event: str | None
) -> None:
    """A status, a reason and a sentence for the caller; a metric, a log line and a record for the operator."""
    body = reply.get_json()
    assert (reply.status_code, body["reason"]) == (status, reason)
    assert body["message"].endswith((".", "?"))
    assert body["hint"]
    assert body["trace_id"] == reply.headers["X-Trace-Id"]
    assert app.counted("errors_total", reason=reason) == 1
    assert app.counted("http_requests_total", status=f"{status // 100}xx") == 1
    if event is not None:
        (record,) = app.records(event)
        assert record["trace_id"] == body["trace_id"]
        assert app.counted("security_events_total", event_type=event) == 1
    app.rooms.telemetry.close()
    lines = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert any(line.get("reason") == reason and line.get("trace_id") == body["trace_id"] for line in lines)


STATEMENTS = [
    ("a write", "DELETE FROM orders", 422, "statement_refused", "statement_rejected"),
    ("two statements", "SELECT 1; SELECT 2", 422, "statement_refused", "statement_rejected"),
    ("a catalogue", "SELECT * FROM sqlite_master", 422, "statement_refused", "statement_rejected"),
    ("prose", "please show me the orders", 422, "statement_refused", "statement_rejected"),
    ("unknown column", "SELECT no_such_column FROM orders", 422, "statement_invalid", None),
]


@pytest.mark.parametrize(
    ("sql", "status", "reason", "event"), [row[1:] for row in STATEMENTS], ids=[r[0] for r in STATEMENTS]
)
def test_bad_statements(
    app: App, capfd: pytest.CaptureFixture[str], sql: str, status: int, reason: str, event: str | None
) -> None:
    check_error(app, capfd, app.post("/api/sql", {"sql": sql}), status, reason, event)


@pytest.mark.parametrize(
    ("method", "path", "status", "reason"),
    [("get", "/nothing", 404, "not_found"), ("get", "/api/query", 405, "method_not_allowed")],
)
def test_wrong_addresses(app: App, method: str, path: str, status: int, reason: str) -> None:
    reply = getattr(app, method)(path)
    assert (reply.status_code, reply.get_json()["reason"]) == (status, reason)


def test_a_method_that_does_not_exist_is_no_label_value_of_ours(app: App) -> None:
    for method in ("TRACE", "CONNECT", "FOO"):
        reply = app.client.open("/api/query", method=method, environ_overrides=LOCAL)
        assert (reply.status_code, reply.headers["Allow"]) == (405, "OPTIONS, POST")
    assert app.counted("http_requests_total", method="other", route="unmatched") == 3
    assert app.counted("label_values_refused_total") == 0


OPEN = {"HTTP_HOST": "127.0.0.1:5000", "REMOTE_ADDR": "127.0.0.1"}


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({}, 200),
        ({"HTTP_HOST": "localhost:5000"}, 200),
        ({"HTTP_HOST": "attacker.example"}, 401),
        ({"REMOTE_ADDR": "10.0.0.9"}, 401),
        ({"HTTP_X_FORWARDED_FOR": "127.0.0.1"}, 401),
        ({"HTTP_ORIGIN": "http://attacker.example"}, 403),
        ({"HTTP_ORIGIN": "http://127.0.0.1:5000"}, 200),
        ({"HTTP_SEC_FETCH_SITE": "cross-site"}, 403),
        ({"HTTP_AUTHORIZATION": "Bearer sqs_wrong_key"}, 401),
    ],
)
def test_open_only_where_it_is_safe(app: App, change: dict[str, str], status: int) -> None:
    reply = app.client.post("/api/query", json={"question": QUESTION}, environ_overrides=OPEN | change)
    assert reply.status_code == status, reply.text


def test_keys_roles_and_sign_in(app_settings: dict[str, Any]) -> None:
    with running(load(auth="required", **app_settings)) as app:
        assert app.ask(QUESTION).status_code == 401
        assert app.records("authentication_failure")
        viewer = app.rooms.access.keys.create_key("viewer", Role("viewer"))
        analyst = app.rooms.access.keys.create_key("analyst", Role("analyst"))
        as_viewer = {"headers": {"Authorization": f"Bearer {viewer}"}}
        assert app.post("/api/query", {"question": QUESTION}, **as_viewer).status_code == 200
        assert app.post("/api/sql", {"sql": "SELECT 1"}, **as_viewer).status_code == 403
        assert app.records("access_denied")
        as_analyst = {"headers": {"X-API-Key": analyst}}
        assert app.post("/api/sql", {"sql": "SELECT count(*) FROM orders"}, **as_analyst).status_code == 200
        assert len(app.records("authentication_success")) == 2
        assert viewer not in (app.rooms.settings.audit_path / ".").as_posix()

        page = app.get("/login").text
        token = page.split('name="csrf_token"')[1].split('value="')[1].split('"')[0]
        assert app.post("/login", data={"api_key": viewer}).status_code == 403
        assert app.post("/login", data={"api_key": "wrong", "csrf_token": token}).status_code == 401
        assert app.post("/login", data={"api_key": viewer, "csrf_token": token}).status_code == 302
        me = app.get("/api/me").get_json()
        assert (me["role"], me["open"]) == ("viewer", False)
        assert app.ask(QUESTION).status_code == 403, "a session needs its CSRF token"
        token = app.get("/").text.split('name="csrf-token" content="')[1].split('"')[0]
        reply = app.post("/api/query", {"question": QUESTION}, headers={"X-CSRFToken": token})
        assert reply.status_code == 200


def test_without_keys_everybody_is_let_in(app: App) -> None:
    assert app.get("/api/me").get_json()["open"] is True


def test_a_hook_that_fails_leaves_no_request_open(app: App) -> None:
    def fail(_: object) -> NoReturn:
        raise RuntimeError

    app.flask.after_request(fail)
    assert app.get("/api/me").status_code == 500
    assert app.counted("http_requests_total", status="5xx") == 1


def test_rate_limit(app_settings: dict[str, Any]) -> None:
    with running(load(**{**app_settings, "rate_limit": "3/minute"})) as app:
        statuses = [app.get("/api/me").status_code for _ in range(5)]
        assert statuses == [200, 200, 200, 429, 429]
        reply = app.get("/api/me")
        assert int(reply.headers["Retry-After"]) > 0
        assert len(app.records("rate_limit_exceeded")) == 3


def test_metrics_need_the_operator_off_loopback(app: App) -> None:
    assert app.client.get("/metrics", environ_overrides={**LOCAL, "REMOTE_ADDR": "10.0.0.9"}).status_code == 401
    assert app.client.get("/metrics", environ_overrides={**LOCAL, "HTTP_HOST": "attacker.example"}).status_code == 401
    key = app.rooms.access.keys.create_key("scraper", Role("operator"))
    headers = {"Authorization": f"Bearer {key}"}
    reply = app.client.get("/metrics", headers=headers, environ_overrides={**LOCAL, "REMOTE_ADDR": "10.0.0.9"})
    assert reply.status_code == 200
    assert b"sql_synthesizer_queries_total" in reply.data


@pytest.mark.parametrize("path", ["/", "/api/me", "/health", "/openapi/openapi.json", "/nothing"])
def test_security_headers(app: App, path: str) -> None:
    headers = app.get(path).headers
    assert "default-src 'self'" in headers["Content-Security-Policy"]
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "same-origin"
    assert headers["Cache-Control"] == "no-store"


def test_openapi_describes_every_api_route(app: App) -> None:
    document = app.get("/openapi/openapi.json").get_json()
    programs = {
        rule.rule for rule in app.flask.url_map.iter_rules() if rule.rule.startswith(("/api/", "/health", "/metrics"))
    }
    assert {path.replace("{", "<string:").replace("}", ">") for path in document["paths"]} == programs


def test_the_answer_waits_for_its_record(app: App) -> None:
    assert app.ask(QUESTION).status_code == 200
    for path in app.rooms.settings.audit_path.iterdir():
        path.unlink()
    app.rooms.settings.audit_path.rmdir()
    app.rooms.settings.audit_path.write_text("not a directory")
    app.rooms.audit.close()
    reply = app.ask(QUESTION)
    assert (reply.status_code, reply.get_json()["reason"]) == (503, "audit_unavailable")
    assert "rows" not in reply.get_json()
    assert app.counted("queries_total", success="error") == 1
    assert app.get("/nothing").status_code in (404, 503)


def test_quoted_values_are_told_apart_by_the_cache(app: App) -> None:
    first = app.ask("how many customers have first name 'Paul'").get_json()
    second = app.ask("how many customers have first name 'PAUL'")
    assert first["source"] == "rules"
    assert second.get_json().get("source") != "cache"


def test_a_wrong_key_on_the_page_is_recorded(app: App) -> None:
    reply = app.get("/", headers={"Authorization": "Bearer nonsense"})
    assert reply.status_code in (200, 302)
    assert len(app.records("authentication_failure")) == 1


def test_draining_turns_readiness(app: App) -> None:
    assert app.get("/health/ready").status_code == 200
    app.rooms.settings.drain_file.touch()
    assert app.get("/health/ready").status_code == 503
    assert app.get("/health/live").status_code == 200


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_file_that_is_not_sent_is_closed(app: App, method: str) -> None:
    path = "/static/css/page.css"
    with app.get(path) as sent:
        tag = sent.headers["ETag"]
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        reply = app.client.open(path, method=method, headers={"If-None-Match": tag}, environ_overrides=LOCAL)
        assert (reply.status_code, reply.data) == (304, b"")
        del reply
        gc.collect()
    assert [str(warning.message) for warning in told] == []
