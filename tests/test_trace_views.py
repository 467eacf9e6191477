"""Looking at traces: on the command line and over the API."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from sql_synthesizer.cli import group
from sql_synthesizer.model import Role
from sql_synthesizer.monitoring.http_server import HttpHandler, HttpServer
from sql_synthesizer.monitoring.trace_reading import list_traces
from sql_synthesizer.settings import load
from sql_synthesizer.telemetry import vocabulary
from tests.support.app import App, running

TRACE = "ab" * 16
PARENT = {"traceparent": f"00-{TRACE}-{'cd' * 8}-01"}


@pytest.fixture
def state(app_settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Path:
    """State of a service that answered a question, refused one, failed at one, and took a job in; with its log."""
    with running(load(**app_settings)) as app:
        app.ask("how many customers are there", max_rows=7)
        reply = app.post("/api/query", {"question": "how many customers are there"}, headers=PARENT)
        app.post("/api/jobs", {"questions": ["how many orders are there"]}, headers=PARENT)
        with app.rooms.telemetry.operation(vocabulary.COMMAND) as command:
            command.fail(ZeroDivisionError())
            command._start -= 3_000_000_000
    place: Path = app_settings["state_dir"]
    (place / "question").write_text(reply.get_json()["question_id"])
    (place / "log").write_text("no JSON\n[1]\n" + capfd.readouterr().out)
    monkeypatch.setenv("SQL_SYNTHESIZER_STATE_DIR", str(place))
    monkeypatch.setenv("SQL_SYNTHESIZER_DATABASES_FILE", str(app_settings["databases_file"]))
    return place


class Prometheus(HttpHandler):
    """Says that an alert fires for as long as it is asked about."""

    server: HttpServer[Any]

    def do_GET(self) -> None:
        now = datetime.now(UTC).timestamp()
        series = {"metric": {"alertname": "HighQueryLatency", "severity": "warning"}, "values": [[now - 60, "1"]]}
        assert "ALERTS" in self.path
        self.send_reply(200, json.dumps({"data": {"result": [series]}}).encode(), "application/json")


def run(*arguments: str) -> Result:
    return CliRunner().invoke(group, list(arguments), catch_exceptions=False)


def test_everything_that_is_known_is_on_one_screen(state: Path) -> None:
    with HttpServer(Prometheus, None) as prometheus:
        url = f"http://127.0.0.1:{prometheus.port}"
        shown = run("trace", TRACE, "--log", str(state / "log"), "--prometheus", url)
        parsed = json.loads(run("trace", PARENT["traceparent"], "--prometheus", url, "--json").output)
    assert shown.exit_code == 0, shown.output
    assert len(shown.output.splitlines()) < 60
    for text in (TRACE, "POST /api/query", ". question", "█", "query_execution", "http_request", "job_change", "Job "):
        assert text in shown.output
    assert "HighQueryLatency (warning)" in shown.output
    assert {span["name"] for span in parsed["spans"]} >= {"POST /api/query", "question", "POST /api/jobs"}
    assert {record["trace_id"] for record in parsed["audit"]} == {TRACE}
    assert (parsed["job"]["total"], parsed["logs"], len(parsed["alerts"])) == (1, None, 1)


def test_a_question_and_a_job_lead_to_their_trace(state: Path) -> None:
    question = (state / "question").read_text()
    job = json.loads(run("trace", TRACE, "--json").output)["job"]["id"]
    for id in (question, job):
        found = run("trace", id)
        assert f"Trace {TRACE}" in found.output
        assert "Prometheus did not answer" in found.output
        assert "--log" in found.output


def test_without_the_store_the_record_tells(state: Path) -> None:
    for part in state.glob("traces.sqlite*"):
        part.unlink()
    found = run("trace", (state / "question").read_text())
    assert "Spans: none are stored" in found.output
    assert "query_execution" in found.output


def test_looking_is_on_record(state: Path) -> None:
    run("trace", TRACE)
    lines = run("audit", "search", "--event", "audit_access").output.splitlines()
    assert any(record["details"].get("search") == {"id": TRACE} for record in map(json.loads, lines))


@pytest.mark.parametrize(
    ("given", "said"), [("12", "no trace id"), ("x" * 32, "no trace id"), ("1" * 32, "Nothing is")]
)
def test_what_is_no_id_is_refused(state: Path, given: str, said: str) -> None:
    result = CliRunner().invoke(group, ["trace", given])
    assert result.exit_code != 0
    assert said in str(result.exception)


def test_traces_are_listed(state: Path) -> None:
    lines = run("traces").output.splitlines()
    assert len(lines) == 4
    assert "failed" in lines[0]
    assert "internal" in lines[0]
    assert len(run("traces", "--failed").output.splitlines()) == 1
    assert len(run("traces", "--slow", "--since", "1h", "--limit", "2").output.splitlines()) == 1
    assert "No such trace" in run("traces", "--since", "2100-01-01").output
    assert json.loads(run("traces", "--json").output.splitlines()[-1])["name"] == "POST /api/query"


# --- the API ---------------------------------------------------------------------------------


def asked(app: App, count: int = 3) -> list[str]:
    """Some requests, their trace ids; newest first, and in the store."""
    ids = [app.ask("how many customers are there").headers["X-Trace-Id"] for _ in range(count)]
    app.rooms.telemetry.fold()
    for observer in app.rooms.telemetry.observers:
        if observer.signal == "traces":
            while observer._keepers[0]._outbox._send_batch():
                pass
    return ids[::-1]


@pytest.fixture
def _still(monkeypatch: pytest.MonkeyPatch) -> None:
    """The test writes what waits, not the thread."""
    monkeypatch.setattr("sql_synthesizer.monitoring.outbox.Outbox._run_thread", lambda _: None)


@pytest.mark.usefixtures("_still")
def test_the_api_lists_by_page_and_shows_one(app: App) -> None:
    ids = asked(app)
    first = app.get("/api/ops/traces?limit=2").get_json()
    second = app.get(f"/api/ops/traces?limit=2&before={first['next']}").get_json()
    assert [item["trace_id"] for item in first["items"] + second["items"]][:3] == ids
    assert second["next"] is None
    shown = app.get(f"/api/ops/traces/{ids[0]}")
    body = shown.get_json()
    assert body["trace"]["trace_id"] == ids[0] != body["trace_id"] == shown.headers["X-Trace-Id"]
    assert body["trace"]["spans"][0]["name"] == "POST /api/query"
    assert app.get(body["audit"]).status_code == 200
    soon = (datetime.now(UTC) + timedelta(hours=1)).isoformat().replace("+", "%2B")
    assert app.get(f"/api/ops/traces?failed=true&slow=true&since={soon}").get_json()["items"] == []
    assert app.get(f"/api/ops/traces/{'0' * 32}").status_code == 404


@pytest.mark.parametrize("query", ["limit=0", "limit=201", "before=x", "since=soon", "slow=maybe"])
def test_the_api_refuses_what_is_beyond_its_bounds(app: App, query: str) -> None:
    assert app.get(f"/api/ops/traces?{query}").status_code == 400


def test_traces_are_for_operators(app_settings: dict[str, Any]) -> None:
    with running(load(**app_settings, auth="required")) as app:
        assert app.get("/api/ops/traces").status_code == 401
        for role, status in (("viewer", 403), ("analyst", 403), ("operator", 200)):
            key = app.rooms.access.keys.create_key(role, Role(role))
            assert app.get("/api/ops/traces", headers={"X-API-Key": key}).status_code == status


def test_a_damaged_store_is_told(app: App) -> None:
    app.rooms.settings.trace_store_path.write_bytes(b"no database " * 500)
    reply = app.get("/api/ops/traces")
    assert (reply.status_code, reply.get_json()["reason"]) == (503, "store_unavailable")
    assert list_traces(app.rooms.settings.state_dir / "none") == []
