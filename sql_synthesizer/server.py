"""How gunicorn runs the application: its configuration, its hooks, and the application itself."""

from __future__ import annotations

from typing import Any

from flask_openapi3 import OpenAPI
from gunicorn.arbiter import Arbiter
from gunicorn.glogging import Logger
from gunicorn.workers.base import Worker

from sql_synthesizer.monitoring import logs, multiprocess
from sql_synthesizer.settings import load
from sql_synthesizer.webapp import create_app

_settings = load()

bind = f"{_settings.host}:{_settings.port}"
workers = _settings.workers
threads = _settings.threads
worker_class = "gthread"
timeout = 60
graceful_timeout = int(_settings.deadline) + 5
keepalive = 5
limit_request_line = 4094
limit_request_fields = 64
limit_request_field_size = 8190
control_socket_disable = True


class JsonLogger(Logger):
    """Sends gunicorn's own lines through the service's logging."""

    def setup(self, cfg: Any) -> None:
        """Called by gunicorn in the arbiter and in each worker."""
        logs.configure(_settings)
        self.error_log.propagate = True
        self.error_log.setLevel(_settings.log_level.upper())
        self.access_log.disabled = True


logger_class = JsonLogger


def child_exit(_server: Arbiter, worker: Worker) -> None:
    """Keeps a dead worker's counts, and takes its gauges out."""
    multiprocess.mark_dead(int(worker.pid), _settings.metrics_dir)


def worker_exit(_server: Arbiter, worker: Worker) -> None:
    """Folds what is queued and makes the audit record durable before the worker goes."""
    app = getattr(worker, "wsgi", None)
    if isinstance(app, OpenAPI):
        app.extensions["rooms"].close()


def application() -> OpenAPI:
    """The application of one worker."""
    return create_app(_settings)
