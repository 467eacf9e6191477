"""Exposition: formats, several processes, the exporter process."""

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
from prometheus_client import CollectorRegistry, Counter
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from sql_synthesizer.errors import ConfigurationError
from sql_synthesizer.monitoring import multiprocess, shared
from sql_synthesizer.monitoring.exposition import Exporter, is_app_alive, render_metrics
from sql_synthesizer.monitoring.http_server import HttpHandler, HttpServer
from sql_synthesizer.monitoring.metrics import METRICS_REGISTRY
from sql_synthesizer.monitoring.multiprocess import SharedCollector, mark_dead
from sql_synthesizer.monitoring.shared import lock_directory, prepare_directory
from sql_synthesizer.settings import Settings
from tests.support import program
from tests.support.ports import free_port
from tests.support.serving import HANG, until

PREFIX = "sql_synthesizer_"

WORKER = """
import sys
from sql_synthesizer.telemetry import vocabulary
from sql_synthesizer import telemetry
from sql_synthesizer.monitoring import metrics
metrics.observer.precreate({"database_type": ["sqlite"], "cache_type": []})
telemetry.default.read(vocabulary.QUESTIONS_RUNNING, lambda: [({}, 3)])
telemetry.default.read(vocabulary.AUDIT_FREE_BYTES, lambda: [({}, float(sys.argv[2]))])
for _ in range(int(sys.argv[1])):
    labels = {"query_type": "select", "database_type": "sqlite", "source": "rules"}
    with telemetry.default.operation(vocabulary.QUESTION, **labels):
        pass
telemetry.default.fold(readings=True)
metrics.observer.close()
print("counted", flush=True)
input()
"""


@pytest.fixture
def directory(tmp_path):
    place = tmp_path / "metrics"
    prepare_directory(place)
    return place


@pytest.fixture
def worker(directory):
    """Starts processes that count questions into the directory and then wait."""
    running = []

    def start(questions, free=1000):
        process = subprocess.Popen(
            [sys.executable, "-c", WORKER, str(questions), str(free)],
            env={**os.environ, multiprocess.VARIABLE: str(directory)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        running.append(process)
        assert process.stdout.readline() == b"counted\n"
        return process

    yield start
    for process in running:
        process.kill()
        process.communicate()


def samples(source):
    """Name and labels -> value."""
    return {(s.name, *sorted(s.labels.items())): s.value for family in source.collect() for s in family.samples}


def questions(directory):
    found = samples(SharedCollector(directory))
    key = (("database_type", "sqlite"), ("query_type", "select"), ("success", "success"))
    counted = found[PREFIX + "queries_total", *key]
    assert counted == found[PREFIX + "query_duration_seconds_count", *key]
    return counted


# --- formats ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        (None, "text/plain; version=0.0.4; charset=utf-8"),
        ("*/*", "text/plain; version=0.0.4; charset=utf-8"),
        ("text/plain;version=1.0.0", "text/plain; version=1.0.0; charset=utf-8; escaping=underscores"),
        (
            "application/openmetrics-text;version=1.0.0,text/plain;q=0.5",
            "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=underscores",
        ),
    ],
)
def test_the_format_is_negotiated(accept, content_type):
    body, given = render_metrics(accept, METRICS_REGISTRY)
    assert given == content_type
    parse = parse_openmetrics if "openmetrics" in content_type else parse_text
    assert PREFIX + "security_events" in {f.name.removesuffix("_total") for f in parse(body.decode())}


def test_any_registry_can_be_rendered():
    registry = CollectorRegistry()
    Counter("apples", "Apples.", registry=registry).inc()
    assert b"apples_total 1.0" in render_metrics(None, registry)[0]


def test_promtool_finds_nothing_to_say():
    result = subprocess.run(
        [program("promtool"), "check", "metrics"],
        input=render_metrics(None, METRICS_REGISTRY)[0],
        capture_output=True,
        check=False,
    )
    assert (result.returncode, result.stdout + result.stderr) == (0, b"")


# --- several processes ----------------------------------------------------------------------------


def test_processes_are_summed_and_levels_follow_their_modes(directory, worker):
    worker(3, free=700)
    worker(4, free=500)
    assert questions(directory) == 7
    found = samples(SharedCollector(directory))
    assert found[PREFIX + "questions_running",] == 6
    assert found[PREFIX + "audit_free_bytes",] == 500
    assert (PREFIX + "dependency_up",) not in found
    assert (PREFIX + "memory_usage_bytes",) not in found


def test_a_killed_worker_keeps_its_counts_and_loses_its_levels(directory, worker):
    first, second = worker(3), worker(4)
    first.kill()
    first.wait()
    mark_dead(first.pid, directory)
    assert questions(directory) == 7
    assert samples(SharedCollector(directory))[PREFIX + "questions_running",] == 3
    second.kill()
    second.wait()
    mark_dead(second.pid, directory)
    mark_dead(second.pid, directory)
    assert questions(directory) == 7
    assert sorted(file.name for file in directory.glob("*.db")) == ["counter_ended.db", "histogram_ended.db"]


def test_recycling_leaves_a_bounded_number_of_files(directory, worker):
    for _ in range(3):
        process = worker(2)
        process.communicate(b"\n")
        mark_dead(process.pid, directory)
    assert questions(directory) == 6
    assert len(list(directory.iterdir())) == 3  # two of the ended ones and the lock


def test_scrapes_never_see_a_count_fall_while_files_are_compacted(directory, worker):
    ended = [worker(5) for _ in range(4)]
    for process in ended:
        process.communicate(b"\n")
    seen, stop = [], threading.Event()

    def scrape():
        while not stop.is_set():
            seen.append(questions(directory))

    thread = threading.Thread(target=scrape)
    thread.start()
    for process in ended:
        mark_dead(process.pid, directory)
    stop.set()
    thread.join()
    assert set(seen) == {20}
    assert questions(directory) == 20


def test_a_damaged_file_does_not_cost_the_others(directory, worker):
    worker(3)
    (directory / "counter_1.db").write_bytes(b"\xff" * 200)
    (directory / "gauge_livesum_2.db").write_bytes(b"")
    (directory / "exemplars_3.json").write_bytes(b"{")
    assert questions(directory) == 3


@pytest.mark.parametrize("step", range(9))
def test_a_crash_while_files_are_compacted_counts_nothing_twice(directory, worker, monkeypatch, step):
    """Whatever step it does not survive."""
    first, second = worker(3), worker(4)
    for process in (first, second):
        process.communicate(b"\n")
    mark_dead(first.pid, directory)
    left = iter(range(step))

    def survived(change):
        def changed(path, *arguments, **options):
            if next(left, None) is None:
                raise KeyboardInterrupt
            return change(path, *arguments, **options)

        return changed

    with monkeypatch.context() as patch:
        for name in ("replace", "unlink"):
            patch.setattr(pathlib.Path, name, survived(getattr(pathlib.Path, name)))
        with pytest.raises(KeyboardInterrupt):
            mark_dead(second.pid, directory)
    assert questions(directory) == 7
    mark_dead(second.pid, directory)
    assert questions(directory) == 7
    assert sorted(file.name for file in directory.glob("*.*")) == ["counter_ended.db", "histogram_ended.db"]


@pytest.mark.parametrize("damaged", ["ended", "one"])
def test_a_damaged_file_does_not_keep_later_ones_apart(directory, worker, caplog, damaged):
    first, second = worker(3), worker(4)
    for process in (first, second):
        process.communicate(b"\n")
    mark_dead(first.pid, directory)
    (directory / f"counter_{'ended' if damaged == 'ended' else second.pid}.db").write_bytes(b"\x7f" * 200)
    mark_dead(second.pid, directory)
    assert sorted(file.name for file in directory.glob("*.db")) == ["counter_ended.db", "histogram_ended.db"]
    counted = PREFIX + "queries_total", ("database_type", "sqlite"), ("query_type", "select"), ("success", "success")
    assert samples(SharedCollector(directory))[counted] == (4 if damaged == "ended" else 3)
    assert "damaged and set aside" in caplog.text
    prepare_directory(directory)
    assert [file.name for file in directory.iterdir()] == ["lock"]


def test_exemplars_of_all_processes_are_rendered(directory, worker):
    first, _ = worker(1), worker(1)
    body = render_metrics("application/openmetrics-text", SharedCollector(directory))[0].decode()
    families = {family.name: family for family in parse_openmetrics(body)}
    family = families[PREFIX + "query_duration_seconds"]
    marked = [s for s in family.samples if s.exemplar]
    assert family.unit == "seconds"
    assert marked
    for sample in marked:
        assert len(sample.exemplar.labels["trace_id"]) == 32
        assert sample.exemplar.value <= float(sample.labels["le"])
    assert b"trace_id" not in render_metrics(None, SharedCollector(directory))[0]
    first.kill()
    first.wait()
    mark_dead(first.pid, directory)
    assert not (directory / f"exemplars_{first.pid}.json").exists()


def test_preparing_empties_the_directory(directory, worker):
    worker(1).communicate(b"\n")
    prepare_directory(directory)
    assert [file.name for file in directory.iterdir()] == ["lock"]


def test_a_lock_that_is_never_free_is_reported(directory, monkeypatch):
    monkeypatch.setattr(shared, "LOCK_WAIT", 0.01)
    with lock_directory(directory), pytest.raises(TimeoutError), lock_directory(directory):
        pass


def test_files_of_an_ended_process_stay_apart_while_the_lock_is_not_free(directory, worker, monkeypatch, caplog):
    monkeypatch.setattr(shared, "LOCK_WAIT", 0.01)
    ended = worker(2)
    ended.communicate(b"\n")
    with lock_directory(directory):
        mark_dead(ended.pid, directory)
    assert f"the metrics of process {ended.pid} stay apart" in caplog.text
    assert questions(directory) == 2
    mark_dead(ended.pid, directory)
    assert questions(directory) == 2
    assert not (directory / f"counter_{ended.pid}.db").exists()


# --- the exporter -----------------------------------------------------------------------------------


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
