"""The service's own state on SQLite and PostgreSQL, and rows to put into it."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine

from sql_synthesizer.model import ApiKey, Role
from sql_synthesizer.store import HistoryEntry, Store

JOB_TABLES = ("jobs", "job_questions", "job_claims", "job_workers", "job_owners", "schedules")
TABLES = ("api_keys", "history", "feedback", "meta", "schema_version", "team_usage", *JOB_TABLES)


def key(name: str = "k1", **changes: Any) -> ApiKey:
    return ApiKey(
        **{
            "id": name,
            "label": "laptop",
            "role": Role.ANALYST,
            "salt": "5a",
            "digest": "d1",
            "created_at": 1.0,
            **changes,
        }
    )


def entry(name: str = "q1", **changes: Any) -> HistoryEntry:
    values = {
        "question_id": name,
        "identity": "k1",
        "database": "shop",
        "question": "how many?",
        "sql": "SELECT 1",
        "source": "rules",
        "outcome": "answered",
        "row_count": 1,
        "asked_at": time.time(),
    }
    return HistoryEntry(**{**values, **changes})


def wipe(url: str) -> str:
    engine = create_engine(url)
    with engine.begin() as connection:
        for table in TABLES:
            connection.exec_driver_sql(f"DROP TABLE IF EXISTS {table}")
    engine.dispose()
    return url


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.server)])
def url(request: pytest.FixtureRequest) -> str | None:
    return wipe(request.getfixturevalue("postgres_url")) if request.param == "postgresql" else None


@pytest.fixture
def open_store(tmp_path: Path) -> Iterator[Callable[..., Store]]:
    with contextlib.ExitStack() as stack:

        def opened(url: str | None = None, directory: Path = tmp_path) -> Store:
            return stack.enter_context(contextlib.closing(Store(url, directory)))

        yield opened


@pytest.fixture
def store(url: str | None, open_store: Callable[..., Store]) -> Store:
    return open_store(url)


def change_store(path: Path, statement: str) -> None:
    with contextlib.closing(sqlite3.connect(path)) as other:
        other.execute(statement)
