"""Wake-ups of workers through Redis: they come at once, and when Redis is gone polling goes on."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from sql_synthesizer.errors import ConfigurationError
from sql_synthesizer.jobs import worker as module
from sql_synthesizer.jobs.bell import RedisBell
from sql_synthesizer.settings import load
from tests.support.app import App, running
from tests.support.app import app_settings as app_settings
from tests.support.app import demo_path as demo_path
from tests.support.caches import Server
from tests.support.caches import own_redis as own_redis
from tests.support.serving import until

pytestmark = pytest.mark.server
COUNT = "how many customers are there"


@pytest.fixture
def app(app_settings: dict[str, Any], own_redis: Server) -> Iterator[App]:
    woken = {"job_wakeups": "redis", "redis_url": own_redis.url, "cache_timeout": 2, "cache": "off"}
    with running(load(**app_settings, **woken)) as app:
        yield app


def submit_and_wait(app: App) -> None:
    job = app.post("/api/jobs", {"questions": [COUNT]}).get_json()
    until(lambda: app.rooms.jobs.store.get_job(job["id"]).ended_at)  # type: ignore[union-attr]


def test_a_job_wakes_a_worker_and_without_redis_it_looks(
    app: App, own_redis: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "POLL", 3600.0)  # nothing is found by looking
    worker = app.rooms.job_worker(1)
    thread = threading.Thread(target=worker.run)
    thread.start()
    try:
        until(lambda: app.rooms.jobs.bell._redis.pubsub_numsub("sql-synthesizer:jobs")[0][1] == 1)  # type: ignore[union-attr]
        submit_and_wait(app)
        submit_and_wait(app)
        own_redis.stop()
        monkeypatch.setattr(module, "POLL", 0.02)
        worker.wake()
        submit_and_wait(app)
    finally:
        worker.stop()
        thread.join(60)
    assert not thread.is_alive()


def test_nobody_waits_for_a_bell_that_nothing_carries() -> None:
    bell = RedisBell("redis://127.0.0.1:1/0", 0.1)
    for _ in range(100):
        bell.ring()
    bell.close()


@pytest.mark.parametrize("url", [None, "memcached://x"])
def test_a_bell_needs_redis(url: str | None) -> None:
    with pytest.raises(ConfigurationError):
        RedisBell(url, 1)
