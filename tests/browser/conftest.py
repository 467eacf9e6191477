"""A served application and a page that notices every fault a person would not see."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, expect, sync_playwright
from werkzeug.serving import WSGIRequestHandler, make_server

from sql_synthesizer.demo import create_demo, demo_settings
from sql_synthesizer.settings import load
from sql_synthesizer.telemetry import Telemetry
from sql_synthesizer.webapp import create_app
from sql_synthesizer.wiring import Rooms, build_rooms
from tests.support import program
from tests.support.serving import HANG

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

expect.set_options(timeout=HANG * 1000)
MARKUP = '<img src="x" onerror="window.struck=1">'
CHROMIUM_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-quic",
]


@dataclass(frozen=True)
class LiveApp:
    """A served application."""

    address: str
    rooms: Rooms


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.browser)


def _odd_database(path: Path) -> None:
    """Rows that are hard to show: markup, nulls, long texts, large numbers, a year of days."""
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE memos (id INTEGER PRIMARY KEY, title TEXT, rating REAL, serial INTEGER)")
        connection.execute(f"CREATE TABLE {_quoted(MARKUP)} (id INTEGER PRIMARY KEY, {_quoted(MARKUP + 'c')} TEXT)")
        connection.execute("CREATE VIEW broken AS SELECT * FROM gone")
        connection.execute("CREATE TABLE sales (day DATE PRIMARY KEY, region TEXT, amount INTEGER)")
        connection.executemany(
            "INSERT INTO memos (title, rating, serial) VALUES (?, ?, ?)",
            [(MARKUP, 0.1 + 0.2, 9007199254740993), (None, None, 2), ("", 3.5, 3), ("long " * 60, -1.25, 4)],
        )
        days = [(f"2025-{n // 28 + 1:02}-{n % 28 + 1:02}", f"region {n % 4}", n * 3 % 50) for n in range(90)]
        connection.executemany("INSERT INTO sales VALUES (?, ?, ?)", days)
    connection.close()


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _databases_file(directory: Path) -> Path:
    create_demo(directory / "shop.sqlite")
    _odd_database(directory / "odd.sqlite")
    shop = demo_settings(directory / "shop.sqlite")
    listed = {
        "shop": {
            "url": shop.url.get_secret_value(),
            "sensitive": list(shop.sensitive),
            "shareable": list(shop.shareable),
        },
        "odd": {"url": f"sqlite:///{directory / 'odd.sqlite'}"},
    }
    path = directory / "databases.yml"
    path.write_text(yaml.safe_dump({"databases": listed}, sort_keys=False), encoding="utf-8")
    return path


class _Handler(WSGIRequestHandler):
    """A connection for each request: from one that stays open, werkzeug reads the next request away, and hangs."""

    protocol_version = "HTTP/1.0"


class _Gate:
    """Lets requests through until it is closed; the server's threads outlive it, and may not meet a closed application.

    A response is taken whole, since werkzeug does not close it where the browser has gone away.
    """

    def __init__(self, application: WSGIApplication) -> None:
        self._application = application
        self._changed = threading.Condition()
        self._running = 0
        self._closed = False

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        with self._changed:
            if self._closed:
                start_response("503 Service Unavailable", [])
                return []
            self._running += 1
        try:
            with closing(self._application(environ, start_response)) as parts:  # type: ignore[type-var]
                return [b"".join(parts)]
        finally:
            with self._changed:
                self._running -= 1
                self._changed.notify()

    def close(self) -> None:
        """Returns when every response has been made; no further one is."""
        with self._changed:
            assert self._changed.wait_for(lambda: not self._running, HANG)
            self._closed = True


@contextmanager
def _served(directory: Path, databases: Path, **settings: object) -> Iterator[LiveApp]:
    rooms = build_rooms(load(state_dir=directory, databases_file=databases, rate_limit="", **settings), Telemetry())
    gate = _Gate(create_app(rooms=rooms))
    server = make_server("127.0.0.1", 0, gate, threaded=True, request_handler=_Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield LiveApp(f"http://127.0.0.1:{server.server_port}", rooms)
    finally:
        server.shutdown()
        thread.join()
        gate.close()
        server.server_close()
        rooms.close()


@pytest.fixture(scope="package")
def databases_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Settings of two databases: the demo shop and one with odd rows."""
    return _databases_file(tmp_path_factory.mktemp("databases"))


@pytest.fixture(scope="package")
def live_app(tmp_path_factory: pytest.TempPathFactory, databases_file: Path) -> Iterator[LiveApp]:
    """The application, open on loopback."""
    with _served(tmp_path_factory.mktemp("open"), databases_file) as app:
        yield app


@pytest.fixture(scope="package")
def locked_app(tmp_path_factory: pytest.TempPathFactory, databases_file: Path) -> Iterator[LiveApp]:
    """The application, with keys required."""
    with _served(tmp_path_factory.mktemp("locked"), databases_file, auth="required") as app:
        yield app


@pytest.fixture(scope="package")
def chromium() -> Iterator[Browser]:
    """The system's Chromium."""
    path = program("chromium", "chromium-browser", "google-chrome")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=CHROMIUM_FLAGS)
        yield browser
        browser.close()


class Watch:
    """Collects what must not happen in a page: console errors, exceptions, requests to other hosts."""

    def __init__(self, context: BrowserContext, address: str) -> None:
        self.faults: list[str] = []
        self._address = address
        context.on("console", self._console)
        context.on("weberror", lambda error: self.faults.append(str(error.error)))
        context.on("request", lambda request: self._request(request.url))

    def _console(self, message: ConsoleMessage) -> None:
        # The browser logs every reply of 400 and above; the tests of problems cause those.
        if message.type in ("error", "warning") and not message.text.startswith("Failed to load resource"):
            self.faults.append(message.text)

    def _request(self, url: str) -> None:
        if not url.startswith((self._address + "/", "blob:" + self._address)):
            self.faults.append(f"request to {url}")


OpenPage = Callable[..., Page]


@pytest.fixture
def open_page(chromium: Browser) -> Iterator[OpenPage]:
    """Opens a page of an application in a context of its own; the test fails if the page had faults."""
    contexts: list[tuple[BrowserContext, Watch]] = []

    def visit(app: LiveApp, path: str = "/", width: int = 1280, **options: object) -> Page:
        context = chromium.new_context(viewport={"width": width, "height": 800}, **options)
        context.set_default_timeout(HANG * 1000)
        contexts.append((context, Watch(context, app.address)))
        page = context.new_page()
        page.goto(app.address + path)
        return page

    yield visit
    faults = [fault for _context, watch in contexts for fault in watch.faults]
    for context, _watch in contexts:
        context.close()
    assert faults == []


@pytest.fixture
def page(open_page: OpenPage, live_app: LiveApp) -> Page:
    """The page at ``/``, with its schema shown."""
    page = open_page(live_app)
    page.locator("#schema .table").first.wait_for()
    return page
