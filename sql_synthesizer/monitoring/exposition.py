"""Serving metrics: content negotiation, and the exporter, a process of its own that owns METRICS_PORT.

A scrape of the exporter never holds a web worker, and a hung application is seen from outside: the exporter
calls its liveness address and exports the answer. Started as ``python -m sql_synthesizer.monitoring.exposition``.
"""

from __future__ import annotations

import gzip
import http.client
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector
from prometheus_client.exposition import choose_encoder, gzip_accepted
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from sql_synthesizer import __version__, settings
from sql_synthesizer.errors import ConfigurationError
from sql_synthesizer.monitoring import catalog, gap, metrics, multiprocess, supervision
from sql_synthesizer.monitoring.http_server import JSON, HttpHandler, HttpServer
from sql_synthesizer.monitoring.resources import ProcessTree
from sql_synthesizer.settings import Settings, reachable_host

CONNECTIONS = 8
"""Connections that the exporter serves at once; further ones are closed."""
PROBE_INTERVAL = 5.0
PROBE_LIMIT = 1.0
PARENT_INTERVAL = 0.25

_logger = logging.getLogger(__name__)


def render_metrics(accept: str | None, source: Collector) -> tuple[bytes, str]:
    """(body, content type) of all metrics of ``source``, in the newest format that the ``Accept`` header asks for.

    Raises TimeoutError when the shared directory is locked for too long.
    """
    encode, content_type = choose_encoder(accept or "")
    return encode(source), content_type


class _Handler(HttpHandler):
    server: HttpServer[Collector]

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path == "/metrics":
            self._serve_metrics()
        elif path == "/health/live":
            self.send_reply(200, '{"status":"alive"}', JSON)
        else:
            self.send_reply(404, "There is /metrics and /health/live.\n")

    def _refuse_method(self) -> None:
        self.send_reply(405, "Only GET is served.\n", headers={"Allow": "GET"})

    def __getattr__(self, name: str) -> Any:
        if name.startswith("do_"):  # every other method, known or not
            return self._refuse_method
        raise AttributeError(name)

    def _serve_metrics(self) -> None:
        try:
            body, content_type = render_metrics(self.headers.get("Accept"), self.server.owner)
        except Exception:
            _logger.exception("the metrics cannot be collected")
            self.send_reply(500, "The metrics cannot be collected; see the log.\n")
            return
        if gzip_accepted(self.headers.get("Accept-Encoding", "")):
            self.send_reply(200, gzip.compress(body, 1), content_type, {"Content-Encoding": "gzip"})
        else:
            self.send_reply(200, body, content_type)


class _ServiceCollector(Collector):
    """What all processes of the service have counted, then the exporter's own process metrics."""

    def __init__(self) -> None:
        self._own = CollectorRegistry()
        ProcessCollector(namespace="sql_synthesizer_exporter", registry=self._own)
        PlatformCollector(registry=self._own)

    def collect(self) -> Iterator[Family]:
        if multiprocess.directory is None:
            yield from metrics.METRICS_REGISTRY.collect()
        else:
            yield from multiprocess.SharedCollector(multiprocess.directory).collect()
            yield from self._own.collect()


class Exporter:
    """Owns METRICS_PORT. Raises ConfigurationError when the port cannot be had.

    By default it watches the application of its parent; one that is ``alone`` exports its own process.
    """

    def __init__(self, config: Settings, parent_pid: int, *, alone: bool = False) -> None:
        self._config = config
        self._parent_pid = parent_pid
        self._alone = alone
        self._stop = threading.Event()
        self._usage = ProcessTree(os.getpid() if alone else parent_pid)
        try:
            self._server = HttpServer(
                _Handler, _ServiceCollector(), config.metrics_host, config.metrics_port, connections=CONNECTIONS
            )
        except OSError as error:
            raise ConfigurationError(
                f"The metrics exporter cannot listen on {config.metrics_host} port {config.metrics_port}: "
                f"{os.strerror(error.errno) if error.errno else 'unusable address'}.",
                hint="Set METRICS_PORT to a free port, or PROMETHEUS_METRICS_ENABLED=false.",
            ) from None

    def run(self) -> None:
        """Serves until ``stop`` is called or the parent process ends."""
        metrics.observer.client("build_info").labels(__version__).set(1)
        if multiprocess.directory is not None:
            supervision.create_series(multiprocess.directory)
        threading.Thread(target=self._update_gauges, name="watch", daemon=True).start()
        with self._server:
            while not self._stop.wait(PARENT_INTERVAL):
                if os.getppid() != self._parent_pid:
                    self.stop()

    def stop(self) -> None:
        """Ends ``run``; may be called from a signal handler."""
        self._stop.set()

    def _update_gauges(self) -> None:
        memory, cpu = (metrics.observer.client(name) for name in ("memory_usage_bytes", "cpu_usage_percent"))
        while not self._stop.is_set():
            if not self._alone:
                up = metrics.observer.client("app_up")
                up.set(float(is_app_alive(self._config.host, self._config.port)))
            resident, percent = self._usage.sample()
            memory.set(resident)
            cpu.set(percent)
            self._count_gaps()
            self._stop.wait(PROBE_INTERVAL)

    def _count_gaps(self) -> None:
        place = multiprocess.directory
        if place is None:
            return
        try:
            for pid in gap.ended_processes(place):
                multiprocess.mark_dead(pid, place)
            gap.count_gaps(place, self._config.audit_path, _count_gap)
        except OSError as error:
            _logger.warning("what was left uncounted cannot be looked for: %s", error)


def _count_gap(name: str, event_type: str, number: float) -> None:
    row = catalog.BY_NAME[catalog.PREFIX + name]
    metrics.observer.client(name).labels(row.labels[0].vocabulary(event_type)).inc(number)


def is_app_alive(host: str, port: int, limit: float = PROBE_LIMIT) -> bool:
    """Whether the application answers its liveness address within ``limit`` seconds."""
    deadline = time.monotonic() + limit
    connection = http.client.HTTPConnection(reachable_host(host), port, timeout=limit)
    try:
        connection.connect()
        connection.sock.settimeout(max(0.01, deadline - time.monotonic()))
        connection.request("GET", "/health/live")
        return connection.getresponse().status == http.HTTPStatus.OK and time.monotonic() <= deadline
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def main() -> int:
    """``python -m …exposition [PARENT_PID]``, the process that started it unless given; 2 when it cannot start."""
    try:
        config = settings.load()
        if not config.metrics_enabled:
            return 0
        exporter = Exporter(config, int(sys.argv[1]) if len(sys.argv) > 1 else os.getppid())
    except ConfigurationError as error:
        sys.stderr.write(f"{error.message} {error.hint}\n")
        return 2
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: exporter.stop())
    exporter.run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
