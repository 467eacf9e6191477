"""Health: states, time limits, readings, draining."""

from __future__ import annotations

import threading
from datetime import datetime

import pytest

from sql_synthesizer.monitoring.health import Health
from sql_synthesizer.telemetry import Reading, Telemetry, vocabulary
from sql_synthesizer.telemetry.testing import MemoryObserver
from tests.support.serving import HANG, until

SECRET = "postgresql://admin:hunter2@db/shop refused"


@pytest.fixture
def facade():
    facade = Telemetry()
    facade.observers.append(MemoryObserver())
    return facade


@pytest.fixture
def health(facade):
    health = Health(facade, interval=0.01, limit=HANG)
    yield health
    health.close()


def well(limit):
    assert limit > 0


def broken(limit):
    raise ConnectionError(SECRET)


def levels(facade):
    facade.fold(readings=True)
    found = [f for f in facade.observers[0].facts if isinstance(f, Reading) and f.type is vocabulary.DEPENDENCY_UP]
    return {f.labels["dependency"]: f.value for f in found}


@pytest.mark.parametrize(
    ("required", "optional", "status", "word", "checks", "ready"),
    [
        (well, well, 200, "healthy", {"database": "healthy", "cache": "healthy"}, 200),
        (well, broken, 200, "degraded", {"database": "healthy", "cache": "degraded"}, 200),
        (broken, well, 503, "unhealthy", {"database": "unhealthy", "cache": "healthy"}, 503),
        (broken, broken, 503, "unhealthy", {"database": "unhealthy", "cache": "degraded"}, 503),
    ],
)
def test_what_is_said(health, facade, required, optional, status, word, checks, ready):
    health.register("database", required, required=True)
    health.register("cache", optional, required=False)
    body, given = health.health_reply()
    assert (given, body["status"], body["checks"]) == (status, word, checks)
    assert datetime.fromisoformat(body["timestamp"]).tzinfo is not None
    assert health.readiness_reply()[1] == ready
    assert health.liveness_reply() == ({"status": "alive"}, 200)
    assert SECRET not in str((body, health.readiness_reply()))
    assert levels(facade) == {"database": float(required is well), "cache": float(optional is well)}


@pytest.mark.parametrize(
    ("shop", "books", "status", "word", "reasons"),
    [
        (well, well, 200, "healthy", []),
        (well, broken, 200, "degraded", []),
        (broken, broken, 503, "unhealthy", ["database_shop is unhealthy", "database_books is unhealthy"]),
    ],
)
def test_one_of_a_group_is_enough(health, shop, books, status, word, reasons):
    health.register("database_shop", shop, required=True, group="databases")
    health.register("database_books", books, required=True, group="databases")
    body, given = health.health_reply()
    assert (given, body["status"]) == (status, word)
    assert body["checks"]["database_books"] == ("healthy" if books is well else "unhealthy")
    assert health.readiness_reply()[0].get("reasons", []) == reasons
    health.register("store", broken, required=True)
    assert "store is unhealthy" in health.readiness_reply()[0]["reasons"], "what is in no group is needed by itself"


def test_a_service_without_dependencies_is_healthy(health):
    assert health.health_reply()[1] == 200
    assert health.readiness_reply() == ({"status": "ready"}, 200)


def test_names_become_label_values(health, facade):
    health.register("database_warehouse", well, required=True)
    assert facade.declared.values(vocabulary.DEPENDENCY) == ("database_warehouse",)


def test_a_hanging_ping_is_down_alone_and_does_not_pile_up(facade):
    health = Health(facade, limit=1.0)
    release, begun, ended = threading.Event(), [], []

    def hang(limit):
        begun.append(1)
        release.wait(HANG)
        ended.append(1)

    health.register("database", hang, required=True)
    health.register("store", well, required=True)
    assert health.health_reply()[0]["checks"] == {"database": "unhealthy", "store": "healthy"}
    health.check()
    assert (begun, ended) == ([1], []), "the answer does not wait for what hangs, and nothing is asked again"
    release.set()
    until(lambda: health.check() or health.health_reply()[1] == 200)
    assert len(begun) == 2


def test_the_first_answer_waits_for_one_round_only(health):
    asked = []
    health.register("database", asked.append, required=True)
    for _ in range(5):
        health.readiness_reply()
        health.health_reply()
    assert len(asked) == 1


def test_rounds_run_in_the_background_and_see_recovery(health, caplog):
    caplog.set_level("INFO")
    down = threading.Event()
    down.set()

    def ping(limit):
        (broken if down.is_set() else well)(limit)

    health.register("database", ping, required=True)
    assert health.readiness_reply() == ({"status": "not ready", "reasons": ["database is unhealthy"]}, 503)
    health.start()
    health.start()
    down.clear()
    until(lambda: health.readiness_reply()[1] == 200)
    health.close()
    messages = [record.getMessage() for record in caplog.records]
    assert messages == ["database is down: ConnectionError", "database is up again"]


def test_draining_turns_readiness_only():
    drains: list[bool] = []
    health = Health(Telemetry(), draining=lambda: bool(drains))
    health.register("database", well, required=True)
    assert health.readiness_reply()[1] == 200
    drains.append(True)
    assert health.readiness_reply() == ({"status": "not ready", "reasons": ["draining"]}, 503)
    assert health.health_reply()[1] == health.liveness_reply()[1] == 200
