"""The exporter, a process of its own that also watches the application."""

from __future__ import annotations

import gzip
import http.client
import math
import os
import pathlib
import signal
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager

import pytest

from sql_synthesizer.errors import ConfigurationError
from sql_synthesizer.monitoring import multiprocess
from sql_synthesizer.monitoring.exposition import Exporter, is_app_alive
from sql_synthesizer.monitoring.http_server import HttpHandler, HttpServer
from sql_synthesizer.settings import Settings
from tests.support import program
from tests.support.metrics import PREFIX
from tests.support.metrics import directory as directory
from tests.support.metrics import worker as worker
from tests.support.ports import free_port
from tests.support.serving import HANG, until


class App(HttpHandler):
    """An application that is alive, unless it was told to hang."""

    hang = threading.Event()
    timeout = None

    def do_GET(self):
        if self.hang.is_set():
            self.connection.recv(1)
            return
        self.send_reply(200 if self.path == "/health/live" else 404)


@contextmanager
def application(host="127.0.0.1"):
    with HttpServer(App, None, host, limit=math.inf) as server:
        yield server.port
        App.hang.clear()


PARENT = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-m", "sql_synthesizer.monitoring.exposition"])
print(child.pid, flush=True)
child.wait()
"""


class Running:
    def __init__(self, directory, port, app_port):
        self.port = port
        self.parent = subprocess.Popen(
            [sys.executable, "-c", PARENT],
            env={
                **os.environ,
                multiprocess.VARIABLE: str(directory),
                "METRICS_PORT": str(port),
                "SQL_SYNTHESIZER_PORT": str(app_port),
            },
            stdout=subprocess.PIPE,
        )
        self.pid = int(self.parent.stdout.readline())

    def get(self, path, method="GET", **headers):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=HANG)
        try:
            connection.request(method, path, headers=headers)
            response = connection.getresponse()
            return response.status, response.headers, response.read()
        finally:
            connection.close()

    def says(self, text):
        try:
            return text in self.get("/metrics")[2].decode()
        except OSError:
            return False


def gone(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()[0] == "Z"
    except OSError:
        return True


@pytest.fixture
def exporter(directory):
    with application() as app_port:
        running = Running(directory, free_port(), app_port)
        until(lambda: running.says(PREFIX + "app_up 1.0"))
        yield running
        running.parent.kill()
        running.parent.communicate()
        if not gone(running.pid):
            os.kill(running.pid, signal.SIGKILL)


def test_the_exporter_serves_workers_and_its_own_values(exporter, worker):
    worker(3)
    status, headers, body = exporter.get("/metrics")
    text = body.decode()
    assert status == 200
    assert headers["Content-Type"].startswith("text/plain; version=0.0.4")
    assert 'queries_total{database_type="sqlite",query_type="select",success="success"} 3.0' in text
    assert PREFIX + "build_info{version=" in text
    assert PREFIX + "memory_usage_bytes " in text
    assert PREFIX + "cpu_usage_percent " in text
    assert PREFIX + "exporter_process_start_time_seconds " in text
    zipped = exporter.get("/metrics", **{"Accept-Encoding": "gzip"})
    assert zipped[1]["Content-Encoding"] == "gzip"
    assert gzip.decompress(zipped[2]).startswith(b"# HELP")
    result = subprocess.run([program("promtool"), "check", "metrics"], input=body, capture_output=True, check=False)
    assert (result.returncode, result.stdout + result.stderr) == (0, b"")


def test_addresses_and_methods(exporter):
    expected = {
        ("GET", "/health/live"): 200,
        ("GET", "/metrics?x=1"): 200,
        ("GET", "/"): 404,
        ("GET", "/metrics/"): 404,
        ("POST", "/metrics"): 405,
        ("HEAD", "/metrics"): 405,
        ("BREW", "/metrics"): 405,
    }
    assert {(method, path): exporter.get(path, method)[0] for method, path in expected} == expected


def test_a_hung_application_is_down(exporter):
    App.hang.set()
    until(lambda: exporter.says(PREFIX + "app_up 0.0"))


def test_the_exporter_ends_with_its_parent(exporter):
    exporter.parent.kill()
    exporter.parent.wait()
    until(lambda: gone(exporter.pid))


def test_idle_connections_do_not_keep_scrapes_out(exporter):
    idle = [socket.create_connection(("127.0.0.1", exporter.port)) for _ in range(30)]
    try:
        until(lambda: exporter.says("app_up"))
    finally:
        for connection in idle:
            connection.close()


def test_a_taken_port_is_said_clearly(exporter):
    environment = {**os.environ, "METRICS_PORT": str(exporter.port)}
    command = [sys.executable, "-m", "sql_synthesizer.monitoring.exposition"]
    result = subprocess.run(command, env=environment, capture_output=True, check=False, text=True)
    assert result.returncode == 2
    assert str(exporter.port) in result.stderr
    assert "METRICS_PORT" in result.stderr
    assert "Traceback" not in result.stderr
    with pytest.raises(ConfigurationError):
        Exporter(Settings(metrics_port=exporter.port), os.getppid())


def test_it_does_not_run_when_switched_off():
    environment = {**os.environ, "PROMETHEUS_METRICS_ENABLED": "false"}
    command = [sys.executable, "-m", "sql_synthesizer.monitoring.exposition"]
    assert subprocess.run(command, env=environment, capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize(
    ("bound", "host"), [("127.0.0.1", "127.0.0.1"), ("127.0.0.1", "0.0.0.0"), ("127.0.0.1", "localhost"), ("::1", "::")]
)
def test_liveness_is_asked_where_it_can_be_reached(bound, host):
    with application(bound) as port:
        assert is_app_alive(host, port)
        App.hang.set()
        assert not is_app_alive(host, port, 0.05)
    assert not is_app_alive(host, port)
