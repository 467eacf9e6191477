"""A private instance of the service in this process: web server, worker of jobs, agents and command line on one state.

Everything is the product's own: files, sockets, threads, listeners. What is looked at afterwards is what it left.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import random
import threading
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any
from unittest.mock import patch

import orjson
from click.testing import CliRunner
from prometheus_client import CollectorRegistry

from sql_synthesizer import telemetry
from sql_synthesizer.agent import AsyncQueryAgent, QueryAgent
from sql_synthesizer.audit import read_records
from sql_synthesizer.cli import group
from sql_synthesizer.cli.session import open_rooms
from sql_synthesizer.errors import SqlSynthesizerError
from sql_synthesizer.jobs import worker as jobs_worker
from sql_synthesizer.model import Role
from sql_synthesizer.monitoring import catalog, metrics
from sql_synthesizer.monitoring.logs import LineHandler, LogObserver
from sql_synthesizer.monitoring.observer import MetricsObserver
from sql_synthesizer.monitoring.trace_reading import find_trace
from sql_synthesizer.operate.child import becomes_true
from sql_synthesizer.security_audit import SecurityAuditLogger
from sql_synthesizer.settings import environment_name, load
from sql_synthesizer.telemetry import Fact, Operation, Telemetry, vocabulary
from sql_synthesizer.telemetry.traceparent import format_traceparent
from sql_synthesizer.webapp import create_app
from sql_synthesizer.wiring import Rooms
from sql_synthesizer_proof.coverage.listening import Listening
from sql_synthesizer_proof.coverage.path import Sample
from sql_synthesizer_proof.evidence.embedding import add_routes
from sql_synthesizer_proof.evidence.world import World, WorldReply
from sql_synthesizer_proof.fakes.model_endpoint import FakeOpenAI
from sql_synthesizer_proof.fakes.webhook_receiver import WebhookReceiver

LIMIT = 60.0
"""Seconds within which whatever is waited for comes."""
SHORT = 0.05
"""Seconds until a question of a job is tried again, the first time."""
PATIENCE = 3.0
"""Seconds after which a trace that has not ended will not be told of."""
Counts = dict[tuple[str, frozenset[tuple[str, str]]], float]


class Instance(World):
    """A running instance in ``home`` with these settings; ``model`` writes for it, ``receiver`` takes its webhooks."""

    def __init__(self, home: Path, model: FakeOpenAI, receiver: WebhookReceiver, **settings: Any) -> None:
        self.home, self.model, self.receiver = home, model, receiver
        given = {"state_dir": home / "state", **settings}
        self._given = {name: value for name, value in given.items() if value is not None}
        self.settings = load(**self._given)
        self._closing = ExitStack()
        self._out = home / "lines"
        descriptor = os.open(self._out, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
        self._closing.callback(os.close, descriptor)
        self._descriptor = descriptor
        self._outer = Telemetry()
        self._ended: set[tuple[str, str]] = set()
        self._facades: list[Telemetry] = []
        self.agent = self._closing.enter_context(QueryAgent("coverage", self.settings, role=Role.ANALYST))
        self.rooms = self.agent.rooms
        self._add_log(self.rooms)
        self._async: AsyncQueryAgent | None = None
        app = create_app(rooms=self.rooms)
        self.app = app
        self.routes = list(app.url_map.iter_rules())
        """Of the service itself; those of an application that embeds it come after them."""
        add_routes(app, SecurityAuditLogger(self.rooms.telemetry))
        self.port = self._closing.enter_context(Listening(app)).port
        self.keys = {role: self.rooms.access.keys.create_key(role.value, role) for role in Role}
        super().__init__(
            f"http://127.0.0.1:{self.port}",
            f"http://127.0.0.1:{self.port}",
            self.settings.audit_path,
            self.keys[Role.OPERATOR],
        )
        self._closing.enter_context(_working(self.rooms))
        self.canaries = self.rooms.canaries()
        """The questions with known results, asked when a path is about them."""
        if self.canaries is not None:
            self.canaries.look()

    def close(self) -> None:
        """Ends everything, so that all that it left is written."""
        if self._async is not None:
            asyncio.run(self._async.close())
        self._closing.close()

    @property
    def async_agent(self) -> AsyncQueryAgent:
        """The agent for coroutines, which has rooms of its own on the same state; made when it is first used."""
        if self._async is None:
            self._async = asyncio.run(AsyncQueryAgent("coverage", self.settings, role=Role.ANALYST).start())
            self._add_log(self._async.rooms)
        return self._async

    def _add_log(self, rooms: Rooms) -> None:
        facade = rooms.telemetry
        facade.observers.append(LogObserver(self.settings, facade, LineHandler(facade, self._descriptor)))
        facade.observers.append(_Ended(self._ended))
        self._facades.append(facade)

    @contextmanager
    def command_rooms(self) -> Iterator[Rooms]:
        """The rooms as a command has them, on the facade of this process."""
        environment = {environment_name(name): str(value) for name, value in self._given.items()}
        with CliRunner(env=environment).isolation(), open_rooms() as rooms:
            yield rooms

    # --- one id -------------------------------------------------------------------------------

    @contextmanager
    def new_trace(self) -> Iterator[tuple[str, str]]:
        """A trace that the caller has begun elsewhere: its id, and how it is handed over."""
        with self._outer.operation(vocabulary.COMMAND) as outer:
            yield outer.trace.trace_id, format_traceparent(outer)

    def command(self, *arguments: str, **settings: object) -> tuple[int, str]:
        """Runs the command line in this process, with further settings."""
        given = {**self._given, **settings}
        environment = {environment_name(name): str(value) for name, value in given.items()}
        done = CliRunner().invoke(group, list(arguments), env=environment)
        if isinstance(done.exception, SqlSynthesizerError):
            return 2, done.stdout
        return done.exit_code, done.stdout

    @property
    def facades(self) -> list[Telemetry]:
        """What the rooms of this instance and the commands report to."""
        return [*self._facades, telemetry.default]

    @property
    def metric_observers(self) -> list[MetricsObserver]:
        """The observers that count what is reported to them."""
        made = [self._async.rooms.metrics] if self._async else []
        return [self.rooms.metrics.observer, *(one.observer for one in made), metrics.observer]

    def exists(self, samples: Iterable[Sample]) -> bool:
        """Whether somebody has reported each of these levels."""
        for facade in self._facades:
            facade.fold(readings=True)
        names = {catalog.PREFIX + name for name, _ in samples}
        return {name for name, _ in _read_samples([self.rooms.metrics.registry], names)} >= names

    # --- what it left ---------------------------------------------------------------------------

    def count(self, samples: Iterable[Sample]) -> list[float]:
        """The value of each sample, summed over those that have its labels, of everything that counts here."""
        wanted = list(samples)
        for facade in self._facades:
            facade.fold(readings=True)
        registries = [self.rooms.metrics.registry, metrics.METRICS_REGISTRY]
        registries += [self._async.rooms.metrics.registry] if self._async else []
        found = _read_samples(registries, {catalog.PREFIX + name for name, _ in wanted})
        return [
            sum(
                value
                for (name, labels), value in found.items()
                if name == catalog.PREFIX + sample and given.items() <= dict(labels).items()
            )
            for sample, given in wanted
        ]

    def lines(self) -> list[Mapping[str, Any]]:
        """The lines that were logged."""
        found = []
        for line in self._out.read_bytes().splitlines():
            with suppress(orjson.JSONDecodeError):
                found.append(orjson.loads(line))
        return found

    def stored_records(self) -> list[Mapping[str, Any]]:
        """The audit records, with their details among the fields."""
        found = read_records(self.settings.audit_path, report=lambda *_: None)
        return [{**record["details"], **record} for record in found]

    def spans(self, trace_id: str) -> list[Mapping[str, Any]]:
        """The stored spans of a trace, with attributes among their fields, and their events, each by its name."""
        stored = find_trace(self.settings.trace_store_path, trace_id)
        spans = [] if stored is None else stored.spans
        return [{**span["attributes"], **span} for span in spans] + [
            {"event": event["name"], **event["attributes"]} for span in spans for event in span["events"]
        ]

    # --- over the wire --------------------------------------------------------------------------

    def send(self, method: str, path: str, body: Any = None, *, trace: str, **more: Any) -> WorldReply:
        """Sends a request in a trace that was begun elsewhere."""
        headers = {"traceparent": trace, **more.pop("headers", {})}
        return self.send_request(method, path, body, headers=headers, **more)

    @staticmethod
    def connect(netloc: str) -> http.client.HTTPConnection:
        """A connection from an address of its own: refusals of one address are recorded together after some."""
        source = f"127.{random.randint(1, 250)}.{random.randint(1, 250)}.1"
        return http.client.HTTPConnection(netloc, timeout=LIMIT, source_address=(source, 0))

    def await_end(self, trace_id: str, reason: str) -> None:
        """Waits a moment for the question of a trace that ends for a reason after its caller has left."""

        def has_ended() -> bool:
            for facade in self._facades:
                facade.fold()
            return (trace_id, reason) in self._ended

        becomes_true(has_ended, PATIENCE, poll=0.005)


class _Ended:
    """Notes the traces and reasons of questions that ended, also where no other listener does."""

    signal = "all"

    def __init__(self, ended: set[tuple[str, str]]) -> None:
        self._ended = ended

    def fold(self, facts: Sequence[Fact]) -> None:
        """Notes them."""
        for fact in facts:
            if isinstance(fact, Operation) and fact.type is vocabulary.QUESTION:
                self._ended.add((fact.trace.trace_id, fact.reason))

    def close(self) -> None:
        """Holds nothing that has to be written."""


def _read_samples(registries: Iterable[CollectorRegistry], names: set[str]) -> Counts:
    found: defaultdict[tuple[str, frozenset[tuple[str, str]]], float] = defaultdict(float)
    for registry in registries:
        for family in registry.restricted_registry(list(names)).collect():
            for sample in family.samples:
                found[sample.name, frozenset(sample.labels.items())] += sample.value
    return found


@contextmanager
def _working(rooms: Rooms) -> Iterator[None]:
    """A worker of jobs, in a thread."""
    worker = rooms.job_worker(1)
    thread = threading.Thread(target=worker.run, name="jobs", daemon=True)
    with patch.multiple(jobs_worker, BACKOFF=SHORT, LEASE=1.0):  # between tries there is nothing to be seen
        thread.start()
        try:
            yield
        finally:
            worker.stop()
            thread.join(LIMIT)


def write_databases(home: Path, entries: Mapping[str, Mapping[str, object]]) -> Path:
    """A file that lists databases."""
    path = home / "databases.yml"
    path.write_text(json.dumps({"databases": entries}), encoding="utf-8")
    return path


def random_text() -> str:
    """A number that nobody has asked for before."""
    return f"{random.random():.9f}"
