"""Two applications in one process have nothing in common: not a count, not a record, not a name."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from sql_synthesizer import telemetry
from sql_synthesizer.errors import ConfigurationError
from sql_synthesizer.monitoring import metrics
from sql_synthesizer.settings import load
from sql_synthesizer.wiring import build_rooms
from tests.support.app import LOCAL, App, running

TABLES = ("apples", "planets")
QUESTIONS = 1_000
MIX = ("how many {table} are there", "list the names of {table}", "why did {table} grow", "' OR 1=1 -- {table}")


def settings(home: Path, table: str) -> dict[str, Any]:
    home.mkdir()
    with sqlite3.connect(home / "data.sqlite") as connection:
        connection.execute(f"CREATE TABLE {table} (id INTEGER PRIMARY KEY, name TEXT)")
        connection.executemany(f"INSERT INTO {table} (name) VALUES (?)", [(f"{table} {n}",) for n in range(len(table))])
    connection.close()
    databases = home / "databases.yml"
    databases.write_text(json.dumps({"databases": {table: {"url": f"sqlite:///{home / 'data.sqlite'}"}}}))
    return {"state_dir": home / "state", "databases_file": databases, "rate_limit": ""}


@pytest.fixture
def apps(tmp_path: Path) -> Iterator[dict[str, App]]:
    with ExitStack() as stack:
        yield {t: stack.enter_context(running(load(**settings(tmp_path / t, t)))) for t in TABLES}


def test_each_counts_and_records_its_own(apps: dict[str, App]) -> None:
    def ask(number: int) -> tuple[str, str, int]:
        table = TABLES[number % 2]
        question = MIX[number // 2 % len(MIX)].format(table=table)
        reply = apps[table].flask.test_client().post("/api/query", json={"question": question}, environ_overrides=LOCAL)
        return table, reply.headers["X-Trace-Id"], reply.status_code

    with ThreadPoolExecutor(8) as pool:
        replies = list(pool.map(ask, range(QUESTIONS)))
    for table, app in apps.items():
        traces = {trace for asked, trace, _ in replies if asked == table}
        records = app.records("query_execution")
        assert len(records) == len(traces) == QUESTIONS / 2
        assert {record["trace_id"] for record in records} == traces
        assert {record["details"]["database"] for record in records} == {table}
        assert app.counted("question_outcomes_total") == QUESTIONS / 2
        assert app.counted("queries_total") == sum(asked == table and status == 200 for asked, _, status in replies)
        statuses = Counter(f"{status // 100}xx" for asked, _, status in replies if asked == table)
        assert {s: app.counted("http_requests_total", route="/api/query", status=s) for s in statuses} == statuses
        assert app.counted("security_events_total", event_type="sql_injection_attempt") == QUESTIONS / 8
        assert app.counted("label_values_refused_total") == app.counted("telemetry_dropped_total") == 0
        assert {row["database"] for row in app.get("/api/history").json["items"]} == {table}


def test_the_facade_of_the_process_is_neither(apps: dict[str, App]) -> None:
    before = metrics.get_metrics()
    assert all(app.ask(f"how many {table} are there").status_code == 200 for table, app in apps.items())
    after = metrics.get_metrics()
    assert [line for line in before.splitlines() if "queries_total" in line] == [
        line for line in after.splitlines() if "queries_total" in line
    ]
    assert telemetry.default.recorder is None


def test_a_second_owner_of_a_facade_is_refused(tmp_path: Path) -> None:
    first, second = (load(**settings(tmp_path / table, table)) for table in TABLES)
    rooms = build_rooms(first, telemetry.default)
    try:
        with pytest.raises(ConfigurationError, match="already reports"):
            build_rooms(second, telemetry.default)
        assert telemetry.default.recorder is rooms.audit
    finally:
        rooms.close()
    build_rooms(second, telemetry.default).close()
    assert telemetry.default.observers == [metrics.observer]


def test_a_build_that_fails_lets_go_of_the_facade(tmp_path: Path) -> None:
    wrong = load(**settings(tmp_path / "apples", "apples"), default_database="pears")
    for _ in range(2):
        with pytest.raises(ConfigurationError, match="pears"):
            build_rooms(wrong, telemetry.default)
    assert telemetry.default.observers == [metrics.observer]
