"""Access over a store of its own, and what it recorded."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import redis

from sql_synthesizer.access import Access, Credentials
from sql_synthesizer.errors import SqlSynthesizerError
from sql_synthesizer.settings import Settings
from sql_synthesizer.store import Store
from sql_synthesizer.telemetry import Event, Telemetry
from sql_synthesizer.telemetry.testing import MemoryRecorder
from tests.support.caches import Server

REMOTE = Credentials(address="192.0.2.7", host="sql.example.org")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with contextlib.closing(Store(None, tmp_path)) as store:
        yield store


@pytest.fixture
def recorder() -> MemoryRecorder:
    return MemoryRecorder()


@pytest.fixture
def make(store: Store, recorder: MemoryRecorder) -> Callable[..., Access]:
    def made(**settings: Any) -> Access:
        telemetry = Telemetry()
        telemetry.recorder = recorder
        return Access(Settings(**settings), store, telemetry)

    return made


@pytest.fixture
def access(make: Callable[..., Access]) -> Access:
    return make(auth="required", failed_login_limit="")


def events_named(recorder: MemoryRecorder, name: str) -> list[Event]:
    return [event for event in recorder.records if event.type.name == name]


def with_key(key: str | None, credentials: Credentials = REMOTE) -> Credentials:
    return replace(credentials, key=key)


def id_of(key: str) -> str:
    return key.split("_")[1]


def wrong(key: str) -> str:
    return key[:-2] + ("AA" if not key.endswith("AA") else "BB")


@pytest.fixture(params=["memory", pytest.param("redis", marks=pytest.mark.server)])
def limits(request: pytest.FixtureRequest) -> dict[str, Any]:
    if request.param == "memory":
        return {"rate_limit_storage": "memory"}
    server: Server = request.getfixturevalue("own_redis")
    return {"rate_limit_storage": "redis", "redis_url": server.url, "cache_timeout": 2}


def refused(step: Callable[[], Any]) -> type[SqlSynthesizerError] | None:
    try:
        step()
    except SqlSynthesizerError as error:
        return type(error)
    return None


def later(access: Access, seconds: float) -> None:
    """Makes everything that is counted so much older."""
    memory = access._counter._memory.storage
    for name, (count, end) in list(memory._windows.items()):
        memory._windows[name] = (count, end - seconds)
    if access._counter.shared:
        server: redis.Redis = access._counter.shared.storage.get_connection()
        for key in server.scan_iter():
            server.pexpire(key, server.pttl(key) - int(seconds * 1000))
