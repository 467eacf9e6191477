"""How gunicorn runs the application: its configuration, its hooks, and the application itself."""

from __future__ import annotations

import ctypes
import gc
import os
import resource
import signal
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from gunicorn.arbiter import Arbiter
from gunicorn.glogging import Logger
from gunicorn.workers.base import Worker

from sql_synthesizer import telemetry
from sql_synthesizer.errors import ConfigurationError, SqlSynthesizerError, StoreUnavailable
from sql_synthesizer.monitoring import logs, multiprocess, supervision
from sql_synthesizer.settings import format_address, load
from sql_synthesizer.store import DAMAGED

if TYPE_CHECKING:
    from flask_openapi3 import OpenAPI

PR_SET_PDEATHSIG = 1
STORE_PATIENCE = 40.0
"""Seconds that a worker waits for the store before it is started anew, less than gunicorn's ``timeout``."""
STORE_PAUSE = 2.0
_settings = load()
_files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)

bind = format_address(_settings.host, _settings.port)
workers = _settings.workers
threads = _settings.threads + _settings.question_queue  # most of them wait, if there are any
worker_class = "sql_synthesizer.web.worker.RequestWorker"
worker_connections = 1000 if _files == resource.RLIM_INFINITY else min(1000, _files // 2)
sendfile = False  # it waits for the client
timeout = 60
graceful_timeout = int(_settings.deadline) + 5
keepalive = 5
limit_request_line = 4094
limit_request_fields = 64
limit_request_field_size = 8190
control_socket_disable = True
forwarded_allow_ips = ""


class JsonLogger(Logger):
    """Sends gunicorn's own lines through the service's logging."""

    def setup(self, cfg: Any) -> None:
        """Called by gunicorn in the arbiter and in each worker."""
        logs.configure_logging(_settings)
        self.error_log.propagate = True
        self.error_log.setLevel(_settings.log_level.upper())
        self.access_log.disabled = True


logger_class = JsonLogger


def end_with_parent() -> None:
    """Has this process stop as by SIGTERM when the supervisor dies, however that happens; Linux only."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal.SIGTERM))


def on_starting(_server: Arbiter) -> None:
    """Loads the application once, before the workers fork, and exempts it from garbage collection: it stays loaded."""
    end_with_parent()
    gc.disable()
    from sql_synthesizer.guard.question import intent  # noqa: PLC0415
    from sql_synthesizer.web import app as _app  # noqa: PLC0415, F401

    intent.load_intent_model()
    gc.freeze()
    gc.enable()


def child_exit(_server: Arbiter, worker: Worker) -> None:
    """Merges the counters of a worker that ended, removes its gauges, and counts it if something killed it."""
    multiprocess.mark_dead(int(worker.pid), _settings.metrics_dir)
    supervision.count_unmarked(_settings.metrics_dir, int(worker.pid))


def worker_exit(_server: Arbiter, worker: Worker) -> None:
    """Folds what is queued and makes the audit record durable before the worker goes."""
    app = getattr(worker, "wsgi", None)
    if app is not None:
        app.extensions["rooms"].close()
    supervision.leave_mark(_settings.metrics_dir, os.getpid())


def application() -> OpenAPI:
    """The application of one worker. Without one gunicorn ends, with APP_LOAD_ERROR when another try would not help."""
    from sql_synthesizer.web.app import create_app  # noqa: PLC0415
    from sql_synthesizer.wiring import build_rooms  # noqa: PLC0415

    until = time.monotonic() + STORE_PATIENCE
    try:
        while True:
            try:
                return create_app(rooms=build_rooms(_settings, telemetry.default))
            except StoreUnavailable as error:
                if time.monotonic() > until or error.details.get("error") == DAMAGED:
                    raise
                sys.stderr.write("Waiting for the store.\n")
                time.sleep(STORE_PAUSE)
    except SqlSynthesizerError as error:
        sys.stderr.write(f"Error: {error.message}\n{error.hint}\n")
        wrong = isinstance(error, ConfigurationError)
        sys.exit(Arbiter.APP_LOAD_ERROR if wrong else Arbiter.WORKER_BOOT_ERROR)


def check_databases() -> int:
    """Whether the databases could be served as files say now; what is wrong goes to standard error."""
    from sql_synthesizer.database import DatabaseManager  # noqa: PLC0415
    from sql_synthesizer.schema import SchemaCache  # noqa: PLC0415
    from sql_synthesizer.wiring import configured_databases  # noqa: PLC0415

    try:
        databases = configured_databases(load())
        manager = DatabaseManager(databases, _settings, telemetry.Telemetry())
        SchemaCache(manager.connect, databases, _settings).check_settings()
    except SqlSynthesizerError as error:
        sys.stderr.write(f"Error: {error.message}\n{error.hint}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(check_databases())
