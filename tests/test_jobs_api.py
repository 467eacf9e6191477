"""Jobs over HTTP and on the command line."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from werkzeug.test import TestResponse

from sql_synthesizer import cli
from sql_synthesizer.errors import QueueFull
from sql_synthesizer.jobs import worker as module
from sql_synthesizer.jobs.queue import JobLimits
from sql_synthesizer.model import Role
from sql_synthesizer.settings import load
from sql_synthesizer.telemetry import vocabulary
from tests.support.app import App, running
from tests.support.app import app as app
from tests.support.app import app_settings as app_settings
from tests.support.jobs import working
from tests.support.serving import until

COUNT = "how many customers are there"
PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "POLL", 0.02)
    monkeypatch.setattr(module, "BEAT", 0.05)


def submit(app: App, *questions: str, **more: Any) -> TestResponse:
    headers = more.pop("headers", {})
    return app.post("/api/jobs", {"questions": questions, **more}, headers=headers)


def ended(app: App, job: dict[str, Any]) -> dict[str, Any]:
    def look() -> Any:
        found = app.get(f"/api/jobs/{job['id']}").get_json()
        return found if found["ended_at"] else None

    found: dict[str, Any] = until(look)
    return found


def test_a_job_over_http(app: App) -> None:
    reply = submit(app, COUNT, "what will the weather be tomorrow", max_rows=5, headers={"traceparent": PARENT})
    job = reply.get_json()
    assert (reply.status_code, reply.headers["Location"]) == (202, f"/api/jobs/{job['id']}")
    assert (job["state"], job["questions"], job["ended"], job["position"]) == ("queued", 2, 0, 0)
    assert job["job_trace_id"] == PARENT.split("-")[1]
    with working(app.rooms.job_worker(2)):
        done = ended(app, job)
    assert (done["state"], done["reason"], done["ended"], done["position"]) == ("done", "", 2, None)
    assert done["submitted_at"] <= done["started_at"] <= done["ended_at"]
    first = app.get(job["results"] + "?page_size=1").get_json()
    (row,) = first["items"]
    assert (row["index"], row["outcome"], row["attempts"], row["error"]) == (0, "ok", 1, None)
    assert row["answer"]["rows"] == app.ask(COUNT).get_json()["rows"]
    assert row["answer"]["trace_id"] == job["job_trace_id"]
    last = app.get(first["next"]).get_json()
    assert last["next"] is None
    (row,) = last["items"]
    assert (row["outcome"], row["error"]["reason"], row["answer"]) == ("declined", "declined", None)
    assert [item["id"] for item in app.get("/api/jobs").get_json()["items"]] == [job["id"]]


def test_what_a_job_leaves(app: App) -> None:
    job = submit(app, COUNT).get_json()
    with working(app.rooms.job_worker(2)):
        ended(app, job)
    app.get(job["results"])
    changes = [(r["details"]["change"], r["details"]["job_id"]) for r in app.records("job_change")]
    assert changes == [(change, job["id"]) for change in ("submitted", "started", "done")]
    asked = app.records("query_execution")
    assert [(r["actor"], r["trace_id"]) for r in asked] == [("local", job["job_trace_id"])]
    read = app.records("result_export")
    assert [(r["actor"], r["details"]["job_id"]) for r in read] == [("local", job["id"])]
    for change in ("submitted", "started", "done"):
        assert app.counted("job_changes_total", change=change) == 1
    assert app.counted("job_questions_total", outcome="answered") == 1
    assert app.counted("job_wait_seconds_count") == app.counted("job_run_seconds_count") == 1
    assert app.counted("question_outcomes_total", outcome="answered") == 1
    names = {vocabulary.JOB_WAITING, vocabulary.JOB_RUNNING, vocabulary.JOB_OLDEST, vocabulary.JOB_BEAT}
    assert names <= app.rooms.telemetry._readings.keys()


def test_only_its_owner_and_operators_see_a_job(app_settings: dict[str, Any]) -> None:
    with running(load(**app_settings, auth="required")) as app:
        keys = [app.rooms.access.keys.create_key("k", role) for role in (Role.VIEWER, Role.VIEWER, Role.OPERATOR)]
        mine, other, operator = ({"Authorization": f"Bearer {key}"} for key in keys)
        job = submit(app, COUNT, headers=mine).get_json()
        path = f"/api/jobs/{job['id']}"
        for address in (path, job["results"]):
            assert app.get(address, headers=mine).status_code == 200
            assert app.get(address, headers=other).status_code == 404
            assert app.get(address, headers=operator).status_code == 200
        assert app.get("/api/jobs?everybody=true", headers=other).get_json()["items"] == []
        assert len(app.get("/api/jobs?everybody=true", headers=operator).get_json()["items"]) == 1
        assert app.client.delete(path, headers=other).status_code == 404
        cancelled = app.client.delete(path, headers=mine)
        assert (cancelled.status_code, cancelled.get_json()["state"]) == (200, "cancelled")


def test_a_key_that_was_revoked_asks_nothing_any_more(app_settings: dict[str, Any]) -> None:
    with running(load(**app_settings, auth="required")) as app:
        key = app.rooms.access.keys.create_key("k", Role.VIEWER)
        job = submit(app, COUNT, headers={"Authorization": f"Bearer {key}"}).get_json()
        app.rooms.access.keys.revoke_key(key.split("_")[1])
        operator = {"Authorization": f"Bearer {app.rooms.access.keys.create_key('o', Role.OPERATOR)}"}
        with working(app.rooms.job_worker(2)):
            until(lambda: app.rooms.jobs.store.get_job(job["id"]).ended_at)  # type: ignore[union-attr]
        failed = app.get(f"/api/jobs/{job['id']}", headers=operator).get_json()
        assert (failed["state"], failed["reason"]) == ("failed", "owner_refused")
        assert app.records("access_denied") != []
        assert app.records("query_execution") == []


def test_what_has_ended_cannot_be_taken_back(app: App) -> None:
    job = submit(app, COUNT).get_json()
    with working(app.rooms.job_worker(2)):
        ended(app, job)
    reply = app.client.delete(f"/api/jobs/{job['id']}", headers={"Host": "127.0.0.1:5000"})
    assert (reply.status_code, reply.get_json()["reason"]) == (409, "job_ended")


def test_a_repeated_submission(app: App) -> None:
    first, again = (submit(app, COUNT, idempotency_key="k").get_json() for _ in range(2))
    assert first["id"] == again["id"]
    conflict = submit(app, "how many orders are there", idempotency_key="k")
    assert (conflict.status_code, conflict.get_json()["reason"]) == (409, "idempotency_conflict")


def test_a_full_queue(app: App) -> None:
    app.rooms.jobs.limits = JobLimits(queue=1, share=1, seconds=60, days=1)
    assert submit(app, COUNT, COUNT).status_code == QueueFull.status
    job = submit(app, COUNT).get_json()
    refused = submit(app, COUNT)
    assert (refused.status_code, refused.headers["Retry-After"]) == (429, "10")
    assert refused.get_json()["reason"] == "queue_full"
    app.client.delete(f"/api/jobs/{job['id']}", headers={"Host": "127.0.0.1:5000"})
    assert submit(app, COUNT).status_code == 202


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"questions": []}, "invalid_request"),
        ({"questions": ["x"] * 1001}, "invalid_request"),
        ({"questions": [COUNT, " "]}, "question_empty"),
        ({"questions": [COUNT], "database": "nowhere"}, "unknown_database"),
        ({"questions": [COUNT], "idempotency_key": "two words"}, "invalid_request"),
    ],
)
def test_what_is_no_job(app: App, body: dict[str, Any], reason: str) -> None:
    assert app.post("/api/jobs", body).get_json()["reason"] == reason


def test_jobs_on_the_command_line(
    app_settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Any
) -> None:
    for name in ("state_dir", "databases_file"):
        monkeypatch.setenv(f"SQL_SYNTHESIZER_{name.upper()}", str(app_settings[name]))
    (tmp_path / "questions").write_text(f"{COUNT}\n\nhow many orders are there\n")

    def run(*arguments: str) -> str:
        with pytest.raises(SystemExit) as ended:
            cli.main(args=["jobs", *arguments])
        assert ended.value.code == 0
        return capsys.readouterr().out

    job, other = run("submit", "--file", str(tmp_path / "questions")).strip(), run("submit", COUNT).strip()
    assert [line.split()[:3] for line in run("list").splitlines()] == [
        [other, "queued", "0/1"],
        [job, "queued", "0/2"],
    ]
    assert "state         cancelled" in run("cancel", other)
    with running(load(**app_settings)) as app, working(app.rooms.job_worker(2)):
        until(lambda: app.rooms.jobs.store.get_job(job).ended_at)  # type: ignore[union-attr]
    assert "ended         2" in run("show", job)
    assert [orjson.loads(line)["outcome"] for line in run("results", job).splitlines()] == ["ok", "ok"]
