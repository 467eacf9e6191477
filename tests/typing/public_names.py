"""Code outside this product, as a type checker sees it: checked against the installed wheel, never run."""

from __future__ import annotations

from pathlib import Path
from typing import assert_type

from flask import Flask
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from sql_synthesizer import AsyncQueryAgent, QueryAgent, __version__
from sql_synthesizer.database import DatabaseManager
from sql_synthesizer.errors import SqlSynthesizerError
from sql_synthesizer.model import Answer
from sql_synthesizer.monitoring.metrics import (
    ACTIVE_CONNECTIONS,
    METRICS_REGISTRY,
    QUERY_DURATION,
    QUERY_TOTAL,
    get_metrics,
    track_query_metrics,
    track_security_event,
)
from sql_synthesizer.security_audit import SecurityAuditLogger
from sql_synthesizer.settings import Settings, load
from sql_synthesizer.telemetry import Event, Telemetry, carry, default, vocabulary
from sql_synthesizer.telemetry.testing import MemoryObserver, MemoryRecorder
from sql_synthesizer.webapp import create_app
from sql_synthesizer.wiring import Rooms, build_rooms


@track_query_metrics("select", "sqlite")
def count_rows(table: str) -> int:
    return len(table)


@track_query_metrics("select", "sqlite")
async def count_rows_later(table: str) -> int:
    return len(table)


async def names(directory: Path) -> None:
    assert_type(__version__, str)
    assert_type(count_rows("customers"), int)
    assert_type(await count_rows_later("customers"), int)
    assert_type(get_metrics(), str)
    assert_type(track_security_event("csrf_failure", "medium"), None)
    assert_type(METRICS_REGISTRY, CollectorRegistry)
    assert_type(QUERY_DURATION, Histogram)
    assert_type(QUERY_TOTAL, Counter)
    assert_type(ACTIVE_CONNECTIONS, Gauge)
    assert_type(SecurityAuditLogger(directory=directory).log_event("login_failed", {"cause": "x"}, "high"), None)

    settings = load(state_dir=directory)
    assert_type(settings, Settings)
    rooms = build_rooms(settings)
    assert_type(rooms, Rooms)
    assert_type(rooms.databases, DatabaseManager)
    assert_type(rooms.telemetry, Telemetry)
    assert_type(default, Telemetry)
    app: Flask = create_app(rooms=rooms)
    app.config.update(TESTING=True)

    with QueryAgent("reports", settings, rate_limit="none") as agent:
        assert_type(agent.ask("how many", max_rows=5, user="alice", traceparent=None), Answer)
        assert_type(agent.ask_many(["how many"], at_once=2), list[Answer | SqlSynthesizerError])
        for index, result in agent.stream(iter(["how many"])):
            assert_type((index, result), tuple[int, Answer | SqlSynthesizerError])
        assert_type(carry(agent.ask)("how many"), Answer)
    async with AsyncQueryAgent("reports") as later:
        assert_type(await later.ask("how many", database="shop"), Answer)
        assert_type(await later.ask_many(["how many"]), list[Answer | SqlSynthesizerError])
        async for index, result in later.stream(["how many"]):
            assert_type((index, result), tuple[int, Answer | SqlSynthesizerError])

    observer, recorder = MemoryObserver(), MemoryRecorder()
    rooms.telemetry.observers.append(observer)
    rooms.telemetry.recorder = recorder
    assert_type(rooms.telemetry.emit(vocabulary.FEEDBACK, rating="up"), Event)
    assert_type(observer.events("feedback"), list[Event])
    try:
        rooms.telemetry.settle()
    except SqlSynthesizerError as error:
        assert_type(error.reason, str)
        assert_type(error.status, int)
