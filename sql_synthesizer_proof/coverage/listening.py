"""The web server's own worker, in a thread of this process."""

from __future__ import annotations

import logging
import os
import selectors
import signal
import socket
import threading
from typing import Any, Self

from flask import Flask
from gunicorn.config import Config

from sql_synthesizer.web import server
from sql_synthesizer.web.worker import RequestWorker

END_WITHIN = 60.0


class _Quiet(logging.Logger):
    """Gunicorn's log, without its line for each request."""

    def access(self, *_: object) -> None:
        """Says nothing: the service has a line of its own."""


class Listening:
    """Serves ``app`` on a free port of the loopback address, as a worker of the service does."""

    def __init__(self, app: Flask) -> None:
        self.app = app
        config = Config()
        for name in config.settings.keys() & vars(server).keys() - {"logger_class", "bind"}:
            config.set(name, vars(server)[name])
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port: int = self._listener.getsockname()[1]
        log: Any = _Quiet("gunicorn.error")
        self._worker: Any = RequestWorker(1, os.getppid(), [self._listener], self, 60, config, log)
        self._worker.tpool = self._worker.get_thread_pool()
        self._worker.poller = selectors.DefaultSelector()
        self._worker.method_queue.init()
        self._worker.load_wsgi()
        self._thread = threading.Thread(target=self._worker.run, name="worker", daemon=True)

    def wsgi(self) -> Flask:
        """What the worker asks for."""
        return self.app

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._worker.handle_exit(signal.SIGTERM, None)
        self._thread.join(END_WITHIN)
        self._worker.tmp.close()
