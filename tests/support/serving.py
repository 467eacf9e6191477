"""The real service: a supervisor with its web server and exporter, on free ports and a state of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from sql_synthesizer.operate.child import own_command
from tests.support.ports import free_port

ROOT = Path(__file__).parents[2]


HANG = 300.0
"""Seconds after which something that a test waits for is taken to never come; far more than a busy machine needs."""


def until(condition: Callable[[], Any]) -> Any:
    """What the condition gives as soon as it is true; fails the test when it never is."""
    deadline = time.monotonic() + HANG
    while not (found := condition()):
        assert time.monotonic() < deadline, f"not true within {HANG:g} s: {condition}"
        time.sleep(0.02)
    return found


def ends(step: Callable[[], Any]) -> Any:
    """What a step gives that might never end; the test fails then."""
    done: Future[Any] = Future()

    def run() -> None:
        try:
            done.set_result(step())
        except BaseException as error:  # noqa: BLE001 - raised where it is waited for
            done.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return done.result(HANG)


@dataclass
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


def fetch(url: str, body: Any = None, **headers: str) -> Reply:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json", **headers})
    try:
        with urllib.request.urlopen(request, timeout=HANG) as reply:
            return Reply(reply.status, dict(reply.headers), reply.read())
    except urllib.error.HTTPError as error:
        return Reply(error.code, dict(error.headers), error.read())


def run_own(environment: dict[str, str] | None, *arguments: str, **kwargs: Any) -> subprocess.CompletedProcess[str]:
    """The product's command line as a process of its own, to its end."""
    wanted = {"cwd": ROOT, "env": environment, "timeout": HANG, **kwargs}
    return subprocess.run(own_command(*arguments), capture_output=True, text=True, check=False, **wanted)


@dataclass
class Service:
    state: Path
    environment: dict[str, str]
    arguments: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.port, self.metrics_port = free_port(), free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.metrics_url = f"http://127.0.0.1:{self.metrics_port}/metrics"
        self.out = self.state.parent / "service.log"
        self.environment.setdefault("SQL_SYNTHESIZER_JOB_THREADS", "0")
        self.environment |= {
            "SQL_SYNTHESIZER_PORT": str(self.port),
            "METRICS_PORT": str(self.metrics_port),
            "SQL_SYNTHESIZER_STATE_DIR": str(self.state),
            "SQL_SYNTHESIZER_DRAIN_SECONDS": "0.1",
        }

    def start(self, command: list[str] | None = None) -> None:
        command = command or own_command("serve", *self.arguments)
        with self.out.open("ab") as log:
            self.process = subprocess.Popen(command, cwd=ROOT, env=self.environment, stdout=log, stderr=log)
        until(lambda: self.process.poll() is not None or self.ready())
        assert self.process.poll() is None, self.out.read_text()

    def ready(self) -> bool:
        """Whether the service wants requests, and its exporter answers."""
        try:
            exporter = fetch(self.metrics_url).status == 200
            return exporter and fetch(self.url + "/health/ready").status == 200
        except OSError:
            return False

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(HANG)

    def ask(self, question: str, **headers: str) -> Reply:
        return fetch(self.url + "/api/query", {"question": question}, **headers)

    def run(self, *arguments: str, **kwargs: Any) -> subprocess.CompletedProcess[str]:
        return run_own(self.environment, *arguments, **kwargs)

    def counted(self, name: str, **labels: str) -> float:
        text = fetch(self.metrics_url).body.decode()
        samples = [s for family in text_string_to_metric_families(text) for s in family.samples]
        wanted = labels.items()
        return sum(s.value for s in samples if s.name == "sql_synthesizer_" + name and wanted <= s.labels.items())

    def log(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.read_text().splitlines() if line.startswith("{")]


@contextmanager
def service(directory: Path, *arguments: str, **environment: str) -> Iterator[Service]:
    """A started service, stopped at the end."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("SQL_SYNTHESIZER_", "OPENAI_"))}
    made = Service(directory / "state", clean | environment, list(arguments))
    made.start()
    try:
        yield made
    finally:
        if made.process.poll() is None:
            made.stop()
