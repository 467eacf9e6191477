"""The service as operators run it: processes, signals, ports, kills."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from sql_synthesizer.audit import read_records
from sql_synthesizer.operate.child import SERVE
from sql_synthesizer_proof.fakes.model_endpoint import FakeOpenAI
from tests.support.ports import free_port
from tests.support.serving import HANG, ROOT, Service, fetch, run_own, service, until

PATIENT = {"SQL_SYNTHESIZER_DEADLINE": "600", "SQL_SYNTHESIZER_MODEL_TIMEOUT": "300"}
QUESTION = "how many customers are there"
JOIN = "top 5 customers by number of orders"


def test_one_question_is_in_every_signal(tmp_path: Path) -> None:
    with service(tmp_path) as served:
        reply = served.ask(JOIN)
        body = reply.json()
        trace = reply.headers["X-Trace-Id"]
        assert body["row_count"] == 5
        assert "JOIN" in body["sql"]
        assert body["trace_id"] == trace
        until(lambda: served.counted("queries_total", success="success") == 1)
        until(lambda: served.counted("app_up") == 1)
        assert served.counted("memory_usage_bytes") > 50_000_000
        (record,) = [r for r in read_records(served.state / "audit") if r["trace_id"] == trace]
        assert record["event_type"] == "query_execution"
        until(lambda: any(line.get("trace_id") == trace and line["event"] == "question" for line in served.log()))
        assert fetch(served.url + "/metrics").body.count(b"sql_synthesizer_queries_total{") > 0
        assert served.stop() == 0


def test_nothing_is_lost_at_a_stop(tmp_path: Path) -> None:
    with service(tmp_path) as served:
        for _ in range(20):
            assert served.ask(QUESTION).status == 200
        assert served.stop() == 0
        records = [r for r in read_records(served.state / "audit") if r["event_type"] == "query_execution"]
        assert len(records) == 20
        assert sum(line["event"] == "question" for line in served.log()) == 20


def test_a_killed_worker_is_replaced_and_its_counts_stay(tmp_path: Path) -> None:
    with service(tmp_path) as served:
        for _ in range(10):
            served.ask(QUESTION)
        until(lambda: served.counted("queries_total") == 10)
        assert served.counted("processes_killed_total") == 0
        worker = gunicorn_worker(served)
        worker.kill()
        worker.wait(HANG)
        until(lambda: answers(served))
        until(lambda: served.counted("queries_total") == 11)
        assert served.counted("questions_limit") == 6, "the dead worker's levels are gone"
        assert served.counted("processes_killed_total", part="worker") == 1
        assert served.counted("processes_killed_total") == 1


def answers(served: Service) -> bool:
    try:
        return served.ask(QUESTION).status == 200
    except OSError:
        return False


def gunicorn_worker(served: Service) -> psutil.Process:
    children = psutil.Process(served.process.pid).children(recursive=True)
    workers = [child for child in children if "gunicorn" in " ".join(child.cmdline()) and not child.children()]
    assert len(workers) == 1
    return workers[0]


def test_a_killed_exporter_is_started_again(tmp_path: Path) -> None:
    with service(tmp_path) as served:
        served.ask(QUESTION)
        children = psutil.Process(served.process.pid).children()
        (exporter,) = [child for child in children if "exposition" in " ".join(child.cmdline())]
        exporter.kill()
        until(lambda: counted_again(served))
        assert served.counted("processes_killed_total", part="exporter") == 1


def counted_again(served: Service) -> bool:
    try:
        return served.counted("queries_total") == 1
    except OSError:
        return False


def test_a_hung_application_is_seen(tmp_path: Path) -> None:
    with service(tmp_path) as served:
        until(lambda: served.counted("app_up") == 1)
        worker = gunicorn_worker(served)
        worker.suspend()
        try:
            until(lambda: served.counted("app_up") == 0)
        finally:
            worker.resume()
        until(lambda: served.counted("app_up") == 1)


def test_work_in_flight_ends_before_a_stop(tmp_path: Path) -> None:
    asked, stopping = threading.Event(), threading.Event()

    def answer(_question: str) -> str:
        asked.set()
        assert stopping.wait(HANG)
        return "SELECT count(*) FROM customers"

    with (
        FakeOpenAI(answer) as model,
        service(tmp_path, OPENAI_BASE_URL=model.base_url, OPENAI_API_KEY="none", **PATIENT) as served,
        ThreadPoolExecutor(1) as pool,
    ):
        reply = pool.submit(served.ask, QUESTION)
        assert asked.wait(HANG)
        served.process.send_signal(signal.SIGTERM)
        until(lambda: not served.ready())
        stopping.set()
        assert reply.result().json()["source"] == "llm"
        assert served.process.wait(HANG) == 0


@pytest.mark.parametrize("which", ["port", "metrics_port"])
def test_a_taken_port_is_a_clear_error(tmp_path: Path, which: str) -> None:
    with service(tmp_path) as served:
        taken = getattr(served, which)
        names = {"port": "SQL_SYNTHESIZER_PORT", "metrics_port": "METRICS_PORT"}
        environment = served.environment | {"SQL_SYNTHESIZER_STATE_DIR": str(tmp_path / "other")}
        environment |= {name: str(free_port()) for name in names.values()} | {names[which]: str(taken)}
        done = run_own(environment, "serve")
        assert done.returncode == 2
        assert str(taken) in done.stderr
        assert names[which] in done.stderr


def test_one_service_a_state_directory(tmp_path: Path) -> None:
    with service(tmp_path) as served:
        done = run_own(served.environment, "serve")
        assert done.returncode == 2
        assert "state directory" in done.stderr


@pytest.mark.parametrize(
    "wrong",
    [
        {"DATABASE_URL": "nonsense"},
        {"DATABASE_URL": "sqlite:////nowhere/at/all.sqlite"},
        {"SQL_SYNTHESIZER_CACHE": "redis"},
    ],
)
def test_a_wrong_configuration_is_tried_once(tmp_path: Path, wrong: dict[str, str]) -> None:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("SQL_SYNTHESIZER_", "REDIS_"))}
    done = run_own(Service(tmp_path / "state", clean | wrong).environment, "serve")
    assert done.returncode == 2
    assert done.stderr.count("Error: ") == 2, "the worker's own message, and the supervisor's"
    assert "Traceback" not in done.stdout + done.stderr
    assert "starting it again" not in done.stderr


def test_a_second_signal_does_not_disturb_a_stop(tmp_path: Path) -> None:
    with service(tmp_path) as served:
        children = psutil.Process(served.process.pid).children(recursive=True)
        served.process.send_signal(signal.SIGTERM)
        while served.process.poll() is None:
            served.process.send_signal(signal.SIGINT)
        assert served.process.returncode == 0
        assert not any(child.is_running() for child in children)
        assert "Traceback" not in served.out.read_text()


def test_elsewhere_than_loopback_keys_are_required(tmp_path: Path) -> None:
    with service(tmp_path, SQL_SYNTHESIZER_HOST="0.0.0.0") as served:
        assert served.ask(QUESTION).status == 401
        path = served.state / "first-api-key"
        assert path.stat().st_mode & 0o777 == 0o600
        key = path.read_text().strip()
        assert served.ask(QUESTION, Authorization=f"Bearer {key}").status == 200
        assert key not in served.out.read_text()


def test_commands_join_the_running_service(tmp_path: Path) -> None:
    with service(tmp_path) as served:
        done = served.run("ask", QUESTION, "--output", "json")
        assert done.returncode == 0, done.stderr
        until(lambda: served.counted("queries_total") == 1)
        done = served.run("audit", "search", "--event", "query_execution")
        (record,) = map(json.loads, done.stdout.splitlines())
        assert record["details"]["question"] == QUESTION
        until(lambda: served.counted("security_events_total", event_type="audit_access") == 1)
        assert served.counted("questions_limit") == 6, "a command adds no levels"


def test_metrics_can_be_switched_off(tmp_path: Path) -> None:
    environment = {"PROMETHEUS_METRICS_ENABLED": "false"}
    made = Service(tmp_path / "state", dict(os.environ) | environment)
    with made.out.open("wb") as log:
        made.process = subprocess.Popen(SERVE, cwd=ROOT, env=made.environment, stdout=log, stderr=log)
    try:
        until(lambda: answers(made))
        assert fetch(made.url + "/metrics").status == 404
        with pytest.raises(OSError):
            fetch(made.metrics_url)
    finally:
        made.process.send_signal(signal.SIGTERM)
        made.process.wait(HANG)
