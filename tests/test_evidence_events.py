"""The evidence for security events: it is complete, and without an emitter exactly its rows are red."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from http.client import HTTPException
from pathlib import Path
from subprocess import TimeoutExpired
from typing import Any

import pytest
from click.testing import CliRunner
from prometheus_client import generate_latest
from werkzeug.serving import make_server

from sql_synthesizer import telemetry
from sql_synthesizer.cli import group
from sql_synthesizer.monitoring import metrics
from sql_synthesizer.monitoring.logs import LineHandler, LogObserver
from sql_synthesizer.security_audit import SecurityAuditLogger
from sql_synthesizer.settings import load
from sql_synthesizer.telemetry import Event, Telemetry, Trace
from sql_synthesizer.telemetry.vocabulary import SECURITY_EVENTS, EventType
from sql_synthesizer.webapp import create_app
from sql_synthesizer.wiring import build_rooms
from sql_synthesizer_proof.evidence import events
from sql_synthesizer_proof.evidence.embedding import add_routes
from sql_synthesizer_proof.evidence.scenarios import SCENARIOS, Caused, EventScenario
from sql_synthesizer_proof.evidence.world import World

muted: set[str] = set()
"""Types of events that are reported to nobody for now."""


class Muted(Telemetry):
    """A facade of which some emitters seem to be taken out."""

    def emit(self, type: EventType, trace: Trace | None = None, /, *, count: float = 1, **details: Any) -> Event:
        if type.name in muted:
            return Event(type, time.time_ns(), Trace("", sampled=False), "", details, count)
        return super().emit(type, trace, count=count, **details)


class InProcess(World):
    """The same scenarios on an application in this process; the embedding application is the same one."""

    patience = 0.0

    def __init__(self, home: Path, databases: Path) -> None:
        self._out = home / "lines"
        self._settings = load(
            state_dir=home / "state",
            databases_file=databases,
            auth="required",
            rate_limit="",
            failed_login_limit="",
            suspicion_limit="",
        )
        self._environment = {
            "SQL_SYNTHESIZER_STATE_DIR": str(home / "state"),
            "SQL_SYNTHESIZER_DATABASES_FILE": str(databases),
        }
        self.facade = Muted()
        self.rooms = build_rooms(self._settings, self.facade, logging=False)
        self._descriptor = os.open(self._out, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
        self.lines = LineHandler(self.facade, self._descriptor)
        self.facade.observers.append(LogObserver(self._settings, self.facade, self.lines))
        app = create_app(rooms=self.rooms)
        add_routes(app, SecurityAuditLogger(self.facade))
        self._server = make_server("127.0.0.1", 0, app, threaded=True)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()
        url = f"http://127.0.0.1:{self._server.server_port}"
        key = (home / "state" / "first-api-key").read_text().strip()
        super().__init__(url, url, self._settings.audit_path, key)

    def command(self, *arguments: str) -> tuple[int, str]:
        done = CliRunner().invoke(group, list(arguments), env=self._environment)
        return done.exit_code, done.stdout

    def exposition(self) -> str:
        self.facade.fold()
        served = generate_latest(self.rooms.metrics.read_fresh()).decode()
        return served + metrics.get_metrics()  # of the commands

    def output(self) -> str:
        self.facade.fold()
        self.lines.flush()
        return self._out.read_text()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        self.rooms.close()
        os.close(self._descriptor)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, demo_path: Path) -> Iterator[InProcess]:
    home = tmp_path_factory.mktemp("evidence")
    databases = home / "databases.yml"
    entry = {"url": f"sqlite:///{demo_path}", "sensitive": ["customers.email"]}
    databases.write_text(json.dumps({"databases": {"shop": entry}}))
    before, telemetry.default = telemetry.default, Muted()
    made = InProcess(home, databases)
    yield made
    made.close()
    telemetry.default = before


@pytest.fixture(autouse=True)
def _nothing_muted() -> Iterator[None]:
    yield
    muted.clear()


def test_every_type_leaves_every_signal(world: InProcess) -> None:
    rows = events.run_scenarios(world)
    assert [row.missing for row in rows if row.missing] == []
    assert events.complete_types(rows) == set(SECURITY_EVENTS)
    assert f"{len(SECURITY_EVENTS)} of {len(SECURITY_EVENTS)}" in events.as_text(rows).splitlines()[-1]


@pytest.mark.parametrize("name", SECURITY_EVENTS)
def test_without_its_emitter_exactly_its_rows_are_red(world: InProcess, name: str) -> None:
    muted.add(name)
    rows = events.run_scenarios(world)
    assert [row.type for row in rows if row.missing] == [row.type for row in rows if row.type == name]
    assert all("0 records" in row.missing for row in rows if row.type == name)


BY_COMMAND_ONLY = {"audit_verification_failed"}


@pytest.mark.parametrize(("signal", "told"), [("metrics", "counted"), ("logs", "logged as nothing")])
def test_without_a_listener_every_row_of_the_service_is_red(world: InProcess, signal: str, told: str) -> None:
    observers = world.facade.observers
    world.facade.observers = [observer for observer in observers if observer.signal != signal]
    rows = events.run_scenarios(world)
    world.facade.observers = observers
    assert {row.type for row in rows if row.missing} == SECURITY_EVENTS.keys() - BY_COMMAND_ONLY
    assert all(len(row.missing) == 1 and told in row.missing[0] for row in rows if row.missing)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"status": 201}, "status 200"),
        ({"actor": "somebody"}, "actor '"),
        ({"address": "192.0.2.1"}, "address '127.0.0.1' on record"),
        ({"severity": "high"}, "severity 'info' on record"),
        ({"logged": False}, "logged as info"),
    ],
)
def test_what_a_record_says_is_looked_at(world: InProcess, wrong: dict[str, Any], told: str) -> None:
    (reading,) = (scenario for scenario in SCENARIOS if scenario.type == "schema_access")
    changed = replace(reading, run=lambda world: replace(reading.run(world), **wrong))
    row = next(row for row in events.run_scenarios(world, [changed]) if row.type == "schema_access")
    assert any(told in missing for missing in row.missing)


def test_a_type_without_a_scenario_is_red(world: InProcess) -> None:
    rows = events.run_scenarios(world, [])
    assert {row.type: row.missing for row in rows} == dict.fromkeys(SECURITY_EVENTS, ("no scenario",))
    assert events.complete_types(rows) == set()
    assert f"0 of {len(SECURITY_EVENTS)}" in events.as_text(rows).splitlines()[-1]


@pytest.mark.parametrize("error", [ConnectionRefusedError(), HTTPException(), TimeoutExpired("keys", 60)], ids=repr)
def test_a_scenario_that_cannot_be_made_is_red(world: InProcess, error: Exception) -> None:
    def run(_world: World) -> Caused:
        raise error

    rows = events.run_scenarios(world, [EventScenario("schema_access", "", run)])
    (row,) = (row for row in rows if row.type == "schema_access")
    assert row.missing == (f"not made: {type(error).__name__}",)
