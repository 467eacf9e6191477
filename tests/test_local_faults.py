"""A fault of one database of several is counted where it is, beside the sum over all."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from prometheus_client import generate_latest

from sql_synthesizer.settings import load
from tests.support.app import App, running
from tests.support.serving import HANG, until

QUESTION = "how many customers are there"


def level(app: App, name: str, database: str) -> float | None:
    app.rooms.telemetry.fold(readings=True)
    found: float | None = app.rooms.metrics.registry.get_sample_value(f"sql_synthesizer_{name}", {"database": database})
    return found


def test_one_full_pool_of_two(app_settings: dict[str, Any], demo_path: Path) -> None:
    entry = {"url": f"sqlite:///{demo_path}", "pool_size": 1}
    app_settings["databases_file"].write_text(json.dumps({"databases": {"shop": entry, "books": entry}}))
    with running(load(**app_settings, pool_wait=0.1, value_index=False)) as app:
        for name in ("shop", "books"):
            assert app.ask(QUESTION, database=name).status_code == 200
        pools = app.rooms.databases._pools
        until(lambda: all(pool.slots._value == 1 for pool in pools.values()))
        with app.rooms.databases.connect("books", HANG):
            assert (level(app, "connection_pool_use_ratio", "books"), level(app, "active_connections", "books")) == (
                1,
                None,
            )
            assert level(app, "connection_pool_use_ratio", "shop") == 0
            for name, status in (("books", 503), ("shop", 200)):
                assert app.ask("how many orders are there", database=name).status_code == status
        assert app.counted("database_queries_total", database="books", success="error") == 1
        assert app.counted("database_queries_total", success="error") == app.counted("queries_total", success="error")
        assert app.counted("database_queries_total", database="shop") == 2
        assert app.counted("connection_timeouts_total", database="shop") == 0
        assert app.counted("connection_timeouts_total", database="books") == 1
        assert app.counted("database_query_duration_seconds_count", database="books") == 1
        assert app.counted("label_values_refused_total") == 0


def test_one_dead_database_of_two_is_told_at_once_by_its_name(
    app_settings: dict[str, Any], demo_path: Path, tmp_path: Path
) -> None:
    file = tmp_path / "books.sqlite"
    shutil.copy(demo_path, file)
    entries = {"shop": {"url": f"sqlite:///{demo_path}"}, "books": {"url": f"sqlite:///{file}"}}
    app_settings["databases_file"].write_text(json.dumps({"databases": entries}))
    with running(load(**app_settings, value_index=False)) as app:
        ready = [app.get("/health/ready").status_code]
        away = file.rename(tmp_path / "away.sqlite")
        app.rooms.health.check()
        health = app.get("/health")
        assert (health.status_code, health.get_json()["status"]) == (200, "degraded")
        assert health.get_json()["checks"]["database_books"] == "unhealthy"
        away.rename(file)  # whoever looks now would find it
        reply = app.ask(QUESTION, database="books")
        assert (reply.status_code, reply.get_json()["reason"]) == (503, "database_unavailable")
        assert reply.get_json()["message"] == "The database books cannot be reached."
        assert app.ask(QUESTION, database="shop").status_code == 200
        ready.append(app.get("/health/ready").status_code)
        app.rooms.health.check()
        assert app.get("/health").get_json()["status"] == "healthy"
        until(lambda: app.ask(QUESTION, database="books").status_code == 200)
        for path in (demo_path, file):
            path.rename(path.with_suffix(".away"))
        try:
            app.rooms.health.check()
            ready.append(app.get("/health/ready").status_code)
        finally:
            demo_path.with_suffix(".away").rename(demo_path)
        assert ready == [200, 200, 503]


def test_the_series_of_every_database_are_there_from_the_start(app: App) -> None:
    text = generate_latest(app.rooms.metrics.read_fresh()).decode()
    assert 'database_queries_total{database="shop",success="error"} 0.0' in text
    assert 'connection_timeouts_total{database="shop"} 0.0' in text
