"""What the doctor finds in a set-up, and that it changes nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from sql_synthesizer.cli import group
from sql_synthesizer.monitoring.http_server import JSON, HttpHandler, HttpServer
from tests.support.audit import Bench
from tests.support.ports import free_port

TARGET = {"labels": {"job": "sql-synthesizer"}, "health": "up", "scrapeUrl": "http://app:8080/metrics"}
GOOD: dict[str, Any] = {
    "/api/v1/targets": {"data": {"activeTargets": [TARGET]}},
    "/api/v1/rules": {"data": {"groups": [{"rules": [{"name": "SqlSynthesizerDown"}]}]}},
    "/api/v1/alertmanagers": {"data": {"activeAlertmanagers": [{"url": "http://alertmanager"}]}},
    "/api/v2/status": {"config": {"original": "smtp_smarthost: mail.example:25"}},
}


class Watchers(HttpHandler):
    server: HttpServer[dict[str, Any]]

    def do_GET(self) -> None:
        answer = self.server.owner.get(self.path.partition("?")[0])
        self.send_reply(200 if answer else 404, json.dumps(answer), JSON)


@pytest.fixture
def state(tmp_path: Path, demo_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A set-up with a record that was verified."""
    state = tmp_path / "state"
    bench = Bench(state)
    bench.ask()
    bench.log.close()
    state.chmod(0o700)
    monkeypatch.setenv("SQL_SYNTHESIZER_STATE_DIR", str(state))
    monkeypatch.setenv("SQL_SYNTHESIZER_AUDIT_RESERVE_BYTES", "0")
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{demo_path}")
    monkeypatch.setenv("SQL_SYNTHESIZER_PORT", str(free_port()))
    monkeypatch.setenv("METRICS_PORT", str(free_port()))
    assert CliRunner().invoke(group, ["audit", "verify"]).exit_code == 0
    return state


def examine(answers: dict[str, Any]) -> Result:
    with HttpServer(Watchers, answers) as server:
        url = f"http://127.0.0.1:{server.port}"
        return CliRunner().invoke(group, ["doctor", "--prometheus", url, "--alertmanager", url])


def test_a_good_set_up(state: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in state.rglob("*")}
    found = examine(GOOD)
    assert found.exit_code == 0, found.stdout
    assert "WRONG" not in found.stdout
    for said in ("database main: answers", "scrapes 1 target", "clock: 0.0 days ahead", "receivers: set to addresses"):
        assert said in found.stdout
    assert {path: path.stat().st_mtime_ns for path in state.rglob("*")} == before


def test_what_is_wrong_is_named_with_what_mends_it(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state.chmod(0o755)
    (state / "audit.key").chmod(0o644)
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{state / 'nothing.sqlite'}")
    monkeypatch.setenv("SQL_SYNTHESIZER_PROT", "5000")
    down = {"data": {"activeTargets": [TARGET | {"health": "down"}]}}
    shipped = {"config": {"original": "to: team@company.com"}}
    found = examine({"/api/v1/targets": down, "/api/v2/status": shipped})
    assert found.exit_code == 1
    for said in (
        "SQL_SYNTHESIZER_PROT is not a setting",
        f"chmod 700 {state}",
        f"chmod 600 {state / 'audit.key'}",
        "WRONG     databases: A database cannot be used.",
        "WRONG     prometheus: it cannot scrape http://app:8080/metrics",
        "WRONG     alert rules: not loaded",
        "WRONG     alerting: Prometheus knows no Alertmanager",
        "doubtful  receivers: still as shipped: @company.com",
    ):
        assert said in found.stdout, found.stdout
    assert found.stdout.endswith("6 to mend\n")


def test_an_empty_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SQL_SYNTHESIZER_STATE_DIR", str(tmp_path / "none"))
    monkeypatch.setenv("DATABASE_URL", "")
    found = CliRunner().invoke(
        group, ["doctor", "--prometheus", "http://127.0.0.1:9", "--alertmanager", "http://[::1]:9"]
    )
    assert found.exit_code == 1
    assert found.stdout.endswith("2 to mend\n"), found.stdout
    assert not (tmp_path / "none").exists()


def test_a_key_that_is_missing_beside_its_record(state: Path) -> None:
    (state / "audit.key").unlink()
    found = examine(GOOD)
    assert "Put it back from its backup" in found.stdout
    assert found.exit_code == 1
