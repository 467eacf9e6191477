"""Where scenarios run: a service that takes requests and commands, and the signals that it leaves."""

from __future__ import annotations

import http.client
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypedDict, cast
from urllib.parse import urlsplit

from sql_synthesizer.audit import read_records
from sql_synthesizer.operate.child import Child, module_command
from sql_synthesizer.operate.programs import free_port, is_answering
from sql_synthesizer.settings import environment_name
from sql_synthesizer_proof.service import ServiceProcess, parse_samples

EMBEDDING = module_command("sql_synthesizer_proof.evidence.embedding")
EVENTS = "sql_synthesizer_security_events_total"
LIMIT = 60.0
"""Seconds that a request may take."""

Pair = tuple[str, str]
"""Type and severity of an event."""


@dataclass(frozen=True, slots=True)
class WorldReply:
    """Of a request, or of a command: then ``status`` is its exit status, ``body`` what it printed."""

    status: int
    trace_id: str
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)

    def json(self) -> Any:
        """The body, parsed."""
        return json.loads(self.body)


class SeenRecord(TypedDict):
    """What is looked at of an audit record."""

    event_type: str
    severity: str
    count: int
    trace_id: str
    actor: str
    address: str
    details: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class SeenSignals:
    """The audit records, counted security events and log lines so far."""

    records: list[SeenRecord]
    counted: Counter[Pair]
    lines: list[Mapping[str, object]]


class World:
    """A service, and an ``embedding`` application that shares its state, by their addresses.

    ``key`` is an operator's. Subclasses define how a command is run, and where counters and lines are found.
    """

    patience = 5.0
    """Seconds after which a signal that is not there is missing."""

    def __init__(self, url: str, embedding: str, audit: Path, key: str) -> None:
        self.url = url
        self.embedding = embedding
        self.audit = audit
        self.key = key

    def command(self, *arguments: str) -> tuple[int, str]:
        """Exit status and standard output of ``sql-synthesizer``, run with these arguments."""
        raise NotImplementedError

    def exposition(self) -> str:
        """The metrics as Prometheus reads them."""
        raise NotImplementedError

    def output(self) -> str:
        """Everything that the service has written to standard output."""
        raise NotImplementedError

    def send_request(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        key: str | None = None,
        headers: Mapping[str, str] | None = None,
        url: str = "",
    ) -> WorldReply:
        """Sends one request, with the operator's key unless another is given; a text body is a form, another JSON."""
        form = isinstance(body, str)
        given = {"Content-Type": "application/x-www-form-urlencoded" if form else "application/json"}
        if key := self.key if key is None else key:
            given["Authorization"] = f"Bearer {key}"
        content = None if body is None else body if form else json.dumps(body)
        connection = self.connect(urlsplit(url or self.url).netloc)
        try:
            connection.request(method, path, content, {**given, **(headers or {})})
            reply = connection.getresponse()
            return WorldReply(reply.status, reply.getheader("X-Trace-Id", ""), reply.read(), dict(reply.getheaders()))
        finally:
            connection.close()

    def run_command(self, *arguments: str) -> WorldReply:
        """Runs a command; its trace id is the one that its records have."""
        before = {record["trace_id"] for record in self.records()}
        status, printed = self.command(*arguments)
        new = [record["trace_id"] for record in self.records() if record["trace_id"] not in before]
        return WorldReply(status, new[-1] if new else "", printed.encode())

    @staticmethod
    def connect(netloc: str) -> http.client.HTTPConnection:
        """A connection to a host and port, not opened yet."""
        return http.client.HTTPConnection(netloc, timeout=LIMIT)

    def make_key(self, role: str, limit: str = "default") -> str:
        """A key that nobody has used yet."""
        return self.run_command("keys", "create", "evidence", "--role", role, "--limit", limit).body.decode().strip()

    def records(self) -> list[SeenRecord]:
        """The durable audit records."""
        return cast("list[SeenRecord]", list(read_records(self.audit, report=lambda *_: None)))

    def signals(self) -> SeenSignals:
        """Everything that is there now."""
        counted: Counter[tuple[str, str]] = Counter()
        for labels, count in parse_samples(self.exposition(), EVENTS):
            counted[labels["event_type"], labels["severity"]] += int(count)
        lines = [json.loads(line) for line in self.output().splitlines() if line.startswith("{") and line.endswith("}")]
        return SeenSignals(self.records(), counted, lines)


class Served(World):
    """The real service, with its exporter, and the embedding application as a process of its own."""

    def __init__(self, service: ServiceProcess, embedding: Child, port: int) -> None:
        super().__init__(service.url, f"http://127.0.0.1:{port}", service.state / "audit", service.key)
        self._service = service
        self._logs = (service.child.log, embedding.log)

    def command(self, *arguments: str) -> tuple[int, str]:
        """Runs it as a process of its own."""
        done = self._service.run(*arguments, check=False)
        return done.returncode, done.stdout

    def exposition(self) -> str:
        """The metrics of the exporter."""
        return self._service.exposition()

    def output(self) -> str:
        """The output of both processes."""
        return "".join(path.read_text(encoding="utf-8", errors="replace") for path in self._logs)


@contextmanager
def run_world(home: Path) -> Iterator[Served]:
    """A private service with its state in ``home``, ended afterwards. Raises ConfigurationError, TimeoutError."""
    port = free_port()
    with ServiceProcess(home, {"audit_verify_minutes": 0}) as service:
        environment = {
            **service.environment,
            environment_name("port"): str(port),
            "PROMETHEUS_MULTIPROC_DIR": str((service.state / "metrics").resolve()),
        }
        ready = f"http://127.0.0.1:{port}/health/ready"
        log = home / "embedding.log"
        embedding = Child(
            "The embedding application", EMBEDDING, lambda: is_answering(ready), log, environment=environment
        )
        with embedding:
            yield Served(service, embedding, port)
