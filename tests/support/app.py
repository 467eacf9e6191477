"""A whole application in this process, on a demo database and listeners of its own."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from sql_synthesizer.audit import read_records
from sql_synthesizer.demo import create_demo
from sql_synthesizer.settings import Settings, load
from sql_synthesizer.webapp import create_app
from sql_synthesizer.wiring import Rooms, build_rooms

LOCAL = {"HTTP_HOST": "127.0.0.1:5000", "REMOTE_ADDR": "127.0.0.1"}


class App:
    """A test client that also knows what was counted and recorded since it was made."""

    def __init__(self, rooms: Rooms) -> None:
        self.rooms = rooms
        self.flask = create_app(rooms=rooms)
        self.client: FlaskClient = self.flask.test_client()
        self._before = self._samples()

    def get(self, path: str, **kwargs: Any) -> TestResponse:
        return self.client.get(path, environ_overrides=LOCAL, **kwargs)

    def post(self, path: str, body: Any = None, **kwargs: Any) -> TestResponse:
        if body is not None:
            kwargs["json"] = body
        return self.client.post(path, environ_overrides=LOCAL, **kwargs)

    def ask(self, question: str, **more: Any) -> TestResponse:
        return self.post("/api/query", {"question": question, **more})

    def counted(self, name: str, **labels: str) -> float:
        """How much a counter grew, summed over the label sets that have these labels."""
        now = self._samples()
        return sum(
            value - self._before.get(key, 0.0)
            for key, value in now.items()
            if key[0] == "sql_synthesizer_" + name and set(labels.items()) <= set(key[1])
        )

    def records(self, event_type: str | None = None) -> list[dict[str, Any]]:
        """The durable audit records."""
        found = list(read_records(self.rooms.settings.audit_path))
        return [record for record in found if event_type in (None, record["event_type"])]

    def _samples(self) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
        families = self.rooms.metrics.read_fresh().collect()  # as a scrape reads them, without the text
        return {(s.name, tuple(sorted(s.labels.items()))): s.value for family in families for s in family.samples}


@contextmanager
def running(settings: Settings) -> Iterator[App]:
    """An application with these settings, closed at the end."""
    rooms = build_rooms(settings)
    try:
        yield App(rooms)
    finally:
        rooms.close()


@pytest.fixture(scope="session")
def demo_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One demo database for the whole session; it is only ever read."""
    path = tmp_path_factory.mktemp("demo") / "shop.sqlite"
    create_demo(path)
    return path


@pytest.fixture
def app_settings(demo_path: Path, tmp_path: Path) -> dict[str, Any]:
    """Settings of an application on the demo database, to be varied."""
    databases = tmp_path / "databases.yml"
    entry = {"url": f"sqlite:///{demo_path}", "sensitive": ["customers.email", "customers.phone"]}
    databases.write_text(json.dumps({"databases": {"shop": entry}}))
    return {"state_dir": tmp_path / "state", "databases_file": databases, "rate_limit": ""}


@pytest.fixture
def app(app_settings: dict[str, Any]) -> Iterator[App]:
    """The application with the embedded defaults."""
    with running(load(**app_settings)) as made:
        yield made
