"""What a question costs through the WSGI application, beside a bare Flask endpoint.

Usage: python -m benchmarks.question [--rounds N] [--calls N] [--directory DIR] [--json FILE] [--instructions]
The database is the demo shop on SQLite. "Everything on" is metrics, spans sent over OTLP to a collector that takes
and forgets them, log lines and the audit record.
"""

from __future__ import annotations

import argparse
import io
import math
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import orjson
from flask import Flask, request

from benchmarks import harness
from sql_synthesizer.monitoring.http_server import HttpHandler, HttpServer
from sql_synthesizer.settings import load
from sql_synthesizer.webapp import create_app
from sql_synthesizer.wiring import build_rooms

CACHED = "how many customers are there"
UNCACHED = "how many products have price over {}"
QUESTIONS = {"cached": lambda: iter(lambda: CACHED, None), "uncached": lambda: map(UNCACHED.format, count(1))}
MODES: dict[str, dict[str, Any]] = {
    "telemetry off": {"telemetry": False},
    "everything on, audit batched": {"audit_mode": "batched"},
    "everything on, audit strict": {"audit_mode": "strict"},
}
FLASK = "Flask POST"

WsgiApp = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


def post(app: WsgiApp, path: str, body: bytes) -> tuple[str, bytes]:
    """One request, without a server and without a test client: (status line, body)."""
    status: list[str] = []
    environ = {
        "REQUEST_METHOD": "POST",
        "SCRIPT_NAME": "",
        "PATH_INFO": path,
        "QUERY_STRING": "",
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "5000",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "HTTP_HOST": "127.0.0.1:5000",
        "REMOTE_ADDR": "127.0.0.1",
        "CONTENT_TYPE": "application/json",
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": io.StringIO(),
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    reply = app(environ, lambda line, _headers, _exc_info=None: status.append(line))
    try:
        return status[0] if status else "", b"".join(reply)
    finally:
        close = getattr(reply, "close", None)
        if close is not None:
            close()


def product(mode: dict[str, Any], questions: Callable[[], Iterator[str]]) -> harness.Arm:
    settings = load(state_dir=Path(tempfile.mkdtemp()), rate_limit="", **mode)
    rooms = build_rooms(settings)
    if not settings.telemetry:
        rooms.telemetry.recorder = None
    app = create_app(rooms=rooms)
    texts = questions()

    def work(n: int) -> None:
        for _, text in zip(range(n), texts, strict=False):
            status, body = post(app, "/api/query", orjson.dumps({"question": text}))
            if not status.startswith("200"):
                raise RuntimeError(f"{status} {body!r}")
        rooms.telemetry.fold()
        rooms.audit.flush()

    return work


def bare() -> harness.Arm:
    app = Flask("bare")

    @app.post("/api/query")
    def query() -> dict[str, Any]:
        return {"question": request.get_json()["question"], "rows": [[1]]}

    def work(n: int) -> None:
        for _ in range(n):
            post(app, "/api/query", orjson.dumps({"question": CACHED}))

    return work


def arms() -> dict[str, harness.Arm]:
    found = {FLASK: harness.lazily(bare)}
    for kind, questions in QUESTIONS.items():
        for name, mode in MODES.items():
            found[f"{kind}, {name}"] = harness.lazily(lambda mode=mode, questions=questions: product(mode, questions))
    return found


class Collector(HttpHandler):
    """Takes spans and forgets them."""

    protocol_version = "HTTP/1.1"
    timeout = None

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_reply(200)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--calls", type=int, default=500)
    parser.add_argument("--directory", type=Path)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--instructions", action="store_true")
    options = parser.parse_args()
    with (
        HttpServer(Collector, None, limit=math.inf) as collector,
        tempfile.TemporaryDirectory(dir=options.directory) as home,
    ):
        os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"] = f"http://127.0.0.1:{collector.port}"
        os.environ["TMPDIR"] = home
        found = harness.apart("benchmarks.question", list(arms()), options.calls, options.rounds)
        for base in (FLASK, *(f"{kind}, telemetry off" for kind in QUESTIONS)):
            kind = base.partition(",")[0]
            chosen = {name: values for name, values in found.items() if base == FLASK or name.startswith(kind + ",")}
            title = f"CPU of a question, against {base}"
            harness.publish(title, "CPU us", harness.rows(chosen, base), base, options.json)
        if options.instructions:
            for name in arms():
                number = harness.instructions("benchmarks.question", name, 200)
                print(f"{name}: " + ("valgrind is not installed" if number is None else f"{number:.0f} instructions"))


if __name__ == "__main__":
    main()
