"""What tracing adds to a question, and beside it what OpenTelemetry's own instrumentation adds to the same requests.

Usage: python -m benchmarks.tracing [--rounds N] [--calls N] [--json FILE] [--beside]
The database is the demo shop on SQLite, the collector takes spans and forgets them; metrics, log lines and the audit
record are on in every arm. ``--beside`` measures a small Flask application with SQLAlchemy: untraced, with the
instrumentation of Flask and SQLAlchemy, and with operations of ours, at the same number of spans and with the same
exporter; it needs opentelemetry-instrumentation-flask and -sqlalchemy, which the service does not use.
"""

from __future__ import annotations

import argparse
import math
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from flask import Flask
from sqlalchemy import Engine, StaticPool, create_engine, text

from benchmarks import harness
from benchmarks.question import QUESTIONS, Collector, post, product
from sql_synthesizer.monitoring.http_server import HttpServer
from sql_synthesizer.monitoring.tail import TailObserver
from sql_synthesizer.monitoring.tracing import SpanExport
from sql_synthesizer.settings import load
from sql_synthesizer.telemetry import Telemetry, vocabulary

ENDPOINT = "BENCH_COLLECTOR"
OFF = "no tracing"
MODES: dict[str, dict[str, Any]] = {
    OFF: {"trace_ratio": 0.0, "trace_store_bytes": 0},
    "collector, ratio 0.1": {"trace_ratio": 0.1, "trace_store_bytes": 0, "otlp": True},
    "collector, ratio 1.0": {"trace_ratio": 1.0, "trace_store_bytes": 0, "otlp": True},
    "store, ratio 0 (failed and slow alone)": {"trace_ratio": 0.0},
    "store, ratio 0.1": {"trace_ratio": 0.1},
    "store, ratio 1.0": {"trace_ratio": 1.0},
    "store and collector, ratio 1.0": {"trace_ratio": 1.0, "otlp": True},
}
STATEMENTS = 5
"""Statements of a request, and so spans below that of the request."""
UNTRACED, OURS, THEIRS = "untraced", "operations of the service", "OpenTelemetry's instrumentation"


def mode(settings: dict[str, Any]) -> dict[str, Any]:
    """The settings of an arm, with the collector's address where it has one."""
    given = {"audit_mode": "batched", **settings}
    if given.pop("otlp", False):
        given["otlp_endpoint"] = os.environ[ENDPOINT]
    return given


def arms() -> dict[str, harness.Arm]:
    """Every arm of both parts."""
    found = {
        f"{kind}, {name}": harness.lazily(lambda settings=settings, kind=kind: product(mode(settings), QUESTIONS[kind]))
        for kind in QUESTIONS
        for name, settings in MODES.items()
    }
    return found | {name: harness.lazily(make) for name, make in BESIDE.items()}


def serve(run: Callable[[Engine, int], object], engine: Engine, flask: Flask) -> harness.Arm:
    """Requests to an application that runs some statements."""

    @flask.post("/api/query")
    def query() -> dict[str, Any]:
        return {"rows": [run(engine, number) for number in range(STATEMENTS)]}

    def work(n: int) -> None:
        for _ in range(n):
            status, _body = post(flask.wsgi_app, "/api/query", b"{}")
            assert status.startswith("200"), status

    return work


def make_engine() -> Engine:
    return create_engine("sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False})


def run_statement(engine: Engine, number: int) -> object:
    with engine.connect() as connection:
        return connection.execute(text("SELECT :number"), {"number": number}).scalar()


def untraced() -> harness.Arm:
    return serve(run_statement, make_engine(), Flask("untraced"))


def theirs() -> harness.Arm:
    # ruff: noqa: PLC0415  # it is not installed with the service
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.instrumentation.flask import FlaskInstrumentor
    from opentelemetry.instrumentation.sqlalchemy import SQLAlchemyInstrumentor
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(f"{os.environ[ENDPOINT]}/v1/traces")))
    flask, engine = Flask("theirs"), make_engine()
    FlaskInstrumentor().instrument_app(flask, tracer_provider=provider)
    SQLAlchemyInstrumentor().instrument(engine=engine, tracer_provider=provider, skip_dep_check=True)
    work = serve(run_statement, engine, flask)

    def flushed(n: int) -> None:
        work(n)
        provider.force_flush()

    return flushed


def ours() -> harness.Arm:
    facade = Telemetry()
    settings = load(otlp_endpoint=os.environ[ENDPOINT])
    facade.observers.append(TailObserver(settings, facade, [SpanExport(settings, facade)]))
    facade.start()
    flask = Flask("ours")

    def traced(engine: Engine, number: int) -> object:
        with facade.operation(vocabulary.STAGE_OPERATION, stage="execute") as stage:
            stage.details.database_type, stage.details.database = "sqlite", "shop"
            return run_statement(engine, number)

    @flask.before_request
    def begin() -> None:
        flask.extensions["open"] = facade.operation(vocabulary.HTTP_REQUEST, method="POST", route="/api/query")
        flask.extensions["open"].__enter__()

    @flask.teardown_request
    def end(error: BaseException | None) -> None:
        flask.extensions["open"].close(error)

    work = serve(traced, make_engine(), flask)

    def folded(n: int) -> None:
        work(n)
        facade.fold()

    return folded


BESIDE: dict[str, Callable[[], harness.Arm]] = {UNTRACED: untraced, OURS: ours, THEIRS: theirs}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--calls", type=int, default=300)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--beside", action="store_true")
    options = parser.parse_args()
    with HttpServer(Collector, None, limit=math.inf) as collector, tempfile.TemporaryDirectory() as home:
        os.environ.update({ENDPOINT: f"http://127.0.0.1:{collector.port}", "TMPDIR": home})
        if options.beside:
            found = harness.apart("benchmarks.tracing", list(BESIDE), options.calls, options.rounds)
            title = f"CPU of a request with {STATEMENTS} statements, {STATEMENTS + 1} spans"
            harness.publish(title, "CPU us", harness.rows(found, UNTRACED), UNTRACED, options.json)
            return
        for kind in QUESTIONS:
            names = [f"{kind}, {name}" for name in MODES]
            found = harness.apart("benchmarks.tracing", names, options.calls, options.rounds)
            base = f"{kind}, {OFF}"
            harness.publish(f"CPU of a {kind} question", "CPU us", harness.rows(found, base), base, options.json)


if __name__ == "__main__":
    main()
