"""Schedules over HTTP, and at the terminal."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from sql_synthesizer import cli
from sql_synthesizer.jobs import Scheduler
from sql_synthesizer.settings import load
from tests.support.app import App, running
from tests.support.app import app as app
from tests.support.app import app_settings as app_settings
from tests.support.app import demo_path as demo_path

COUNT = "how many customers are there"
BERLIN = "Europe/Berlin"


def test_schedules_over_http(app: App) -> None:
    body = {"questions": [COUNT, "my password is hunter2hunter2"], "cron": "0 7 * * *", "time_zone": BERLIN}
    reply = app.post("/api/schedules", body)
    made = reply.get_json()
    path = f"/api/schedules/{made['id']}"
    assert (reply.status_code, reply.headers["Location"]) == (201, path)
    assert (made["cron"], made["time_zone"], made["missed"], made["webhook"]) == ("0 7 * * *", BERLIN, "run", None)
    assert "hunter2" not in str(made)
    assert app.get(path).get_json()["next_at"] == made["next_at"]
    local = {"Host": "127.0.0.1:5000"}
    changed = app.client.put(path, json={**body, "paused": True, "max_rows": 3}, headers=local).get_json()
    assert (changed["paused"], changed["next_at"], changed["max_rows"]) == (True, None, 3)
    assert [found["id"] for found in app.get("/api/schedules").get_json()["items"]] == [made["id"]]
    assert app.client.delete(path, headers=local).get_json()["deleted"] is True
    assert app.get(path).status_code == 404
    assert [r["details"]["change"] for r in app.records("schedule_change")] == ["created", "changed", "deleted"]
    assert app.counted("schedule_changes_total", change="created") == 1
    for wrong in ({"cron": "x"}, {"time_zone": "x"}, {"questions": []}, {"missed": "later"}, {"webhook": "http://x/"}):
        assert app.post("/api/schedules", {**body, **wrong}).status_code in (400, 422)


@pytest.fixture
def run(
    app_settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., str]:
    for name in ("state_dir", "databases_file"):
        monkeypatch.setenv(f"SQL_SYNTHESIZER_{name.upper()}", str(app_settings[name]))

    def run(*arguments: str) -> str:
        with pytest.raises(SystemExit) as ended:
            cli.main(args=["schedules", *arguments])
        assert ended.value.code == 0
        return capsys.readouterr().out.strip()

    return run


@pytest.mark.parametrize(
    "arguments",
    [
        ["schedules", "create", "0 7 * * *", COUNT, "--label", "x" * 150],
        ["schedules", "create", "0" * 150, COUNT],
        ["schedules", "create", "0 7 * * *", COUNT, "--webhook", "https://a/" + "x" * 600],
        ["jobs", "submit", COUNT, "--key", "a b"],
        ["jobs", "submit", "--file", "BINARY"],
    ],
)
@pytest.mark.usefixtures("run")
def test_options_that_cannot_be_used(arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "binary").write_bytes(b"\x7fELF\xff\xfe")
    with pytest.raises(SystemExit) as ended:
        cli.main(args=[str(tmp_path / "binary") if given == "BINARY" else given for given in arguments])
    assert ended.value.code == 2
    assert "Error: The " in capsys.readouterr().err


def test_schedules_on_the_command_line(run: Callable[..., str], app_settings: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "questions").write_text(f"{COUNT}\n")
    made = run("create", "* * * * *", "--zone", BERLIN, "--file", str(tmp_path / "questions"), "--label", "often")
    assert run("list").split()[0] == made
    run("pause", made)
    assert "paused" in run("list")
    run("resume", made)
    with running(load(**app_settings)) as app:
        (schedule,) = app.rooms.schedules.store.list(None, 9)
        app.rooms.schedules.store.skip(schedule, 0.0, "", "")
        Scheduler(app.rooms.schedules, app.rooms.jobs, app.rooms.access.find_owner, app.rooms.telemetry).run_due()
        (job,) = app.rooms.jobs.store.list_jobs(None, 9)
    assert orjson.loads(run("show", made))["last_job"] == job.id
    run("delete", made)
    assert run("list") == ""
